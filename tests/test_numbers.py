"""Binary integers in FLOAT columns: those that a double does not hold do not fit."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dicom_bq.columns.build import BuildOptions, build
from dicom_bq.problems import Reason
from dicom_bq.scan.files import scan_files
from tests.agreement import compare
from tests.handmade import explicit, explicit_file

B_VALUE, MAGNIFICATION = 0x00189087, 0x00181114


def integers(tag: int, vr: str, *numbers: int) -> bytes:
    return explicit_file(explicit(tag, vr, struct.pack(f"<{len(numbers)}{'q' if vr == 'SV' else 'Q'}", *numbers)))


@pytest.mark.parametrize(
    ("vr", "number", "fits"),
    [("SV", 2**53, True), ("SV", 2**53 + 1, False), ("SV", 2**53 + 2, True), ("SV", -(2**53) - 1, False),
     ("SV", -(2**63), True), ("SV", 2**63 - 1, False), ("UV", 2**63, True), ("UV", 2**64 - 1, False)],
)  # fmt: skip
def test_an_integer_that_a_double_does_not_hold_does_not_fit(tmp_path: Path, vr: str, number: int, fits: bool) -> None:
    path = tmp_path / "integer.dcm"
    path.write_bytes(integers(B_VALUE, vr, number))
    built = build(scan_files([str(path)]).table)
    (row,) = built.batch.to_pylist()
    other = [{"Tag": "Tag_00189087", "Data": [str(number)]}]
    assert (row.get("DiffusionBValue"), row.get("OtherElements")) == ((number, None) if fits else (None, other))
    assert built.problems.of(Reason.OUT_OF_RANGE) == (not fits)
    assert not compare(path).differences


def test_typed_decimal_strings_hold_no_other_integers(tmp_path: Path) -> None:
    path = tmp_path / "integer.dcm"
    path.write_bytes(integers(MAGNIFICATION, "SV", 2**63 - 1))
    (row,) = build(scan_files([str(path)]).table, options=BuildOptions(numeric_strings="typed")).batch.to_pylist()
    assert row["OtherElements"] == [{"Tag": "Tag_00181114", "Data": [str(2**63 - 1)]}]
    assert "EstimatedRadiographicMagnificationFactor" not in row
