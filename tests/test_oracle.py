"""Rule by rule, elements written by hand, and the row that a person expects of them: of the oracle and the product."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import pytest

from tests.agreement import build_files
from tests.oracle import convert, differences, prune
from tests.stored_elements import Items, StoredElement, part10

META = {
    "MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "MediaStorageSOPInstanceUID": "1.2.3.4",
    "TransferSyntaxUID": "1.2.840.10008.1.2.1",
}
UTC = datetime.UTC


def element(tag: int, vr: str, value: object) -> StoredElement:
    if isinstance(value, list):
        return StoredElement(tag, vr, Items(tuple(tuple(item) for item in value)))
    return StoredElement(tag, vr, value)


def other(tag: str, *data: str) -> dict[str, object]:
    return {"OtherElements": [{"Tag": f"Tag_{tag}", "Data": list(data)}]}


DATE, TIME, DATE_TIME = 0x00080020, 0x00080030, 0x0008002A
PATIENT_NAME, OPERATORS_NAME = 0x00100010, 0x00081070
IMAGE_TYPE, MODALITY, PATIENT_ID = 0x00080008, 0x00080060, 0x00100020
CASES = [
    # A column each
    (MODALITY, "CS", " MR ", {"Modality": "MR"}),
    (IMAGE_TYPE, "CS", "ORIGINAL\\ PRIMARY ", {"ImageType": ["ORIGINAL", "PRIMARY"]}),
    (0x00080018, "UI", "1.2.3", {"SOPInstanceUID": "1.2.3"}),
    (0x00281053, "DS", " 1.50 ", {"RescaleSlope": "1.50"}),
    (0x00200013, "IS", "007", {"InstanceNumber": "007"}),
    (0x00089459, "FL", (0.1,), {"RecommendedDisplayFrameRateInFloat": 0.10000000149011612}),
    (0x00189073, "FD", (math.inf,), {"AcquisitionDuration": math.inf}),
    (0x00280010, "US", (65535,), {"Rows": 65535}),
    (0x00280009, "AT", (0x00181063,), {"FrameIncrementPointer": [0x00181063]}),
    (0x00720082, "SV", (-(2**63),), {"SelectorSVValue": [-(2**63)]}),
    (0x00720083, "UV", (2**64 - 1,), {"SelectorUVValue": [Decimal(2**64 - 1)]}),
    (0x00400280, "ST", " a\\b ", {"CommentsOnThePerformedProcedureStep": " a\\b"}),
    (0x00080001, "UL", (12,), {"LengthToEnd": 12}),
    # No value
    (MODALITY, "CS", "", {}),
    (MODALITY, "CS", "  ", {}),
    (PATIENT_ID, "LO", b"\0 \0", {}),
    (PATIENT_NAME, "PN", " ", {}),
    (0x00280010, "US", (), {}),
    (0x00420011, "OB", b"", {}),
    (0x00081140, "SQ", [], {}),
    (0x00081140, "SQ", [[], [StoredElement(0x00081150, "UI", "")]], {}),
    (0x00091001, "LO", " ", {}),
    # Encoding, not data
    (0x00080000, "UL", (12,), {}),
    (0xFFFCFFFC, "OB", b"\0\0", {}),
    # Only separators are a value
    (IMAGE_TYPE, "CS", "\\", {"ImageType": ["", ""]}),
    (PATIENT_ID, "LO", "\\", {"PatientID": "\\"}),
    (PATIENT_NAME, "PN", "^^^^", {}),
    (OPERATORS_NAME, "PN", "^", {"OperatorsName": [{}]}),
    # Person names
    (PATIENT_NAME, "PN", "Doe^ Jane^^Dr", {"PatientName": {
        "Alphabetic": {"FamilyName": "Doe", "GivenName": "Jane", "NamePrefix": "Dr"}}}),
    (PATIENT_NAME, "PN", "=A=B^C^D^E^F", {"PatientName": {
        "Ideographic": {"FamilyName": "A"}, "Phonetic": {
            "FamilyName": "B", "GivenName": "C", "MiddleName": "D", "NamePrefix": "E", "NameSuffix": "F"}}}),
    (OPERATORS_NAME, "PN", "A\\B", {"OperatorsName": [
        {"Alphabetic": {"FamilyName": "A"}}, {"Alphabetic": {"FamilyName": "B"}}]}),
    (PATIENT_NAME, "PN", "A=B=C=D", other("00100010", "A=B=C=D")),
    (PATIENT_NAME, "PN", "a^b^c^d^e^f", other("00100010", "a^b^c^d^e^f")),
    (PATIENT_NAME, "PN", "A\\B", other("00100010", "A", "B")),
    (OPERATORS_NAME, "PN", "A\\", other("00081070", "A", "")),
    # Repeating groups
    (0x60020010, "US", (7,), {"OverlayRows": [{"Id": "6002", "Value": 7}]}),
    (0x60000050, "SS", (1, -1), {"OverlayOrigin": [{"Id": "6000", "Value": [1, -1]}]}),
    (0x00203100, "CS", "A", {"SourceImageIDs": [{"Id": "3100", "Value": ["A"]}]}),
    (0x601E0010, "US", (1, 2), other("601E0010", "1", "2")),
    # Private and unnamed elements
    (0x00090010, "LO", "ACME ", other("00090010", "ACME")),
    (0x00091001, "US", (1, 2), other("00091001", "1", "2")),
    (0x00091001, "FL", (0.1, 1.0, 1e22, -0.0), other("00091001", "0.1", "1", "1e+22", "-0")),
    (0x00091001, "FD", (0.1, 1e-7, 1e-6), other("00091001", "0.1", "1e-7", "0.000001")),
    (0x00091001, "FD", (1e9, 1e10), other("00091001", "1000000000", "1e+10")),
    (0x00091001, "FD", (math.nan, math.inf, -math.inf), other("00091001", "nan", "inf", "-inf")),
    (0x00091001, "AT", (0x0020000D,), other("00091001", "0020000D")),
    (0x00091001, "PN", "A^B=C", other("00091001", "A^B=C")),
    (0x00091001, "LT", "a\\b ", other("00091001", "a\\b")),
    (0x00091001, "LO", " a\\ b\\", other("00091001", "a", "b", "")),
    (0x00091001, "US", b"\1\2\xff", other("00091001", "0102FF")),
    (0x00091001, "SQ", [[StoredElement(MODALITY, "CS", "MR")]], {"Tag_00091001": [{"Modality": "MR"}]}),
    (0x00420042, "LO", "x", other("00420042", "x")),
    (0x00280020, "US", (3,), other("00280020", "3")),
    (0x00420042, "SQ", [[StoredElement(MODALITY, "CS", "MR")]], {"Tag_00420042": [{"Modality": "MR"}]}),
    # Dates and times
    (DATE, "DA", "00010101", {"StudyDate": datetime.date(1, 1, 1)}),
    (DATE, "DA", "1999.12.31", {"StudyDate": datetime.date(1999, 12, 31)}),
    (DATE, "DA", "1999-12-31", {"StudyDate": datetime.date(1999, 12, 31)}),
    (DATE, "DA", "00000000", other("00080020", "00000000")),
    (DATE, "DA", "1990/01/", other("00080020", "1990/01/")),
    (DATE, "DA", "20000101\\20000102", other("00080020", "20000101", "20000102")),
    (0x00181200, "DA", "20000101\\", other("00181200", "20000101", "")),
    (0x00181200, "DA", "20000101", {"DateOfLastCalibration": [datetime.date(2000, 1, 1)]}),
    (TIME, "TM", "07", {"StudyTime": datetime.time(7)}),
    (TIME, "TM", "075454.5", {"StudyTime": datetime.time(7, 54, 54, 500000)}),
    (TIME, "TM", "075454.", {"StudyTime": datetime.time(7, 54, 54)}),
    (TIME, "TM", "075454.1234567", {"StudyTime": datetime.time(7, 54, 54, 123456)}),
    (TIME, "TM", "07:54", {"StudyTime": datetime.time(7, 54)}),
    (TIME, "TM", "235960", other("00080030", "235960")),
    (TIME, "TM", "24", other("00080030", "24")),
    (DATE_TIME, "DT", "2020", {"AcquisitionDateTime": datetime.datetime(2020, 1, 1, tzinfo=UTC)}),
    (DATE_TIME, "DT", "20200229120000.25+0530", {
        "AcquisitionDateTime": datetime.datetime(2020, 2, 29, 6, 30, 0, 250000, tzinfo=UTC)}),
    (DATE_TIME, "DT", "2020+1401", other("0008002A", "2020+1401")),
    (DATE_TIME, "DT", "0001+0001", other("0008002A", "0001+0001")),
    # Stored VR and dictionary VR
    (PATIENT_ID, "UN", b"ID ", {"PatientID": "ID"}),
    (0x00280010, "UN", b"\1\2", {"Rows": 0x0201}),
    (0x00280010, "OW", b"\1\2", {"Rows": 0x0201}),
    (0x00280010, "UL", (70000,), {"Rows": 70000}),
    (0x00280010, "UV", (2**63,), other("00280010", str(2**63))),
    (0x00280010, "IS", " 12", {"Rows": 12}),
    (0x00280010, "IS", "12\\13", other("00280010", "12", "13")),
    (0x00280010, "LO", "twelve", other("00280010", "twelve")),
    (0x00189073, "DS", "1e3", {"AcquisitionDuration": 1000.0}),
    (0x00189073, "DS", "1e400", other("00189073", "1e400")),
    (0x00720083, "SS", (-1,), other("00720083", "-1")),
    (0x00189073, "SL", (-5,), {"AcquisitionDuration": -5.0}),
    (DATE, "LO", "20000101", {"StudyDate": datetime.date(2000, 1, 1)}),
    (MODALITY, "US", (5,), other("00080060", "5")),
    (DATE, "US", (5,), other("00080020", "5")),
    (0x00081140, "LO", "x", other("00081140", "x")),
    (0x00280106, "SS", (-1,), {"SmallestImagePixelValue": -1}),
    (0x00280106, "US", (65535,), {"SmallestImagePixelValue": 65535}),
    (0x00281101, "SS", (-1, 0, 16), {"RedPaletteColorLookupTableDescriptor": [-1, 0, 16]}),
    (0x00280010, "US", b"\1\2\3", other("00280010", "010203")),
    # Text
    (PATIENT_ID, "LO", "a\\b", {"PatientID": "a\\b"}),
    (PATIENT_ID, "LO", b"a\0b ", {"PatientID": "ab"}),
    (PATIENT_ID, "LO", b"\xe4", {"PatientID": "ä"}),
    (MODALITY, "CS", b"\xe4", {"Modality": "ä"}),
    (0x00080120, "UR", "urn:a\\b ", {"URNCodeValue": "urn:a\\b"}),
    # Edges
    (DATE_TIME, "DT", "99991231230000-0100", other("0008002A", "99991231230000-0100")),
    (DATE_TIME, "DT", "2024.", other("0008002A", "2024.")),
    (DATE_TIME, "DT", "20240131.", other("0008002A", "20240131.")),
    (DATE_TIME, "DT", "20240101000000+0160", other("0008002A", "20240101000000+0160")),
    (DATE_TIME, "DT", "2020-1201", other("0008002A", "2020-1201")),
    (DATE_TIME, "DT", "20200101240000", other("0008002A", "20200101240000")),
    (TIME, "TM", "240000", other("00080030", "240000")),
    (0x00189073, "DS", ".", other("00189073", ".")),
    (0x00189073, "DS", "7x", other("00189073", "7x")),
    (0x00280010, "UV", (5,), {"Rows": 5}),
    (0x00720083, "US", (5,), {"SelectorUVValue": [Decimal(5)]}),
    (0x00720083, "IS", str(2**64 - 1), {"SelectorUVValue": [Decimal(2**64 - 1)]}),
    (0x00720082, "LO", str(-(2**63)), {"SelectorSVValue": [-(2**63)]}),
    (0x00189073, "UV", (5,), {"AcquisitionDuration": 5.0}),
    (0x00280009, "LO", "12", other("00280009", "12")),
]  # fmt: skip


def case_id(case: tuple) -> str:
    return f"{case[0]:08X} {case[1]}"


@pytest.mark.parametrize("case", CASES, ids=map(case_id, CASES))
def test_one_element(tmp_path, case):
    tag, vr, value, expected = case
    path = tmp_path / "instance.dcm"
    path.write_bytes(part10([element(tag, vr, value)]))
    assert prune(convert(path).row) == META | expected
    built, _, refused = build_files([path])
    assert built is not None, refused
    (made,) = built.batch.to_pylist()
    assert prune(made) == META | expected


def test_prune_keeps_the_number_of_items():
    row = {"A": None, "B": [], "C": {"D": None}, "E": [{"F": None}, {"G": 1}], "H": ["", "x"]}
    assert prune(row) == {"E": [{}, {"G": 1}], "H": ["", "x"]}


def test_differences_tell_where_without_values():
    product = {"A": [{"B": "secret"}], "C": 1, "D": math.nan, "E": 1}
    oracle = {"A": [{"B": "hidden!"}], "C": 1.0, "D": math.nan, "F": [1, 2]}
    assert differences(product, oracle) == [
        "A[0].B: product str of 6, oracle str of 7",
        "C: product int, oracle float",
        "E: product int, oracle nothing",
        "F: product nothing, oracle list of 2",
    ]
    assert differences({"A": 1}, {"A": 2}, show_values=True) == ["A: product 1, oracle 2"]
