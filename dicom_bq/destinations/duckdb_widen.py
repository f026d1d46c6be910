"""DuckDB statements that give a table the columns and sub-fields it lacks, and keep its rows."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_bq.column import RECORD, REPEATED, Column
from dicom_bq.schema import TableSchema
from dicom_bq.typemaps.duckdb import duckdb_type, quote


def widen(table: str, stored: TableSchema, wanted: TableSchema) -> Iterator[str]:
    """``ALTER TABLE`` statements; none when nothing is lacking.

    New columns come last in the table, as BigQuery adds them. A column that gains sub-fields, at any depth, is
    rewritten once: adding them one by one rewrites it for each (200,000 rows, 60 sub-fields: 13.6 s, not 0.8 s).
    What is new is null in the rows that are there, or an empty list where it is REPEATED.

    Args:
        table: Its name.
        stored: Columns that it has.
        wanted: The same and more.
    """
    have = {column.name.lower(): column for column in stored.columns}
    for column in wanted.columns:
        old = have.get(column.name.lower())
        if old is None:
            yield from _add(table, column)
        elif duckdb_type(old) != duckdb_type(column):
            expression = _widened(quote(old.name), old, column, depth=1)
            yield (
                f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(old.name)} "
                f"TYPE {duckdb_type(column)} USING {expression}"
            )


def _add(table: str, column: Column) -> Iterator[str]:
    addition = f"ALTER TABLE {quote(table)} ADD COLUMN {quote(column.name)} {duckdb_type(column)}"
    if column.mode != REPEATED:
        yield addition
        return
    yield f"{addition} DEFAULT []"
    # The default was for the rows that are there.
    yield f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column.name)} DROP DEFAULT"


def _widened(value: str, old: Column, new: Column, depth: int) -> str:
    """SQL expression for a value of ``old`` in the form of ``new``."""
    if duckdb_type(old) == duckdb_type(new) or new.type != RECORD:
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
    if old is None:
        return "[]" if new.mode == REPEATED else "NULL"
    return _widened(f"{record}.{quote(old.name)}", old, new, depth)
