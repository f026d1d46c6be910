"""The declared transfer syntax (PS3.5 10) against what the first elements look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_bq.columns.build import build
from dicom_bq.elements import VR_NUMBER
from dicom_bq.problems import Reason
from dicom_bq.scan.files import scan_files
from tests.handmade import BIG_BODY, BIG_ENDIAN, EXPLICIT, IDENTITY, IMPLICIT, deflated, explicit, implicit, meta, text

LIKE_BIG_ENDIAN = {
    "a repeater as a repeater": explicit(0x10000010, "US", bytes(6)) + explicit(0x10000020, "US", bytes(6)),
    "a private element as a print job": text(0x00211000, "LO", "A ") + text(0x00211001, "LO", "B "),
    "alone": text(0x00211000, "LO", "A "),
    "longer than the first read": explicit(0x00211000, "UT", b"A" * 20_000) + text(0x00211001, "LO", "B "),
    "a sequence": explicit(0x00211000, "SQ", b"\xfe\xff\0\xe0\0\0\0\0", 0xFFFFFFFF)
    + implicit(0xFFFEE0DD)
    + text(0x00211001, "LO", "B "),
}
"""Explicit VR little endian, the first tag of which the dictionary knows the other way round alone."""


def noted(path: Path, data: bytes) -> tuple[list[int], list[Reason]]:
    """Tags of a file's data set, and what is noted of it."""
    path.write_bytes(data)
    scanned = scan_files([str(path)])
    assert not scanned.failures
    tags = [tag for tag in scanned.table.tag.tolist() if tag >> 16 != 2]
    return tags, [Reason(note.reason) for note in scanned.table.notes]


@pytest.mark.parametrize("kind", LIKE_BIG_ENDIAN)
@pytest.mark.parametrize("syntax", [EXPLICIT, "1.2.840.10008.1.2.1.99"])
def test_what_is_declared_and_sound_is_read_so(tmp_path: Path, kind: str, syntax: str) -> None:
    body = LIKE_BIG_ENDIAN[kind]
    tags, notes = noted(tmp_path / "a.dcm", meta(syntax) + (body if syntax == EXPLICIT else deflated(body)))
    assert tags[0] in {0x10000010, 0x00211000}
    assert tags[1:] in ([], [0x10000020], [0x00211001])
    assert not notes


def test_big_endian_that_looks_like_little_endian_is_read_as_declared(tmp_path: Path) -> None:
    body = explicit(0x10000010, "US", b"\0\7", order=">") + explicit(0x00211000, "US", b"\0\7", order=">")
    path = tmp_path / "big.dcm"
    assert noted(path, meta(BIG_ENDIAN) + body) == ([0x10000010, 0x00211000], [])
    assert build(scan_files([str(path)]).table).batch.to_pylist()[0]["EscapeTriplet"][0]["Value"] == [7]


@pytest.mark.parametrize(
    ("declared", "body"), [(EXPLICIT, BIG_BODY), (IMPLICIT, BIG_BODY), (BIG_ENDIAN, IDENTITY), (IMPLICIT, IDENTITY)]
)
def test_what_is_not_as_declared_is_read_as_it_is(tmp_path: Path, declared: str, body: bytes) -> None:
    tags, notes = noted(tmp_path / "other.dcm", meta(declared) + body)
    assert 0x00080018 in tags
    assert notes == [Reason.OTHER_SYNTAX]


def test_a_length_in_implicit_vr_may_look_like_a_vr(tmp_path: Path) -> None:
    length = int.from_bytes(b"LO", "little")
    body = implicit(0x00080081, b"x" * length) + implicit(0x00081030, b"OT")
    path = tmp_path / "length.dcm"
    assert noted(path, meta(IMPLICIT) + body) == ([0x00080081, 0x00081030], [])
    assert VR_NUMBER["ST"] in scan_files([str(path)]).table.vr
