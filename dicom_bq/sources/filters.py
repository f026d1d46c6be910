"""Filter files: which studies, series and instances to export, by DICOMweb resource path (PS3.18 10.1).

The format of the Healthcare API's ``filterConfig``: one path a line, lines end in LF or CRLF.

    /studies/1.2.3
    /studies/1.2.4/series/1.2.4.1
    /studies/1.2.4/series/1.2.4.2/instances/1.2.4.2.1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dicom_bq.errors import UsageError

_UID = r"([!-.0-~]{1,64})"  # PS3.5 9.1, loosely: digits and full stops, but files have other UIDs too
_LINE = re.compile(rf"/studies/{_UID}(?:/series/{_UID}(?:/instances/{_UID})?)?")

Uids: TypeAlias = tuple[str, ...]
"""UIDs of a study, or of a study and a series, or of a study, a series and an instance."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances to export.

    Attributes:
        lines: What is asked for, and the line that asks for it first.
        matched: Of these, what some instance was of.
    """

    lines: dict[Uids, int]
    matched: set[Uids] = field(default_factory=set)

    @classmethod
    def parse(cls, text: str, name: str = "filter") -> Filter:
        """Read the text of a filter file.

        Args:
            text: Of the file.
            name: Of the file, for messages.

        Raises:
            UsageError: A line is no resource path; names it by its number.
        """
        lines: dict[Uids, int] = {}
        for number, line in enumerate(_lines(text), start=1):
            match = _LINE.fullmatch(line)
            if match is None:
                form = "/studies/UID[/series/UID[/instances/UID]]"
                raise UsageError(reason=f"{name}, line {number}: expected {form}")
            lines.setdefault(tuple(uid for uid in match.groups() if uid is not None), number)
        return cls(lines)

    @classmethod
    def read(cls, path: str) -> Filter:
        """Read a filter file.

        Raises:
            UsageError: It cannot be read, or a line is no resource path.
        """
        try:
            return cls.parse(Path(path).read_bytes().decode(), path)
        except OSError as error:
            raise UsageError(reason=f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(reason=f"{path} is not UTF-8 text") from error

    def accepts(self, study: str, series: str, instance: str) -> bool:
        """Whether an instance is asked for; every line that asks for it counts as matched."""
        uids = (study, series, instance)
        found = [uids[:depth] for depth in (1, 2, 3) if uids[:depth] in self.lines]
        self.matched.update(found)
        return bool(found)

    def unmatched(self) -> Iterator[str]:
        """Lines that no instance was of, in the order of the file."""
        for uids in sorted(self.lines.keys() - self.matched, key=self.lines.__getitem__):
            yield resource_path(uids)


def _lines(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def resource_path(uids: Iterable[str]) -> str:
    """DICOMweb path of a study, series or instance.

    >>> resource_path(["1.2", "1.2.3"])
    '/studies/1.2/series/1.2.3'
    """
    levels = ("studies", "series", "instances")
    return "".join(f"/{level}/{uid}" for level, uid in zip(levels, uids, strict=False))
