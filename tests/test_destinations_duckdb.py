"""What is particular to DuckDB: other programs' files and tables, and widening a table inside one transaction."""

from __future__ import annotations

import contextlib
import datetime
import errno
import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_bq.conform import conform
from dicom_bq.destinations import duckdb_stream
from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.duckdb import DuckDBTable
from dicom_bq.destinations.duckdb_stream import MOST_ROWS, VECTOR, insert
from dicom_bq.errors import DestinationError, MissingDependencyError
from dicom_bq.schema import TableSchema, schema_from_keywords
from tests.tables import NARROW, WIDE, batches, leftovers, narrow_row, read, wide_row, widened

EMPTY, APPEND, TRUNCATE = WriteDisposition


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.duckdb"


@pytest.fixture
def table(path: Path) -> DuckDBTable:
    return DuckDBTable(path)


def execute(path: Path, *statements: str) -> list[Any]:
    with duckdb.connect(path) as connection:
        for statement in statements:
            rows: list[Any] = connection.execute(statement).fetchall()
        return rows


def test_a_write_that_fails_leaves_no_file_where_a_link_leads(table: DuckDBTable, path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(NARROW, [narrow_row(0)])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path.symlink_to("elsewhere.duckdb")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        table.write(NARROW, broken(), EMPTY)
    assert path.is_symlink()
    assert leftovers(path) == []


def test_other_tables_of_the_file_stay(table: DuckDBTable, path: Path) -> None:
    execute(path, "CREATE TABLE mine AS SELECT 42 AS x", "CREATE SCHEMA other", "CREATE TABLE other.dicom(x INT)")
    assert table.existing() is None
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    DuckDBTable(path, "a second").write(WIDE, batches(WIDE, [wide_row(1)]), EMPTY)
    table.write(WIDE, [], TRUNCATE)
    assert execute(path, 'SELECT (FROM mine), (SELECT count(*) FROM dicom), (SELECT count(*) FROM "a second")') == [
        (42, 0, 1)
    ]
    with pytest.raises(DestinationError, match="the table has 1 rows already"):
        DuckDBTable(path, "A SECOND").check(EMPTY, None)


@pytest.mark.parametrize("name", ['odd "name"', "select", "dicom; DROP TABLE mine", "\u5c71"])
def test_any_name_is_a_table(path: Path, name: str) -> None:
    execute(path, "CREATE TABLE mine AS SELECT 42 AS x")
    table = DuckDBTable(path, name)
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    table.write(WIDE, batches(WIDE, [wide_row(2)]), APPEND)
    existing = table.existing()
    assert existing is not None
    assert (existing.schema, existing.rows) == (WIDE, 2)
    assert execute(path, "FROM mine") == [(42,)]


@pytest.mark.parametrize("disposition", WriteDisposition)
def test_a_view_is_not_overwritten(table: DuckDBTable, path: Path, disposition: WriteDisposition) -> None:
    execute(path, "CREATE VIEW dicom AS SELECT 1 AS x")
    for attempt in (lambda: table.check(disposition, None), lambda: table.write(NARROW, [], disposition)):
        with pytest.raises(DestinationError, match=r"table\.duckdb#dicom: dicom is a view\. Choose another table"):
            attempt()
    assert execute(path, "FROM dicom") == [(1,)]


def test_a_file_that_is_no_database_is_an_error(table: DuckDBTable, path: Path) -> None:
    path.write_text("not a database, but long enough to have a header" * 100)
    for disposition in WriteDisposition:
        with pytest.raises(DestinationError, match="not a valid DuckDB database file"):
            table.check(disposition, NARROW)
    assert path.read_text().startswith("not a database")


def test_a_file_open_in_another_process_is_an_error(table: DuckDBTable, path: Path) -> None:
    table.write(NARROW, [], EMPTY)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DestinationError, match=r"another process has the file open\. Close it there"):
            table.check(APPEND, NARROW)
        with pytest.raises(DestinationError, match="another process has the file open"):
            table.write(NARROW, [], APPEND)
        other.communicate(b"\n")
    table.check(APPEND, NARROW)


