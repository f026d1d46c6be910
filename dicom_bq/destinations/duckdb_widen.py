"""DuckDB statements that give a table the columns and sub-fields it lacks, and keep its rows in their order.

What is new is null in the rows that are there, or an empty list where it is REPEATED.

No statement here may leave an expression in the write-ahead log: DuckDB 2.0.0 cannot replay a call of, say,
``list_transform``, so a process killed before the next checkpoint would leave a file that does not open any more.
Hence no ``ALTER TABLE ... TYPE ... USING``, and defaults written as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dicom_bq.column import RECORD, REPEATED, Column
from dicom_bq.schema import TableSchema
from dicom_bq.typemaps.duckdb import duckdb_type, quote


def needs_rebuild(stored: TableSchema, wanted: TableSchema) -> bool:
    """Whether a column that is there gains sub-fields, so that adding columns is not enough.

    Sub-fields could be added one by one, but each rewrites the whole column: 200,000 rows and 60 sub-fields took
    13.6 s, and 0.8 s in one go.
    """
    kinds = {column.name.lower(): duckdb_type(column) for column in stored.columns}
    return any(kinds.get(column.name.lower(), kind) != kind for column, kind in _kinds(wanted))


def _kinds(schema: TableSchema) -> Iterator[tuple[Column, str]]:
    return ((column, duckdb_type(column)) for column in schema.columns)


def additions(table: str, stored: TableSchema, wanted: TableSchema) -> Iterator[str]:
    """``ALTER TABLE`` statements for the columns that a table lacks; they come last, as BigQuery adds them."""
    for column in _added(stored, wanted):
        addition = f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column.name)} {duckdb_type(column)}"
        if column.mode != REPEATED:
            yield addition
        else:
            yield f"{addition} DEFAULT '[]'"
            # The default was for the rows that are there.
            yield f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column.name)} DROP DEFAULT"


def rebuild(table: str, order: Sequence[str], stored: TableSchema, wanted: TableSchema) -> str:
    """The statement that writes a table anew, with every column and sub-field that is wanted.

    Args:
        table: Its name.
        order: Names of its columns, in its own order, which stays; new columns come last.
        stored: Columns that it has.
        wanted: The same and more.
    """
    have = {column.name.lower(): column for column in stored.columns}
    new = {column.name.lower(): column for column in wanted.columns}
    kept = [(have[name.lower()], new[name.lower()]) for name in order]
    added = [(None, column) for column in _added(stored, wanted)]
    columns = ",\n    ".join(_selected(old, column) for old, column in (*kept, *added))
    return f"CREATE OR REPLACE TABLE {quote(table)} AS SELECT\n    {columns}\nFROM {quote(table)}"


def _added(stored: TableSchema, wanted: TableSchema) -> list[Column]:
    have = {column.name.lower() for column in stored.columns}
    return [column for column in wanted.columns if column.name.lower() not in have]


def _selected(old: Column | None, new: Column) -> str:
    if old is not None and duckdb_type(old) == duckdb_type(new):
        return quote(old.name)
    value = _absent(new) if old is None else _widened(quote(old.name), old, new, depth=1)
    return f"CAST({value} AS {duckdb_type(new)}) AS {quote(new.name)}"


def _absent(column: Column) -> str:
    return "[]" if column.mode == REPEATED else "NULL"


def _widened(value: str, old: Column, new: Column, depth: int) -> str:
    """SQL expression for a value of ``old`` in the form of ``new``."""
    if new.type != RECORD or duckdb_type(old) == duckdb_type(new):
        return value
    if new.mode != REPEATED:
        return _record(value, old, new, depth)
    item = f"item_{depth}"
    return f"list_transform({value}, lambda {item}: {_record(item, old, new, depth + 1)})"


def _record(value: str, old: Column, new: Column, depth: int) -> str:
    have = {field.name.lower(): field for field in old.fields}
    fields = ", ".join(
        f"{quote(field.name)}: {_field(value, have.get(field.name.lower()), field, depth)}" for field in new.fields
    )
    return f"CASE WHEN {value} IS NULL THEN NULL ELSE {{{fields}}} END"


def _field(record: str, old: Column | None, new: Column, depth: int) -> str:
    return _absent(new) if old is None else _widened(f"{record}.{quote(old.name)}", old, new, depth)
