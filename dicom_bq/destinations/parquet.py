"""Parquet: one file, or a directory of part files that together are one table."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dicom_bq.conform import conform
from dicom_bq.destinations import files
from dicom_bq.destinations.base import Announce, Capabilities, Existing, WriteDisposition, check_write
from dicom_bq.destinations.parquet_file import write_groups
from dicom_bq.destinations.row_groups import MOST_ROWS
from dicom_bq.destinations.waiting import Group, Waiting
from dicom_bq.errors import DestinationError, SchemaError
from dicom_bq.schema import TableSchema
from dicom_bq.schema_limits import NO_LIMITS
from dicom_bq.typemaps.arrow import arrow_schema

_CAPABILITIES = Capabilities(limits=NO_LIMITS)
_PART = re.compile(r"part-(\d+)\.parquet\Z")
_ROWS_OF_A_PART = 16 * MOST_ROWS
_ROWS_OF_A_BATCH = 1024


@dataclass(frozen=True, slots=True)
class _Part:
    """A Parquet file that is there: its schema and row count, from its footer."""

    path: Path
    schema: pa.Schema
    rows: int

    @classmethod
    def read(cls, path: Path) -> _Part:
        with files.refusals(str(path)):
            try:
                with pq.ParquetFile(path) as file:
                    return cls(path, file.schema_arrow, file.metadata.num_rows)
            except pa.ArrowInvalid as error:
                advice = "Take it away, or choose another path"
                raise DestinationError(destination=str(path), reason="not a Parquet file", advice=advice) from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(_ROWS_OF_A_BATCH)


def _existing(uri: str, parts: list[_Part]) -> Existing | None:
    if not parts:
        return None
    try:
        schema = TableSchema().merge(*(TableSchema.from_arrow(part.schema) for part in parts))
    except SchemaError as error:
        advice = "Parts of one table must agree; choose another directory"
        raise DestinationError(destination=uri, reason=str(error), advice=advice) from error
    return Existing(schema, sum(part.rows for part in parts))


def _target(existing: Existing | None, parts: list[_Part], schema: TableSchema) -> pa.Schema:
    """The form that every part gets: columns that are not the mapping's keep the type they have."""
    merged = schema if existing is None else existing.schema.merge(schema)
    stored = pa.unify_schemas([part.schema for part in parts], promote_options="permissive") if parts else None
    return arrow_schema(merged.columns, merged.edition, stored)


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One Parquet file, replaced as a whole: appending copies the rows it has.

    Attributes:
        path: Where it is, or will be.
        encoders: Threads that encode; what is written does not depend on it.
    """

    path: Path
    encoders: int = 1

    @property
    def uri(self) -> str:
        """The path, as given."""
        return str(self.path)

    @property
    def capabilities(self) -> Capabilities:
        """Limits of Parquet: none that a DICOM schema meets."""
        return _CAPABILITIES

    def _parts(self) -> list[_Part]:
        return [_Part.read(self.path)] if self.path.exists() else []

    def existing(self) -> Existing | None:
        """See ``Destination``."""
        return _existing(self.uri, self._parts())

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """See ``Destination``."""
        files.check_parent(self.path)
        truncate = disposition is WriteDisposition.WRITE_TRUNCATE
        check_write(self, None if truncate else self.existing(), disposition, schema)

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """See ``Destination``."""
        self.check(disposition, schema)
        with files.refusals(self.uri), files.exclusive(self.path):
            parts = [] if disposition is WriteDisposition.WRITE_TRUNCATE else self._parts()
            existing = _existing(self.uri, parts)
            check_write(self, existing, disposition, schema)
            target = _target(existing, parts, schema)
            every = chain.from_iterable((*(part.batches() for part in parts), batches))
            rows = 0

            def ready(identity: str) -> None:
                if announce:
                    announce(identity, rows)

            with files.replacing_file(self.path, ready) as temporary:
                rows = _write(temporary, target, every, self.encoders) - (existing.rows if existing else 0)
            return rows

    def holds(self, mark: str) -> bool:
        """See ``Destination``."""
        with files.refusals(self.uri), files.exclusive(self.path):  # takes away the lock that a killed process left
            return files.identity(self.path) == mark

    def forget(self, mark: str) -> None:
        """See ``Destination``: there is nothing."""


@dataclass(frozen=True, slots=True)
class ParquetDirectory:
    """A directory of Parquet files ``part-00000.parquet``, ... that all have the same columns.

    Appending adds parts; those that are there are shared by hard links, or rewritten where the schema grew.

    Attributes:
        path: Where it is, or will be.
        encoders: Threads that encode; what is written does not depend on it.
    """

    path: Path
    encoders: int = 1

    @property
    def uri(self) -> str:
        """The path, as given."""
        return str(self.path)

    @property
    def capabilities(self) -> Capabilities:
        """Limits of Parquet: none that a DICOM schema meets."""
        return _CAPABILITIES

    def _entries(self) -> list[Path]:
        """Parts in order of name; a directory with anything else in it is not ours to replace."""
        if not self.path.exists():
            return []
        entries = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        for entry in entries:
            if entry == self.path or entry.suffix != ".parquet" or not entry.is_file():
                advice = "Choose a directory that holds one table's Parquet files and nothing else, or a new one"
                reason = f"{entry.name} is not a part of a Parquet table"
                raise DestinationError(destination=self.uri, reason=reason, advice=advice)
        return entries

    def existing(self) -> Existing | None:
        """See ``Destination``."""
        if files.is_interrupted(self.path):
            with files.refusals(self.uri), files.exclusive(self.path):
                files.recover_directory(self.path)
        return _existing(self.uri, [_Part.read(entry) for entry in self._entries()])

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """See ``Destination``."""
        files.check_parent(self.path)
        self._entries()
        truncate = disposition is WriteDisposition.WRITE_TRUNCATE
        check_write(self, None if truncate else self.existing(), disposition, schema)

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """See ``Destination``."""
        self.check(disposition, schema)
        with files.refusals(self.uri), files.exclusive(self.path):
            files.recover_directory(self.path)
            truncate = disposition is WriteDisposition.WRITE_TRUNCATE
            parts = [] if truncate else [_Part.read(entry) for entry in self._entries()]
            existing = _existing(self.uri, parts)
            check_write(self, existing, disposition, schema)
            target = _target(existing, parts, schema)
            kept = [part for part in parts if part.rows]
            rows = 0

            def ready(identity: str) -> None:
                if announce:
                    announce(identity, rows)

            with files.replacing_directory(self.path, ready) as temporary:
                for part in kept:
                    _keep(part, temporary / part.path.name, target, self.encoders)
                rows = _write_parts(temporary, target, batches, self.encoders, required=not kept)
            return rows

    def holds(self, mark: str) -> bool:
        """See ``Destination``."""
        with files.refusals(self.uri), files.exclusive(self.path):
            files.recover_directory(self.path)
            return files.identity(self.path) == mark

    def forget(self, mark: str) -> None:
        """See ``Destination``: there is nothing."""


def _keep(part: _Part, path: Path, target: pa.Schema, encoders: int) -> None:
    if part.schema.equals(target):
        files.link_or_copy(part.path, path)
    else:
        _write(path, target, part.batches(), encoders)


def _write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], encoders: int) -> int:
    """Write one file. Returns its rows."""
    with Waiting(path.parent) as waiting:
        groups = waiting.groups(map(functools.partial(conform, schema=schema), batches))
        return write_groups(path, schema, groups, waiting, encoders)


def _write_parts(
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
