"""Elements of an explicit data set that have something else where the VR should be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_bq.columns.build import build
from dicom_bq.problems import Reason
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from tests.agreement import Comparison, compare
from tests.handmade import (
    BIG_ENDIAN,
    EXPLICIT,
    PATIENT_ID,
    PIXEL_DATA,
    UID_ELEMENT,
    explicit,
    explicit_file,
    implicit,
    item,
    meta,
    open_item,
    open_sequence,
    sequence,
    text,
)

PADDING = 0x00280120
CODES = [b"  ", b"??", b"\0\0", b"--", b"us", b"U ", b"\xff\xff", b"1A"]
PIXELS = {
    "zeros": bytes(300_000),
    "a grey": b"\0\4" * 150_000,
    "noise": bytes(number * 7919 % 251 if number % 2 else number % 3 for number in range(300_000)),
}


def unstated(tag: int, code: bytes, value: bytes) -> bytes:
    """An element with 16 bits of length behind two bytes that are no VR."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, code, len(value)) + value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.dcm"


def read(path: Path, content: bytes) -> tuple[dict, list[Reason]]:
    """The row, which the oracle has too, and what was noted."""
    path.write_bytes(content)
    rows = []
    for lockstep in (True, False):
        scanned = scan_files([str(path)], ScanOptions(lockstep=lockstep))
        assert not scanned.failures
        rows += build(scanned.table).batch.to_pylist()
    assert rows[0] == rows[1]
    assert compare(path) == Comparison()
    return rows[0], [Reason(note.reason) for note in scanned.table.notes]


@pytest.mark.parametrize("pixels", PIXELS)
@pytest.mark.parametrize("code", CODES)
def test_the_dictionary_says_the_vr(path: Path, code: bytes, pixels: str) -> None:
    """It had taken the header behind it, and the pixels: the four bytes are no length."""
    row, notes = read(
        path,
        explicit_file(
            PATIENT_ID,
            unstated(PADDING, code, b"\7\0"),
            text(0x00281050, "DS", "40"),
            explicit(0x00400275, "SQ", item(text(0x00400009, "SH", "STEP"))),
            explicit(PIXEL_DATA, "OW", PIXELS[pixels]),
        ),
    )
    assert (row["PixelPaddingValue"], row["WindowCenter"]) == (7, ["40"])
    assert row["RequestAttributesSequence"] == [{"ScheduledProcedureStepID": "STEP"}]
    assert row["DroppedTags"] == [{"TagName": "PixelData", "TagReference": "PixelData"}]
    assert not row.get("OtherElements")
    assert notes == []


Around = Callable[[bytes], bytes]
AFTER = text(0x00281050, "DS", "40")
SAID = unstated(PADDING, b"  ", b"\7\0")


@pytest.mark.parametrize(
    "content",
    [
        explicit_file(SAID),
        explicit_file(SAID, bytes(64)),
        explicit_file(unstated(0x00280010, b"  ", b"\4\0"), SAID),
        explicit_file(explicit(0x00281052, "UT", b"x" * 9000), SAID),
        meta(EXPLICIT) + SAID + AFTER,
    ],
    ids=["last", "before zeros", "after another", "in a later read", "first"],
)
def test_wherever_it_is(path: Path, content: bytes) -> None:
    row, notes = read(path, content)
    assert row["PixelPaddingValue"] == 7
    assert notes == []


@pytest.mark.parametrize("outer", [sequence, open_sequence])
@pytest.mark.parametrize("inner", [item, open_item])
@pytest.mark.parametrize("inside", [SAID, SAID + AFTER, UID_ELEMENT + SAID], ids=["alone", "first", "last"])
def test_in_an_item(path: Path, outer: Around, inner: Around, inside: bytes) -> None:
    row, notes = read(path, explicit_file(outer(inner(inside)), PATIENT_ID))
    [found] = row["ReferencedImageSequence"]
    assert (found["PixelPaddingValue"], row["PatientID"]) == (7, "ID-1")
    assert notes == []


def test_what_the_dictionary_calls_a_sequence_has_items_like_those_around_it(path: Path) -> None:
    row, _ = read(path, explicit_file(unstated(0x00081140, b"  ", item(UID_ELEMENT)), PATIENT_ID))
    assert row["ReferencedImageSequence"] == [{"ReferencedSOPInstanceUID": "2.25.22"}]


def test_a_private_one(path: Path) -> None:
    creator = text(0x00430010, "LO", "GEMS_PARM_01")
    row, _ = read(
        path, explicit_file(creator, unstated(0x00431039, b"  ", b"1\\2 "), unstated(0x00431040, b"  ", b"ab"))
    )
    assert {"Tag": "Tag_00431039", "Data": ["1", "2"]} in row["OtherElements"]


IMPLICIT_ONES = {
    "text": (implicit(0x00100040, b"M ") + text(0x00104000, "LT", "x"), "PatientSex", "M"),
    "empty": (implicit(0x00100040) + text(0x00104000, "LT", "x"), "PatientSex", None),
    "items": (implicit(0x00081140, item(b"")) + PATIENT_ID, "PatientID", "ID-1"),
    "the last": (implicit(0x00104000, b"abcd"), "PatientComments", "abcd"),
    "two": (implicit(0x00100040, b"M ") + implicit(0x00104000, b"abcd"), "PatientComments", "abcd"),
}


