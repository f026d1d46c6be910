"""Rows as newline-delimited JSON (https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Protocol, Self

from dicom_bq.column import REPEATED
from dicom_bq.destinations.bigquery_tables import Field

if TYPE_CHECKING:
    import pyarrow as pa


class Writer(Protocol):
    """What writes tables to a file; ``pyarrow.parquet.ParquetWriter`` is one."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *error: object) -> object:
        """Write what is left."""

    def write_table(self, table: pa.Table, row_group_size: int) -> object:
        """Write rows."""


class JsonWriter:
    """Writes tables to a file as one JSON object a row.

    Args:
        file: Open for binary writing.
        fields: Columns, as the API has them, none of them a RECORD; text of type JSON is written as it is.
        schema: The same, as Arrow.
    """

    def __init__(self, file: IO[bytes], *, fields: Sequence[Field], schema: pa.Schema) -> None:
        self._file = file
        self._columns = [(item["name"], f"{json.dumps(item['name'])}:", _writer(item)) for item in fields]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """The file is the caller's to close."""

    def write_table(self, table: pa.Table, row_group_size: int) -> None:
        """Write rows; a NULL is a key that is not there."""
        for batch in table.to_batches(max_chunksize=row_group_size):
            for row in batch.to_pylist():
                present = ((key, write, row[name]) for name, key, write in self._columns)
                values = (key + write(value) for key, write, value in present if value is not None)
                self._file.write(f"{{{','.join(values)}}}\n".encode())


def _writer(item: Field) -> Callable[[object], str]:
    """A function that makes a value of a column JSON text."""
    if item["type"] == "JSON":
        return str
    return _array if item.get("mode") == REPEATED else _scalar


def _array(values: object) -> str:
    return json.dumps(values, ensure_ascii=False)


def _scalar(value: object) -> str:
    return f'"{value.isoformat()}"' if isinstance(value, datetime.datetime) else json.dumps(value, ensure_ascii=False)
