"""Delimiters at the end of what says its length as well: a sequence, an item, what is in a value of VR UN.

PS3.5 7.5 has either; real files of more than one maker have both.
"""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicom_bq.columns.build import build
from dicom_bq.problems import Problem, Reason
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from tests.agreement import Comparison, compare
from tests.handmade import (
    ITEM_END,
    PATIENT_ID,
    SEQUENCE_END,
    UID_ELEMENT,
    explicit,
    explicit_file,
    implicit,
    implicit_file,
    item,
    open_item,
    open_sequence,
    sequence,
    text,
)

END, CLOSE = implicit(SEQUENCE_END), implicit(ITEM_END)
UID = implicit(0x00081155, b"2.25.22\0")
WITH_UID = [{"ReferencedSOPInstanceUID": "2.25.22"}]
CREATOR = text(0x00090010, "LO", "SOMEBODY")
IN_A_SERIES = text(0x0020000E, "UI", "2.25.9") + explicit(0x00081199, "SQ", item(UID_ELEMENT) + END)

CASES = {
    "sequence": (explicit_file(sequence(item(UID_ELEMENT) + END), PATIENT_ID), "ReferencedImageSequence", WITH_UID),
    "item": (explicit_file(sequence(item(UID_ELEMENT + CLOSE)), PATIENT_ID), "ReferencedImageSequence", WITH_UID),
    "both": (explicit_file(sequence(item(UID_ELEMENT + CLOSE) + END)), "ReferencedImageSequence", WITH_UID),
    "two items": (
        explicit_file(sequence(item(UID_ELEMENT + CLOSE) + open_item(UID_ELEMENT) + END)),
        "ReferencedImageSequence",
        WITH_UID * 2,
    ),
    "UN": (explicit_file(explicit(0x00081140, "UN", item(UID) + END)), "ReferencedImageSequence", WITH_UID),
    "UN, private": (
        explicit_file(text(0x20010010, "LO", "Philips Imaging DD 001"), explicit(0x2001105F, "UN", item(UID) + END)),
        "Tag_2001105F",
        WITH_UID,
    ),
    "implicit": (implicit_file(implicit(0x00081140, item(UID + CLOSE) + END)), "ReferencedImageSequence", WITH_UID),
    "inner": (
        explicit_file(explicit(0x00081115, "SQ", item(IN_A_SERIES))),
        "ReferencedSeriesSequence",
        [{"ReferencedSOPSequence": WITH_UID, "SeriesInstanceUID": "2.25.9"}],
    ),
    "inner, in one of undefined length": (
        explicit_file(explicit(0x00081115, "SQ", open_item(IN_A_SERIES), 0xFFFFFFFF), END),
        "ReferencedSeriesSequence",
        [{"ReferencedSOPSequence": WITH_UID, "SeriesInstanceUID": "2.25.9"}],
    ),
    "nothing else": (explicit_file(sequence(END), PATIENT_ID), "ReferencedImageSequence", None),
    "nothing else, in UN": (
        explicit_file(explicit(0x00081140, "UN", END), PATIENT_ID),
        "ReferencedImageSequence",
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_items_are_read(name: str, tmp_path: Path) -> None:
    content, column, expected = CASES[name]
    path = tmp_path / "one.dcm"
    path.write_bytes(content)
    for lockstep in (True, False):
        scanned = scan_files([str(path)], ScanOptions(lockstep=lockstep))
        [row] = build(scanned.table).batch.to_pylist()
        assert row.get(column) == expected
        assert row["DroppedTags"] == []
        assert scanned.table.notes == ()
    assert compare(path) == Comparison()


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_dataset_has_the_same_items(name: str, touched: bool, tmp_path: Path) -> None:
    content, column, expected = CASES[name]
    path = tmp_path / "one.dcm"
    path.write_bytes(content)
    dataset = pydicom.dcmread(path)
    for element in dataset.iterall() if touched else ():
        assert element.tag
    [row] = build(scan_datasets([dataset])).batch.to_pylist()
    assert row.get(column) == expected
    assert row["DroppedTags"] == []


@pytest.mark.parametrize(
    "value",
    [
        item(UID_ELEMENT) + END + item(UID_ELEMENT),
        item(UID_ELEMENT) + END + bytes(8),
        item(UID_ELEMENT) + CLOSE,
        item(UID_ELEMENT + END),
        item(UID_ELEMENT + CLOSE + UID_ELEMENT),
    ],
)
def test_a_delimiter_elsewhere_is_none(value: bytes, tmp_path: Path) -> None:
    """A sequence that is no list of items is dropped, and that is why."""
    path = tmp_path / "one.dcm"
    path.write_bytes(explicit_file(sequence(value), CREATOR, explicit(0x00091001, "SQ", value)))
    built = build(scan_files([str(path)]).table)
    for name, tag in (("ReferencedImageSequence", "(0008,1140)"), ("Tag_00091001", "(0009,1001)")):
        assert built.problems.counts[Problem(Reason.NOT_ITEMS, name, tag, "UN")] == 1
    names = [entry["TagName"] for entry in built.batch.to_pylist()[0]["DroppedTags"]]
    assert names == ["ReferencedImageSequence", "Tag_00091001"]


def test_a_delimiter_closes_what_is_of_undefined_length_only_once(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(explicit_file(open_sequence(open_item(sequence(item(UID_ELEMENT) + END))), PATIENT_ID))
    [row] = build(scan_files([str(path)]).table).batch.to_pylist()
    assert (row["ReferencedImageSequence"], row["PatientID"]) == ([{"ReferencedImageSequence": WITH_UID}], "ID-1")
