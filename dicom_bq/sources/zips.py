"""The directory of a zip file (APPNOTE.TXT 4.3), read a piece at a time.

Members are not opened: where the bytes of one begin is in its local header, which is read when the member is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from dicom_bq.errors import DamagedError
from dicom_bq.scan.bytesource import ByteSource
from dicom_bq.sources.members import ArchiveError, Entry, Method

LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
END64, LOCATOR64 = b"PK\6\6", b"PK\6\7"
_LOCAL = Struct("<4s22xHH")
_CENTRAL = Struct("<4sHHHH8xLLHHHHHLL")
_END = Struct("<4sHHHHLLH")
_LOCATOR64 = Struct("<4sLQL")
_END64 = Struct("<4sQHHLLQQQQ")
_LONGEST_COMMENT = 0xFFFF
_UNIX, _ENCRYPTED, _ZIP64_EXTRA = 3, 1, 1
_FULL, _FULL_COUNT = 0xFFFFFFFF, 0xFFFF
_METHODS: dict[int, Method] = {0: "stored", 8: "deflated"}
PIECE = 1 << 20
"""Bytes of the directory read at once; no record is larger than a quarter of that."""


def is_zip(source: ByteSource, size: int) -> bool:
    """Whether a file begins, or ends, as a zip does."""
    return source.read(0, 4) in {LOCAL, END} or _find_end(source, size) is not None


def zip_entries(source: ByteSource, size: int) -> Iterator[Entry]:
    """Members in the order of the directory; directories are none.

    Args:
        source: The archive.
        size: Its bytes.

    Raises:
        ArchiveError: The directory, or the rest of it, is not there or not readable.
    """
    directory = _directory(source, size)
    position, found, stored = directory.start, 0, 0
    for end, entry in _records(source, directory):
        position, found = end, found + 1
        if entry is not None:
            yield _placed(entry, size, stored)
            stored += entry.stored if entry.stored <= size else 0
    if position < directory.end or found & _FULL_COUNT != directory.records & _FULL_COUNT:
        raise ArchiveError(reason=f"damaged: its directory breaks off after {found} of {directory.records} members")


def _placed(entry: Entry, size: int, stored: int) -> Entry:
    """A member that fits into the archive with those before it, else one with the reason."""
    if entry.reason or stored + entry.stored <= size:
        return entry
    return entry._replace(reason="damaged: past the end" if entry.stored > size else "overlaps other members")


def data_start(source: ByteSource, offset: int) -> int:
    """Where a member's bytes begin.

    Args:
        source: The archive.
        offset: Of the local header.

    Raises:
        DamagedError: There is none.
    """
    header = source.read(offset, _LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != LOCAL:
        raise DamagedError(reason="the archive has no such member", offset=offset)
    _, name, extra = _LOCAL.unpack(header)
    return offset + _LOCAL.size + int(name) + int(extra)


class _Directory(NamedTuple):
    """Where the directory is.

    Attributes:
        start: Position of the first record.
        end: Position after the last.
        records: Records that there should be.
        shift: Bytes that something else has before the archive; positions do not count them.
    """

    start: int
    end: int
    records: int
    shift: int


def _find_end(source: ByteSource, size: int) -> tuple[int, tuple[int, ...]] | None:
    """Position and fields of the end record, the last one that can be."""
    base = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = source.read(base, size - base)
    at = tail.rfind(END, 0, max(0, len(tail) - _END.size + len(END)))
    while at >= 0:
        fields = _END.unpack_from(tail, at)
        if at + _END.size + fields[-1] <= len(tail):
            return base + at, fields[1:]
        at = tail.rfind(END, 0, at)
    return None


def _directory(source: ByteSource, size: int) -> _Directory:
    found = _find_end(source, size)
    if found is None:
        raise ArchiveError(reason="damaged: it has no directory at its end, so it may be cut off")
    at, (disk, first, _, count, length, offset, _) = found
    if _FULL_COUNT in {disk, first, count} or _FULL in {length, offset}:
        at, (disk, first, count, length, offset) = _end64(source, at, (disk, first, count, length, offset))
    if disk or first:
        raise ArchiveError(reason="one of several parts, which cannot be read by itself")
    shift = at - length - offset
    if shift < 0:
        raise ArchiveError(reason="damaged: its directory is not where it should be")
    return _Directory(offset + shift, at, count, shift)


def _end64(source: ByteSource, at: int, short: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Position and fields of the Zip64 end record; the short one's if there is none."""
    locator = source.read(at - _LOCATOR64.size, _LOCATOR64.size) if at >= _LOCATOR64.size else b""
    if not locator.startswith(LOCATOR64):
        return at, short
    _, _, offset, _ = _LOCATOR64.unpack(locator)
    places = (offset, at - _LOCATOR64.size - _END64.size)  # the second if something is before the archive
    for place in places:
        record = source.read(place, _END64.size) if 0 <= place < at else b""
        if len(record) == _END64.size and record.startswith(END64):
            _, _, _, _, disk, first, _, count, length, start = _END64.unpack(record)
            return place, (disk, first, count, length, start)
    raise ArchiveError(reason="damaged: its directory is not where it should be")


