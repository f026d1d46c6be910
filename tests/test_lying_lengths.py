"""A length that is past the end of the file, and past the bound of a header: what the reason says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from tests.handmade import PATIENT, explicit, explicit_file


def reasons(data: bytes, path: Path, **options: int) -> list[str]:
    path.write_bytes(data)
    found = [scan_files([str(path)], ScanOptions(lockstep=lockstep, **options)) for lockstep in (True, False)]
    assert found[0].failures == found[1].failures
    return [failure.reason for failure in found[0].failures]


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("claimed", [1 << 20, 0x7FFFFFF0])
def test_a_length_that_lies_is_a_cut_and_no_large_header(size: int, claimed: int, tmp_path: Path) -> None:
    data = explicit_file(PATIENT, explicit(0x0040A160, "UT", b"x" * size, claimed))
    (reason,) = reasons(data, tmp_path / "liar.dcm")
    assert reason == f"file ends inside the element at byte {data.index(b'UT') - 4}"


def test_a_header_that_is_too_large_says_so(tmp_path: Path) -> None:
    data = explicit_file(PATIENT, explicit(0x0040A160, "UT", b"x" * 100_000))
    (reason,) = reasons(data, tmp_path / "large.dcm", max_header_bytes=50_000)
    assert reason.startswith("header is larger than 50000 bytes")
