"""The oracle's rules that take more than one element: items, character sets, places, schemas."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tests.oracle import OracleCannotRead, OracleRow, Place, convert, schema
from tests.stored_elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    Item,
    Items,
    StoredElement,
    Syntax,
    dataset,
    encode,
    part10,
)

META = {
    "MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "MediaStorageSOPInstanceUID": "1.2.3.4",
    "TransferSyntaxUID": "1.2.840.10008.1.2.1",
}
UTC = datetime.UTC


@pytest.fixture
def read(tmp_path: Path):
    """Writes elements to a file and converts it; without the meta group's columns."""

    def convert_elements(*elements: StoredElement, syntax: Syntax = EXPLICIT) -> OracleRow:
        path = tmp_path / "instance.dcm"
        path.write_bytes(part10(elements, syntax))
        converted = convert(path)
        for keyword in META:
            del converted.row[keyword]
        return converted

    return convert_elements


def element(tag: int, vr: str, value: object) -> StoredElement:
    if isinstance(value, list):
        return StoredElement(tag, vr, Items(tuple(tuple(item) for item in value)))
    return StoredElement(tag, vr, value)


def other(tag: str, *data: str) -> dict[str, object]:
    return {"OtherElements": [{"Tag": f"Tag_{tag}", "Data": list(data)}]}


DATE, DATE_TIME = 0x00080020, 0x0008002A
PATIENT_NAME = 0x00100010
IMAGE_TYPE, MODALITY, PATIENT_ID = 0x00080008, 0x00080060, 0x00100020


@pytest.mark.parametrize(
    ("elements", "dropped"),
    [
        ([element(0x00420011, "OB", b"\1\2")], ["EncapsulatedDocument"]),
        ([element(0x00283006, "US", (1,))], ["LUTData"]),
        ([element(0x7FE00010, "OW", b"\0\0")], ["PixelData"]),
        ([element(0x60023000, "OW", b"\0\0")], ["OverlayData"]),
        ([element(0x00091001, "OB", b"\0")], ["Tag_00091001"]),
        ([element(0x00420042, "UN", b"\0")], ["Tag_00420042"]),
        ([element(0x00091001, "UN", b"\0")], ["Tag_00091001"]),
        ([element(0x00280010, "SQ", [[element(MODALITY, "CS", "MR")]])], ["Rows"]),
        ([element(0x00280010, "SQ", [[element(MODALITY, "CS", "")]])], []),
        (
            [element(0x00880200, "SQ", [[], [element(0x7FE00010, "OB", b"\0\0")]])],
            ["IconImageSequence[1].PixelData"],
        ),
    ],
)  # fmt: skip
def test_dropped_tags(read, elements, dropped):
    converted = read(*elements)
    assert [entry["TagReference"] for entry in converted.row.get("DroppedTags", [])] == dropped
    assert [entry["TagName"] for entry in converted.row.get("DroppedTags", [])] == [
        reference.rpartition(".")[2] for reference in dropped
    ]
    assert set(converted.row) <= {"DroppedTags"}


SEQUENCE = 0x00081140


def test_items_of_a_sequence_stay_as_many(read):
    items = [[element(0x00081155, "UI", "1.2")], [], [element(0x00091001, "US", (1,))]]
    expected = [{"ReferencedSOPInstanceUID": "1.2"}, {}, other("00091001", "1")]
    assert read(element(SEQUENCE, "SQ", items)).row == {"ReferencedImageSequence": expected}


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("undefined_length", [False, True])
def test_every_transfer_syntax_gives_the_same_row(read, syntax, undefined_length):
    elements = [
        element(MODALITY, "CS", "MR"),
        element(SEQUENCE, "SQ", [[element(0x00081155, "UI", "1.2")], []]),
        element(0x00280010, "US", (258,)),
        element(0x00280009, "AT", (0x00181063,)),
        element(0x00189073, "FD", (0.5,)),
    ]
    assert read(*elements, syntax=Syntax(syntax.uid, undefined_length)).row == {
        "Modality": "MR",
        "ReferencedImageSequence": [{"ReferencedSOPInstanceUID": "1.2"}, {}],
        "AcquisitionDuration": 0.5,
        "FrameIncrementPointer": [0x00181063],
        "Rows": 258,
    }


def nested(levels: int, *innermost: StoredElement) -> StoredElement:
    item: Item = innermost
    for _ in range(levels):
        item = (element(0x0040A730, "SQ", [item]),)
    return item[0]


@pytest.mark.parametrize(
    ("levels", "inside", "dropped"),
    [
        (15, element(MODALITY, "CS", "MR"), None),
        (16, element(MODALITY, "CS", "MR"), "ContentSequence"),
        (16, element(MODALITY, "CS", ""), None),
        (16, element(0x00420011, "OB", b"\1\2"), "ContentSequence"),
        (13, element(PATIENT_NAME, "PN", "A"), None),
        (14, element(PATIENT_NAME, "PN", "A"), "PatientName"),
        (14, element(DATE, "DA", "never"), None),
        (15, element(DATE, "DA", "never"), "StudyDate"),
        (14, element(0x60000010, "US", (1,)), None),
        (15, element(0x60000010, "US", (1,)), "OverlayRows"),
        (15, element(0x00091001, "US", (1,)), "Tag_00091001"),
    ],
)  # fmt: skip
def test_fifteen_levels_of_record(read, levels, inside, dropped):
    converted = read(nested(levels, inside))
    expected = {"TagName": dropped, "TagReference": "ContentSequence[0]." * min(levels, 15) + str(dropped)}
    assert converted.row.get("DroppedTags", []) == ([expected] if dropped else [])


