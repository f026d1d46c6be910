"""File name patterns with the wildcards of the Healthcare API's DICOM import.

``*``
    any number of characters other than ``/``;
``?``
    one character other than ``/``;
``**``
    any number of characters, ``/`` among them. It is the only wildcard of its pattern and stands at the end,
    or before an extension: ``archive/**``, ``archive/**.dcm``.

There are no others: ``[`` is an ordinary character. A pattern matches files, never directories.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicom_bq.errors import UsageError

_TOKENS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
_TOKEN = re.compile(r"\*\*|\*|\?")
_MISPLACED = "** must be the only wildcard and stand at the end or before an extension, as in DIR/** or DIR/**.dcm"
_DEEP = re.compile(r"(?P<before>[^*?]*)\*\*(?P<extension>\.[^*?/]+)?")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which files under a directory are asked for.

    Attributes:
        whole: What the path of a file, relative to the directory, looks like.
        levels: What the name of a directory at each level looks like, so that others need not be entered.
        deep: Directories below ``levels`` are entered too.
    """

    whole: re.Pattern[str]
    levels: tuple[re.Pattern[str], ...]
    deep: bool

    def takes(self, relative: str) -> bool:
        """Whether a file is asked for, by its path relative to the directory."""
        return self.whole.fullmatch(relative) is not None

    def enters(self, relative: str) -> bool:
        """Whether there can be such files in a directory, by its relative path; its parent was entered."""
        above, _, name = relative.rpartition("/")
        level = above.count("/") + 1 if above else 0
        return self.levels[level].fullmatch(name) is not None if level < len(self.levels) else self.deep


@dataclass(frozen=True, slots=True)
class Names:
    """Some members of an archive; it has what ``Pattern`` has.

    Attributes:
        names: Which.
        deep: As for ``Pattern``; there are no directories in an archive.
    """

    names: frozenset[str]
    deep: bool = False

    def takes(self, relative: str) -> bool:
        """Whether a member is asked for."""
        return relative in self.names

    def enters(self, relative: str) -> bool:
        """There is nothing to enter."""
        return False


EVERYTHING = Pattern(re.compile(".*", re.DOTALL), (), deep=True)
"""Every file at any depth: what a directory as a source means."""


def has_wildcard(text: str) -> bool:
    """Whether a source is a pattern."""
    return _TOKEN.search(text) is not None


def parse(text: str) -> tuple[str, Pattern]:
    """Split a pattern into the directory it begins in and what it asks for there.

    Args:
        text: A path with at least one wildcard.

    Returns:
        The directory, "" for the current one, else ending in ``/``; and the pattern.

    Raises:
        UsageError: ``**`` stands where it may not.

    >>> directory, pattern = parse("archive/*/CT?.dcm")
    >>> directory, pattern.takes("patient/CT1.dcm"), pattern.takes("CT1.dcm")
    ('archive/', True, False)
    """
    first = _TOKEN.search(text)
    directory = text[: text.rfind("/", 0, first.start() if first else None) + 1]
    relative = text[len(directory) :]
    if "**" not in text:
        *levels, _ = relative.split("/")
        return directory, Pattern(_compile(relative), tuple(map(_compile, levels)), deep=False)
    deep = _DEEP.fullmatch(text)
    if deep is None:
        raise UsageError(reason=f"{text}: {_MISPLACED}", why=_MISPLACED)
    prefix = deep["before"][len(directory) :]
    return directory, Pattern(_compile(relative), (_compile(prefix + "*"),), deep=True)


def _compile(pattern: str) -> re.Pattern[str]:
    literals = _TOKEN.split(pattern)
    wildcards = [_TOKENS[token] for token in _TOKEN.findall(pattern)]
    expression = "".join(
        re.escape(literal) + wildcard for literal, wildcard in zip(literals, [*wildcards, ""], strict=True)
    )
    return re.compile(expression, re.DOTALL)
