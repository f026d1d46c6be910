"""One DICOM file into a batch: preamble, file meta information, transfer syntax, data set (PS3.10 7.1).

A file is read as far as its header goes: 8 KiB at first, more only where the walker asks for it, nothing of Pixel
Data. A file that cannot be read is rolled back whole and reported; it never spoils its batch.
"""

from __future__ import annotations

import os
import stat

from dicom_bq.elements import Note
from dicom_bq.errors import DamagedError, HeaderTooLargeError, NotDicomError, ScanError, TruncatedError
from dicom_bq.problems import Reason
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.bytesource import ByteSource, FileSource, InflatedSource, Inflation
from dicom_bq.scan.fallback import scan_by_pydicom
from dicom_bq.scan.members import open_member
from dicom_bq.scan.meta import (
    DEFLATED_UIDS,
    DIRECTORY_GROUP,
    DIRECTORY_RECORD_SEQUENCE,
    MEDIA_STORAGE_DIRECTORY,
    Meta,
    data_set_start,
    form_of,
    read_meta,
)
from dicom_bq.scan.outcome import Failure, ScanOptions, Skipped
from dicom_bq.scan.rows import Form
from dicom_bq.scan.scalar import Stop, StopKind, Walker
from dicom_bq.sources.members import Member

FIRST_READ = 8192
"""Bytes read of every file; most headers are shorter."""
GROWTH = 8
"""Each further read is this much larger, so that a long sequence is walked again only a few times."""
LARGEST_STEP = 16 << 20
"""Bytes; no read is larger, unless one root-level element, or the zeros after the last one, is."""


def scan_file(uri: str, batch: Batch, options: ScanOptions, member: Member | None = None) -> Failure | Skipped | None:
    """Read one file into the batch, or leave the batch as it was and say why.

    Args:
        uri: Path, or the name of a member.
        batch: Grows by one instance when the file is read.
        options: Bounds.
        member: Where it is, if it is not the file of that path.
    """
    mark = batch.mark()
    outcome: Failure | Skipped | None
    try:
        path = member.path if member else uri
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            outcome = _scan_open(uri, descriptor, batch, options, member)
        finally:
            os.close(descriptor)
    except OSError as error:
        outcome = Failure(uri, "unreadable", error.strerror or type(error).__name__)
    except ValueError:  # a path with a NUL
        outcome = Failure(uri, "unreadable", "not a path")
    if outcome is None:
        batch.rows.finish_instance(mark[0])
    else:
        batch.rollback(mark)
    return outcome


def _scan_open(
    uri: str, descriptor: int, batch: Batch, options: ScanOptions, member: Member | None
) -> Failure | Skipped | None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return Failure(uri, "unreadable", "not a regular file")
    if member and status.st_mtime_ns != member.modified:
        return Failure(uri, "unreadable", "the archive has changed since it was listed")
    mark = batch.mark()
    source: ByteSource = FileSource(descriptor)
    try:
        source = open_member(FileSource(descriptor), member, options.archives) if member else source
        is_directory = scan_part10(source, batch, options)
    except NotDicomError as error:
        return Skipped(uri, "not_dicom", error.facts["reason"])
    except ScanError as error:
        batch.rollback(mark)
        return scan_by_pydicom(uri, source, error, batch, options)
    return Skipped(uri, "dicomdir", "Media Storage Directory") if is_directory else None


def scan_part10(source: ByteSource, batch: Batch, options: ScanOptions) -> bool:
    """Read a file's elements into the batch, as far as that goes; True when it is a DICOMDIR.

    Raises:
        ScanError: The rest cannot be read; the batch holds what could be.
    """
    head = source.read(0, FIRST_READ)
    start = data_set_start(head)
    meta = read_meta(source, head, start, batch.rows, batch.size, options.max_header_bytes)
    if meta.sop_class == MEDIA_STORAGE_DIRECTORY:
        return True
    if meta.transfer_syntax in DEFLATED_UIDS:
        batch.keep(meta.head[: meta.end])
        inflated = InflatedSource(source, meta.end, Inflation("data set", limit=options.max_header_bytes))
        return _scan_deflated(inflated, meta, batch, options)
    return _scan_data_set(source, meta, batch, options)


def _scan_deflated(source: InflatedSource, meta: Meta, batch: Batch, options: ScanOptions) -> bool:
    """A deflated data set, as a file of its own without meta information."""
    try:
        inflated = Meta(0, source.read(0, FIRST_READ), meta.transfer_syntax, meta.sop_class)
        return _scan_data_set(source, inflated, batch, options)
    except ScanError as error:
        raise DamagedError(**error.facts) from None  # pydicom would inflate it without a bound


def _scan_data_set(source: ByteSource, meta: Meta, batch: Batch, options: ScanOptions) -> bool:
    """Read a data set into the batch; True when it is that of a DICOMDIR."""
    form, as_declared = form_of(meta)
    if not as_declared:
        batch.rows.notes.append(Note(len(batch.rows.counts), -1, Reason.OTHER_SYNTAX))
    first = len(batch.rows)
    _walk(source, meta.head, meta.end, form, batch, options)
    if form.big_endian:
        batch.rows.swaps.append((first, len(batch.rows)))
    tags = batch.rows.tag[first:]
    return not meta.sop_class and DIRECTORY_RECORD_SEQUENCE in tags and tags[0] >> 16 == DIRECTORY_GROUP


def _walk(source: ByteSource, head: bytes, start: int, form: Form, batch: Batch, options: ScanOptions) -> None:
    """Walk a data set that begins at ``start`` of the source, of which ``head`` is the beginning."""
    origin, wanted, before, limit = 0, FIRST_READ, batch.size, options.max_header_bytes
    while True:
        walker = Walker(batch.rows, head, batch.size, form, complete=len(head) < wanted)
        try:
            stop = walker.walk(start)
        except ScanError as error:
            raise type(error)(reason=error.facts["reason"], offset=origin + error.facts["offset"]) from None
        batch.keep(head[: stop.kept])
        if stop.kind is StopKind.END:
            return
        origin, start = origin + stop.position, 0
        if stop.kind is StopKind.MORE:
            room = limit - (batch.size - before)
            # The header of an element that may not be there is not asked for beyond the end of a file within the bound.
            if stop.need > room and (stop.need > FIRST_READ or source.reaches(origin + room + 1)):
                if room >= 0 and not source.reaches(origin + stop.need):
                    raise TruncatedError(offset=origin)
                raise HeaderTooLargeError(limit=limit, offset=origin)
            wanted = _next_size(stop, wanted, room)
        else:
            wanted = FIRST_READ
        head = source.read(origin, wanted)
        if stop.kind is StopKind.JUMP and not head:
            _note_short_value(source, origin, batch)
            return


def _next_size(stop: Stop, size: int, room: int) -> int:
    """Bytes to read when those read were too few.

    Nothing says how long a sequence of undefined length is (PS3.5 7.5.2), or padding. What is begun again is doubled
    each time, so that all that is read and walked in the end is a few times its length.

    Args:
        stop: Where the walk ended.
        size: Bytes read.
        room: Bytes that the header may still have.
    """
    again = 0 if stop.position else min(size * 2, room + FIRST_READ)
    return max(min(size * GROWTH, LARGEST_STEP), stop.need + FIRST_READ, again)


def _note_short_value(source: ByteSource, end: int, batch: Batch) -> None:
    """Say so when the file ends before the value that was passed over does."""
    if not source.reaches(end):
        row = len(batch.rows) - 1
        note = Note(len(batch.rows.counts), row, Reason.SHORT_VALUE, batch.rows.tag[row])
        batch.rows.notes.append(note)
