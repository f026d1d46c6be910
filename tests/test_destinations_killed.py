"""A process that is killed at any point leaves the old table or the new one, and the next run cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.resolve import resolve
from tests.tables import DESTINATIONS, NARROW, WIDE, batches, leftovers, narrow_row, read, wide_row, widened

OLD = [narrow_row(number) for number in range(3)]
NEW = [wide_row(number) for number in range(3, 9)]
AFTER = {"WRITE_APPEND": [*map(widened, OLD), *NEW], "WRITE_TRUNCATE": NEW}

CHILD = """
import os, signal, sys
from dicom_bq.destinations import duckdb, files, parquet
from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.resolve import resolve
from tests import tables

path, disposition, point = sys.argv[1:4]
schema = getattr(tables, sys.argv[4])

def killing(before, function, after):
    def run(*arguments, **options):
        if before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return run

def rows():
    yield from tables.batches(schema, [tables.wide_row(number) for number in range(3, 9)])
    if point == "last batch":
        os.kill(os.getpid(), signal.SIGKILL)

if ":" in point:
    when, where = point.split(":")
    if where == "swap":  # as on a system without renameat2
        files.exchange = lambda first, second: False
        where = "Path.rename"
    owner = files
    *names, name = where.split(".")
    for step in names:
        owner = getattr(owner, step)
    calls = 0
    original = getattr(owner, name)
    def counted(*arguments, **options):
        global calls
        calls += 1
        now = not when[1:] or calls == int(when[1:])
        return killing(now and when[0] == "b", original, now and when[0] == "a")(*arguments, **options)
    setattr(owner, name, counted)
if point == "commit":
    original_transaction = duckdb._transaction
    import contextlib
    @contextlib.contextmanager
    def transaction(connection):
        with original_transaction(connection):
            yield
        os.kill(os.getpid(), signal.SIGKILL)
    duckdb._transaction = transaction
resolve(path).write(schema, rows(), WriteDisposition(disposition))
"""

EVERYWHERE = ("last batch",)
POINTS = {
    "table.duckdb": (*EVERYWHERE, "commit"),
    "table.parquet": (*EVERYWHERE, "b:_sync", "b:Path.replace", "a:Path.replace"),
    # Before and after the exchange, while old parts are removed; where there is no exchange: at each rename.
    "parts": (*EVERYWHERE, "b:exchange", "a:exchange", "b:shutil.rmtree", "a1:swap", "a2:swap", "a3:swap"),
}


def run_killed(path: Path, disposition: str, point: str, schema: str = "WIDE") -> None:
    command = [sys.executable, "-c", CHILD, str(path), disposition, point, schema]
    process = subprocess.run(command, check=False, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


@pytest.mark.parametrize(("name", "point"), [(name, point) for name in DESTINATIONS for point in POINTS[name]])
def test_a_killed_write_is_done_or_not(name: str, point: str, tmp_path: Path) -> None:
    path = tmp_path / name
    disposition = "WRITE_TRUNCATE" if point.startswith("a") else "WRITE_APPEND"
    resolve(path).write(NARROW, batches(NARROW, OLD), WriteDisposition.WRITE_EMPTY)
    run_killed(path, disposition, point)
    # What other programs see now. Only where the system cannot exchange, a directory may be missing for a moment.
    if path.exists():
        assert read(path) in (OLD, AFTER[disposition])
    else:
        assert point in {"a2:swap"}
    existing = resolve(path).existing()
    assert existing is not None
    done = existing.rows != len(OLD)
    assert existing.rows == len(read(path))
    assert done == (
        point in {"commit", "a:Path.replace", "a:exchange", "b:shutil.rmtree", "a1:swap", "a2:swap", "a3:swap"}
    )
    assert read(path) == (AFTER[disposition] if done else OLD)
    # The next run goes on from there and leaves nothing behind.
    resolve(path).write(NARROW, batches(NARROW, OLD), WriteDisposition.WRITE_APPEND)
    assert len(read(path)) == existing.rows + len(OLD)
    assert leftovers(path) == []


@pytest.mark.parametrize("schema", ["TALL", "WIDE"])
@pytest.mark.parametrize("disposition", ["WRITE_APPEND", "WRITE_TRUNCATE"])
def test_duckdb_reads_its_log_back(disposition: str, schema: str, tmp_path: Path) -> None:
    # What was committed is in the write-ahead log alone, which must be readable without DuckDB's function library:
    # TALL adds columns to the table, WIDE rebuilds it.
    path = tmp_path / "table.duckdb"
    resolve(path).write(NARROW, batches(NARROW, OLD), WriteDisposition.WRITE_EMPTY)
    run_killed(path, disposition, "commit", schema)
    old = [] if disposition == "WRITE_TRUNCATE" else [(row["PatientID"], []) for row in OLD]
    new = [(row["PatientID"], row["ImageType"]) for row in NEW]
    assert [(row["PatientID"], row["ImageType"]) for row in read(path)] == old + new


@pytest.mark.parametrize("name", DESTINATIONS)
def test_a_killed_first_write_leaves_no_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    run_killed(path, "WRITE_EMPTY", "last batch")
    assert resolve(path).existing() is None
    assert resolve(path).write(WIDE, batches(WIDE, NEW), WriteDisposition.WRITE_EMPTY) == len(NEW)
    assert read(path) == NEW
    assert leftovers(path) == []
