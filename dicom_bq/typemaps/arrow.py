"""Columns as Arrow types, and Arrow types as columns.

Every field is nullable. A REPEATED column is a list; elements are never null, as BigQuery's arrays hold none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import pyarrow as pa

from dicom_bq.column import NULLABLE, RECORD, REPEATED, Column, in_order
from dicom_bq.errors import SchemaError
from dicom_bq.mapping import is_sequence
from dicom_bq.schema_fields import Level, level_of, places_of

EDITION_KEY = b"dicom_bq.dictionary"
"""Schema metadata: edition of the dictionary that decided types and modes."""

TYPE_KEY = b"dicom_bq.type"
"""Metadata of a field of text: BigQuery's type of it, when that is JSON."""

ARROW_TYPES: dict[str, pa.DataType] = {
    "STRING": pa.string(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "FLOAT": pa.float64(),
    "INTEGER": pa.int64(),
    "NUMERIC": pa.decimal128(20, 0),
}
"""The types that the mapping gives. NUMERIC is of UV alone, whose values have up to 20 digits (PS3.5 6.2)."""

FOREIGN_TYPES: dict[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(),
    "BYTES": pa.binary(),
    "DATETIME": pa.timestamp("us"),
    "BIGNUMERIC": pa.decimal256(76, 38),
    "JSON": pa.string(),
    "GEOGRAPHY": pa.string(),
}
"""BigQuery's other types, in somebody's table; as BigQuery exports them."""

_BIGQUERY_TYPES = {str(kind): name for name, kind in (ARROW_TYPES | FOREIGN_TYPES).items()} | {
    "string": "STRING",
    "large_string": "STRING",
    "string_view": "STRING",
    "large_binary": "BYTES",
    "binary_view": "BYTES",
}


def arrow_schema(columns: Iterable[Column], edition: str = "", stored: pa.Schema | None = None) -> pa.Schema:
    """Arrow schema of a table.

    Args:
        columns: The table's columns.
        edition: Dictionary edition, for the metadata.
        stored: Arrow schema of the table as it is, for the types of columns that are not the mapping's.

    Raises:
        SchemaError: A column has a type that neither the mapping nor ``stored`` knows; names it.
    """
    known = {} if stored is None else {field.name.lower(): field.type for field in stored}
    fields = [_field(column, known.get(column.name.lower()), column.name) for column in columns]
    metadata = {EDITION_KEY: edition.encode()} if edition else None
    return pa.schema(fields, metadata=metadata)


def _field(column: Column, stored: pa.DataType | None, path: str) -> pa.Field:
    is_fixed = column.type in ARROW_TYPES or (column.type == RECORD and column.is_ours and not is_sequence(column.key))
    return _fixed_field(column) if is_fixed and stored is None else _whole_field(column, stored, path)


@lru_cache(maxsize=1 << 13)
def _fixed_field(column: Column) -> pa.Field:
    """The field of a column that is the same in every table, since nothing is in it, or always the same."""
    return _whole_field(column, None, column.name)


def _whole_field(column: Column, stored: pa.DataType | None, path: str) -> pa.Field:
    element = stored.value_type if stored is not None and is_list(stored) else stored
    if column.type == RECORD:
        known = {} if element is None else {field.name.lower(): field.type for field in element}
        kind = pa.struct(
            [_field(child, known.get(child.name.lower()), f"{path}.{child.name}") for child in column.fields]
        )
    else:
        kind = ARROW_TYPES.get(column.type) or element or FOREIGN_TYPES.get(column.type)
    if kind is None:
        raise SchemaError(reason=f"column {path} has a type with no Arrow counterpart: {column.type}")
    metadata = {TYPE_KEY: column.type} if column.type == "JSON" else None
    return pa.field(column.name, pa.list_(kind) if column.mode == REPEATED else kind, metadata=metadata)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's lists, and so a column of it REPEATED."""
    return isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def columns_of_arrow(schema: pa.Schema) -> tuple[Column, ...]:
    """Columns of a table from its Arrow schema; a type without a BigQuery name keeps Arrow's."""
    return _columns(list(schema), level_of(schema.names))


def edition_of_arrow(schema: pa.Schema) -> str:
    """The dictionary edition in a schema's metadata, "" without it."""
    return str((schema.metadata or {}).get(EDITION_KEY, b"").decode())


def _columns(fields: Sequence[pa.Field], level: Level) -> tuple[Column, ...]:
    places = places_of([field.name for field in fields], level)
    return in_order([_column(field, key, below) for field, (key, below) in zip(fields, places, strict=True)])


def _column(field: pa.Field, key: int, below: Level) -> Column:
    repeated = is_list(field.type)
    kind = field.type.value_type if repeated else field.type
    mode = REPEATED if repeated else NULLABLE
    if pa.types.is_struct(kind):
        return Column(field.name, RECORD, mode, key, _columns(list(kind), below))
    told = (field.metadata or {}).get(TYPE_KEY, b"").decode()
    return Column(field.name, told or bigquery_type(kind), mode, key)


def bigquery_type(kind: pa.DataType) -> str:
    """BigQuery's name of an Arrow type, else Arrow's own, which equals no type of the mapping."""
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return "TIMESTAMP" if kind.tz else "DATETIME"
    return _BIGQUERY_TYPES.get(str(kind), str(kind))