def test_character_set_of_the_nearest_item(read):
    inner = [element(0x00080005, "CS", "ISO_IR 144"), element(PATIENT_ID, "LO", b"\xb6")]
    converted = read(
        element(0x00080005, "CS", "ISO_IR 100"),
        element(SEQUENCE, "SQ", [inner, [element(PATIENT_ID, "LO", b"\xb6")]]),
        element(PATIENT_ID, "LO", b"\xb6"),
    )
    assert [item["PatientID"] for item in converted.row["ReferencedImageSequence"]] == ["Ж", "¶"]
    assert converted.row["PatientID"] == "¶"


@pytest.mark.parametrize(
    ("character_set", "name", "family"),
    [
        ("GB18030", b"\x98\x5c^\x83\x5e", b"\x98\x5c".decode("gb18030")),
        ("\\ISO 2022 IR 87", b"Yamada=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada"),
        ("ISO 2022 IR 6\\ISO 2022 IR 149", b"\x1b$)C\xb0\xa1^x", "가"),
        ("ISO_IR 192", b"\xc3^x", "\ufffd"),
    ],
)
def test_text_is_decoded_before_it_is_split(read, character_set, name, family):
    converted = read(element(0x00080005, "CS", character_set), element(PATIENT_NAME, "PN", name))
    assert converted.row["PatientName"]["Alphabetic"]["FamilyName"] == family


def test_us_or_ss_follows_the_nearest_pixel_representation(read):
    value = element(0x00280106, "US", (0xFFFF,))
    unsigned = [element(0x00280103, "US", (0,)), value]
    converted = read(
        element(SEQUENCE, "SQ", [unsigned, [value]]), element(0x00280103, "US", (1,)), value, syntax=IMPLICIT
    )
    items = converted.row["ReferencedImageSequence"]
    assert [item["SmallestImagePixelValue"] for item in items] == [0xFFFF, -1]
    assert converted.row["SmallestImagePixelValue"] == -1
    assert read(value, syntax=IMPLICIT).row == {"SmallestImagePixelValue": 0xFFFF}


@pytest.mark.parametrize(("offset", "hour"), [("+0200", 10), ("-0200", 14), ("+1500", 12), ("x", 12)])
def test_date_times_without_offset_are_in_the_time_zone_of_the_instance(read, offset, hour):
    inside = [element(DATE_TIME, "DT", "2020010112"), element(0x00080201, "SH", "+0500")]
    converted = read(element(SEQUENCE, "SQ", [inside]), element(0x00080201, "SH", offset))
    [item] = converted.row["ReferencedImageSequence"]
    assert item["AcquisitionDateTime"] == datetime.datetime(2020, 1, 1, hour, tzinfo=UTC)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_the_private_dictionary_reads_what_the_stream_does_not_say(read, syntax):
    converted = read(
        element(0x00190010, "LO", "SIEMENS MR HEADER"),
        element(0x0019100C, "UN", b"1000"),  # B_value, IS
        element(0x00191042, "UN", b"1"),
        element(0x00191180, "UN", b"1"),
        syntax=syntax,
    )
    assert converted.row["OtherElements"] == [
        {"Tag": "Tag_00190010", "Data": ["SIEMENS MR HEADER"]},
        {"Tag": "Tag_0019100C", "Data": ["1000"]},
    ]
    assert [entry["TagName"] for entry in converted.row["DroppedTags"]] == ["Tag_00191042", "Tag_00191180"]


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_un_is_implicit_little_endian_inside(read, syntax):
    inside = encode([element(0x00280010, "US", (258,)), element(MODALITY, "CS", "MR")], IMPLICIT)
    item = b"\xfe\xff\x00\xe0" + len(inside).to_bytes(4, "little") + inside
    converted = read(element(SEQUENCE, "UN", item), syntax=syntax)
    assert converted.row["ReferencedImageSequence"] == [{"Modality": "MR", "Rows": 258}]


def test_the_last_of_two_elements_with_one_tag_counts(read):
    converted = read(element(MODALITY, "CS", "MR"), element(MODALITY, "CS", "CT"))
    assert converted.row == {"Modality": "CT"}


def test_nothing_is_read_after_an_encapsulated_pixel_data(tmp_path):
    fragments = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    pixel_data = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + fragments
    after = encode([element(0x7FE10010, "LO", "ACME")], EXPLICIT)
    path = tmp_path / "encapsulated.dcm"
    path.write_bytes(part10([element(MODALITY, "CS", "MR")]) + pixel_data + after)
    row = convert(path).row
    assert row["DroppedTags"] == [{"TagName": "PixelData", "TagReference": "PixelData"}]
    assert "OtherElements" not in row
    path.write_bytes(part10([element(0x7FE00010, "OB", b"\0\0"), element(0x7FE10010, "LO", "ACME")]))
    assert convert(path).row["OtherElements"] == [{"Tag": "Tag_7FE10010", "Data": ["ACME"]}]


