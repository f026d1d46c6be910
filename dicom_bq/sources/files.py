"""Sources to URIs: directories, files and patterns of the local file system, each file once, in order.

Listing streams: no more is held than the names in the directories that are being listed. A URI here is a path
as the caller spelled its beginning; bytes that are not UTF-8 are in it as ``os.fsdecode`` gives them, see
``printable``.
"""

from __future__ import annotations

import heapq
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from dicom_bq.errors import UsageError
from dicom_bq.sources.patterns import EVERYTHING, Pattern, has_wildcard, parse

Unreadable = Callable[[str, str], None]
"""Called with the URI and the reason of each thing that was met and is no readable file or directory."""


def expand(
    sources: Sequence[str | os.PathLike[str]],
    *,
    exclude: Sequence[str] = (),
    unreadable: Unreadable = lambda uri, reason: None,
) -> Iterator[str]:
    """The files that sources stand for, in ascending order of URI.

    A directory stands for all files in it, at any depth. A symbolic link is followed, unless what it leads to
    is reached anyway: loops end, and no file comes twice, also when sources overlap. (Two hard links are two
    files.)

    Args:
        sources: Directories, files, or patterns (``dicom_bq.sources.patterns``). A path that exists is taken
            literally, whatever characters are in it.
        exclude: Paths that are never entered nor listed, such as the output.
        unreadable: Told about directories that cannot be listed, links to nothing, devices, pipes, sockets.

    Raises:
        UsageError: A source does not exist; or, once it is that source's turn, a pattern matches nothing.
    """
    found = [_source(_tidy(os.fsdecode(source))) for source in sources]
    trees = _outermost([source for source in found if isinstance(source, _Tree)])
    files = {source.real: source for source in reversed(found) if isinstance(source, _File)}
    listing = _Listing(trees, frozenset(os.path.realpath(path) for path in exclude), unreadable)
    alone = [file for file in files.values() if not listing.reaches(file.real)]
    return listing.run([*trees, *alone])


def printable(uri: str) -> str:
    r"""A URI as text that any output can hold: bytes that are not UTF-8 become ``\xNN``.

    >>> printable(os.fsdecode(b"CT\xff.dcm"))
    'CT\\xff.dcm'
    """
    return uri.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class _File:
    shown: str
    real: str


@dataclass(frozen=True, slots=True)
class _Tree:
    """A directory, and which files in it are asked for.

    Attributes:
        shown: How every URI begins: "" or the directory as it was spelled, ending in /.
        real: The directory without symbolic links, ending in /.
        pattern: Which files.
        source: What the caller wrote.
    """

    shown: str
    real: str
    pattern: Pattern
    source: str

    def covers(self, real: str) -> bool:
        """Whether a real path is listed from here: a file, or a directory with what is asked for in it."""
        inside = real.removeprefix(self.real)
        if not real.startswith(self.real):
            return False
        if inside and not inside.endswith("/"):
            return self.pattern.takes(inside)
        return self.pattern.deep and (not inside or self.pattern.enters(inside[: inside.index("/")]))


def _tidy(path: str) -> str:
    """A path without repeated or trailing slashes and ``.`` components, so that one file has one spelling."""
    return re.sub(r"(?<=/)(\./|/)+|^(\./+)+", "", path + "/")[:-1] or ("/" if path.startswith("/") else ".")


def _source(path: str) -> _File | _Tree:
    if os.path.isdir(path):  # noqa: PTH112 (a million sources may be files: no Path object each)
        return _tree("" if path == "." else path.rstrip("/") + "/", EVERYTHING, path)
    if os.path.isfile(path):  # noqa: PTH113
        return _File(path, os.path.realpath(path))
    if os.path.lexists(path):
        raise UsageError(reason=f"{printable(path)} is neither a file nor a directory")
    if not has_wildcard(path):
        raise UsageError(reason=f"{printable(path)} does not exist")
    directory, pattern = parse(path)
    if not os.path.isdir(directory or "."):  # noqa: PTH112
        raise UsageError(reason=f"{printable(path)}: there is no directory {printable(directory)}")
    return _tree(directory, pattern, path)


def _tree(shown: str, pattern: Pattern, source: str) -> _Tree:
    return _Tree(shown, os.path.realpath(shown or ".").rstrip("/") + "/", pattern, source)


def _outermost(trees: list[_Tree]) -> list[_Tree]:
    """Trees without those that stand for nothing that another does not."""
    whole = {tree.real for tree in trees if tree.pattern is EVERYTHING}
    kept: dict[tuple[str, re.Pattern[str]], _Tree] = {}
    for tree in trees:
        inside = any(above in whole for above in _above(tree.real))
        if not inside and (tree.pattern is EVERYTHING or tree.real not in whole):
            kept.setdefault((tree.real, tree.pattern.whole), tree)
    return list(kept.values())


