"""DICOM files to an ElementTable: preamble, file meta information, transfer syntax, data set (PS3.10 7.1).

A file is read as far as its header goes: 8 KiB at first, more only where the walker asks for it, nothing of Pixel
Data. A file that cannot be read is rolled back whole and reported; it never spoils its batch.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dicom_bq.elements import ROOT, Note
from dicom_bq.errors import DamagedError, HeaderTooLargeError, NotDicomError, ScanError, TruncatedError
from dicom_bq.problems import Reason
from dicom_bq.scan.bytesource import ByteSource, DeflatedSource, FileSource
from dicom_bq.scan.rows import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Form, Rows
from dicom_bq.scan.scalar import LONG, StopKind, Walker, tables

if TYPE_CHECKING:
    from dicom_bq.elements import ElementTable

FIRST_READ = 8192
"""Bytes read of every file; most headers are shorter."""
GROWTH = 8
"""Each further read is this much larger, so that a long sequence is walked again only a few times."""
LARGEST_STEP = 16 << 20
"""Bytes; no read is larger, unless one root-level element is."""

IMPLICIT_UID = "1.2.840.10008.1.2"
BIG_ENDIAN_UID = "1.2.840.10008.1.2.2"
DEFLATED_UIDS = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
_DECLARED = {IMPLICIT_UID: IMPLICIT_LITTLE, BIG_ENDIAN_UID: EXPLICIT_BIG}
"""Every other transfer syntax is explicit little endian (PS3.5 A.4)."""
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
DIRECTORY_RECORD_SEQUENCE = 0x00041220
META_SOP_CLASS, META_TRANSFER_SYNTAX = 0x00020002, 0x00020010


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """Bounds of reading.

    Attributes:
        max_header_bytes: A header, or an inflated data set, larger than this is a failure, not a memory problem.
    """

    max_header_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that looks like DICOM and cannot be read.

    Attributes:
        uri: The file.
        code: ``unreadable`` (by the operating system) or ``malformed``.
        reason: What is wrong, and where.
    """

    uri: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no SOP instance.

    Attributes:
        uri: The file.
        code: ``not_dicom`` or ``dicomdir``.
        reason: Why it is taken for one.
    """

    uri: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a batch of files gave.

    Attributes:
        table: The elements of all readable files.
        uris: One a SOP instance, in the table's order.
        failures: Files that cannot be read.
        skipped: Files that are not SOP instances.
    """

    table: ElementTable
    uris: tuple[str, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]


@dataclass(slots=True)
class Batch:
    """Files read so far: rows, and the bytes that their offsets count in."""

    rows: Rows = field(default_factory=Rows)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0

    def keep(self, data: bytes) -> None:
        """Add bytes to the arena."""
        self.chunks.append(data)
        self.size += len(data)


def scan_files(uris: Sequence[str], options: ScanOptions | None = None) -> Scanned:
    """Read the headers of files.

    Args:
        uris: Paths.
        options: Bounds.

    Returns:
        One table of all readable files; the others by name, with the reason.
    """
    from dicom_bq.scan.normalise import normalise

    options = options or ScanOptions()
    batch, read, failures, skipped = Batch(), list[str](), list[Failure](), list[Skipped]()
    for uri in uris:
        outcome = _scan_file(uri, batch, options)
        if outcome is None:
            read.append(uri)
        elif isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            skipped.append(outcome)
    table = normalise(batch.rows, b"".join(batch.chunks))
    return Scanned(table, tuple(read), tuple(failures), tuple(skipped))


