"""Edges of columns and scanning that no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dicom_bq.columns.build import BuildOptions, build
from dicom_bq.conform import conform
from dicom_bq.problems import Reason
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from dicom_bq.sources.lists import is_list
from tests.agreement import build_files
from tests.handmade import IMPLICIT_BODY, ITEM_END, UID_ELEMENT, explicit, explicit_file, implicit, item, sequence, text
from tests.oracle import prune
from tests.stored_elements import Items, StoredElement, dataset, part10
from tests.test_oracle import META, other
from tests.walkers import assert_same, both

PATIENT_NAME, PATIENT_COMMENTS, STUDY_DATE = 0x00100010, 0x00104000, 0x00080020
TWO_SETS = StoredElement(0x00080005, "CS", "ISO 2022 IR 100\\ISO 2022 IR 144")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instance.dcm"


def row(path: Path) -> dict[str, Any]:
    built, _, refused = build_files([path])
    assert built is not None, refused
    (found,) = built.batch.to_pylist()
    pruned: dict[str, Any] = prune(found)
    return pruned


def reasons(path: Path) -> dict[Reason, int]:
    built, _, _ = build_files([path])
    assert built is not None
    return {problem.reason: count for problem, count in built.problems.counts.items()}


def nested(element: bytes, levels: int) -> bytes:
    for _ in range(levels):
        element = sequence(item(element))
    return explicit_file(element)


def test_digits_of_other_scripts_are_no_date(path: Path) -> None:
    digits = "20240131".translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    utf8 = StoredElement(0x00080005, "CS", "ISO_IR 192")
    path.write_bytes(part10([utf8, StoredElement(STUDY_DATE, "DA", digits.encode())]))
    assert row(path) == META | {"SpecificCharacterSet": ["ISO_IR 192"]} | other("00080020", digits)


def test_a_time_zone_in_an_item_is_not_the_instance_s(path: Path) -> None:
    zone = Items(((StoredElement(0x00080201, "SH", "+0500"),),))
    date_time = StoredElement(0x0008002A, "DT", "20240131120000")
    path.write_bytes(part10([date_time, StoredElement(0x00081140, "SQ", zone)]))
    assert row(path)["AcquisitionDateTime"] == datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # A length that is none of its VR is said before a value that is out of range.
        (explicit_file(explicit(0x00280010, "UV", b"\xff" * 9)), {Reason.BAD_LENGTH: 1}),
        # Padding, however much, is no repair.
        (explicit_file(explicit(0x00100020, "LO", b"A" + b"\0" * 41)), {}),
        # What is not data cannot repeat data.
        (explicit_file(explicit(0x00100000, "UL", bytes(4)), explicit(0x00100000, "UL", bytes(4))), {}),
        # What does not fit its column does not fit, however deep it is.
        (nested(text(STUDY_DATE, "DA", "00000000"), 15), {Reason.NOT_PARSEABLE: 1}),
        (nested(explicit(PATIENT_NAME, "SQ", item(UID_ELEMENT)), 14), {Reason.TOO_DEEP: 1}),
    ],
    ids=["length", "padding", "group length", "deep date", "deep name"],
)
def test_what_is_counted(path: Path, content: bytes, expected: dict[Reason, int]) -> None:
    path.write_bytes(content)
    assert reasons(path) == expected


def test_a_large_sequence_of_nothing_is_not_dropped(path: Path) -> None:
    path.write_bytes(explicit_file(sequence(item(explicit(0x00081155, "UI")))))
    built = build(scan_files([str(path)]).table, options=BuildOptions(max_sequence_bytes=1))
    assert built.batch["DroppedTags"].to_pylist() == [[]]
    assert not built.problems.counts


def test_a_sequence_may_have_as_many_bytes_as_the_limit(path: Path) -> None:
    content = item(UID_ELEMENT)
    path.write_bytes(explicit_file(sequence(content)))
    table = scan_files([str(path)]).table
    for limit, dropped in ((len(content), 0), (len(content) - 1, 1)):
        (tags,) = build(table, options=BuildOptions(max_sequence_bytes=limit)).batch["DroppedTags"].to_pylist()
        assert len(tags) == dropped


@pytest.mark.parametrize("delimiter", ["\t", "\n", "\f", "\r"])
def test_a_code_extension_ends_where_text_is_moved_on(path: Path, delimiter: str) -> None:
    """PS3.5 6.1.2.5.3."""
    comments = b"\x1b-L\xb6" + delimiter.encode() + b"\xe9"
    path.write_bytes(part10([TWO_SETS, StoredElement(PATIENT_COMMENTS, "LT", comments)]))
    assert row(path)["PatientComments"] == f"\u0416{delimiter}\xe9"


def test_a_code_extension_ends_with_a_component_group(path: Path) -> None:
    path.write_bytes(part10([TWO_SETS, StoredElement(PATIENT_NAME, "PN", b"\x1b-L\xb6=\xe9")]))
    groups = {"Alphabetic": {"FamilyName": "\u0416"}, "Ideographic": {"FamilyName": "\xe9"}}
    assert row(path)["PatientName"] == groups


@pytest.mark.parametrize("more", [1, 2])
def test_a_sequence_that_is_longer_than_its_file(path: Path, more: int) -> None:
    content = item(UID_ELEMENT)
    path.write_bytes(explicit_file(sequence(content, len(content) + more)))
    assert_same(*both([path]))


def test_a_delimiter_that_is_not_the_last_in_an_item_of_defined_length(path: Path) -> None:
    path.write_bytes(explicit_file(sequence(item(UID_ELEMENT + implicit(ITEM_END) + UID_ELEMENT))))
    assert [note.reason for note in scan_files([str(path)]).table.notes] == [Reason.READ_BY_PYDICOM]


@pytest.mark.parametrize("stored", [explicit(0x50022600, "SQ", item(UID_ELEMENT)), explicit(0x50022600, "OB", b"ab")])
def test_a_sequence_of_a_repeating_group_is_dropped_for_what_it_is(path: Path, stored: bytes) -> None:
    path.write_bytes(explicit_file(stored))
    built = build(scan_files([str(path)]).table)
    assert [entry["TagName"] for entry in built.batch.to_pylist()[0]["DroppedTags"]] == [
        "CurveReferencedOverlaySequence"
    ]
    [problem] = built.problems.counts
    assert (problem.reason, problem.tag) == (Reason.GROUPED_SEQUENCE, "(5002,2600)")


def test_one_element_of_meta_information_and_an_implicit_data_set_without_a_preamble(path: Path) -> None:
    path.write_bytes(explicit(0x00020010, "UI", b"1.2.840.10008.1.2\0") + IMPLICIT_BODY)
    for lockstep in (True, False):
        assert scan_files([str(path)], ScanOptions(lockstep=lockstep)).uris == (str(path),)


def test_element_0100_creates_no_private_block(path: Path) -> None:
    path.write_bytes(explicit_file(explicit(0x00090100, "UN", b"abcd")))
    assert "OtherElements" not in row(path)


@pytest.mark.parametrize(("tag", "vr", "number"), [(0x00720082, "SV", 2**63), (0x00720083, "UV", -1)])
def test_a_number_of_a_dataset_that_its_vr_does_not_hold(tag: int, vr: str, number: int) -> None:
    (made,) = build(scan_datasets([dataset([StoredElement(tag, vr, (number,))])])).batch.to_pylist()
    assert prune(made)["OtherElements"] == other(f"{tag:08X}", str(number))["OtherElements"]


OLD = pa.list_(pa.struct([("a", pa.int64())]))
NEW = pa.schema([("x", pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())])))])


def rows(values: Iterable[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, OLD)], names=["x"])


def test_a_slice_with_nulls_conforms() -> None:
    made = conform(rows([[], [{"a": 1}], None]).slice(1), NEW)
    assert made["x"].to_pylist() == [[{"a": 1, "b": None}], None]


def test_the_first_rows_conform_without_the_values_of_others() -> None:
    assert len(conform(rows([[{"a": 1}], [{"a": 2}]]).slice(0, 1), NEW)["x"].values) == 1


def test_an_at_sign_alone_is_no_list() -> None:
    assert not is_list("@")
