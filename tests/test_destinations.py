"""What every local destination does: the three dispositions, all or nothing, on tables as they may be."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dicom_bq.destinations.base import Destination, WriteDisposition
from dicom_bq.destinations.bigquery import BigQueryTable
from dicom_bq.destinations.duckdb import DuckDBTable
from dicom_bq.destinations.parquet import ParquetDirectory, ParquetFile
from dicom_bq.destinations.resolve import resolve
from dicom_bq.errors import (
    DestinationConflictError,
    DestinationError,
    DestinationExistsError,
    SchemaConflictError,
    SchemaLimitError,
    UsageError,
)
from dicom_bq.schema import Column, TableSchema, schema_from_keywords
from tests.tables import (
    CONFLICTING,
    DESTINATIONS,
    NARROW,
    WIDE,
    batches,
    leftovers,
    narrow_row,
    read,
    wide_row,
    widened,
)

EMPTY, APPEND, TRUNCATE = WriteDisposition


@pytest.fixture(params=DESTINATIONS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def destination(path: Path) -> Destination:
    return resolve(path)


def make(path: Path, schema: pa.Schema | TableSchema, rows: list[dict[str, Any]]) -> None:
    """A table of somebody else's making, of any Arrow schema."""
    schema = schema.to_arrow() if isinstance(schema, TableSchema) else schema
    table = pa.Table.from_pylist(rows, schema=schema)
    if path.suffix == ".duckdb":
        with duckdb.connect(path) as connection:
            connection.register("incoming", table)
            connection.execute("CREATE TABLE dicom AS FROM incoming")
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        path.mkdir()
        pq.write_table(table, path / "data.parquet")


# ---- dispositions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disposition", WriteDisposition)
def test_an_absent_table_is_made(destination: Destination, path: Path, disposition: WriteDisposition) -> None:
    assert destination.existing() is None
    rows = [narrow_row(number) for number in range(5)]
    destination.check(disposition, NARROW)
    assert destination.write(NARROW, batches(NARROW, rows), disposition) == 5
    assert read(path) == rows
    existing = destination.existing()
    assert existing is not None
    assert (existing.schema, existing.rows, existing.schema.edition) == (NARROW, 5, NARROW.edition)
    assert leftovers(path) == []


@pytest.mark.parametrize("disposition", WriteDisposition)
def test_an_empty_table_is_filled(destination: Destination, path: Path, disposition: WriteDisposition) -> None:
    assert destination.write(NARROW, [], EMPTY) == 0
    existing = destination.existing()
    assert existing is not None
    assert (existing.schema, existing.rows) == (NARROW, 0)
    rows = [wide_row(number) for number in range(3)]
    destination.check(disposition, WIDE)
    assert destination.write(WIDE, batches(WIDE, rows), disposition) == 3
    assert read(path) == rows
    assert leftovers(path) == []


def test_write_empty_refuses_rows_before_anything_is_read(destination: Destination, path: Path) -> None:
    rows = [narrow_row(1)]
    destination.write(NARROW, batches(NARROW, rows), EMPTY)
    for schema in (None, NARROW, WIDE):
        with pytest.raises(DestinationExistsError, match=r"has 1 rows already\. Add to it with write disposition"):
            destination.check(EMPTY, schema)
    with pytest.raises(DestinationExistsError, match="has 1 rows already"):
        destination.write(NARROW, never(), EMPTY)
    assert read(path) == rows


def never() -> Iterator[pa.RecordBatch]:
    pytest.fail("rows were read")
    yield


def test_append_to_the_same_schema_adds_rows_after_those_there(destination: Destination, path: Path) -> None:
    rows = [narrow_row(number) for number in range(7)]
    destination.write(NARROW, batches(NARROW, rows[:3]), EMPTY)
    destination.check(APPEND, NARROW)
    assert destination.write(NARROW, batches(NARROW, rows[3:]), APPEND) == 4
    assert read(path) == rows
    assert leftovers(path) == []


def test_append_of_more_columns_widens_the_rows_there(destination: Destination, path: Path) -> None:
    old, new = [narrow_row(number) for number in range(4)], [wide_row(number) for number in range(4, 7)]
    old[1]["PatientName"] = None
    destination.write(NARROW, batches(NARROW, old), EMPTY)
    destination.check(APPEND, WIDE)
    assert destination.write(WIDE, batches(WIDE, new), APPEND) == 3
    assert read(path) == [*map(widened, old), *new]
    existing = destination.existing()
    assert existing is not None
    assert existing.schema == WIDE
    assert leftovers(path) == []


