"""Archives to members: recognised by name and content, listed in the order of their names, within limits.

A member is never written to disk under its name, so a name may be anything: absolute, with ``..``, not UTF-8. A
leading ``./`` is left out of it. Members that have the same name are files of their own; all but the first have a
number at the end: ``CT1.dcm``, ``CT1.dcm!2``. An archive in an archive is a file like any other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from dicom_bq.errors import DamagedError
from dicom_bq.scan.bytesource import GZIP_MAGIC, FileSource, InflatedSource
from dicom_bq.sources.members import UNKNOWN, ArchiveError, ArchiveLimits, Entry, Kind, Member, Method
from dicom_bq.sources.runs import in_order
from dicom_bq.sources.spool import Spool, gzip_inflation
from dicom_bq.sources.tars import BLOCK, is_tar, tar_entries
from dicom_bq.sources.zips import is_zip, zip_entries

SUFFIXES = {
    ".zip": Kind.ZIP,
    ".tar": Kind.TAR,
    ".tgz": Kind.TAR_GZ,
    ".tar.gz": Kind.TAR_GZ,
    ".gz": Kind.GZ,
}
"""Longer ones before those that they end in."""
_ENDS = frozenset(suffix[-3:] for suffix in SUFFIXES)
MOST_NAMESAKES = 1000
"""Members of an archive that have a number, since their names are taken."""
LONGEST_SHOWN = 200
"""Characters shown of a name that is too long."""

Listed: TypeAlias = Iterator[tuple[str, Member | str]]
"""Names of members, each with where it is or why it cannot be read."""
Problem: TypeAlias = Callable[[str], None]
"""Called with the reason why an archive, or the rest of it, cannot be read."""

_Record: TypeAlias = tuple[str, int, str, int, int, int, Method]
"""Name, number in the archive, and the other fields of ``Entry``."""


def suffix_kind(name: str) -> Kind | None:
    """What kind of archive a name promises."""
    lower = name[-7:].lower()
    if lower[-3:] not in _ENDS:  # mostly
        return None
    return next((kind for suffix, kind in SUFFIXES.items() if lower.endswith(suffix)), None)


def kind_of(path: str) -> Kind | None:
    """What kind of archive a file is, None for any other file, and for what cannot be opened."""
    promised = suffix_kind(path)
    if promised is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        return _confirmed(promised, FileSource(descriptor), status.st_size) if stat.S_ISREG(status.st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _confirmed(promised: Kind, source: FileSource, size: int) -> Kind | None:
    if promised is Kind.ZIP:
        return promised if is_zip(source, size) else None
    if promised is Kind.TAR:
        return promised if is_tar(source.read(0, BLOCK)) else None
    if source.read(0, len(GZIP_MAGIC)) != GZIP_MAGIC:
        return None
    if promised is Kind.GZ:
        return promised
    try:
        inflated = InflatedSource(source, 0, gzip_inflation("archive", ArchiveLimits()))
        return promised if is_tar(inflated.read(0, BLOCK)) else Kind.GZ
    except DamagedError:
        return promised


@dataclass(frozen=True, slots=True)
class Archives:
    """How archives are read in one listing.

    Attributes:
        spool: Where those are inflated that cannot be read otherwise.
        limits: What they may cost.
    """

    spool: Spool
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)

    def members(self, path: str, kind: Kind, problem: Problem) -> Listed:
        """Members by name, in ascending order.

        Args:
            path: The archive.
            kind: What it is.
            problem: Is told why not all members are there.

        Raises:
            OSError: It cannot be opened.
            DestinationError: It cannot be inflated, for want of room.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            yield from self._members(path, kind, FileSource(descriptor), problem)
        finally:
            os.close(descriptor)

    def _members(self, path: str, kind: Kind, source: FileSource, problem: Problem) -> Listed:
        status = os.fstat(source.descriptor)
        if kind is Kind.GZ:
            name, _ = os.path.splitext(os.path.basename(path))  # noqa: PTH119, PTH122 (of .gz it is all)
            yield name, Member(path, 0, status.st_size, UNKNOWN, "gzip", status.st_mtime_ns)
            return
        if kind is not Kind.TAR_GZ:
            yield from self._listed(path, source, kind, status.st_mtime_ns, problem)
            return
        try:
            spooled, reason = self.spool.inflate(source, self.limits)
        except ArchiveError as error:
            problem(str(error))
            return
        if reason:
            problem(reason)
        with self.spool.refusals():
            descriptor = os.open(spooled, os.O_RDONLY | os.O_CLOEXEC)
        try:
            told = _nothing if reason else problem  # an archive fails once
            yield from self._listed(spooled, FileSource(descriptor), kind, status.st_mtime_ns, told)
        finally:
            os.close(descriptor)
            self.spool.finished.append(spooled)

    def _listed(self, path: str, source: FileSource, kind: Kind, modified: int, problem: Problem) -> Listed:
        entries = zip_entries if kind is Kind.ZIP else tar_entries
        listed = entries(source, os.fstat(source.descriptor).st_size)
        for name, reason, offset, stored, size, method in _named(in_order(self._records(listed, problem))):
            yield name, reason or Member(path, offset, stored, size, method, modified)

    def _records(self, entries: Iterator[Entry], problem: Problem) -> Iterator[_Record]:
        """Entries within the limits, with their number after the name so that they can be sorted."""
        limits, total = self.limits, 0
        try:
            for number, entry in enumerate(entries):
                if number == limits.members:
                    raise ArchiveError(reason=f"more than {limits.members:,} members, of which the others are left out")
                name, reason = _trimmed(entry.name), entry.reason
                if len(os.fsencode(name)) > limits.name_bytes:
                    name, reason = name[:LONGEST_SHOWN] + "...", f"a name of more than {limits.name_bytes:,} bytes"
                elif not reason and total + entry.size > limits.inflated_bytes:
                    reason = f"past the {limits.inflated_bytes:,} bytes that the members of an archive may have"
                total += 0 if reason else entry.size
                yield name, number, reason or ("" if name else "without a name"), *entry[2:]
        except ArchiveError as error:
            problem(str(error))
        except OSError as error:
            problem(f"cannot be read: {error.strerror}")


def _nothing(reason: str) -> None:
    """Tell nobody."""


def _trimmed(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _named(records: Iterator[_Record]) -> Iterator[tuple[str, str, int, int, int, Method]]:
    """Records in order, under names that are all different."""
    previous, count = "", 0
    given: set[str] = set()
    for name, _, reason, offset, stored, size, method in records:
        count = count + 1 if name == previous and count else 1
        previous = name
        if count > 1:
            name = f"{name}!{count}"
            if len(given) < MOST_NAMESAKES:
                given.add(name)
            else:
                reason = reason or f"one of more than {MOST_NAMESAKES:,} members whose names are taken"
        elif name in given:
            reason = reason or "another member has its name"
        yield name, reason, offset, stored, size, method
