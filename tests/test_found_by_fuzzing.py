"""What the fuzzer has found, each as the smallest file that shows it: it stays found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset

import dicom_bq
from dicom_bq.reading import Reading
from dicom_bq.scan.bytesource import FileSource
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.scalar import Walker
from tests.fuzz import checks
from tests.handmade import (
    BIG_BODY,
    BIG_ENDIAN,
    EXPLICIT,
    IDENTITY,
    ITEM,
    PATIENT,
    PIXEL_DATA,
    PREFIX,
    SEQUENCE_END,
    UNDEFINED,
    explicit,
    explicit_file,
    implicit,
    implicit_file,
    item,
    meta,
    open_item,
    open_sequence,
    sequence,
    small_file,
    text,
)
from tests.oracle.exact import is_exact

SYNTAX_ALONE = PREFIX + text(0x00020010, "UI", EXPLICIT + "\0")
SYNTAX_ALONE_BIG = PREFIX + text(0x00020010, "UI", BIG_ENDIAN + "\0")
WRONG_DELIMITER = implicit(0xFFFEE001, b"", UNDEFINED)
RECORDS = explicit(0x00041220, "FD", bytes(8))
DIRECTORY = sequence(b"")[4:]
READABLE = {
    "a directory record of another VR, no SOP class": SYNTAX_ALONE + IDENTITY + RECORDS,
    "a directory record behind other elements": SYNTAX_ALONE + IDENTITY + b"\4\0\x20\x12" + DIRECTORY + PATIENT,
    "group length zero of an excluded VR": explicit_file(explicit(0, "OV", b"\x1b$)C\xb0\xa1")),
    "a few bytes behind a jump": explicit_file(explicit(PIXEL_DATA, "OW", bytes(9_000)), b"\0\0\0\0"),
    "pixel data that is a sequence": explicit_file(
        explicit(PIXEL_DATA, "SQ", open_item(PATIENT), UNDEFINED), implicit(SEQUENCE_END), PATIENT
    ),
    "zeros beyond the first read": implicit_file(bytes(9_000)),
    "zeros beyond the first read, explicit": explicit_file(bytes(70_000)),
    "a sequence in file meta information": PREFIX + explicit(0x00020000, "SQ", b"") + SYNTAX_ALONE[132:] + IDENTITY,
    "elements behind many zeros": implicit_file(bytes(16_000), implicit(0x00100020, b"ID-1")),
    "a private creator that is a sequence": explicit_file(
        explicit(0x00290010, "SQ", item(PATIENT)), explicit(0x00291010, "UN", b"12")
    ),
    "a private creator of undefined length": implicit_file(
        implicit(0x7FE10010, b"", UNDEFINED), item(b""), implicit(SEQUENCE_END), implicit(0x7FE110FF, b"1234")
    ),
    "a private creator of bytes": explicit_file(
        explicit(0x00190010, "OB", b"GEMS_ACQU_01"), explicit(0x00191002, "UN", b"\1\0\0\0")
    ),
}
OTHERS = {
    "a delimiter that is none": explicit_file(explicit(0x00880200, "SQ", b""), WRONG_DELIMITER, PATIENT),
    "a delimiter that is none, in an item": explicit_file(open_sequence(open_item(PATIENT + WRONG_DELIMITER))),
    "elements behind many zeros, explicit": explicit_file(bytes(16_000), PATIENT),
    "a directory's group": SYNTAX_ALONE + b"\4\0\x20\x12" + DIRECTORY,
    "a directory's group, big endian": SYNTAX_ALONE_BIG + explicit(0x00041220, "SQ", order=">") + BIG_BODY,
    "pixel data of a text VR": explicit_file(explicit(PIXEL_DATA, "UT", b"", UNDEFINED), implicit(SEQUENCE_END)),
    "pixel data of numbers": explicit_file(explicit(0x7FE00008, "UV", b"\1\0\0\0" * 2, UNDEFINED)),
    "pixel data of no VR": SYNTAX_ALONE_BIG + BIG_BODY + b"\x7f\xe0\0\x10,B\0\0\xff\xff\xff\xff",
    "big endian by its first tag": SYNTAX_ALONE + explicit(0x300800E0, "SS", b"\0\1", order=">") + BIG_BODY,
    "an item at the end of what was read": explicit_file(explicit(PIXEL_DATA, "OW", bytes(9_000)), implicit(ITEM)),
}


@pytest.fixture
def neighbours(tmp_path: Path) -> list[checks.Good]:
    found = []
    for number in range(2):
        path = tmp_path / f"good-{number}"
        path.write_bytes(small_file(EXPLICIT))
        found.append(checks.good(str(path), {}))
    return found


@pytest.mark.parametrize("name", [*READABLE, *OTHERS])
def test_both_walkers_say_the_same(name: str, tmp_path: Path, neighbours: list[checks.Good]) -> None:
    path = tmp_path / "found.dcm"
    path.write_bytes({**READABLE, **OTHERS}[name])
    scanned = checks.walkers_agree([str(path)])
    assert bool(scanned.uris) or name not in READABLE
    checks.walkers_agree([*(one.path for one in neighbours), str(path)])
    assert checks.rows_hold([str(path)], neighbours) == 2 + len(scanned.uris)


def test_nothing_behind_zeros_is_lost(tmp_path: Path) -> None:
    """The walker must not take zeros up to the end of what it has read for zeros up to the end of the file."""
    path = tmp_path / "zeros.dcm"
    for zeros in (8_000, 8_192, 16_384, 80_000):
        path.write_bytes(implicit_file(bytes(zeros), implicit(0x00100020, b"ID-1")))
        (built,) = checks.batches(Reading(), [str(path)])
        assert built.batch["PatientID"].to_pylist() == ["ID-1"]


def test_zeros_before_an_element_are_walked_as_fast_as_other_elements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deflated file of 6 KB has 180,000 elements of nothing but zeros; each took the way of what is special."""
    special, taken = Walker._special, list[int]()

    def counted(self: Walker, position: int) -> int:
        taken.append(position)
        return special(self, position)

    monkeypatch.setattr(Walker, "_special", counted)
    path = tmp_path / "zeros.dcm"
    path.write_bytes(implicit_file(bytes(80_000), implicit(0x00100020, b"ID-1")))
    (scanned,) = scan_files([str(path)]).uris
    assert scanned == str(path)
    assert 0 < len(taken) < 20


