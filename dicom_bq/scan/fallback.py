"""Files that the walker does not understand, by pydicom: slower, more forgiving, the same table."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dicom_bq.elements import ROOT, UNDEFINED_LENGTH, VR_NUMBER, Note
from dicom_bq.errors import ScanError, TruncatedError
from dicom_bq.problems import Reason
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.bytesource import ByteSource
from dicom_bq.scan.datasets import append_dataset
from dicom_bq.scan.meta import ITEM_GROUP
from dicom_bq.scan.outcome import Failure, ScanOptions, Skipped
from dicom_bq.scan.quiet import quiet
from dicom_bq.scan.tables import is_never_read
from dicom_bq.scan.unstated import HEADER_BYTES

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.dataelem import RawDataElement


def scan_by_pydicom(
    uri: str, source: ByteSource, error: ScanError, batch: Batch, options: ScanOptions
) -> Failure | Skipped | None:
    """Read a file into the batch with pydicom.

    Args:
        uri: The file.
        source: Its bytes.
        error: Why the walker refused it; the failure's reason if pydicom refuses it too.
        batch: Where its elements go.
        options: Bounds; pydicom has a file in memory as a whole, so the file itself must keep to them.

    Returns:
        None when it was read.
    """
    failure = Failure(uri, "malformed", str(error))
    if not error.readable_otherwise:
        return failure
    mark = batch.mark()
    try:
        if source.reaches(options.max_header_bytes + 1):
            return failure
        content = source.read(0, options.max_header_bytes)
        dataset = _read(content)
        batch.rows.notes.append(Note(len(batch.rows.counts), -1, Reason.READ_BY_PYDICOM))
        if _has_made_up(dataset, content):
            batch.rows.notes.append(Note(len(batch.rows.counts), -1, Reason.WITHOUT_VR))
        with quiet():
            append_dataset(dataset, batch)
        _check_end(dataset, content, batch)
    except (
        Exception
    ) as other:  # pydicom says that bytes are wrong in a dozen ways, zlib.error and struct.error among them
        batch.rollback(mark)
        why = other if isinstance(other, ScanError) else type(other).__name__
        return Failure(uri, "malformed", f"{error}; pydicom: {why}")
    return None


def _has_made_up(dataset: FileDataset, content: bytes) -> bool:
    """Whether pydicom seems to have made something up of an explicit data set.

    An element without a VR it takes for one of implicit VR. The length may then be what stands in the place of a VR:
    the value takes other elements with it, and ends anywhere. What is behind it tells: the end, or that of an item, or
    a greater tag, or something else.
    """
    stack: list[Dataset] = [dataset]
    while stack:
        current = stack.pop()
        for tag in current.keys():  # noqa: SIM118 (to go over the elements decodes them)
            element: Any = current.get_item(tag, keep_deferred=True)
            if element.VR == "SQ" and not hasattr(element, "is_implicit_VR"):
                stack += element.value
                continue
            lacks_vr = element.VR is None and not element.is_implicit_VR and tag.group != ITEM_GROUP
            if lacks_vr and not _ends_well(int(tag), element, content):
                return True
    return False


def _ends_well(tag: int, element: RawDataElement, content: bytes) -> bool:
    if element.length == UNDEFINED_LENGTH:
        return True
    start, order = element.value_tell, "<" if element.is_little_endian else ">"
    end, (short,) = start + element.length, struct.unpack_from(order + "H", content, start - 2)
    if end + HEADER_BYTES <= len(content):
        group, number = struct.unpack_from(order + "HH", content, end)
        return bool(group == ITEM_GROUP or group << 16 | number > tag)
    # of a value that goes on to the end pydicom has the same, whichever its length is
    return end <= len(content) or start + short == len(content) > start


def _check_end(dataset: FileDataset, content: bytes, batch: Batch) -> None:
    """Say so when the file ends inside a value, of which pydicom takes what is there.

    Raises:
        TruncatedError: It ends inside a sequence or the header of an element, of which pydicom says nothing either.
    """
    from pydicom.dataelem import RawDataElement

    last = (0, len(content))
    for tag in dataset.keys():  # noqa: SIM118 (to go over the elements decodes them)
        element = dataset.get_item(tag, keep_deferred=True)
        if not isinstance(element, RawDataElement) or element.length == UNDEFINED_LENGTH:
            last = max(last, (getattr(element, "file_tell", None) or 0, len(content)))
            continue
        end = element.value_tell + element.length
        last = max(last, (element.value_tell, end))
        if end > len(content):
            _note_end(int(tag), VR_NUMBER.get(element.VR or "", 0), element.value_tell, batch)
    if last[1] < len(content) < last[1] + HEADER_BYTES and any(content[last[1] :]):
        raise TruncatedError(offset=last[1])


def _note_end(tag: int, vr: int, position: int, batch: Batch) -> None:
    """Note of the last value of a file that it is cut off; raises TruncatedError for a sequence."""
    rows = batch.rows
    row = next(row for row in reversed(range(len(rows))) if rows.tag[row] == tag and rows.item[row] == ROOT)
    if any(row == pending for pending, _ in rows.pending):
        raise TruncatedError(offset=position)
    reason = Reason.SHORT_VALUE if is_never_read(tag, vr) else Reason.CUT_VALUE
    rows.notes.append(Note(len(rows.counts), row, reason, tag))


def _read(content: bytes) -> FileDataset:
    """Read with pydicom; what it only warns of when data is missing counts as an error here."""
    import pydicom

    file = BytesIO(content)
    # The name is in the warning, which Python would not repeat: the caller may have seen the same before.
    file.name = uuid4().hex
    with quiet() as heard:
        dataset = pydicom.dcmread(file, force=True)
    if any("End of file" in text or "unexpected" in text.lower() for text in heard):
        raise ScanError(reason="file ends inside an element", offset=len(content))
    if not len(dataset) and not len(dataset.file_meta):
        raise ScanError(reason="no data elements", offset=0)
    return dataset
