"""What is particular to Parquet: row groups, parts, and files that change all at once."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_bq.destinations import files, parquet_parts
from dicom_bq.destinations.base import Destination, WriteDisposition
from dicom_bq.destinations.parquet import ParquetDirectory, ParquetFile
from dicom_bq.destinations.row_groups import MOST_ROWS, row_groups
from dicom_bq.errors import DestinationConflictError, DestinationError
from dicom_bq.schema import TableSchema, schema_from_keywords
from dicom_bq.typemaps.arrow import EDITION_KEY
from tests.tables import NARROW, TALL, WIDE, batches, leftovers, narrow_row, read, wide_row, widened

EMPTY, APPEND, TRUNCATE = WriteDisposition
FLAT = schema_from_keywords(["PatientID"])


@pytest.fixture(params=["table.parquet", "parts"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def destination(path: Path) -> Destination:
    return ParquetFile(path) if path.suffix else ParquetDirectory(path)


def numbered(count: int, start: int = 0) -> list[pa.RecordBatch]:
    """Batches of 1,000 rows, of one column that counts."""
    numbers = pa.array(range(start, start + count)).cast(pa.string())
    nothing = pa.array([[]] * count, FLAT.to_arrow().field("DroppedTags").type)
    return pa.Table.from_arrays([numbers, nothing], schema=FLAT.to_arrow()).to_batches(max_chunksize=1_000)


def parts_of(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


# ---- row groups --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 7))
def test_row_groups_keep_every_row_in_order_and_are_full(sizes: list[int], most: int) -> None:
    starts = [0, *itertools.accumulate(sizes)]
    made = [pa.record_batch({"n": pa.array(range(*span), pa.int64())}) for span in itertools.pairwise(starts)]
    groups = [group.column("n").to_pylist() for group in row_groups(made, most)]
    assert [number for group in groups for number in group] == list(range(starts[-1]))
    assert all(0 < len(group) <= most for group in groups)
    for group, after in itertools.pairwise(groups):
        # What came next would not have fitted: the rest of the batch that the next group starts with.
        end = next(end for end in starts if end > after[0])
        assert len(group) + min(end - after[0], most) > most


def test_row_groups_are_bounded_by_bytes_too() -> None:
    batch = pa.record_batch({"n": pa.array(range(1000), pa.int64())})
    assert [group.num_rows for group in row_groups([batch] * 5, most_bytes=2 * batch.nbytes)] == [2000, 2000, 1000]


def test_small_batches_become_row_groups_of_many_rows(destination: Destination, path: Path) -> None:
    destination.write(FLAT, numbered(100_000), EMPTY)
    metadata = pq.ParquetFile(path if path.is_file() else path / "part-00000.parquet").metadata
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert rows == [32_000, 32_000, 32_000, 4_000]
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_appending_to_a_file_again_and_again_does_not_leave_tiny_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    for start in range(5):
        ParquetFile(path).write(FLAT, numbered(10, start * 10), APPEND)
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    assert [row["PatientID"] for row in read(path)] == [str(number) for number in range(50)]


def test_a_directory_starts_a_new_part_when_one_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_parts, "_ROWS_OF_A_PART", MOST_ROWS)
    path = tmp_path / "parts"
    assert ParquetDirectory(path).write(FLAT, numbered(100_000), EMPTY) == 100_000
    assert [pq.read_metadata(path / name).num_rows for name in parts_of(path)] == [64_000, 36_000]
    assert [row["PatientID"] for row in read(path)] == [str(number) for number in range(100_000)]


def test_a_table_whose_columns_differ_in_case_alone_is_refused(destination: Destination, path: Path) -> None:
    """The values of one of them would be lost."""
    theirs = path if path.suffix else path / "part-00000.parquet"
    theirs.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"PatientID": ["1"], "patientid": ["2"]}), theirs)
    message = "two of its columns are called patientid, ignoring case. Give one of them another name"
    for attempt in (destination.existing, lambda: destination.write(FLAT, numbered(1), APPEND)):
        with pytest.raises(DestinationError, match=message):
            attempt()
    assert pq.read_table(theirs).to_pylist() == [{"PatientID": "1", "patientid": "2"}]


# ---- what other programs see -------------------------------------------------------------------------------------


def test_polars_reads_the_same_rows(destination: Destination, path: Path) -> None:
    rows = [wide_row(number) for number in range(5)]
    destination.write(WIDE, batches(WIDE, rows), EMPTY)
    assert pl.read_parquet(path if path.is_file() else path / "*.parquet").to_dicts() == rows


def test_the_edition_is_in_the_metadata(destination: Destination, path: Path) -> None:
    destination.write(NARROW, [], EMPTY)
    metadata = pq.read_metadata(path if path.is_file() else path / "part-00000.parquet").metadata
    assert metadata[EDITION_KEY].decode() == NARROW.edition != ""


def test_lists_have_the_names_that_loaders_expect(destination: Destination, path: Path) -> None:
    # https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#list_logical_type
    destination.write(schema_from_keywords(["ImageType"]), [], EMPTY)
    schema = pq.ParquetFile(path if path.is_file() else path / "part-00000.parquet").schema
    assert schema.column(0).path == "ImageType.list.element"


@pytest.mark.parametrize("rewrite", ["polars", "pandas-like"])
def test_appends_to_what_another_program_wrote_anew(destination: Destination, path: Path, rewrite: str) -> None:
    rows = [narrow_row(number) for number in range(4)]
    destination.write(NARROW, batches(NARROW, rows), EMPTY)
    file = path if path.is_file() else path / "part-00000.parquet"
    if rewrite == "polars":
        pl.read_parquet(file).write_parquet(file)
    else:
        large = pq.read_table(file)
        strings = large.schema.field("PatientID").with_type(pa.large_string())
        place = large.schema.get_field_index("PatientID")
        pq.write_table(large.cast(large.schema.set(place, strings)), file)
    destination.write(WIDE, batches(WIDE, [wide_row(5)]), APPEND)
    assert read(path) == [*map(widened, rows), wide_row(5)]
    existing = destination.existing()
    assert existing is not None
    assert existing.schema == WIDE


# ---- parts -------------------------------------------------------------------------------------------------------


def test_parts_of_the_same_schema_are_shared_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    inode = (path / "part-00000.parquet").stat().st_ino
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(2)]), APPEND)
    assert (path / "part-00000.parquet").stat().st_ino == inode
    ParquetDirectory(path).write(TALL, batches(TALL, [wide_row(3)]), APPEND)
    assert (path / "part-00000.parquet").stat().st_ino != inode
    assert parts_of(path) == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert len({str(pq.read_schema(path / name)) for name in parts_of(path)}) == 1


def test_parts_are_copied_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    path = tmp_path / "parts"
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(2)]), APPEND)
    assert read(path) == [narrow_row(1), narrow_row(2)]


def test_new_parts_come_after_those_there_whatever_they_are_called(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    path.mkdir()
    for name in ("data.parquet", "part-00007.parquet"):
        pq.write_table(pa.Table.from_batches(batches(NARROW, [narrow_row(1)])), path / name)
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(2)]), APPEND)
    assert parts_of(path) == ["data.parquet", "part-00007.parquet", "part-00008.parquet"]


def test_an_empty_part_goes_when_rows_come(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    ParquetDirectory(path).write(NARROW, [], EMPTY)
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(2)]), EMPTY)
    assert parts_of(path) == ["part-00000.parquet"]
    assert read(path) == [narrow_row(2)]


def test_parts_that_contradict_each_other_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    path.mkdir()
    for name, kind in (("a.parquet", pa.string()), ("b.parquet", pa.int64())):
        pq.write_table(pa.table({"PatientID": pa.array([], kind)}), path / name)
    with pytest.raises(
        DestinationError, match=r"column PatientID is STRING .* INTEGER .*Parts of one table must agree"
    ):
        ParquetDirectory(path).check(APPEND, None)
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(2)]), TRUNCATE)
    assert read(path) == [narrow_row(2)]


# ---- what must not be replaced -----------------------------------------------------------------------------------


@pytest.mark.parametrize("disposition", WriteDisposition)
@pytest.mark.parametrize("other", ["IM0001.dcm", "notes.parquet.txt", ".hidden", "sub.parquet/"])
def test_a_directory_with_anything_else_in_it_is_left_alone(
    tmp_path: Path, disposition: WriteDisposition, other: str
) -> None:
    path = tmp_path / "parts"
    (path / other).mkdir(parents=True) if other.endswith("/") else path.mkdir()
    if not other.endswith("/"):
        (path / other).write_text("precious")
    for attempt in (
        lambda: ParquetDirectory(path).check(disposition, NARROW),
        lambda: ParquetDirectory(path).write(NARROW, [], disposition),
    ):
        with pytest.raises(DestinationError, match=f"{other.strip('/')} is not a part of a Parquet table"):
            attempt()
    assert parts_of(path) == [other.strip("/")]


@pytest.mark.parametrize("place", [".", "../work", "{path}"])
@pytest.mark.parametrize("disposition", [EMPTY, APPEND, TRUNCATE])
def test_the_directory_of_the_command_itself_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, disposition: WriteDisposition
) -> None:
    """A shell would stand in one that is there no more, and see nothing of what was written."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    table = ParquetDirectory(Path(place.format(path=tmp_path / "work")))
    for attempt in (lambda: table.check(disposition, None), lambda: table.write(NARROW, [], disposition)):
        with pytest.raises(DestinationError, match=r"it would be replaced as a whole\. Name a new directory in it"):
            attempt()
    assert (tmp_path / "work").samefile(".")
    assert leftovers(tmp_path / "work") == []
    assert ParquetDirectory(Path("parts")).write(NARROW, [], disposition) == 0