@pytest.mark.parametrize("name", IMPLICIT_ONES)
def test_an_element_of_implicit_vr_is_read_as_one(path: Path, name: str) -> None:
    """pydicom reads them, as it did."""
    body, column, expected = IMPLICIT_ONES[name]
    row, notes = read(path, explicit_file(body))
    assert row.get(column) == expected
    assert notes == ([] if name == "empty" else [Reason.READ_BY_PYDICOM])


@pytest.mark.parametrize(
    "body",
    [
        unstated(PADDING, b"  ", b"\7\0") + b"\0\0\0\0" + AFTER,  # no length leads to an element
        unstated(PADDING, b"  ", b"\7\0") + text(0x00280010, "DS", "40") + explicit(PIXEL_DATA, "OW", bytes(300_000)),
        implicit(0x00104000, b"abcd")[:-1],
        implicit(0x00104000, b"abcd")[:8],
        implicit(0x00104000, b"abcd", 400),
    ],
    ids=["neither", "tags that fall", "cut", "cut behind the header", "longer than the file"],
)
def test_what_may_be_made_up_is_said_to_be(path: Path, body: bytes) -> None:
    """pydicom reads such files, and so it is a row; but nobody is to take it for the whole truth."""
    path.write_bytes(explicit_file(PATIENT_ID, body))
    for lockstep in (True, False):
        scanned = scan_files([str(path)], ScanOptions(lockstep=lockstep))
        assert not scanned.failures
        assert {Reason.READ_BY_PYDICOM, Reason.WITHOUT_VR} <= {note.reason for note in scanned.table.notes}
        assert build(scanned.table).problems.of(Reason.WITHOUT_VR) == 1


def test_what_nobody_can_read_is_a_failure(path: Path) -> None:
    inside = unstated(PADDING, b"  ", b"\7\0") + b"\0\0\0\0" + AFTER
    path.write_bytes(explicit_file(PATIENT_ID, open_sequence(open_item(inside)) + bytes(9000)))
    [failure] = scan_files([str(path)]).failures
    assert failure.code == "malformed"
    assert "unknown VR" in failure.reason
    assert "pydicom" in failure.reason


@pytest.mark.parametrize("code", [b"ZZ", b"OX"])
def test_a_vr_of_the_future_is_none_of_these(path: Path, code: bytes) -> None:
    path.write_bytes(explicit_file(unstated(PADDING, code, b"\7\0"), AFTER))
    scanned = scan_files([str(path)])
    assert [note.reason for note in scanned.table.notes] == [Reason.READ_BY_PYDICOM]


def test_one_that_pydicom_reads_to_the_end_is_whole(path: Path) -> None:
    """Where the walker has refused another element before it."""
    path.write_bytes(explicit_file(unstated(0x00280100, b"XX", b"\x10\0"), unstated(0x00281050, b"??", b"40")))
    [row] = build(scan_files([str(path)]).table).batch.to_pylist()
    assert (row["BitsAllocated"], row["WindowCenter"]) == (16, ["40"])


def test_nothing_is_guessed_in_big_endian(path: Path) -> None:
    """The syntax is retired; how the value is to be turned round, only a VR would tell."""
    body = explicit(0x00080060, "CS", b"MR", order=">") + explicit(PADDING, "  ", b"\0\7", order=">")
    path.write_bytes(meta(BIG_ENDIAN) + body + explicit(0x00281050, "DS", b"40", order=">"))
    assert Reason.WITHOUT_VR in {note.reason for note in scan_files([str(path)]).table.notes}


def test_a_delimiter_ends_an_item_and_nothing_else(path: Path) -> None:
    """A sequence in implicit VR begins with an item, which is no end of an element without a value."""
    inside = implicit(0x00081140, item(implicit(0x00081155, b"2.25.22\0")))
    path.write_bytes(explicit_file(open_sequence(open_item(inside)), PATIENT_ID))
    [row] = build(scan_files([str(path)]).table).batch.to_pylist()
    [found] = row["ReferencedImageSequence"]
    assert found["ReferencedImageSequence"] == [{"ReferencedSOPInstanceUID": "2.25.22"}]


def test_an_item_where_none_belongs_is_no_element_without_a_vr(path: Path) -> None:
    """Real files have them; pydicom passes over their value, if it is one."""
    path.write_bytes(explicit_file(item(UID_ELEMENT), PATIENT_ID))
    table = scan_files([str(path)]).table
    assert [note.reason for note in table.notes] == [Reason.READ_BY_PYDICOM]
    assert build(table).batch.to_pylist()[0]["PatientID"] == "ID-1"
    path.write_bytes(explicit_file(PATIENT_ID, item(b""), text(0x00080070, "LO", "MAKER ")))
    assert build(scan_files([str(path)]).table).batch.to_pylist()[0]["Manufacturer"] == "MAKER"
