"""Parts of Parquet tables: what is in those that are there, and how others are written."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dicom_bq.conform import conform
from dicom_bq.destinations import files
from dicom_bq.destinations.base import Existing
from dicom_bq.destinations.parquet_file import write_groups
from dicom_bq.destinations.row_groups import MOST_ROWS
from dicom_bq.destinations.waiting import Group, Waiting
from dicom_bq.errors import DestinationError, SchemaError
from dicom_bq.schema import TableSchema
from dicom_bq.schema_limits import name_twice
from dicom_bq.typemaps.arrow import arrow_schema

_PART = re.compile(r"part-(\d+)\.parquet\Z")
_ROWS_OF_A_PART = 16 * MOST_ROWS
_ROWS_OF_A_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file that is there: its schema and row count, from its footer."""

    path: Path
    schema: pa.Schema
    rows: int

    @classmethod
    def read(cls, path: Path) -> Part:
        """Look at a file.

        Raises:
            DestinationError: It is not a Parquet file.
        """
        with files.refusals(str(path)):
            try:
                with pq.ParquetFile(path) as file:
                    return cls(path, file.schema_arrow, file.metadata.num_rows)
            except pa.ArrowInvalid as error:
                advice = "Take it away, or choose another path"
                raise DestinationError(destination=str(path), reason="not a Parquet file", advice=advice) from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows, some at a time."""
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(_ROWS_OF_A_BATCH)


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of one table.

    Attributes:
        uri: Of the table, for messages.
        parts: In their order; none when there is no table.
    """

    uri: str
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, uri: str, paths: Iterable[Path]) -> Parts:
        """Look at files.

        Raises:
            DestinationError: One is not a Parquet file.
        """
        return cls(uri, tuple(map(Part.read, paths)))

    def existing(self) -> Existing | None:
        """What the table has.

        Raises:
            DestinationError: The parts do not agree.
        """
        if not self.parts:
            return None
        schemas = [TableSchema.from_arrow(part.schema) for part in self.parts]
        for each in schemas:
            if twice := name_twice(each.columns):
                reason = f"two of its columns are called {twice}, ignoring case"
                raise DestinationError(destination=self.uri, reason=reason, advice="Give one of them another name")
        try:
            schema = TableSchema().merge(*schemas)
        except SchemaError as error:
            advice = "Parts of one table must agree; choose another directory"
            raise DestinationError(destination=self.uri, reason=str(error), advice=advice) from error
        return Existing(schema, sum(part.rows for part in self.parts))

    def target(self, existing: Existing | None, schema: TableSchema) -> pa.Schema:
        """The form that every part gets: columns that are not the mapping's keep the type they have."""
        merged = schema if existing is None else existing.schema.merge(schema)
        schemas = [part.schema for part in self.parts]
        stored = pa.unify_schemas(schemas, promote_options="permissive") if schemas else None
        return arrow_schema(merged.columns, merged.edition, stored)


def keep(part: Part, path: Path, target: pa.Schema, encoders: int) -> None:
    """Have a part under another path, in the form wanted."""
    if part.schema.equals(target):
        files.link_or_copy(part.path, path)
    else:
        write_file(path, target, part.batches(), encoders)


def write_file(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], encoders: int) -> int:
    """Write one file. Returns its rows."""
    with Waiting(path.parent) as waiting:
        groups = waiting.groups(map(functools.partial(conform, schema=schema), batches))
        return write_groups(path, schema, groups, waiting, encoders)


def write_parts(
    directory: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], encoders: int, *, required: bool
) -> int:
    """Write new parts after those that are there; one without rows only if ``required``. Returns their rows."""
    taken = [int(match[1]) for match in map(_PART.match, (path.name for path in directory.iterdir())) if match]
    number = max(taken, default=-1) + 1
    rows = 0
    with Waiting(directory) as waiting:
        groups = waiting.groups(map(functools.partial(conform, schema=schema), batches))
        first = next(groups, None)
        while first is not None or required:
            path = directory / f"part-{number:05d}.parquet"
            rows += write_groups(path, schema, _until(_ROWS_OF_A_PART, first, groups), waiting, encoders)
            number += 1
            required = False
            first = next(groups, None)
    return rows


def _until(most_rows: int, group: Group | None, groups: Iterator[Group]) -> Iterator[Group]:
    rows = 0
    while group is not None:
        rows += group.rows
        yield group
        group = next(groups, None) if rows < most_rows else None
