"""Instances chosen before columns are built: the batch that is left is as if the others had never been read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from dicom_bq.columns.build import build
from dicom_bq.elements import Note
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.outcome import Scanned
from dicom_bq.selection import SOP_INSTANCE_UID, Selection, take, uids_of
from dicom_bq.sources.filters import Filter


def dataset(uid: str, study: str = "1", series: str = "2", depth: int = 0) -> Dataset:
    made = Dataset()
    made.StudyInstanceUID, made.SeriesInstanceUID = study, series
    if uid:
        made.SOPInstanceUID = uid
    made.PatientName = f"Doe^{uid}"
    for number in range(depth):
        item = Dataset()
        item.ReferencedSOPInstanceUID = f"{uid}.{number}"
        item.PurposeOfReferenceCodeSequence = Items([Dataset(), _code(number)])
        made.ReferencedImageSequence = Items([*made.get("ReferencedImageSequence", []), item])
    return made


def _code(number: int) -> Dataset:
    made = Dataset()
    made.CodeValue = str(number)
    return made


def scanned(datasets: Sequence[Dataset]) -> Scanned:
    return Scanned(scan_datasets(list(datasets)), tuple(f"file{n}" for n in range(len(datasets))), (), ())


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8))
def test_taking_instances_gives_what_reading_them_alone_gives(shape: list[tuple[int, bool]]) -> None:
    datasets = [dataset(f"1.{number}", depth=depth) for number, (depth, _) in enumerate(shape)]
    keep = np.array([kept for _, kept in shape])
    taken = build(take(scan_datasets(datasets), keep))
    alone = build(scan_datasets([one for one, (_, kept) in zip(datasets, shape, strict=True) if kept]))
    assert taken.schema == alone.schema
    assert taken.batch.to_pylist() == alone.batch.to_pylist()


def test_all_or_none() -> None:
    table = scan_datasets([dataset("1.1", depth=2), dataset("1.2")])
    assert take(table, np.array([True, True])) is table
    none = take(table, np.array([False, False]))
    assert (none.instances, len(none), len(none.item_sequence)) == (0, 0, 0)


def test_notes_go_with_their_instances() -> None:
    from dataclasses import replace

    table = scan_datasets([dataset("1.1"), dataset("1.2")])
    row = int(np.flatnonzero(table.instance == 1)[2])
    noted = replace(table, notes=(Note(0, 1, "a", 5), Note(1, row, "b", 6), Note(1, -1, "c")))
    assert take(noted, np.array([False, True])).notes == (Note(0, 2, "b", 6), Note(0, -1, "c"))


def test_uids_are_without_padding_and_of_the_data_set_itself() -> None:
    inner = dataset("9.9")
    outer = dataset("1.2.3")
    outer.ReferencedInstanceSequence = Items([inner])
    assert uids_of(scan_datasets([outer, dataset("")]), SOP_INSTANCE_UID) == [b"1.2.3", b""]


FOUR = [dataset("1.1"), dataset("1.2", study="7"), dataset("1.3", series="8"), dataset("", study="7")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/studies/1", ["file0", "file2"]),
        ("/studies/7", ["file1", "file3"]),
        ("/studies/1/series/8", ["file2"]),
        ("/studies/7/series/2/instances/1.2", ["file1"]),
        ("/studies/9", []),
    ],
)
def test_filters(text: str, expected: list[str]) -> None:
    chosen = Selection(Filter.parse(text))(scanned(FOUR))
    assert list(chosen.uris) == expected
    assert chosen.table.instances == len(expected)
    assert chosen.skipped == ()


def test_the_first_of_each_uid_is_kept_across_batches_and_instances_without_one_all_are() -> None:
    selection = Selection(deduplicate=True)
    first = selection(scanned([dataset("1.1"), dataset("1.2"), dataset("1.1"), dataset("")]))
    assert first.uris == ("file0", "file1", "file3")
    assert [(one.uri, one.code, one.reason) for one in first.skipped] == [
        ("file2", "duplicate", "same SOP Instance UID as file0")
    ]
    second = Scanned(scan_datasets([dataset("1.2"), dataset(""), dataset("1.3")]), ("x", "y", "z"), (), ())
    assert selection(second).uris == ("y", "z")


def test_asking_twice_for_one_batch_gives_the_same() -> None:
    """A batch that a bug is met in is read again in halves."""
    selection = Selection(Filter.parse("/studies/1\n/studies/7\n"), deduplicate=True)
    batch = scanned([*FOUR, dataset("1.1")])
    for _, again in itertools.product(range(2), (batch, batch)):
        assert selection(again).uris == ("file0", "file1", "file2", "file3")


def test_a_filter_comes_before_duplicates() -> None:
    selection = Selection(Filter.parse("/studies/7"), deduplicate=True)
    assert selection(scanned([dataset("1.1"), dataset("1.1", study="7")])).uris == ("file1",)