def test_every_element_has_one_place(read):
    converted = read(
        element(0x00080000, "UL", (1,)),
        element(DATE, "DA", "never"),
        element(MODALITY, "CS", ""),
        element(SEQUENCE, "SQ", [[element(0x00081155, "UI", "1.2")], [element(0x00420011, "OB", b"\1\2")]]),
        element(0x00081115, "SQ", [[element(0x00081155, "UI", "")]]),
    )
    assert converted.placements[-8:] == (
        ("Tag_00080000", Place.NOT_DATA),
        ("StudyDate", Place.OTHER),
        ("Modality", Place.EMPTY),
        ("ReferencedImageSequence[0].ReferencedSOPInstanceUID", Place.COLUMN),
        ("ReferencedImageSequence[1].EncapsulatedDocument", Place.DROPPED),
        ("ReferencedImageSequence", Place.COLUMN),
        ("ReferencedSeriesSequence[0].ReferencedSOPInstanceUID", Place.EMPTY),
        ("ReferencedSeriesSequence", Place.EMPTY),
    )
    assert converted.elements == sum(converted.places.values()) == 5 + 8
    assert [path for path, _ in converted.problems] == [
        "StudyDate",
        "ReferencedImageSequence[1].EncapsulatedDocument",
    ]


def test_a_data_set_in_memory_gives_the_row_of_its_file(read):
    elements = (
        element(0x00080005, "CS", "ISO_IR 192"),
        element(MODALITY, "CS", "MR"),
        element(SEQUENCE, "SQ", [[element(PATIENT_NAME, "PN", "Ä^B")], []]),
        element(0x00280010, "US", (258,)),
        element(0x00281053, "DS", "1.50"),
        element(0x00281101, "SS", (-1, 0, 16)),
    )
    in_memory = convert(dataset(elements)).row
    assert {key: in_memory.pop(key) for key in META} == META
    assert in_memory == read(*elements).row


def test_the_schema_is_in_tag_order_with_types_and_modes_of_the_dictionary(read):
    converted = read(
        element(IMAGE_TYPE, "CS", "A"),
        element(SEQUENCE, "SQ", [[element(0x00081155, "UI", "1"), element(0x00091001, "US", (1,))]]),
        element(0x00091002, "SQ", [[element(MODALITY, "CS", "MR")]]),
        element(PATIENT_NAME, "PN", "^"),
        element(0x60020050, "SS", (1, 2)),
    )
    columns = {column["name"]: column for column in schema([converted])}
    assert list(columns)[-6:] == [
        "ImageType", "ReferencedImageSequence", "PatientName", "OverlayOrigin", "Tag_00091002", "DroppedTags",
    ]  # fmt: skip
    assert columns["ImageType"] == {"name": "ImageType", "type": "STRING", "mode": "REPEATED"}
    assert [inner["name"] for inner in columns["PatientName"]["fields"]] == [
        "Alphabetic", "Ideographic", "Phonetic",
    ]  # fmt: skip
    assert [inner["name"] for inner in columns["ReferencedImageSequence"]["fields"]] == [
        "ReferencedSOPInstanceUID", "OtherElements",
    ]  # fmt: skip
    assert columns["OverlayOrigin"]["fields"] == [
        {"name": "Id", "type": "STRING", "mode": "NULLABLE"},
        {"name": "Value", "type": "INTEGER", "mode": "REPEATED"},
    ]
    assert columns["Tag_00091002"]["fields"] == [{"name": "Modality", "type": "STRING", "mode": "NULLABLE"}]


def test_a_repeating_group_is_told_from_the_element_that_has_its_base_tag(read):
    converted = read(element(0x00280402, "US", (3,)), element(0x00280412, "CS", "2"))
    assert converted.row == {"NumberOfTransformSteps": 3, "CoefficientCoding": [{"Id": "0412", "Value": ["2"]}]}
    columns = {column["name"]: column for column in schema([converted])}
    assert columns["NumberOfTransformSteps"] == {
        "name": "NumberOfTransformSteps", "type": "INTEGER", "mode": "NULLABLE",
    }  # fmt: skip
    assert columns["CoefficientCoding"]["fields"] == [
        {"name": "Id", "type": "STRING", "mode": "NULLABLE"},
        {"name": "Value", "type": "STRING", "mode": "REPEATED"},
    ]


def test_what_pydicom_cannot_read_is_said(tmp_path):
    path = tmp_path / "cut.dcm"
    beginning = part10([element(MODALITY, "CS", "MR")])
    path.write_bytes(beginning + b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0")
    with pytest.raises(OracleCannotRead, match="OSError"):
        convert(path)
    sequence_and_item = b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    path.write_bytes(beginning + sequence_and_item * 2000)
    with pytest.raises(OracleCannotRead, match="RecursionError"):
        convert(path)