def test_a_file_where_a_directory_should_be_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "parts"
    path.write_text("precious")
    for disposition in WriteDisposition:
        with pytest.raises(DestinationError, match="parts is not a part of a Parquet table"):
            ParquetDirectory(path).check(disposition, NARROW)
    assert path.read_text() == "precious"


def test_what_is_not_parquet_is_an_error_unless_it_is_replaced(destination: Destination, path: Path) -> None:
    file = path if path.suffix else path / "part-00000.parquet"
    file.parent.mkdir(exist_ok=True)
    file.write_text("half a table")
    for disposition in (EMPTY, APPEND):
        with pytest.raises(DestinationError, match=f"{file.name}: not a Parquet file"):
            destination.check(disposition, NARROW)
    destination.check(TRUNCATE, NARROW)
    destination.write(NARROW, batches(NARROW, [narrow_row(2)]), TRUNCATE)
    assert read(path) == [narrow_row(2)]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    for name, kind in (("table.parquet", ParquetFile), ("parts", ParquetDirectory)):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        link, real = tmp_path / name, tmp_path / "elsewhere" / name
        link.symlink_to(real)
        for disposition in (EMPTY, APPEND):
            kind(link).write(NARROW, batches(NARROW, [narrow_row(2)]), disposition)
        assert link.is_symlink()
        assert read(real) == [narrow_row(2)] * 2
        assert sorted(entry.name for entry in (tmp_path / "elsewhere").iterdir() if entry.name.startswith(".")) == []


