"""Batches of files: bounded, whatever the files hold."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from dicom_bq.reading import Reading
from dicom_bq.scan import outcome
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import BatchTooLargeError, ScanOptions
from tests.handmade import explicit, explicit_file, text


def plant(directory: Path, contents: list[bytes]) -> list[str]:
    for number, content in enumerate(contents):
        (directory / f"{number:02}.dcm").write_bytes(content)
    return sorted(map(str, directory.iterdir()))


def bounded(monkeypatch: pytest.MonkeyPatch, **bounds: int) -> None:
    monkeypatch.setattr(outcome, "ScanOptions", partial(ScanOptions, **bounds))


def identifiers(uris: list[str]) -> list[list[str]]:
    """PatientID by batch."""
    return [built.batch["PatientID"].to_pylist() for built in Reading().batch(uris, {})]


@pytest.mark.parametrize("size", [900, 20_000, 2_000_000], ids=["first read", "second read", "one by one"])
def test_long_values_make_small_batches(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = text(0x0040A160, "UT", "x" * size)
    uris = plant(tmp_path, [explicit_file(text(0x00100020, "LO", str(number)), value) for number in range(16)])
    bounded(monkeypatch, max_batch_bytes=5 * size)
    batches = identifiers(uris)
    assert [len(batch) for batch in batches] == [4, 4, 4, 4]
    assert [one for batch in batches for one in batch] == [str(number) for number in range(16)]


def test_many_elements_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = b"".join(explicit(0x00091000 + number, "LO") for number in range(50))  # of which no byte is kept
    uris = plant(tmp_path, [explicit_file(empty, text(0x00100020, "LO", str(number))) for number in range(8)])
    bounded(monkeypatch, max_batch_elements=150)
    assert identifiers(uris) == [[str(number), str(number + 1)] for number in range(0, 8, 2)]


def test_one_file_has_its_own_bound(tmp_path: Path) -> None:
    content = explicit_file(text(0x00100020, "LO", "0"), text(0x0040A160, "UT", "x" * 10_000))
    uris = plant(tmp_path, [content, content])
    options = ScanOptions(max_batch_bytes=5000)
    assert len(scan_files(uris[:1], options).uris) == 1
    with pytest.raises(BatchTooLargeError, match=r"^$"):
        scan_files(uris, options)
    with pytest.raises(BatchTooLargeError, match=r"^$"):
        scan_files(uris, ScanOptions(max_batch_bytes=5000, lockstep=False))
