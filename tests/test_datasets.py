"""pydicom Datasets and their files give the same ElementTable, lengths of sequences included."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from dicom_bq.columns.build import BuildOptions, build
from dicom_bq.scan.datasets import encode, scan_datasets
from dicom_bq.scan.files import scan_files


def nested() -> Dataset:
    code = Dataset()
    code.CodeValue = "T-04000"
    code.CodeMeaning = "Breast"
    inner = Dataset()
    inner.ConceptNameCodeSequence = Sequence([code, Dataset()])
    inner.TextValue = "one"
    outer = Dataset()
    outer.file_meta = FileMetaDataset()
    outer.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    outer.Modality = "SR"
    outer.ContentSequence = Sequence([inner, Dataset(), inner])
    outer.PatientName = "Doe^Jane"
    return outer


def test_sequences_have_the_length_they_have_in_a_file(tmp_path) -> None:
    path = tmp_path / "nested.dcm"
    nested().save_as(path, enforce_file_format=False)
    table, stored = scan_datasets([nested()]), scan_files([str(path)]).table
    sequences = np.flatnonzero(table.walked)
    wanted = {int(stored.tag[row]): int(stored.length[row]) for row in np.flatnonzero(stored.walked)}
    assert {int(table.tag[row]): int(table.length[row]) for row in sequences} == wanted


def test_a_limit_on_sequences_holds_in_memory_too() -> None:
    table = scan_datasets([nested()])
    row = build(table, options=BuildOptions(max_sequence_bytes=64)).batch.to_pylist()[0]
    assert row["DroppedTags"] == [{"TagName": "ContentSequence", "TagReference": "ContentSequence"}]
    assert "ContentSequence" in build(table, options=BuildOptions(max_sequence_bytes=1000)).batch.schema.names


@pytest.mark.parametrize(
    ("value", "vr", "expected"),
    [
        (None, "LO", (b"", "LO")),
        (b"\1\2", "OB", (b"\1\2", "OB")),
        ([1, 2], "US", (b"\1\0\2\0", "US")),
        (0x00100020, "AT", (b"\x10\0\x20\0", "AT")),
        (-1, "US", (b"-1", "LO")),
        ("x", "US", (b"x", "LO")),
        (["a", None, "é"], "LO", ("a\\\\é".encode(), "LO")),
    ],
)
def test_decoded_values_are_encoded_or_become_text(value: object, vr: str, expected: tuple[bytes, str]) -> None:
    assert encode(value, vr) == expected


def test_deferred_values_are_read(tmp_path) -> None:
    path = tmp_path / "deferred.dcm"
    dataset = nested()
    dataset.add_new(0x0040A160, "UT", "long text " * 100)
    dataset.save_as(path, enforce_file_format=False)
    deferred = pydicom.dcmread(path, defer_size=50, force=True)
    assert build(scan_datasets([deferred])).batch.equals(build(scan_files([str(path)]).table).batch)


def test_a_dataset_read_from_memory_is_like_its_file(tmp_path) -> None:
    path = tmp_path / "same.dcm"
    nested().save_as(path, enforce_file_format=False)
    dataset = pydicom.dcmread(io.BytesIO(path.read_bytes()), force=True)
    assert build(scan_datasets([dataset])).batch.equals(build(scan_files([str(path)]).table).batch)


def test_a_dataset_without_text_that_holds_an_escape_byte() -> None:
    dataset = Dataset()
    dataset.DopplerCorrectionAngle = 6.103608948110131e16  # FD; one of its bytes is 1B
    assert build(scan_datasets([dataset])).batch.to_pylist()[0]["DopplerCorrectionAngle"] == 6.103608948110131e16
