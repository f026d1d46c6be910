"""The bytes of a member of an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dicom_bq.scan.bytesource import GZIP, RAW, ByteSource, FileSource, InflatedSource, Inflation, RangeSource
from dicom_bq.scan.heads import Place
from dicom_bq.sources.members import UNKNOWN, ArchiveLimits, Member, Method
from dicom_bq.sources.zips import data_start


def place_of(uri: str, member: Member | None) -> Place | None:
    """Where a file's bytes are as they are; None for a member that has to be inflated, or looked for."""
    if member is None:
        return Place(uri)
    return Place(member.path, member.offset, member.stored, member.modified) if member.method == "range" else None


def open_member(archive: FileSource, member: Member, limits: ArchiveLimits) -> ByteSource:
    """Bytes of a member; what is compressed is inflated as they are asked for, within the limits.

    Args:
        archive: The file at ``member.path``.
        member: Which.
        limits: What it may inflate to.

    Raises:
        DamagedError: It is not there.
    """
    return _OPENERS[member.method](archive, member, limits)


def _range(archive: FileSource, member: Member, limits: ArchiveLimits) -> ByteSource:
    return RangeSource(archive, member.offset, member.stored)


def _stored(archive: FileSource, member: Member, limits: ArchiveLimits) -> ByteSource:
    return RangeSource(archive, data_start(archive, member.offset), member.stored)


def _deflated(archive: FileSource, member: Member, limits: ArchiveLimits) -> ByteSource:
    return InflatedSource(_stored(archive, member, limits), 0, _inflation(RAW, member, limits))


def _gzip(archive: FileSource, member: Member, limits: ArchiveLimits) -> ByteSource:
    return InflatedSource(_range(archive, member, limits), 0, _inflation(GZIP, member, limits))


def _inflation(frame: int, member: Member, limits: ArchiveLimits) -> Inflation:
    size = None if member.size == UNKNOWN else member.size
    return Inflation("member", frame, size, limits.inflated_bytes, limits.ratio, limits.ratio_from)


_OPENERS: Mapping[Method, Callable[[FileSource, Member, ArchiveLimits], ByteSource]] = {
    "range": _range,
    "stored": _stored,
    "deflated": _deflated,
    "gzip": _gzip,
}