def test_a_connection_in_this_process_may_stay_open(table: DuckDBTable, path: Path) -> None:
    with duckdb.connect(path) as connection:
        table.check(EMPTY, NARROW)
        table.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
        assert connection.execute("SELECT PatientID FROM dicom").fetchall() == [("1",)]


def test_row_groups_go_to_disk_and_stay_small_when_a_run_is_forgotten(table: DuckDBTable, path: Path) -> None:
    marks: list[str] = []
    rows = [narrow_row(number) for number in range(2 * MOST_ROWS + 1)]
    table.write(NARROW, batches(NARROW, rows, 1000), EMPTY, lambda mark, _rows: marks.append(mark))
    assert table.holds(marks[0])
    table.forget(marks[0])
    assert not table.holds(marks[0])
    ids = "SELECT DISTINCT row_group_id FROM pragma_storage_info('dicom') WHERE column_name = 'PatientID'"
    assert len(execute(path, ids)) == 3
    assert execute(path, "SELECT PatientID FROM dicom") == [(row["PatientID"],) for row in rows]


@pytest.mark.parametrize("name", ["memory.duckdb", "temp.duckdb", "system.duckdb", "it's.duckdb"])
def test_any_name_is_a_file(tmp_path: Path, name: str) -> None:
    table = DuckDBTable(tmp_path / name)
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    table.write(NARROW, batches(NARROW, [narrow_row(2)]), APPEND)
    assert [row["PatientID"] for row in read(table.path)] == ["1", "2"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_long_values_get_the_memory_that_they_need(table: DuckDBTable) -> None:
    schema = schema_from_keywords(["PatientID"])
    text = "".join(map(str, range(3_000_000)))
    rows = [{"PatientID": f"{number}{text}", "DroppedTags": []} for number in range(4)]
    assert table.write(schema, batches(schema, rows), EMPTY) == 4
    assert [row["PatientID"][0] for row in read(table.path)] == list("0123")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises, also where these tests run in the background, whose processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("delay", [0.2, 0.25, 0.3])
def test_an_interrupt_is_one_wherever_it_comes(table: DuckDBTable, path: Path, delay: float) -> None:
    (batch,) = batches(WIDE, [wide_row(number) for number in range(1000)], 1000)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        table.write(WIDE, itertools.repeat(batch, 2000), EMPTY)
    timer.join()
    assert not path.exists()


def test_what_duckdb_has_no_memory_for_is_for_this_user_alone_and_is_gone_afterwards(
    table: DuckDBTable, path: Path
) -> None:
    spill = path.with_name(f".{path.name}.spill")
    seen = list[tuple[int, bool, list[str]]]()

    def rows() -> Iterator[pa.RecordBatch]:
        for number in range(2):
            yield from batches(NARROW, [narrow_row(number)])
            seen.append(
                (
                    stat.S_IMODE(spill.stat().st_mode),
                    (spill / "left").exists(),
                    [file.name for file in path.parent.iterdir()],
                )
            )

    spill.mkdir()
    (spill / "left").touch()  # by a process that was killed
    table.write(NARROW, rows(), EMPTY)
    assert [(mode, left) for mode, left, _ in seen] == [(0o700, False)] * 2
    assert not any(name.endswith(".tmp") for _, _, names in seen for name in names)
    assert leftovers(path) == []
    with duckdb_stream.attached(path, spill) as (connection, _):
        (found,) = connection.execute("SELECT current_setting('temp_directory')").fetchone() or ("",)
    assert found == str(spill)


def test_duckdb_not_installed_says_what_to_install(
    table: DuckDBTable, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'dicom-bq\[duckdb\]'"):
        table.existing()


def test_values_are_not_in_the_message_of_a_refusal(table: DuckDBTable, path: Path) -> None:
    execute(
        path,
        "CREATE TABLE dicom (PatientID VARCHAR UNIQUE, DroppedTags STRUCT(TagName VARCHAR, TagReference VARCHAR)[])",
    )
    schema = schema_from_keywords(["PatientID"])
    rows = [{"PatientID": "SECRET", "DroppedTags": []}] * 2
    with pytest.raises(DestinationError, match=r"DuckDB refuses the rows \(ConstraintException\)") as caught:
        table.write(schema, batches(schema, rows), APPEND)
    assert "SECRET" not in str(caught.value)
    assert execute(path, "FROM dicom") == []


def test_defaults_of_foreign_columns_are_used(table: DuckDBTable, path: Path) -> None:
    execute(path, "CREATE TABLE dicom (loaded VARCHAR DEFAULT 'now', PatientID VARCHAR PRIMARY KEY)")
    table.write(NARROW, batches(NARROW, [narrow_row(3)]), APPEND)
    assert execute(path, "SELECT loaded, PatientID FROM dicom") == [("now", "3")]


def test_what_a_rebuild_would_lose_is_not_lost(table: DuckDBTable, path: Path) -> None:
    execute(
        path,
        "CREATE TABLE dicom (x INT DEFAULT 3, PatientID VARCHAR PRIMARY KEY, "
        "ReferencedImageSequence STRUCT(ReferencedSOPInstanceUID VARCHAR)[])",
    )
    table.write(NARROW, batches(NARROW, [narrow_row(3)]), APPEND)
    message = "a record gains sub-fields, but the table has constraints and defaults and indexes, which would be lost"
    with pytest.raises(DestinationError, match=message.replace(" and indexes", "( and indexes)?")):
        table.write(WIDE, batches(WIDE, [wide_row(3)]), APPEND)
    assert [row["PatientID"] for row in read(path)] == ["3"]


def test_what_a_rebuild_would_lose_is_known_before_anything_is_read(table: DuckDBTable, path: Path) -> None:
    execute(
        path,
        "CREATE TABLE dicom (x INT DEFAULT 3, PatientID VARCHAR, "
        "ReferencedImageSequence STRUCT(ReferencedSOPInstanceUID VARCHAR)[])",
    )
    table.check(APPEND, NARROW)
    with pytest.raises(DestinationError, match="a record gains sub-fields, but the table has defaults"):
        table.check(APPEND, WIDE)
    table.check(TRUNCATE, WIDE)


def test_a_column_that_may_not_be_null_is_known_before_anything_is_read(table: DuckDBTable, path: Path) -> None:
    execute(path, "CREATE TABLE dicom (x BIGINT NOT NULL, y INT NOT NULL DEFAULT 1, ImageType VARCHAR[] NOT NULL)")
    message = "dicom: x may not be NULL, and no row has a value for it. Give it a default, or drop NOT NULL"
    with_x = NARROW.merge(TableSchema.from_bigquery([{"name": "x", "type": "INTEGER"}]))  # of --schema; no row has it
    for attempt in (
        lambda: table.check(APPEND, None),
        lambda: table.check(APPEND, NARROW),
        lambda: table.check(APPEND, with_x),
        lambda: table.write(NARROW, [], APPEND),
    ):
        with pytest.raises(DestinationError, match=message):
            attempt()
    table.check(TRUNCATE, NARROW)
    execute(path, "ALTER TABLE dicom ALTER COLUMN x DROP NOT NULL", "ALTER TABLE dicom ADD COLUMN Modality VARCHAR")
    execute(path, "ALTER TABLE dicom ALTER COLUMN Modality SET NOT NULL")
    table.check(APPEND, None)  # rows may have it
    with pytest.raises(DestinationError, match="Modality may not be NULL"):
        table.check(APPEND, NARROW)
    execute(path, "ALTER TABLE dicom DROP COLUMN Modality")
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), APPEND)
    assert execute(path, "SELECT y, ImageType, PatientID FROM dicom") == [(1, [], "1")]


