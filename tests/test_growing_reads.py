"""What is read and walked of one long file is a few times its length, however it is made: counted, not timed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dicom_bq.inspect import inspect_file
from dicom_bq.reading import Reading
from dicom_bq.scan import meta as file_meta
from dicom_bq.scan import part10
from dicom_bq.scan.bytesource import FileSource
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from dicom_bq.scan.scalar import Walker
from tests.archives import make_stored_zip, make_tar, make_tar_gz, make_zip
from tests.fuzz import checks
from tests.handmade import (
    DEFLATED,
    EXPLICIT,
    PATIENT,
    UID_ELEMENT,
    deflated,
    explicit,
    explicit_file,
    implicit,
    implicit_file,
    meta,
    open_item,
    open_sequence,
)

LENGTH = 1 << 20
STEP = 16 << 10
"""Stands for the 16 MiB beyond which the growth of reads slows down."""
ZEROS = bytes(LENGTH)
NESTED = open_sequence(open_item(UID_ELEMENT) * (LENGTH // len(open_item(UID_ELEMENT))))
LONG = {
    "padding": explicit_file(PATIENT, ZEROS),
    "padding, implicit": implicit_file(implicit(0x00100020, b"ID-1"), ZEROS),
    "padding, deflated": meta(DEFLATED) + deflated(PATIENT + ZEROS),
    "a sequence of undefined length": explicit_file(NESTED, PATIENT),
    "zeros before an element": explicit_file(PATIENT, ZEROS, PATIENT),
    "zeros before an element, implicit": implicit_file(ZEROS, implicit(0x00100020, b"ID-1")),
}
FORMS = {
    "a.dcm": lambda data: data,
    "a.dcm.gz": gzip.compress,
    "deflated.zip": lambda data: make_zip({"a.dcm": data}),
    "stored.zip": lambda data: make_stored_zip({"a.dcm": data}),
    "a.tar": lambda data: make_tar({"a.dcm": data}),
    "a.tgz": lambda data: make_tar_gz({"a.dcm": data}),
}


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that each walk is given."""
    monkeypatch.setattr(part10, "LARGEST_STEP", STEP)
    given: list[int] = []

    class Counting(Walker):
        def __init__(self, rows, data, *rest, **options) -> None:
            given.append(len(data))
            super().__init__(rows, data, *rest, **options)

    monkeypatch.setattr(part10, "Walker", Counting)
    return given


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that each read has given."""
    given: list[int] = []
    original = FileSource.read

    def counted(self: FileSource, position: int, size: int) -> bytes:
        data = original(self, position, size)
        given.append(len(data))
        return data

    monkeypatch.setattr(FileSource, "read", counted)
    return given


@pytest.mark.parametrize("name", LONG)
def test_a_long_file_is_read_and_walked_a_few_times(
    name: str, tmp_path: Path, walked: list[int], read: list[int]
) -> None:
    path = tmp_path / "long.dcm"
    path.write_bytes(LONG[name])
    assert scan_files([str(path)], ScanOptions(lockstep=False)).uris
    assert sum(walked) < 4 * LENGTH
    assert sum(read) < 5 * LENGTH  # once more when it is pydicom's


@pytest.mark.parametrize("form", FORMS)
def test_padding_is_walked_a_few_times_wherever_the_file_is(form: str, tmp_path: Path, walked: list[int]) -> None:
    path = tmp_path / form
    path.write_bytes(FORMS[form](LONG["padding"]))
    found = inspect_file(path)
    assert found.readable
    assert found.elements[-1].keyword == "PatientID"
    assert sum(walked) < 4 * LENGTH


@pytest.mark.parametrize("padding", [0, 1, 8_000, 100_000, LENGTH])
def test_padding_changes_no_row(padding: int, tmp_path: Path, walked: list[int]) -> None:
    path = tmp_path / "padded.dcm"
    path.write_bytes(explicit_file(PATIENT, bytes(padding)))
    (built,) = checks.batches(Reading(), [str(path)])
    assert built.batch["PatientID"].to_pylist() == ["ID-1"]
    assert not built.problems.to_list()


def test_padding_past_the_bound_of_a_header_is_not_held(tmp_path: Path, walked: list[int], read: list[int]) -> None:
    path = tmp_path / "padded.dcm"
    path.write_bytes(LONG["padding"])
    (failure,) = scan_files([str(path)], ScanOptions(lockstep=False, max_header_bytes=LENGTH // 4)).failures
    assert failure.reason.startswith(f"header is larger than {LENGTH // 4} bytes")
    assert max(read) <= LENGTH // 4 + part10.FIRST_READ


def test_long_file_meta_information_is_copied_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[int] = []
    original = file_meta._longer
    monkeypatch.setattr(file_meta, "_longer", lambda *given: heads.append(len(given[1])) or original(*given))
    path = tmp_path / "meta.dcm"
    path.write_bytes(meta(EXPLICIT) + explicit(0x00020102, "OB", bytes(1 << 13)) * (LENGTH >> 13) + PATIENT)
    assert scan_files([str(path)], ScanOptions(lockstep=False)).uris
    assert sum(heads) < 2 * LENGTH


def test_file_meta_information_has_the_bound_of_a_header(tmp_path: Path) -> None:
    path = tmp_path / "meta.dcm"
    path.write_bytes(meta(EXPLICIT) + explicit(0x00020102, "OB", bytes(1 << 13)) * 16 + PATIENT)
    (failure,) = scan_files([str(path)], ScanOptions(max_header_bytes=1 << 16)).failures
    assert failure.reason.startswith("header is larger than 65536 bytes")
