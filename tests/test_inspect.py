"""inspect: where each element goes, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicom_bq.columns.build import build
from dicom_bq.inspect import DEEPEST_SHOWN, LONGEST_VALUE, InspectedElement, Inspection, inspect_file
from dicom_bq.problems import Place, Reason
from dicom_bq.scan.files import scan_files
from tests.handmade import (
    IDENTITY,
    IMPLICIT_BODY,
    PATIENT_ID,
    PREFIX,
    UID_ELEMENT,
    explicit,
    explicit_file,
    implicit,
    implicit_file,
    item,
    sequence,
    small_file,
    text,
)

TREE = Path(__file__).resolve().parent.parent / "fixtures/dicom"


@pytest.fixture
def inspect(tmp_path: Path):
    def inspect(content: bytes, *, show_values: bool = False) -> Inspection:
        (tmp_path / "x.dcm").write_bytes(content)
        return inspect_file(tmp_path / "x.dcm", show_values=show_values)

    return inspect


def by_path(inspection: Inspection) -> dict[str | None, InspectedElement]:
    return {element.path: element for element in inspection.elements}


def test_an_element_in_its_column(inspect) -> None:
    element = by_path(inspect(explicit_file(PATIENT_ID)))["PatientID"]
    assert element == InspectedElement(
        path="PatientID",
        depth=0,
        tag="(0010,0020)",
        keyword="PatientID",
        vr_stored="LO",
        vr_dictionary="LO",
        vr="LO",
        length=4,
        place="COLUMN",
        column="PatientID",
        type="STRING NULLABLE",
    )


def test_nested_elements_have_paths(inspect) -> None:
    inspection = inspect(explicit_file(sequence(item(UID_ELEMENT) + item(sequence(item(UID_ELEMENT))))))
    elements = by_path(inspection)
    deep = elements["ReferencedImageSequence[1].ReferencedImageSequence[0].ReferencedSOPInstanceUID"]
    assert deep.column == "ReferencedImageSequence.ReferencedImageSequence.ReferencedSOPInstanceUID"
    assert (deep.depth, deep.type) == (2, "STRING NULLABLE")
    assert elements["ReferencedImageSequence"].type == "RECORD REPEATED"
    lines = inspection.to_text().splitlines()
    start = next(number for number, line in enumerate(lines) if "ReferencedImageSequence" in line)
    assert [line[13:].split("  UI")[0].split("  SQ")[0].rstrip() for line in lines[start : start + 7]] == [
        "ReferencedImageSequence",
        "  [0]",
        "  ReferencedSOPInstanceUID",
        "  [1]",
        "  ReferencedImageSequence",
        "    [0]",
        "    ReferencedSOPInstanceUID",
    ]


@pytest.mark.parametrize(
    ("element", "place", "column", "reason"),
    [
        (text(0x00080020, "DA", "00000000"), Place.OTHER, "OtherElements", Reason.NOT_PARSEABLE),
        (text(0x00290010, "LO", "MAKER"), Place.OTHER, "OtherElements", "private, or in no dictionary"),
        (explicit(0x7FE00010, "OW", bytes(4)), Place.DROPPED, "DroppedTags", Reason.EXCLUDED_VR),
        (explicit(0x00100020, "LO"), Place.EMPTY, "", "no value"),
        (explicit(0x00080000, "UL", bytes(4)), Place.NOT_DATA, "", "encoding, not data"),
    ],
)
def test_an_element_elsewhere_says_why(inspect, element: bytes, place: Place, column: str, reason: str) -> None:
    last = inspect(explicit_file(element)).elements[-1]
    assert (last.place, last.column, last.reason) == (place.name, column, reason)


def test_a_misplaced_value_is_in_other_elements_of_its_level(inspect) -> None:
    inspection = inspect(explicit_file(sequence(item(text(0x00080020, "DA", "00000000") + UID_ELEMENT))))
    assert by_path(inspection)["ReferencedImageSequence[0].StudyDate"].column == "ReferencedImageSequence.OtherElements"
    assert "1  (0008,0020)  StudyDate  value is not what its VR asks for" in inspection.to_text()


def test_superseded_element(inspect) -> None:
    first, second = inspect(explicit_file(PATIENT_ID, text(0x00100020, "LO", "ID-2"))).elements[-2:]
    assert (first.place, first.reason) == ("SUPERSEDED", Reason.DUPLICATE)
    assert second.place == "COLUMN"


def test_implicit_vr_has_no_stored_vr(inspect) -> None:
    element = by_path(inspect(PREFIX + IMPLICIT_BODY))["PatientName"]
    assert (element.vr_stored, element.vr_dictionary, element.vr) == ("", "PN", "PN")
    assert "--/LO" in inspect(implicit_file(implicit(0x00100020, b"ID"))).to_text()


def test_values_are_shown_when_asked_for(inspect) -> None:
    content = explicit_file(
        text(0x00080005, "CS", "ISO_IR 192"),
        explicit(0x00104000, "LT", "é".encode() * 100),
        explicit(0x00280010, "US", b"\x08\0"),
        explicit(0x00280009, "AT", b"\x18\0\x63\x10"),
        explicit(0x00720073, "UC", b"a\\b"),
        explicit(0x00280106, "OB", b"\1\2"),
    )
    values = {path: element.value for path, element in by_path(inspect(content, show_values=True)).items()}
    assert values["Rows"] == "8"
    assert values["FrameIncrementPointer"] == "00181063"
    assert values["PatientComments"] == "é" * LONGEST_VALUE + "..."
    assert values["SOPInstanceUID"] == "2.25.1"
    assert "= '8'" in inspect(content, show_values=True).to_text()
    assert all(element.value is None for element in inspect(content).elements)


@pytest.mark.parametrize("end", [0, 100, 140, 200, -1])
def test_a_file_that_fails_shows_what_could_be_read(inspect, end: int) -> None:
    content = explicit_file(PATIENT_ID)
    inspection = inspect(content[:end])
    assert not inspection.readable
    whole = [(element.tag, element.length) for element in inspect(content).elements]
    assert [(element.tag, element.length) for element in inspection.elements] == whole[: len(inspection.elements)]
    assert len(inspection.elements) < len(whole)
    assert inspection.outcome in inspection.to_text()
    assert inspection.outcome.endswith(("(not_dicom)", "(malformed)"))
    assert inspection.to_text().splitlines()[0].strip()


def test_dicomdir(inspect) -> None:
    inspection = inspect_file(TREE / "yamada/disc/DICOMDIR")
    assert (inspection.readable, inspection.outcome) == (False, "Media Storage Directory (dicomdir)")


def test_no_file() -> None:
    assert inspect_file("nowhere").outcome == "No such file or directory (unreadable)"


def test_deep_nesting_stays_small(inspect) -> None:
    content = UID_ELEMENT
    for _ in range(3_000):
        content = sequence(item(content))
    inspection = inspect(explicit_file(content))
    assert max(element.depth for element in inspection.elements) == 3_000
    assert {element.path is None for element in inspection.elements if element.depth > DEEPEST_SHOWN} == {True}
    assert len(json.dumps(inspection.to_dict())) < 1_000_000
    assert len(inspection.to_text()) < 1_000_000


def test_json_has_an_object_for_each_element(inspect) -> None:
    inspection = inspect(small_file("1.2.840.10008.1.2.1"))
    shown = json.loads(json.dumps(inspection.to_dict()))
    assert len(shown["elements"]) == len(inspection.elements)
    assert shown["readable"] is True
    assert shown["dictionary"].startswith("pydicom")
    assert {"path", "tag", "keyword", "vr_stored", "length", "place", "column", "reason"} < shown["elements"][0].keys()
    assert "value" not in shown["elements"][0]


@pytest.mark.parametrize("path", sorted(TREE.rglob("*.dcm")), ids=lambda path: path.stem)
def test_every_fixture_accounts_for_every_element(path: Path) -> None:
    inspection = inspect_file(path, show_values=True)
    scanned = scan_files([str(path)])
    assert inspection.readable == bool(scanned.uris)
    if inspection.readable:
        built = build(scanned.table)
        assert [Place[element.place] for element in inspection.elements] == list(map(Place, built.placements))
        columns = {found for found, _, _ in built.schema.walk()}
        assert {element.column for element in inspection.elements} - {"", "DroppedTags"} <= columns
        for element in inspection.elements:
            assert element.reason or element.place == "COLUMN"
    inspection.to_text().encode()


def test_identity_is_in_columns(inspect) -> None:
    assert {element.place for element in inspect(PREFIX + IDENTITY).elements} == {"COLUMN"}
