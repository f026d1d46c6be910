"""Edges of destinations that no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dicom_bq.destinations import bigquery_runs, files, parquet_parts, waiting
from dicom_bq.destinations.bands import BANDS, bands
from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName
from dicom_bq.destinations.bigquery_plan import make_plan
from dicom_bq.destinations.duckdb import DuckDBTable
from dicom_bq.schema import TableSchema

MODALITY = TableSchema.from_bigquery([{"name": "Modality", "type": "STRING"}])


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is brought to disk, and what gets a name."""
    happened: list[tuple[str, str]] = []
    fsync, replace, put = os.fsync, Path.replace, files._put_in_place

    def synced(descriptor: int) -> None:
        happened.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        happened.append(("name", target.name))
        return replace(path, target)

    def put_in_place(temporary: Path, path: Path) -> None:
        happened.append(("name", path.name))
        put(temporary, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(files, "_put_in_place", put_in_place)
    return happened


def test_a_file_is_on_disk_before_it_has_its_name(log: list[tuple[str, str]], tmp_path: Path) -> None:
    """Or after a power cut the name leads to an empty one."""
    with files.replacing_file(tmp_path / "x") as temporary:
        temporary.write_text("a")
    assert log == [("sync", ".x.writing"), ("name", "x"), ("sync", tmp_path.name)]


def test_so_are_a_directory_and_what_is_in_it(log: list[tuple[str, str]], tmp_path: Path) -> None:
    with files.replacing_directory(tmp_path / "d") as temporary:
        (temporary / "p").write_text("a")
    assert log == [("sync", "p"), ("sync", ".d.writing"), ("name", "d"), ("sync", tmp_path.name)]


def test_a_load_is_announced_on_disk(log: list[tuple[str, str]], tmp_path: Path) -> None:
    """Or its rows may come twice."""
    with bigquery_runs.take_up(tmp_path / "runs" / "r.jsonl", "d") as run:
        assert ("sync", "runs") in log
        log.clear()
        run.announce(bigquery_runs.Load("j", "c", 1))
        assert log == [("sync", "r.jsonl")]


def test_a_lock_that_was_removed_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, locked, lock = fcntl.flock, list[int](), files.beside(tmp_path / "x", "lock")

    def racing(descriptor: int, how: int) -> None:
        flock(descriptor, how)
        locked.append(descriptor)
        if len(locked) == 1:
            lock.unlink()
            lock.touch()

    monkeypatch.setattr(fcntl, "flock", racing)
    with files.exclusive(tmp_path / "x"):
        assert len(locked) == 2


def test_bands_are_parts_of_about_one_size() -> None:
    batch = pa.RecordBatch.from_pydict({f"C{number}": ["x" * 10] * 100 for number in range(64)})
    found = bands(batch)
    assert len(found) == BANDS
    assert all(band.of(batch).nbytes <= batch.nbytes // BANDS for band in found)


def test_room_is_given_back_a_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_back, done = list[int](), waiting.Waiting.done

    def noted(self: waiting.Waiting, group: waiting.Group) -> None:
        given_back.append(group.rows)
        done(self, group)

    monkeypatch.setattr(waiting.Waiting, "done", noted)
    monkeypatch.setattr(waiting, "MOST_ROWS", 3)
    monkeypatch.setattr(waiting, "ENOUGH_ROWS", 1)
    batch = pa.RecordBatch.from_pydict({"A": [1, 2, 3]})
    assert parquet_parts.write_file(tmp_path / "x.parquet", batch.schema, [batch] * 4, 1) == 12
    assert given_back == [3] * 4


def test_a_column_that_rows_lack_gets_the_table_s_default(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE dicom (PatientID VARCHAR DEFAULT 'none', Modality VARCHAR)")
    table, batch = DuckDBTable(path), pa.RecordBatch.from_pylist([{"Modality": "MR"}], MODALITY.to_arrow())
    table.write(MODALITY, [batch], WriteDisposition.WRITE_APPEND)
    assert list(table.select("SELECT PatientID, Modality FROM dicom")) == [("none", "MR")]


def test_a_table_that_is_replaced_keeps_ranges_and_key() -> None:
    kept: dict[str, Any] = {
        "rangePartitioning": {"field": "N", "range": {"start": "0", "end": "9", "interval": "1"}},
        "encryptionConfiguration": {"kmsKeyName": "k"},
    }
    resource = {"schema": {"fields": [{"name": "PatientID", "type": "STRING"}]}, **kept}
    name, options = TableName("p", "d", "t"), BigQueryOptions()
    load = make_plan(name, options, "EU", resource, MODALITY, WriteDisposition.WRITE_TRUNCATE).configuration["load"]
    assert load["rangePartitioning"] == kept["rangePartitioning"]
    assert load["destinationEncryptionConfiguration"] == kept["encryptionConfiguration"]