def test_append_of_fewer_columns_fills_the_new_rows(destination: Destination, path: Path) -> None:
    old, new = [wide_row(number) for number in range(3)], [narrow_row(number) for number in range(3, 6)]
    destination.write(WIDE, batches(WIDE, old), EMPTY)
    assert destination.write(NARROW, batches(NARROW, new), APPEND) == 3
    assert read(path) == [*old, *map(widened, new)]
    existing = destination.existing()
    assert existing is not None
    assert existing.schema == WIDE


def test_append_of_nothing_still_adds_columns(destination: Destination, path: Path) -> None:
    old = [narrow_row(number) for number in range(3)]
    destination.write(NARROW, batches(NARROW, old), EMPTY)
    assert destination.write(WIDE, [], APPEND) == 0
    assert read(path) == [widened(row) for row in old]


@pytest.mark.parametrize(("first", "second"), [(WIDE, NARROW), (NARROW, WIDE), (CONFLICTING, NARROW)])
def test_truncate_replaces_rows_and_schema(
    destination: Destination, path: Path, first: TableSchema, second: TableSchema
) -> None:
    make(path, first, [{"PatientID": "1"}])
    rows = [wide_row(1) if second == WIDE else narrow_row(1)]
    destination.check(TRUNCATE, second)
    destination.check(TRUNCATE, None)
    assert destination.write(second, batches(second, rows), TRUNCATE) == 1
    assert read(path) == rows
    existing = destination.existing()
    assert existing is not None
    assert existing.schema == second
    assert leftovers(path) == []


@pytest.mark.parametrize("rows", [[], [{"PatientID": "1", "PatientName": "A^B"}]])
def test_a_column_of_another_type_is_an_error_before_anything_is_read(
    destination: Destination, path: Path, rows: list[dict[str, str]]
) -> None:
    make(path, CONFLICTING, rows)
    before = read(path)
    for schema in (None, NARROW):
        with pytest.raises(
            DestinationConflictError, match="column PatientName is STRING NULLABLE in the table"
        ) as caught:
            destination.check(APPEND, schema)
        assert isinstance(caught.value, SchemaConflictError)
        assert caught.value.facts["path"] == "PatientName"
    with pytest.raises(DestinationConflictError, match=r"and RECORD NULLABLE in the export\. Use another table"):
        destination.write(NARROW, never(), APPEND)
    assert read(path) == before


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (pa.int32(), "(int32|INT4) NULLABLE"),
        (pa.float32(), "(float|FLOAT4) NULLABLE"),
        (pa.list_(pa.int64()), "INTEGER REPEATED"),
    ],
)
def test_a_column_of_nearly_the_type_is_an_error_too(
    destination: Destination, path: Path, kind: pa.DataType, said: str
) -> None:
    make(path, pa.schema([("Rows", kind)]), [])
    for schema in (None, schema_from_keywords(["Rows"])):
        with pytest.raises(DestinationConflictError, match=f"column Rows is {said} in the table and INTEGER NULLABLE"):
            destination.check(APPEND, schema)


def test_a_conflict_in_a_sequence_is_named_by_its_path(destination: Destination, path: Path) -> None:
    items = pa.list_(pa.struct([("ReferencedSOPInstanceUID", pa.list_(pa.string()))]))
    make(path, pa.schema([("ReferencedImageSequence", items)]), [])
    for schema in (None, NARROW):
        with pytest.raises(
            DestinationConflictError,
            match=r"column ReferencedImageSequence\.ReferencedSOPInstanceUID is STRING REPEATED",
        ):
            destination.check(APPEND, schema)


def test_numeric_strings_may_be_text_or_typed_as_long_as_the_export_is_not_known(
    destination: Destination, path: Path
) -> None:
    typed = TableSchema.from_paths([(0x00180050,), (0x00200013,)], numeric_strings="typed")
    destination.write(typed, [], EMPTY)
    destination.check(APPEND, None)
    with pytest.raises(DestinationConflictError, match="column SliceThickness is FLOAT NULLABLE"):
        destination.check(APPEND, schema_from_keywords(["SliceThickness"]))