def _above(real: str) -> Iterator[str]:
    """Every directory that a real path is in, each ending in /."""
    end = real.rfind("/", 0, len(real) - 1)
    while end >= 0:
        yield real[: end + 1]
        end = real.rfind("/", 0, end)


@dataclass(slots=True)
class _Listing:
    """One expansion: its trees, and where links have led so far."""

    trees: list[_Tree]
    exclude: frozenset[str]
    unreadable: Unreadable
    followed: set[str] = field(default_factory=set)
    whole: frozenset[str] = field(init=False)
    patterns: list[_Tree] = field(init=False)

    def __post_init__(self) -> None:
        self.whole = frozenset(tree.real for tree in self.trees if tree.pattern is EVERYTHING)
        self.patterns = [tree for tree in self.trees if tree.pattern is not EVERYTHING]

    def reaches(self, real: str) -> bool:
        """Whether a real path (a directory's ends in /) is listed without following the link at hand."""
        return (
            real in self.whole
            or real in self.followed
            or any(above in self.whole or above in self.followed for above in _above(real))
            or any(tree.covers(real) for tree in self.patterns)
        )

    def run(self, sources: list[_File | _Tree]) -> Iterator[str]:
        """Sources one after the other, where their URIs interleave merged."""
        sources.sort(key=lambda source: source.shown)
        start = 0
        for end in range(1, len(sources) + 1):
            if end == len(sources) or not sources[end].shown.startswith(sources[start].shown):
                yield from heapq.merge(*map(self.uris, sources[start:end]))
                start = end

    def uris(self, source: _File | _Tree) -> Iterator[str]:
        """URIs of one source, ascending."""
        if isinstance(source, _File):
            if source.real not in self.exclude:
                yield source.shown
            return
        earlier = itertools.takewhile(lambda other: other is not source, self.patterns)
        others = [other for other in earlier if source.pattern is not EVERYTHING]
        matched = source.pattern is EVERYTHING
        for uri, real in self.walk(source):
            matched = True
            if not any(other.covers(real) for other in others):
                yield uri
        if not matched:
            raise UsageError(reason=f"no file matches {printable(source.source)}")

    def walk(self, tree: _Tree) -> Iterator[tuple[str, str]]:
        """URIs and real paths of the files of a tree, depth first, names in order."""
        stack = [self.entries(tree, "", tree.real)]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif entry[0].endswith("/"):
                stack.append(self.entries(tree, *entry))
            else:
                yield tree.shown + entry[0], entry[1]

    def entries(self, tree: _Tree, relative: str, real: str) -> Iterator[tuple[str, str]]:
        """What is asked for in one directory: relative path, ending in / for a directory, and real path."""
        uri = tree.shown + relative
        try:
            names, odd = _names(uri or ".")
        except OSError as error:
            self.unreadable(uri or ".", f"cannot list the directory: {error.strerror}")
            return
        for name in names:
            inside = relative + name
            wanted = tree.pattern.enters(inside[:-1]) if name.endswith("/") else tree.pattern.takes(inside)
            if not wanted or (real + name).rstrip("/") in self.exclude:
                continue
            if name not in odd:
                yield inside, real + name
            elif odd[name]:
                self.unreadable(tree.shown + inside, odd[name])
            else:
                yield from self.link(tree, inside)

    def link(self, tree: _Tree, inside: str) -> Iterator[tuple[str, str]]:
        """Where a symbolic link leads, unless that is reached anyway."""
        target = os.path.realpath(tree.shown + inside) + ("/" if inside.endswith("/") else "")
        if target.rstrip("/") in self.exclude:
            return
        # A pattern of fixed depth cannot loop, and need not ask for all that is in the directory.
        if inside.endswith("/") and not tree.pattern.deep:
            yield inside, target
        elif not self.reaches(target):
            self.followed.add(target)
            yield inside, target


def _names(directory: str) -> tuple[list[str], dict[str, str]]:
    """Names in a directory, ascending as the URIs under them are: a directory's name ends in /.

    Returns:
        The names; and for those that are no plain file or directory "" for a link that leads to one, else the
        reason why it cannot be read.
    """
    names: list[str] = []
    odd: dict[str, str] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            name, oddity = _name(entry)
            names.append(name)
            if oddity is not None:
                odd[name] = oddity
    names.sort()
    return names, odd


def _name(entry: os.DirEntry[str]) -> tuple[str, str | None]:
    try:
        if entry.is_dir():
            return entry.name + "/", "" if entry.is_symlink() else None
        if entry.is_file():
            return entry.name, "" if entry.is_symlink() else None
    except OSError as error:
        return entry.name, f"cannot be reached: {error.strerror}"
    return entry.name, "link to nothing" if entry.is_symlink() else "not a regular file"