# ---- at once -----------------------------------------------------------------------------------------------------


def test_two_processes_do_not_write_at_once(destination: Destination, path: Path) -> None:
    destination.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    program = (
        "import sys, pathlib; from dicom_bq.destinations import files\n"
        "with files.exclusive(pathlib.Path(sys.argv[1])): print(flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DestinationError, match=r"another process is writing it\. Wait for it to end"):
            destination.write(NARROW, batches(NARROW, [narrow_row(2)]), APPEND)
        other.communicate(b"\n")
    destination.write(NARROW, batches(NARROW, [narrow_row(2)]), APPEND)
    assert read(path) == [narrow_row(1), narrow_row(2)]
    assert leftovers(path) == []


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, calls = files.beside(tmp_path / "table", "lock"), []
    flock = fcntl.flock

    def slow(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:  # whoever held it has finished just now, and a third process has begun
            lock.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    with files.exclusive(tmp_path / "table"):
        assert len(calls) == 2
        assert lock.exists()
    assert not lock.exists()


def test_a_full_disk_changes_nothing(destination: Destination, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(DestinationError, match=r"No space left on device\. Make room and run the same command again"):
        destination.write(WIDE, batches(WIDE, [wide_row(2)]), APPEND)
    assert read(path) == [narrow_row(1)]
    assert leftovers(path) == []


@pytest.mark.parametrize("disposition", [APPEND, TRUNCATE])
def test_a_directory_is_replaced_where_nothing_can_be_exchanged(
    tmp_path: Path, disposition: WriteDisposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "exchange", lambda *_: False)
    path = tmp_path / "parts"
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(2)]), disposition)
    assert [row["PatientID"] for row in read(path)] == (["1", "2"] if disposition is APPEND else ["2"])
    assert leftovers(path) == []