def test_looking_at_a_table_needs_no_more_than_reading(table: DuckDBTable, path: Path) -> None:
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        existing = table.existing()
        assert existing is not None
        assert (existing.schema, existing.rows) == (NARROW, 1)
        other.communicate(b"\n")


@pytest.mark.parametrize("columns", [0, 320])
def test_duckdb_has_memory_for_the_largest_batch_and_no_less_afterwards(path: Path, columns: int) -> None:
    """Twice the bytes of a vector of its rows, and so much for each column; without any, what it had."""
    seen: list[str] = []
    sizes = [(VECTOR, 1 << 20), (VECTOR // 2, 8 << 20), (VECTOR, 1 << 20)]  # of the second, a vector has 16 MiB
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t (a VARCHAR)")
        before = limit_of(connection)
        cursor = connection.cursor()

        def given() -> Iterator[pa.RecordBatch]:
            for rows, size in sizes:
                yield pa.RecordBatch.from_pydict({"a": ["x" * (size // rows)] * rows})
                seen.append(limit_of(cursor))

        with contextlib.closing(cursor):
            insert(connection, "t", pa.schema([("a", pa.string())]), given(), columns)
    assert seen == ([before] * 3 if not columns else ["54.0 MiB", "84.0 MiB", "84.0 MiB"])


def limit_of(connection: duckdb.DuckDBPyConnection) -> str:
    ((limit,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    return str(limit)


def test_comments_stay_through_a_rebuild(table: DuckDBTable, path: Path) -> None:
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), EMPTY)
    execute(path, "COMMENT ON COLUMN dicom.PatientID IS 'it''s mine'", "COMMENT ON TABLE dicom IS 'and this'")
    table.write(WIDE, batches(WIDE, [wide_row(1)]), APPEND)
    assert execute(path, "SELECT comment FROM duckdb_columns() WHERE comment NOT NULL") == [("it's mine",)]
    assert execute(path, "SELECT comment FROM duckdb_tables()") == [("and this",)]


def test_columns_of_the_table_stay_where_they_are(table: DuckDBTable, path: Path) -> None:
    execute(path, "CREATE TABLE dicom (zebra INT, PatientName STRUCT(Alphabetic STRUCT(GivenName VARCHAR)), apple INT)")
    execute(path, "INSERT INTO dicom VALUES (1, {'Alphabetic': {'GivenName': 'G'}}, 2), (3, NULL, 4)")
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), APPEND)
    rows = read(path)
    assert list(rows[0]) == ["zebra", "PatientName", "apple", "ReferencedImageSequence", "PatientID", "DroppedTags"]
    assert [(row["zebra"], row["apple"]) for row in rows] == [(1, 2), (3, 4), (None, None)]
    assert rows[0]["PatientName"]["Alphabetic"]["GivenName"] == "G"
    assert rows[1]["PatientName"] is None
    assert rows[2]["PatientName"] == narrow_row(1)["PatientName"]


def test_types_of_duckdb_alone_survive(table: DuckDBTable, path: Path) -> None:
    execute(
        path,
        "CREATE TABLE dicom (id UUID, kind ENUM('a', 'b'), m MAP(VARCHAR, INT), f INT[3], h HUGEINT, "
        "PatientName STRUCT(kind ENUM('a', 'b'), d DECIMAL(9, 2)))",
        "INSERT INTO dicom VALUES (uuid(), 'b', MAP {'k': 1}, [1, 2, 3], 5, {'kind': 'a', 'd': 1.5})",
    )
    before = execute(path, "SELECT columns(* EXCLUDE PatientName) FROM dicom")
    table.write(NARROW, batches(NARROW, [narrow_row(1)]), APPEND)
    assert execute(path, "SELECT id, kind, m, f, h FROM dicom")[:1] == before
    assert execute(path, "SELECT PatientName.kind, PatientName.d::VARCHAR FROM dicom") == [("a", "1.50"), (None, None)]
    types = dict(execute(path, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'dicom'"))
    assert types["kind"] == "ENUM('a', 'b')"
    assert types["PatientName"].startswith("STRUCT(")


def test_many_appends_that_each_add_columns(table: DuckDBTable, path: Path) -> None:
    merged = TableSchema()
    for number, keyword in enumerate(["ImageType", "StudyDate", "OtherElements", "OverlayRows"] * 4):
        schema = schema_from_keywords([f"0009{number % 3:02X}10.{keyword}", f"0011{number:02X}10.{keyword}"])
        merged = merged.merge(schema)
        table.write(schema, batches(schema, [{column.name: [] for column in schema.columns}]), APPEND)
    existing = table.existing()
    assert existing is not None
    assert existing.schema == merged
    assert read(path) == [{name: [] for name in read(path)[0]}] * 16


KEYS = st.sampled_from(["PatientName", "ImageType", "StudyDate", "OverlayRows", "OtherElements", "Rows"])
SEQUENCES = st.sampled_from(["ReferencedImageSequence", "00400275", "2005140F"])
KEYWORDS = st.builds(lambda levels, leaf: ".".join((*levels, leaf)), st.lists(SEQUENCES, max_size=3), KEYS)
SCHEMAS = st.lists(KEYWORDS, max_size=6).map(schema_from_keywords)


def some_value(kind: pa.DataType, number: int) -> Any:
    """Anything that fits a type, with null and empty values among them."""
    if pa.types.is_list(kind):
        return [some_value(kind.value_type, number + item + 1) for item in range(number % 3)]
    if pa.types.is_struct(kind):
        return {field.name: some_value(field.type, number * 2 + place) for place, field in enumerate(kind)}
    if pa.types.is_date(kind):
        return None if number % 4 == 0 else datetime.date(2000, 1, 1 + number % 28)
    return str(number) if pa.types.is_string(kind) else number


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=SCHEMAS, second=SCHEMAS, rows=st.integers(0, 5))
def test_appending_is_the_same_as_conforming(first: TableSchema, second: TableSchema, rows: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    table = DuckDBTable(path)
    merged = first.merge(second)
    wanted: list[dict[str, Any]] = []
    for schema in (first, second):
        arrow = schema.to_arrow()
        made = [
            {field.name: some_value(field.type, row + place) for place, field in enumerate(arrow)}
            for row in range(rows)
        ]
        for batch in batches(schema, made):
            wanted += conform(batch, merged.to_arrow()).to_pylist()
        table.write(schema, batches(schema, made), APPEND)
    existing = table.existing()
    assert existing is not None
    assert existing.schema == merged
    assert read(path) == wanted


def test_widening_agrees_with_rows_written_at_once(table: DuckDBTable, path: Path) -> None:
    table.write(NARROW, batches(NARROW, [narrow_row(n) for n in range(5000)], size=999), EMPTY)
    table.write(WIDE, batches(WIDE, [wide_row(1)]), APPEND)
    assert read(path) == [*(widened(narrow_row(n)) for n in range(5000)), wide_row(1)]


def test_half_of_a_new_file_is_not_left_behind(tmp_path: Path) -> None:
    """Nobody could open it: neither the next run nor DuckDB."""
    path = tmp_path / "x.duckdb"
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from dicom_bq.destinations.duckdb import DuckDBTable; from dicom_bq.destinations.base import WriteDisposition;"
        "from tests.tables import NARROW; from pathlib import Path; import duckdb; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000)); "
        "DuckDBTable(Path(sys.argv[1])).write(NARROW, [], WriteDisposition.WRITE_EMPTY)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True, text=True)
    assert "DestinationError: " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EEXIST], ids=errno.errorcode.get)
def test_a_new_file_is_given_its_name(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no links it is moved; if somebody else was sooner, theirs stays."""
    path = tmp_path / "x.duckdb"
    (tmp_path / ".x.duckdb.writing").write_text("half of one, of a process that was killed")

    def link(self: Path, _: Path) -> None:
        if number == errno.EEXIST:
            self.write_text("theirs")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "hardlink_to", link)
    table, rows = DuckDBTable(path), batches(NARROW, [narrow_row(1)])
    if number == errno.EEXIST:
        with pytest.raises(DestinationError, match="File exists"):
            table.write(NARROW, rows, WriteDisposition.WRITE_EMPTY)
        assert path.read_text() == "theirs"
    else:
        assert table.write(NARROW, rows, WriteDisposition.WRITE_EMPTY) == 1
    assert leftovers(path) == []