@pytest.mark.parametrize("following", [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\4\0\0\0"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
@pytest.mark.parametrize("vr", ["OB", "OW", "UT"])
def test_a_header_that_was_read_in_part_has_no_length(whole: bool, vr: str, following: bytes, tmp_path: Path) -> None:
    """Twelve bytes of which eight were read at first: the others must not be those of the next file."""
    filler = explicit(0x00104000, "LT", b"x" * (8_192 - 8 - 8 - len(explicit_file())))
    first, second = tmp_path / "1.dcm", tmp_path / "2.dcm"
    data = explicit_file(filler, explicit(PIXEL_DATA, vr, b"\2\1" * 40), text(0xFFFCFFFD, "LO", "after"))
    first.write_bytes(data if whole else data[:8_192])
    second.write_bytes(following + bytes(9_000))
    scanned = checks.walkers_agree([str(first), str(second)])
    assert len(scanned.uris) == whole


@pytest.mark.parametrize("stored", [explicit(0x00080018, "PN", b"A^B "), explicit(0x00080018, "US", b"\1\0")])
def test_a_uid_of_another_vr_in_the_json_variant(stored: bytes, tmp_path: Path) -> None:
    path = tmp_path / "uid.dcm"
    path.write_bytes(meta(EXPLICIT) + stored + text(0x00080060, "CS", "OT"))
    (built,) = checks.batches(Reading(options={"schema_type": "json"}), [str(path)])
    assert json.loads(built.batch["Metadata"][0].as_py())["00080060"]["Value"] == ["OT"]


@pytest.mark.parametrize("exponent", ["9" * 20, "-" + "9" * 20, "0" * 30])
def test_an_exponent_that_no_decimal_has(exponent: str, tmp_path: Path) -> None:
    path, value = tmp_path / "number.dcm", f"0e{exponent}"
    path.write_bytes(explicit_file(text(0x00101030, "DS", value)))
    (built,) = checks.batches(Reading(options={"schema_type": "json"}), [str(path)])
    assert json.loads(built.batch["Metadata"][0].as_py())["00101030"]["Value"] == [value]


def test_room_is_made_for_what_a_file_has_not_for_what_it_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = tmp_path / "liar.dcm", list[int]()
    path.write_bytes(explicit_file(explicit(0x0040A160, "UT", b"short", 200 << 20)))
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: (asked.append(size), pread(fd, size, at))[1])
    reading = Reading()
    assert checks.batches(reading, [str(path)]) == []
    assert [failure.code for failure in reading.tally.failures] == ["malformed"]
    assert asked
    assert max(asked) < 1 << 20
    with path.open("rb") as file:
        assert FileSource(file.fileno()).read(1 << 40, 1 << 40) == b""


@pytest.mark.parametrize("value", [b"ISO\x80IR 192", b"GBK\\\xc4\xe3"])
def test_a_character_set_is_not_written_in_the_one_that_it_names(value: bytes, tmp_path: Path) -> None:
    path = tmp_path / "set.dcm"
    path.write_bytes(meta(EXPLICIT) + explicit(0x00080005, "CS", value) + text(0x00100020, "LO", "ID-1"))
    assert checks.oracle_agrees(str(path))


def test_file_meta_information_is_not_in_the_character_set_of_the_data_set(tmp_path: Path) -> None:
    path = tmp_path / "set.dcm"
    title = explicit(0x00020016, "AE", b"caf\xe9")
    path.write_bytes(
        SYNTAX_ALONE + title + text(0x00080005, "CS", "ISO_IR 192") + explicit(0x00100020, "LO", b"\xc3\xa9")
    )
    (built,) = checks.batches(Reading(), [str(path)])
    assert built.batch["SourceApplicationEntityTitle"].to_pylist() == ["café"]
    assert built.batch["PatientID"].to_pylist() == ["é"]


@pytest.mark.parametrize("vr", ["OF", "OB", "UN"])
def test_bytes_in_a_dataset_that_are_text_by_the_dictionary(vr: str) -> None:
    dataset = Dataset()
    dataset.add(DataElement(0x00100020, vr, b"caf\xe9"))
    table = dicom_bq.to_arrow([dataset])
    table.validate(full=True)
    assert table["PatientID"].to_pylist() == ["café"]


@pytest.mark.parametrize("second", [explicit(0x00080201, "OF", bytes(8)), explicit(0x00080201, "SH", b"")])
def test_a_time_zone_that_was_superseded_counts_no_more(second: bytes, tmp_path: Path) -> None:
    path = tmp_path / "zone.dcm"
    first = text(0x00080201, "SH", "+0100")
    path.write_bytes(explicit_file(text(0x0008002A, "DT", "20231107092241"), first, second))
    (built,) = checks.batches(Reading(), [str(path)])
    assert [time.hour for time in built.batch["AcquisitionDateTime"].to_pylist()] == [9]
    assert checks.oracle_agrees(str(path))


COMPARED = {
    "a tag that is there twice": explicit_file(text(0x00100020, "LO", "ID-1"), text(0x00100020, "LO", "ID-2")),
    "zeros at the end": explicit_file(bytes(64)),
    "file meta information that is not ASCII": meta(EXPLICIT) + explicit(0x00020016, "AE", b"caf\xe9") + PATIENT,
    "a transfer syntax that nobody knows": meta("1.2.3") + text(0x00100020, "LO", "ID-1"),
    "no transfer syntax": meta(None) + text(0x00100020, "LO", "ID-1"),
    "a pixel representation that has items": explicit_file(
        explicit(0x00280103, "SQ", open_item(b""), UNDEFINED),
        implicit(SEQUENCE_END),
        explicit(0x00280106, "US", b"\1\0"),
    ),
    "a transfer syntax behind a space": PREFIX + text(0x00020010, "UI", " " + EXPLICIT) + PATIENT,
    "a first element of AT": PREFIX + explicit(0x00020002, "AT", b"\1\2\3") + SYNTAX_ALONE[132:] + PATIENT,
    "a group length in the data set": explicit_file(explicit(0x00080000, "UL", bytes(4)), PATIENT),
}


@pytest.mark.parametrize("name", COMPARED)
def test_the_oracle_is_asked_of(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(COMPARED[name])
    assert checks.oracle_agrees(str(path))


@pytest.mark.parametrize("syntax", [b"", text(0x00020010, "UI", ""), text(0x00020010, "UI", "\0\0")])
def test_the_oracle_is_not_asked_which_byte_order_nothing_says(syntax: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(PREFIX + syntax + explicit(0x04000120, "UN", b"nan ", order=">"))
    assert not checks.oracle_agrees(str(path))


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (item(PATIENT), True),
        (item(PATIENT) * 2, True),
        (open_item(PATIENT), True),
        (open_item(PATIENT)[:-8], False),
        (item(PATIENT)[:-1], False),
        (item(PATIENT, length=len(PATIENT) - 2), False),
        (item(sequence(item(PATIENT))), True),
        (item(sequence(item(PATIENT, length=8))), False),
        (item(explicit(0x00100020, "XX", b"x")), False),
    ],
)
def test_the_oracle_knows_items_that_are_not_as_long_as_they_say(value: bytes, exact: bool) -> None:
    assert is_exact(value, implicit=False, order="<") == exact


def test_a_malformed_sequence_inside_others_that_are_opened_one_by_one(tmp_path: Path) -> None:
    """More levels than are opened, the innermost malformed, and so is one that is not so deep: it is no sequence."""
    content, concept = 0x0040A730, 0x0040A043
    inside = implicit(content, b"no item!")
    for level in range(20):
        beside = implicit(concept, b"no item!") if level == 15 else b""
        inside = implicit(content, item(implicit(0x00080060, b"CT") + beside + inside))
    path = tmp_path / "deep.dcm"
    path.write_bytes(explicit_file(PATIENT, explicit(content, "UN", inside[8:])))
    assert checks.rows_hold([str(path)]) == 1
    (built,) = checks.batches(Reading(), [str(path)])
    (row,) = built.batch.to_pylist()
    assert row["ContentSequence"][0]["ContentSequence"][0]["Modality"] == "CT"
    assert "ConceptNameCodeSequence" in repr(row["DroppedTags"])