def test_exchange_swaps_two_paths_or_says_that_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"was-{name}").touch()
    assert files.exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "was-b").exists()
    assert (tmp_path / "b" / "was-a").exists()
    with pytest.raises(FileNotFoundError, match="No such file"):
        files.exchange(tmp_path / "a", tmp_path / "absent")
    monkeypatch.setattr(files, "_EXCHANGE", 1 << 20)  # a flag that no kernel knows
    assert not files.exchange(tmp_path / "a", tmp_path / "b")


def test_conflict_is_seen_again_when_the_table_changed_since_the_check(destination: Destination, path: Path) -> None:
    destination.check(APPEND, NARROW)
    other = ParquetFile(path) if path.suffix else ParquetDirectory(path)
    typed: Any = TableSchema.from_bigquery([{"name": "PatientID", "type": "INTEGER"}])
    other.write(typed, [], EMPTY)
    with pytest.raises(DestinationConflictError, match="column PatientID is INTEGER NULLABLE in the table"):
        destination.write(NARROW, batches(NARROW, [narrow_row(1)]), APPEND)


# ---- permissions -------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("schema", [NARROW, WIDE])
@pytest.mark.parametrize("disposition", [APPEND, TRUNCATE])
def test_a_file_keeps_its_permissions(tmp_path: Path, schema: TableSchema, disposition: WriteDisposition) -> None:
    path = tmp_path / "table.parquet"
    ParquetFile(path).write(NARROW, batches(NARROW, [narrow_row(0)]), EMPTY)
    for wanted in (0o600, 0o664):
        path.chmod(wanted)
        ParquetFile(path).write(schema, batches(schema, []), disposition)
        assert mode(path) == wanted


@pytest.mark.parametrize("schema", [NARROW, WIDE])
@pytest.mark.parametrize("disposition", [APPEND, TRUNCATE])
def test_a_directory_keeps_its_permissions(tmp_path: Path, schema: TableSchema, disposition: WriteDisposition) -> None:
    path = tmp_path / "parts"
    for number in range(2):
        ParquetDirectory(path).write(NARROW, batches(NARROW, [narrow_row(number)]), APPEND)
    path.chmod(0o700)
    (path / "part-00000.parquet").chmod(0o640)
    (path / "part-00001.parquet").chmod(0o600)
    rows = [wide_row(2) if schema is WIDE else narrow_row(2)]
    ParquetDirectory(path).write(schema, batches(schema, rows), disposition)
    assert mode(path) == 0o700
    modes = {"part-00000.parquet": 0o640, "part-00001.parquet": 0o600, "part-00002.parquet": 0o600}
    assert {file.name: mode(file) for file in path.iterdir()} == {name: modes[name] for name in parts_of(path)}


def test_nobody_else_may_read_what_is_being_written(destination: Destination, path: Path) -> None:
    destination.write(FLAT, numbered(1), EMPTY)
    path.chmod(0o700)
    modes = []

    def looked(_mark: str, _rows: int) -> None:
        modes.append(mode(files.beside(path, "writing")))

    def looking() -> Iterator[pa.RecordBatch]:
        looked("", 0)
        yield from numbered(1)

    destination.write(FLAT, looking(), APPEND, looked)
    assert {found & 0o077 for found in modes} == {0}
    assert len(modes) == 2


def test_a_table_keeps_its_owner_and_group(destination: Destination, path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root may give files away")
    destination.write(FLAT, numbered(1), EMPTY)
    every = [path, *path.glob("*")]
    for file in every:
        os.chown(file, 1234, 4321)
    destination.write(FLAT, numbered(1), TRUNCATE)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in every} == {(1234, 4321)}


def test_a_group_that_cannot_be_kept_has_no_successor(
    destination: Destination, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("only root may give files away")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    destination.write(FLAT, numbered(1), EMPTY)
    every = [path, *path.glob("*")]
    for file in every:
        os.chown(file, -1, 4321)
        file.chmod(0o754)
    monkeypatch.setattr(os, "chown", refuse)
    destination.write(FLAT, numbered(1), TRUNCATE)
    assert {mode(file) for file in every} == {0o744}
