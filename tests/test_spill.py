"""Rows that wait on disk: nothing lost, nothing left behind."""

from __future__ import annotations

import errno
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from dicom_bq.errors import DestinationError, SchemaConflictError
from dicom_bq.schema import TableSchema, schema_from_keywords
from dicom_bq.spill import Spill, ahead, assemble, union


def batch(**columns: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def built(*keywords: str, rows: int = 1) -> SimpleNamespace:
    """As much of a BuiltBatch as is used here."""
    schema = schema_from_keywords(keywords)
    columns = [pa.array(["x" if keywords else None] * rows, pa.string()) for _ in keywords]
    arrays = [*columns, pa.array([[]] * rows, schema.to_arrow().field("DroppedTags").type)]
    return SimpleNamespace(schema=schema, batch=pa.RecordBatch.from_arrays(arrays, schema=schema.to_arrow()))


def open_files() -> set[str]:
    descriptors = [number for number in Path("/proc/self/fd").iterdir() if number.is_symlink()]
    return {str(descriptor.readlink()) for descriptor in descriptors if descriptor.is_symlink()}


def test_batches_come_back_as_often_as_asked_for(tmp_path: Path) -> None:
    spill = Spill(str(tmp_path))
    batches = [batch(a=[1, 2]), batch(b=["x", None, "z"], c=[[1], [], [2, 3]]), batch(a=pa.array([], pa.int64()))]
    for one in batches:
        spill.add(one)
    for _ in range(2):
        assert list(spill.batches()) == batches


def test_a_slice_is_kept_without_its_parent(tmp_path: Path) -> None:
    spill = Spill(str(tmp_path))
    spill.add(batch(a=list(range(100_000))).slice(70_000, 3))
    assert spill._kept[0][1].length < 10_000
    assert next(spill.batches())["a"].to_pylist() == [70_000, 70_001, 70_002]


def test_the_file_has_no_name(tmp_path: Path) -> None:
    with Spill(str(tmp_path)) as spill:
        spill.add(batch(a=[1]))
        assert list(tmp_path.iterdir()) == []
        assert any(name.startswith(str(tmp_path)) for name in open_files())
    assert not any(name.startswith(str(tmp_path)) for name in open_files())


def test_forgotten_spills_are_closed(tmp_path: Path) -> None:
    Spill(str(tmp_path))
    gc.collect()
    assert not any(name.startswith(str(tmp_path)) for name in open_files())


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match=r"No such file or directory\. Make room, or set TMPDIR") as caught:
        Spill(str(tmp_path / "nowhere"))
    assert caught.value.facts["destination"] == str(tmp_path / "nowhere")


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    spill = Spill(str(tmp_path))
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(DestinationError, match="No space left on device"):
        spill.add(batch(a=[1]))


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, data[:7], offset))
    spill = Spill(str(tmp_path))
    batches = [batch(a=list(range(50))), batch(a=[7])]
    for one in batches:
        spill.add(one)
    assert list(spill.batches()) == batches


def test_rows_take_the_form_of_the_union(tmp_path: Path) -> None:
    with Spill(str(tmp_path)) as spill:
        schema, rows = assemble([built("PatientID", rows=2), built("Modality")], None, spill, {})
        assert schema == schema_from_keywords(["PatientID", "Modality"])
        table = pa.Table.from_batches(rows, schema.to_arrow())
    assert table["PatientID"].to_pylist() == ["x", "x", None]
    assert table["Modality"].to_pylist() == [None, None, "x"]


def test_rows_of_a_known_schema_do_not_wait(tmp_path: Path) -> None:
    given = schema_from_keywords(["PatientID"])
    taken = iter([built("PatientID"), built("PatientID")])
    with Spill(str(tmp_path)) as spill:
        schema, rows = assemble(taken, given, spill, {})
        assert schema is given
        assert next(rows).num_rows == 1
        assert len(list(taken)) == 1  # the second is still to be read
        assert list(spill.batches()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_the_next_rows_are_made_ahead_where_there_are_several_processes(tmp_path: Path, workers: int) -> None:
    makers = set[threading.Thread]()
    with Spill(str(tmp_path)) as spill:
        taken = spill.taken

        def noted(*place: Any) -> pa.RecordBatch:
            makers.add(threading.current_thread())
            return taken(*place)

        spill.taken = noted  # type: ignore[method-assign]
        _, rows = assemble([built("PatientID", rows=count) for count in (3, 1, 2)], None, spill, {"workers": workers})
        assert [row.num_rows for row in rows] == [3, 1, 2]
    assert (threading.current_thread() in makers) is (workers == 1)
    assert len(makers) == 1


def test_one_is_made_ahead_and_no_more() -> None:
    made = list[int]()
    rows = ahead(made.append(number) or number for number in range(5))  # type: ignore[func-returns-value]
    assert made == []
    assert next(rows) == 0
    rows.close()
    assert made == [0, 1]


def test_what_making_rows_raises_is_raised_in_its_place() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise DestinationError(destination="x", reason="the disk fails", advice="Try again")

    rows = ahead(broken())
    assert next(rows) == 1
    with pytest.raises(DestinationError, match="the disk fails"):
        next(rows)
    assert not any(thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate())


def test_union_has_what_every_table_has() -> None:
    assert union([], {}) == TableSchema.from_paths(())
    assert union([], {"include_source_store": True}).columns[-1].name == "SourceDicomStore"
    with pytest.raises(SchemaConflictError, match="EchoTime"):
        union(
            [TableSchema.from_paths([(0x00180081,)], numeric_strings="typed"), schema_from_keywords(["EchoTime"])], {}
        )