def _scan_file(uri: str, batch: Batch, options: ScanOptions) -> Failure | Skipped | None:
    """Read one file into the batch, or leave the batch as it was and say why."""
    mark, chunks, size = batch.rows.mark(), len(batch.chunks), batch.size
    outcome: Failure | Skipped | None
    try:
        descriptor = os.open(uri, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            outcome = _scan_open(uri, descriptor, batch, options)
        finally:
            os.close(descriptor)
    except OSError as error:
        outcome = Failure(uri, "unreadable", error.strerror or type(error).__name__)
    except ValueError:  # a path with a NUL
        outcome = Failure(uri, "unreadable", "not a path")
    if outcome is None:
        batch.rows.finish_instance(mark)
    else:
        batch.rows.rollback(mark)
        del batch.chunks[chunks:]
        batch.size = size
    return outcome


def _scan_open(uri: str, descriptor: int, batch: Batch, options: ScanOptions) -> Failure | Skipped | None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return Failure(uri, "unreadable", "not a regular file")
    mark, chunks, size = batch.rows.mark(), len(batch.chunks), batch.size
    try:
        skipped = _scan_part10(FileSource(descriptor), batch, options)
    except NotDicomError as error:
        return Skipped(uri, "not_dicom", error.facts["reason"])
    except ScanError as error:
        from dicom_bq.scan.fallback import scan_by_pydicom

        batch.rows.rollback(mark)
        del batch.chunks[chunks:]
        batch.size = size
        return scan_by_pydicom(uri, error, batch, options)
    return Skipped(uri, "dicomdir", "Media Storage Directory") if skipped else None


def _scan_part10(source: ByteSource, batch: Batch, options: ScanOptions) -> bool:
    """Read a data set into the batch; True when it is a DICOMDIR."""
    head = source.read(0, FIRST_READ)
    start = data_set_start(head)
    meta = _read_meta(source, head, start, batch)
    if meta.sop_class == MEDIA_STORAGE_DIRECTORY:
        return True
    data_source, position, head = source, meta.end, meta.head
    if meta.transfer_syntax in DEFLATED_UIDS:
        data_source, position, head = DeflatedSource(source, meta.end, options.max_header_bytes), 0, b""
        batch.keep(meta.head[: meta.end])
    if not head:
        head = data_source.read(0, FIRST_READ)
    form = _form(head, position, meta, batch)
    first = len(batch.rows)
    try:
        _walk(data_source, head, position, form, batch, options)
    except ScanError as error:
        if data_source is source:
            raise
        raise DamagedError(**error.facts) from None  # pydicom would inflate it without a bound
    if form.big_endian:
        batch.rows.swaps.append((first, len(batch.rows)))
    return not meta.sop_class and DIRECTORY_RECORD_SEQUENCE in batch.rows.tag[first:]


def data_set_start(head: bytes) -> int:
    """Where the first element is: after preamble and prefix, or at 0 in a file without them.

    Args:
        head: The first bytes of the file.

    Raises:
        NotDicomError: Neither the prefix of PS3.10 7.1 nor a plausible first element is there.
    """
    if head[128:132] == b"DICM":
        return 132
    if not head:
        raise NotDicomError(reason="the file is empty", offset=0)
    if any(_plausible(head, form) for form in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)):
        return 0
    raise NotDicomError(reason="no DICM prefix and no data element at the start", offset=0)


def _plausible(head: bytes, form: Form) -> bool:
    """The first bytes are two elements that the dictionary knows, in order, with a VR where one belongs."""
    from dicom_bq import dictionary

    order: Literal["big", "little"] = "big" if form.big_endian else "little"
    position, previous = 0, 0
    for _ in range(2):
        if position + 12 > len(head):
            return False
        group, element = (int.from_bytes(head[position + at : position + at + 2], order) for at in (0, 2))
        tag = group << 16 | element
        known = tag in dictionary.vr_table() or (not element and 0 < group <= 0x7FE0)
        if not known or tag <= previous:
            return False
        length = int.from_bytes(head[position + 4 : position + 8], order)
        header = 8
        if not form.implicit:
            vr = tables().codes.get(head[position + 4 : position + 6])
            if vr is None or group == 0x0002:
                return vr is not None
            header = 12 if vr & LONG else 8
            length = int.from_bytes(head[position + header - (4 if vr & LONG else 2) : position + header], order)
        position, previous = position + header + length, tag
    return True