@pytest.mark.parametrize("rows", [[], [{"id": 7, "patientid": "x", "Extra": {"Note": ["n"]}, "flag": True}]])
def test_foreign_columns_stay_and_are_null_in_new_rows(
    destination: Destination, path: Path, rows: list[dict[str, Any]]
) -> None:
    foreign = pa.schema(
        [
            ("id", pa.int32()),
            ("patientid", pa.string()),
            ("Extra", pa.struct([("Note", pa.list_(pa.string()))])),
            ("flag", pa.bool_()),
        ]
    )
    make(path, foreign, rows)
    destination.check(APPEND, None)
    new = narrow_row(1)
    destination.write(NARROW, batches(NARROW, [new]), APPEND)
    found = read(path)
    assert found[-1].pop("patientid") == new.pop("PatientID")
    assert found[-1] == new | {"id": None, "Extra": None, "flag": None}
    for before, after in zip(rows, found, strict=False):
        assert {name: after[name] for name in before} == before
        assert after["ReferencedImageSequence"] == []
        assert after["PatientName"] is None
    existing = destination.existing()
    assert existing is not None
    assert [column.name for column in existing.schema.columns if not column.is_ours] == ["id", "Extra", "flag"]


def test_foreign_sub_fields_of_a_sequence_survive_widening(destination: Destination, path: Path) -> None:
    items = pa.list_(pa.struct([("remark", pa.int16()), ("ReferencedSOPInstanceUID", pa.string())]))
    make(path, pa.schema([("ReferencedImageSequence", items)]), [{"ReferencedImageSequence": [{"remark": 3}]}])
    destination.write(WIDE, batches(WIDE, [wide_row(1)]), APPEND)
    old, new = (row["ReferencedImageSequence"] for row in read(path))
    empty = {"ReferencedSOPInstanceUID": None, "ReferencedFrameNumber": [], "PurposeOfReferenceCodeSequence": []}
    assert old == [empty | {"remark": 3}]
    assert new == [item | {"remark": None} for item in wide_row(1)["ReferencedImageSequence"]]


# ---- all or nothing ----------------------------------------------------------------------------------------------


def broken(schema: TableSchema, error: Callable[[], BaseException]) -> Iterator[pa.RecordBatch]:
    yield from batches(schema, [wide_row(number) for number in range(50)])
    raise error()


class RefusedError(Exception):
    pass


@pytest.mark.parametrize("error", [RefusedError, KeyboardInterrupt])
@pytest.mark.parametrize("disposition", [APPEND, TRUNCATE])
def test_rows_that_end_in_an_error_change_nothing(
    destination: Destination, path: Path, disposition: WriteDisposition, error: type[BaseException]
) -> None:
    rows = [narrow_row(number) for number in range(3)]
    destination.write(NARROW, batches(NARROW, rows), EMPTY)
    with pytest.raises(error, match=r"^$"):
        destination.write(WIDE, broken(WIDE, error), disposition)
    assert read(path) == rows
    existing = destination.existing()
    assert existing is not None
    assert existing.schema == NARROW
    assert leftovers(path) == []


@pytest.mark.parametrize("error", [RefusedError, KeyboardInterrupt])
def test_rows_that_end_in_an_error_leave_no_new_table(
    destination: Destination, path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error, match=r"^$"):
        destination.write(WIDE, broken(WIDE, error), EMPTY)
    assert destination.existing() is None
    assert list(path.parent.iterdir()) == []


# ---- rows and columns --------------------------------------------------------------------------------------------


def test_order_of_rows_is_kept_over_many_batches_of_all_sizes(destination: Destination, path: Path) -> None:
    schema = schema_from_keywords(["PatientID", "ImageType"])
    rows = [{"PatientID": str(n), "ImageType": [str(n)] * (n % 3), "DroppedTags": []} for n in range(40_000)]
    table = pa.Table.from_pylist(rows, schema=schema.to_arrow())
    small = [table.slice(start, 7).to_batches()[0] for start in range(0, 700, 7)]
    large = table.slice(700).combine_chunks().to_batches()
    assert destination.write(schema, [*small, *large], EMPTY) == 40_000
    assert read(path) == rows


def test_a_slice_of_a_batch_is_written_alone(destination: Destination, path: Path) -> None:
    rows = [narrow_row(number) for number in range(9)]
    (batch,) = batches(NARROW, rows, size=9)
    assert destination.write(NARROW, [batch.slice(4, 3)], EMPTY) == 3
    assert read(path) == rows[4:7]


