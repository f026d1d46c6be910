"""Columns as DuckDB types (https://duckdb.org/docs/stable/sql/data_types/overview)."""

from __future__ import annotations

from collections.abc import Iterable

from dicom_bq.column import RECORD, REPEATED, Column

DUCKDB_TYPES = {
    "STRING": "VARCHAR",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "FLOAT": "DOUBLE",
    "INTEGER": "BIGINT",
    "NUMERIC": "DECIMAL(20, 0)",
    "BOOLEAN": "BOOLEAN",
    "BYTES": "BLOB",
    "DATETIME": "TIMESTAMP",
    "JSON": "JSON",
}


def quote(name: str) -> str:
    """An identifier between quotes, so that ``Rows`` or a name with a space is one too."""
    return '"' + name.replace('"', '""') + '"'


def duckdb_type(column: Column) -> str:
    """SQL type of a column; a type that is not BigQuery's is taken as DuckDB's own."""
    kind = DUCKDB_TYPES.get(column.type, column.type)
    if column.type == RECORD:
        kind = f"STRUCT({', '.join(f'{quote(child.name)} {duckdb_type(child)}' for child in column.fields)})"
    return f"{kind}[]" if column.mode == REPEATED else kind


def create_table(columns: Iterable[Column], table: str) -> str:
    """``CREATE TABLE`` statement, one line a column."""
    lines = ",\n".join(f"    {quote(column.name)} {duckdb_type(column)}" for column in columns)
    return f"CREATE TABLE {quote(table)} (\n{lines}\n);"