@dataclass(frozen=True, slots=True)
class _Meta:
    """What the file meta information says.

    Attributes:
        end: File position where the data set begins.
        head: Bytes of the file from 0, reaching at least to ``end``.
        transfer_syntax: UID, empty when missing.
        sop_class: UID, empty when missing.
    """

    end: int
    head: bytes
    transfer_syntax: str
    sop_class: str


def _read_meta(source: ByteSource, head: bytes, position: int, batch: Batch) -> _Meta:
    """Append group 0002, always explicit little endian whatever follows (PS3.10 7.1)."""
    rows, base, codes, found = batch.rows, batch.size, tables().codes, dict[int, str]()
    while head[position : position + 2] == b"\x02\x00":
        code = codes.get(head[position + 4 : position + 6])
        if code is None:
            raise ScanError(reason="file meta information is not in explicit VR", offset=position)
        header = 12 if code & LONG else 8
        length_at = position + header - (4 if code & LONG else 2)
        length = int.from_bytes(head[length_at : position + header], "little")
        end = position + header + length
        if end + 8 > len(head):
            head += source.read(len(head), min(end + FIRST_READ - len(head), LARGEST_STEP))
            if end > len(head):
                raise TruncatedError(offset=position)
        tag = 0x00020000 | int.from_bytes(head[position + 2 : position + 4], "little")
        rows.append(ROOT, tag, code & ~LONG, base + position + header, length)
        if tag in (META_SOP_CLASS, META_TRANSFER_SYNTAX):
            found[tag] = head[position + header : end].decode("ascii", "replace").strip(" \0")
        position = end
    return _Meta(position, head, found.get(META_TRANSFER_SYNTAX, ""), found.get(META_SOP_CLASS, ""))


def _form(head: bytes, position: int, meta: _Meta, batch: Batch) -> Form:
    """How the data set is encoded: as its transfer syntax says (PS3.5 10), unless its first element shows otherwise."""
    declared = _DECLARED.get(meta.transfer_syntax, EXPLICIT_LITTLE)
    first = head[position : position + 6]
    if len(first) < 6 or not any(first):
        return declared
    found = declared
    if first[4:6] not in tables().codes:
        found = IMPLICIT_LITTLE
    elif declared.implicit or not meta.transfer_syntax or not _known(first, declared):
        orders = (EXPLICIT_LITTLE, EXPLICIT_BIG) if declared.implicit or not declared.big_endian else (EXPLICIT_LITTLE,)
        found = next(
            (form for form in orders if _known(first, form)), found if not declared.implicit else EXPLICIT_LITTLE
        )
    if meta.transfer_syntax and found != declared:
        batch.rows.notes.append(Note(len(batch.rows.counts), -1, Reason.OTHER_SYNTAX))
    return found


def _known(first: bytes, form: Form) -> bool:
    """The tag at the start is in the dictionary when it is read this way."""
    from dicom_bq import dictionary

    order: Literal["big", "little"] = "big" if form.big_endian else "little"
    return int.from_bytes(first[:2], order) << 16 | int.from_bytes(first[2:4], order) in dictionary.vr_table()


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
            if batch.size - before + stop.need > limit:
                raise HeaderTooLargeError(limit=limit, offset=origin)
            wanted = max(min(wanted * GROWTH, LARGEST_STEP), stop.need + FIRST_READ)
        else:
            wanted = FIRST_READ
        head = source.read(origin, wanted)
        if stop.kind is StopKind.JUMP and not head:
            _note_short_value(source, origin, batch)
            return


def _note_short_value(source: ByteSource, end: int, batch: Batch) -> None:
    """Say so when the file ends before the value that was passed over does."""
    if not source.read(end - 1, 1):
        row = len(batch.rows) - 1
        note = Note(len(batch.rows.counts), row, Reason.SHORT_VALUE, batch.rows.tag[row])
        batch.rows.notes.append(note)
