"""Files that the walker does not understand, by pydicom: slower, more forgiving, the same table."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from dicom_bq.elements import Note
from dicom_bq.errors import ScanError
from dicom_bq.problems import Reason
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.bytesource import ByteSource
from dicom_bq.scan.datasets import append_dataset
from dicom_bq.scan.outcome import Failure, ScanOptions, Skipped
from dicom_bq.scan.quiet import quiet

if TYPE_CHECKING:
    from pydicom import FileDataset


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
        dataset = _read(source.read(0, options.max_header_bytes))
        batch.rows.notes.append(Note(len(batch.rows.counts), -1, Reason.READ_BY_PYDICOM))
        with quiet():
            append_dataset(dataset, batch)
    except (
        Exception
    ) as other:  # pydicom says that bytes are wrong in a dozen ways, zlib.error and struct.error among them
        batch.rollback(mark)
        return Failure(uri, "malformed", f"{error}; pydicom: {type(other).__name__}")
    return None


def _read(content: bytes) -> FileDataset:
    """Read with pydicom; what it only warns of when data is missing counts as an error here."""
    import pydicom

    with quiet() as caught:
        dataset = pydicom.dcmread(BytesIO(content), force=True)
    if any("End of file" in str(warning.message) or "unexpected" in str(warning.message).lower() for warning in caught):
        raise ScanError(reason="file ends inside an element", offset=0)
    if not len(dataset) and not len(dataset.file_meta):
        raise ScanError(reason="no data elements", offset=0)
    return dataset
