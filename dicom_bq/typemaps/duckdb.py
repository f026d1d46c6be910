"""Columns as DuckDB types (https://duckdb.org/docs/stable/sql/data_types/overview)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from dicom_bq.column import NULLABLE, RECORD, REPEATED, Column, in_order
from dicom_bq.errors import SchemaError
from dicom_bq.schema_fields import Level, level_of, places_of

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

_BIGQUERY_ONLY = frozenset(("BIGNUMERIC", "FOREIGN", "GEOGRAPHY", "RANGE"))
_OWN_NAMES = {"INTEGER": "INT4", "FLOAT": "FLOAT4"}
"""DuckDB's other names of types whose usual ones are BigQuery's for something else."""
_BIGQUERY_TYPES = {name.replace(", ", ","): kind for kind, name in DUCKDB_TYPES.items()}


class DuckDBType(Protocol):
    """A type as DuckDB's Python client describes it."""

    @property
    def id(self) -> str:
        """Its name without parameters, such as ``list``."""

    @property
    def children(self) -> list[Any]:
        """Pairs of name and type: the element of a list, the fields of a struct."""


def quote(name: str) -> str:
    """An identifier between quotes, so that ``Rows`` or a name with a space is one too."""
    return '"' + name.replace('"', '""') + '"'


def duckdb_type(column: Column, parent: str = "") -> str:
    """SQL type of a column; a type that is not BigQuery's is taken as DuckDB's own.

    Args:
        column: The column.
        parent: Path of what it is in, "" at the top.

    Raises:
        SchemaError: DuckDB has no such type; names the column.
    """
    path = f"{parent}.{column.name}" if parent else column.name
    if column.type in _BIGQUERY_ONLY:
        raise SchemaError(reason=f"column {path} has a type with no DuckDB counterpart: {column.type}")
    kind = DUCKDB_TYPES.get(column.type, column.type)
    if column.type == RECORD:
        kind = f"STRUCT({', '.join(f'{quote(child.name)} {duckdb_type(child, path)}' for child in column.fields)})"
    elif column.type == "NUMERIC" and not column.is_ours:
        kind = _decimal(dict(column.properties)) or kind
    return f"{kind}[]" if column.mode == REPEATED else kind


def _decimal(properties: Mapping[str, str]) -> str | None:
    """The type of a NUMERIC of which a schema file says how many digits it has, and how many after the point."""
    precision, scale = (properties.get(name, "0").strip('"') for name in ("precision", "scale"))
    known = precision.isdecimal() and scale.isdecimal() and int(precision)
    return f"DECIMAL({int(precision)}, {int(scale)})" if known else None


def create_table(columns: Iterable[Column], table: str) -> str:
    """``CREATE TABLE`` statement, one line a column."""
    lines = ",\n".join(f"    {quote(column.name)} {duckdb_type(column)}" for column in columns)
    return f"CREATE TABLE {quote(table)} (\n{lines}\n);"


def columns_of_duckdb(names: Sequence[str], types: Sequence[DuckDBType]) -> tuple[Column, ...]:
    """Columns of a table from its names and types; a type without a BigQuery name keeps DuckDB's."""
    return _columns(names, types, level_of(names))


def _columns(names: Sequence[str], types: Sequence[DuckDBType], level: Level) -> tuple[Column, ...]:
    places = places_of(names, level)
    return in_order([_column(name, kind, *place) for name, kind, place in zip(names, types, places, strict=True)])


def _column(name: str, kind: DuckDBType, key: int, below: Level) -> Column:
    repeated = kind.id == "list"
    element = kind.children[0][1] if repeated else kind
    mode = REPEATED if repeated else NULLABLE
    if element.id == "struct":
        names, types = zip(*element.children, strict=True)
        return Column(name, RECORD, mode, key, _columns(names, types, below))
    text = str(element)
    return Column(name, _BIGQUERY_TYPES.get(text) or _OWN_NAMES.get(text, text), mode, key)