def test_every_type_comes_back(destination: Destination, path: Path) -> None:
    keywords = [
        "StudyDate",
        "StudyTime",
        "AcquisitionDateTime",
        "ExaminedBodyThickness",
        "Rows",
        "SelectorUVValue",
        "Modality",
    ]
    schema = schema_from_keywords(keywords)
    row = {
        "StudyDate": datetime.date(1899, 12, 31),
        "AcquisitionDateTime": datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=datetime.UTC),
        "StudyTime": datetime.time(23, 59, 59, 999_999),
        "Modality": "\u5c71\u7530 \U0001f600",
        "ExaminedBodyThickness": -1.5e300,
        "Rows": 2**63 - 1,
        "SelectorUVValue": [2**64 - 1, 0],
        "DroppedTags": [],
    }
    missing = {name: [] if name in {"SelectorUVValue", "DroppedTags"} else None for name in row}
    destination.write(schema, batches(schema, [row, missing]), EMPTY)
    found = read(path)
    assert [int(value) for value in found[0].pop("SelectorUVValue")] == row.pop("SelectorUVValue")
    found[0]["AcquisitionDateTime"] = found[0]["AcquisitionDateTime"].astimezone(datetime.UTC)
    assert found == [row, missing]


def test_time_and_timestamp_have_the_types_other_programs_expect(destination: Destination, path: Path) -> None:
    schema = schema_from_keywords(["StudyTime", "AcquisitionDateTime", "SelectorUVValue"])
    destination.write(schema, [], EMPTY)
    with duckdb.connect(path if path.suffix == ".duckdb" else ":memory:") as connection:
        files = str(path / "*.parquet" if path.is_dir() else path)
        relation = connection.table("dicom") if path.suffix == ".duckdb" else connection.read_parquet(files)
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert types["StudyTime"] == "TIME"
    assert types["AcquisitionDateTime"] == "TIMESTAMP WITH TIME ZONE"
    assert types["SelectorUVValue"] == "DECIMAL(20,0)[]"


def test_editions_of_all_writers_are_recorded(destination: Destination) -> None:
    for edition in ("b", "a"):
        destination.write(TableSchema(NARROW.columns, edition), batches(NARROW, [narrow_row(1)]), APPEND)
    existing = destination.existing()
    assert existing is not None
    assert existing.schema.edition == "a; b"


def test_names_that_differ_in_case_alone_are_too_many(destination: Destination) -> None:
    twice = TableSchema((Column("x", "STRING", "NULLABLE", 1), Column("X", "STRING", "NULLABLE", 2)))
    with pytest.raises(SchemaLimitError, match="columns of one name, ignoring case at X"):
        destination.check(EMPTY, twice)


# ---- places ------------------------------------------------------------------------------------------------------


def test_missing_directory_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    for name in DESTINATIONS:
        destination = resolve(tmp_path / "absent" / name)
        with pytest.raises(DestinationError, match=r"no directory .*absent\. Create it, or choose another path"):
            destination.check(EMPTY, None)
        with pytest.raises(DestinationError, match="no directory"):
            destination.write(NARROW, never(), EMPTY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.duckdb", DuckDBTable),
        ("a.DB", DuckDBTable),
        ("a.parquet", ParquetFile),
        ("a", ParquetDirectory),
        ("a.d/", ParquetDirectory),
    ],
)
def test_suffix_says_what_a_path_is(name: str, kind: type[Destination], tmp_path: Path) -> None:
    assert isinstance(resolve(f"{tmp_path}/{name}"), kind)


@pytest.mark.parametrize("text", ["", "/", "//", "/tmp/.."])
def test_a_place_without_a_name_is_no_table(text: str) -> None:
    with pytest.raises(UsageError, match=f"'{text}' cannot be a table: name a file or a directory"):
        resolve(text)


def test_a_directory_called_parquet_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    assert isinstance(resolve(tmp_path / "a.parquet"), ParquetDirectory)


def test_bq_is_bigquery() -> None:
    assert isinstance(resolve("bq://project.dataset.table"), BigQueryTable)


@pytest.mark.parametrize("text", ["WRITE_APPEND", "write-append", " Write_Append "])
def test_dispositions_are_spelled_as_in_gcloud_and_as_in_the_api(text: str) -> None:
    assert WriteDisposition.parse(text) is APPEND


def test_an_unknown_disposition_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="no write disposition 'upsert'; there are write-empty, write-append, write-truncate"
    ):
        WriteDisposition.parse("upsert")


@pytest.mark.parametrize("name", ["out.parquet", "out.duckdb", "parts"])
def test_a_place_where_the_operating_system_refuses_to_look(tmp_path: Path, name: str) -> None:
    place = tmp_path / ("n" * 300) / name
    with pytest.raises(DestinationError, match=r"File name too long\. Check the path"):
        resolve(place).check(EMPTY, None)
