"""A length that is past the end of the file, and past the bound of a header: what the reason says, and which it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from tests.handmade import DEFLATED, EXPLICIT, IDENTITY, PATIENT, deflated, explicit, explicit_file, meta


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


LONG = explicit(0x0040A160, "UT", b"x" * 100_000)
LONG_META = explicit(0x00020102, "OB", bytes(1 << 13))
PADDING = bytes(4)
HEADERS = {
    "one long value": explicit_file(PATIENT, LONG),
    "two long values": explicit_file(PATIENT, explicit(0x00081195, "UT", b"x" * 20_000), LONG),
    "file meta information": meta(EXPLICIT) + LONG_META + IDENTITY + PATIENT,
    "file meta information in many reads": meta(EXPLICIT) + LONG_META * 16 + IDENTITY + PATIENT,
    "padding at the end": meta(EXPLICIT) + LONG_META + IDENTITY + PATIENT + PADDING,
}


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("header", HEADERS)
def test_a_header_of_just_the_bound_is_read(header: str, lockstep: bool, tmp_path: Path) -> None:
    """And one that has a byte more, or the next two, is a failure."""
    path, size = tmp_path / "large.dcm", len(HEADERS[header])
    path.write_bytes(HEADERS[header])
    assert scan_files([str(path)], ScanOptions(lockstep=lockstep, max_header_bytes=size)).uris == (str(path),)
    needed = size - len(PADDING) * header.startswith("padding")
    for bound in (needed - 1, needed - 2):
        (failure,) = scan_files([str(path)], ScanOptions(lockstep=lockstep, max_header_bytes=bound)).failures
        assert failure.reason.startswith(f"header is larger than {bound} bytes")


@pytest.mark.parametrize("lockstep", [True, False])
def test_an_inflated_data_set_of_just_the_bound_is_read(lockstep: bool, tmp_path: Path) -> None:
    data, path = IDENTITY + PATIENT + LONG, tmp_path / "deflated.dcm"
    path.write_bytes(meta(DEFLATED) + deflated(data))
    for bound, is_read in ((len(data), True), (len(data) - 1, False)):
        scanned = scan_files([str(path)], ScanOptions(lockstep=lockstep, max_header_bytes=bound))
        assert (len(scanned.uris), len(scanned.failures)) == (is_read, not is_read)