def _records(source: ByteSource, directory: _Directory) -> Iterator[tuple[int, Entry | None]]:
    """The directory's records, each with the position after it; None for a directory."""
    base, end, piece = directory.start, directory.start, b""
    while True:
        record = _record(piece, end - base, directory.shift)
        if record is None:
            base = end
            piece = source.read(base, min(PIECE, directory.end - base))
            record = _record(piece, 0, directory.shift)
        if record is None:
            return
        end = base + record[0]
        yield end, record[1]


def _record(piece: bytes, at: int, shift: int) -> tuple[int, Entry | None] | None:
    """The record at a place, if it is there as a whole, and the place after it."""
    if at + _CENTRAL.size > len(piece):
        return None
    signature, made_by, _, flags, method, stored, size, *lengths, _, _, attributes, offset = _CENTRAL.unpack_from(
        piece, at
    )
    name_end = at + _CENTRAL.size + lengths[0]
    extra_end = name_end + lengths[1]
    end = extra_end + lengths[2]
    if signature != CENTRAL or end > len(piece):
        return None
    name = os.fsdecode(piece[at + _CENTRAL.size : name_end])
    size, stored, offset = _wide((size, stored, offset), piece[name_end:extra_end])
    mode = attributes >> 16 if made_by >> 8 == _UNIX else 0
    if (name.endswith("/") or stat.S_ISDIR(mode)) and not size:
        return end, None
    reason = _reason(name, mode, flags, method, as_large=size == stored)
    return end, Entry(name, reason, offset + shift, stored, size, _METHODS.get(method, "stored"))


def _wide(short: tuple[int, int, int], extra: bytes) -> list[int]:
    """Size, stored size and offset, those that do not fit 32 bits from the Zip64 extra field."""
    at, values = 0, [*short]
    while at + 4 <= len(extra):
        number, length = int.from_bytes(extra[at : at + 2], "little"), int.from_bytes(extra[at + 2 : at + 4], "little")
        at += 4
        if number == _ZIP64_EXTRA:
            for place, value in enumerate(values):
                if value == _FULL and at + 8 <= len(extra):
                    values[place] = int.from_bytes(extra[at : at + 8], "little")
                    at += 8
            break
        at += length
    return values


def _reason(name: str, mode: int, flags: int, method: int, *, as_large: bool) -> str:
    """Why a member cannot be read, "" if it can."""
    if name.endswith("/"):
        return "a directory with content"
    if stat.S_ISLNK(mode):
        return "a link, which is not followed in an archive"
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return "not a regular file"
    if flags & _ENCRYPTED:
        return "encrypted"
    if method not in _METHODS:
        return f"compressed by a method that is not supported (number {method})"
    return "" if _METHODS[method] != "stored" or as_large else "damaged: its two sizes differ"
