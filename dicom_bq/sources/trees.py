"""What a walk begins with: directories and archives, and which files in them are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dicom_bq.sources.archives import suffix_kind
from dicom_bq.sources.members import SEPARATOR, Kind
from dicom_bq.sources.patterns import Names, Pattern


class Archive(NamedTuple):
    """An archive that is to be listed.

    Attributes:
        path: Of the file.
        kind: What it is.
        whole: All members are asked for, whatever their names.
        prefix: Of the names of those that are asked for; it is not in their relative path.
    """

    path: str
    kind: Kind
    whole: bool
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory or an archive, and which files in it are asked for.

    Attributes:
        shown: How every URI begins: "" or the directory as it was spelled, ending in /.
        real: The directory without symbolic links, ending in /; of an archive, in !/.
        pattern: Which files.
        source: What the caller wrote.
        archive: None for a directory.
        listed: It comes from a list: that there is nothing is no error, but a failure.
    """

    shown: str
    real: str
    pattern: Pattern | Names
    source: str
    archive: Archive | None = None
    listed: bool = False

    def covers(self, real: str, *, member: bool = False) -> bool:
        """Whether a real path is listed from here: a file, or a directory with what is asked for in it.

        Args:
            real: The path; a directory's ends in /, an archive's in !/.
            member: It is an archive, or in one.
        """
        if not real.startswith(self.real):
            return False
        inside = real[len(self.real) :]
        if member and any(self.pattern.takes(archive) for archive in _archives_in(inside)):
            return True
        if inside and not inside.endswith("/"):
            return self.pattern.takes(inside)
        return self.pattern.deep and (not inside or self.pattern.enters(inside[: inside.index("/")]))


def _archives_in(path: str) -> Iterator[str]:
    """Paths of the archives that a path can lead through."""
    at = path.find(SEPARATOR)
    while at >= 0:
        if suffix_kind(path[:at]):
            yield path[:at]
        at = path.find(SEPARATOR, at + 1)


def above(real: str) -> Iterator[str]:
    """Every directory that a real path is in, each ending in /."""
    end = real.rfind("/", 0, len(real) - 1)
    while end >= 0:
        yield real[: end + 1]
        end = real.rfind("/", 0, end)
