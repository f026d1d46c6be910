"""Columns as types of Arrow and DuckDB: as the rules say, and understood by the systems themselves."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

import vr_rules
from dicom_bq.errors import SchemaError
from dicom_bq.schema import TableSchema, schema_from_keywords
from dicom_bq.typemaps.arrow import ARROW_TYPES, FOREIGN_TYPES, arrow_schema, bigquery_type
from dicom_bq.typemaps.bigquery import table_description
from dicom_bq.typemaps.duckdb import DUCKDB_TYPES, create_table, quote

RULES = [rule for rule in vr_rules.load().vr.values() if rule.bigquery]
NAMED = {"timestamp[us, UTC]": pa.timestamp("us", "UTC"), "decimal128(20, 0)": pa.decimal128(20, 0)}
EVERY_TYPE = [
    "ImageType",
    "StudyDate",
    "StudyTime",
    "AcquisitionDateTime",
    "SelectorUVValue",
    "Rows",
    "ExaminedBodyThickness",
    "OperatorsName",
    "OverlayOrigin",
    "2005140F.Tag_2005140F.PatientName",
    "2005140F.OtherElements",
]


def test_types_are_those_of_the_rules() -> None:
    scalar = {rule.bigquery: rule for rule in RULES if rule.bigquery != "RECORD"}
    assert set(scalar) == set(ARROW_TYPES)
    for name, rule in scalar.items():
        assert name is not None
        assert rule.arrow is not None
        assert ARROW_TYPES[name] == (NAMED.get(rule.arrow) or pa.type_for_alias(rule.arrow))
        assert DUCKDB_TYPES[name] == rule.duckdb


def test_every_foreign_type_of_bigquery_has_a_counterpart() -> None:
    kinds = {"name": "x"}
    for name in FOREIGN_TYPES:
        schema = TableSchema.from_bigquery([kinds | {"type": name}])
        assert schema.to_arrow().field("x").type == FOREIGN_TYPES[name]


def test_arrow_round_trip_restores_schema_edition_and_keys() -> None:
    schema = schema_from_keywords(EVERY_TYPE)
    again = TableSchema.from_arrow(schema.to_arrow())
    assert again == schema
    assert again.edition == schema.edition != ""
    assert again.paths() == schema.paths()


def test_arrow_has_lists_for_repeated_and_structs_for_records() -> None:
    schema = schema_from_keywords(["ImageType", "OverlayRows", "SelectorUVValue"]).to_arrow()
    assert schema.field("ImageType").type == pa.list_(pa.string())
    assert schema.field("OverlayRows").type == pa.list_(pa.struct([("Id", pa.string()), ("Value", pa.int64())]))
    assert schema.field("SelectorUVValue").type == pa.list_(pa.decimal128(20, 0))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.large_string(), "STRING"),
        (pa.string_view(), "STRING"),
        (pa.timestamp("us", "Europe/Amsterdam"), "TIMESTAMP"),
        (pa.timestamp("us"), "DATETIME"),
        (pa.timestamp("ns"), "timestamp[ns]"),
        (pa.int32(), "int32"),
        (pa.decimal128(18, 3), "decimal128(18, 3)"),
        (pa.decimal128(20, 0), "NUMERIC"),
        (pa.bool_(), "BOOLEAN"),
    ],
)
def test_other_arrow_types_are_foreign_unless_bigquery_has_them(kind: pa.DataType, name: str) -> None:
    assert bigquery_type(kind) == name


def test_lists_of_other_writers_are_repeated() -> None:
    for kind in (pa.large_list(pa.int64()), pa.list_(pa.int64(), 3)):
        assert TableSchema.from_arrow(pa.schema([("x", kind)])).columns[0].kind == "INTEGER REPEATED"


def test_a_foreign_type_keeps_the_type_that_is_stored() -> None:
    stored = pa.schema([("x", pa.list_(pa.struct([("y", pa.int32()), ("z", pa.string())]))), ("w", pa.uint8())])
    schema = TableSchema.from_arrow(stored).merge(schema_from_keywords(["Rows"]))
    made = arrow_schema(schema.columns, stored=stored)
    assert made.field("x").type == stored.field("x").type
    assert made.field("w").type == pa.uint8()
    with pytest.raises(SchemaError, match=r"column x\.y has a type with no Arrow counterpart: int32"):
        schema.to_arrow()


def test_duckdb_understands_the_statement_and_agrees_with_arrow() -> None:
    schema = schema_from_keywords(EVERY_TYPE)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(schema.to_duckdb("a table"))
        made = connection.table('"a table"').arrow()
        assert made.schema == schema.to_arrow()


def test_names_are_quoted() -> None:
    assert quote('a"b') == '"a""b"'
    foreign = TableSchema.from_bigquery([{"name": 'we "said" so', "type": "BOOL"}])
    with duckdb.connect() as connection:
        connection.execute(create_table(foreign.columns, 'x"y'))
        assert connection.execute('SELECT * FROM "x""y"').description[0][0] == 'we "said" so'


def test_table_description_names_the_dictionary() -> None:
    assert table_description("pydicom 9").endswith("Data dictionary: pydicom 9.")
    assert "dictionary" not in table_description("")
