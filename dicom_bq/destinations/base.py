"""What every destination is: somewhere a table can be written, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, get_args

from dicom_bq.column import Column
from dicom_bq.errors import DestinationConflictError, DestinationExistsError, UsageError
from dicom_bq.schema import NumericStrings, TableSchema
from dicom_bq.schema_limits import Limits
from dicom_bq.schema_merge import SchemaChange

if TYPE_CHECKING:
    import pyarrow as pa


Announce: TypeAlias = Callable[[str, int], None]
"""Called with a mark and the number of rows, when the last step of a write is all that is left to do."""


class WriteDisposition(StrEnum):
    """What happens to a table that exists already, in the words of BigQuery's load jobs.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
    """

    WRITE_EMPTY = "WRITE_EMPTY"
    """Rows in it are an error; an empty table is treated as for WRITE_APPEND."""
    WRITE_APPEND = "WRITE_APPEND"
    """Its rows stay; columns and sub-fields that it lacks are added."""
    WRITE_TRUNCATE = "WRITE_TRUNCATE"
    """Its rows and its schema are replaced."""

    @classmethod
    def parse(cls, text: str) -> WriteDisposition:
        """Read ``WRITE_APPEND`` or ``write-append``.

        Raises:
            UsageError: Neither; lists what there is.
        """
        try:
            return cls(text.strip().upper().replace("-", "_"))
        except ValueError:
            known = ", ".join(member.lower().replace("_", "-") for member in cls)
            raise UsageError(reason=f"no write disposition {text!r}; there are {known}") from None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What differs between destinations, as data.

    Attributes:
        limits: What a schema must keep.
        remote: Reached over a network, so that a write may be refused for reasons that go away.
    """

    limits: Limits
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Existing:
    """A table that is there already.

    Attributes:
        schema: Its columns, with those that are not the mapping's.
        rows: How many it has.
    """

    schema: TableSchema
    rows: int


class Destination(Protocol):
    """One table in one place."""

    @property
    def uri(self) -> str:
        """Where it is, for messages and reports."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can hold."""

    def existing(self) -> Existing | None:
        """The table that is there, None when there is none.

        Raises:
            DestinationError: It cannot be read, or is something else than a table.
        """

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """Raise what ``write`` would raise, as far as it can be known before anything is read.

        Args:
            disposition: As for ``write``.
            schema: What will be written; None when it is not known yet, and then the table's own columns are
                compared with what the dictionary makes of their names.

        Raises:
            DestinationExistsError: Rows are there, and the disposition is WRITE_EMPTY.
            DestinationConflictError: Columns there have another type or mode; names each.
            SchemaLimitError: The schema is more than the destination can hold.
            DestinationError: The destination cannot be written.
        """

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """Write a table, all or nothing, also when the process is killed at any point.

        Args:
            schema: The rows' columns.
            batches: Rows, each batch in the form of ``schema.to_arrow()``; none is a table without rows.
            disposition: What happens to a table that is there.
            announce: Is called before the last step, with a mark that tells ``holds`` whether that was done.

        Returns:
            Number of rows written.

        Raises:
            DestinationError: Nothing has changed, unless it names columns that stay; and as for ``check``.
        """

    def holds(self, mark: str) -> bool:
        """Whether the write that announced this mark was done, and nothing has replaced it since.

        Raises:
            DestinationError: That cannot be known.
        """

    def forget(self, mark: str) -> None:
        """Take away what a write that is done has left to be known by."""


def check_write(
    destination: Destination,
    existing: Existing | None,
    disposition: WriteDisposition,
    schema: TableSchema | None,
) -> None:
    """The part of ``Destination.check`` that is the same everywhere; raises as it says."""
    if schema is not None:
        schema.check_limits(destination.capabilities.limits)
    if existing is None or disposition is WriteDisposition.WRITE_TRUNCATE:
        return
    if disposition is WriteDisposition.WRITE_EMPTY and existing.rows:
        raise DestinationExistsError(destination=destination.uri, rows=existing.rows)
    conflicts = _conflicts(existing.schema, schema)
    if conflicts:
        first, second = conflicts[0].kinds
        others = "".join(f", {change.path} {change.kinds[0]} and {change.kinds[1]}" for change in conflicts[1:])
        raise DestinationConflictError(
            destination=destination.uri, path=conflicts[0].path, first=first, second=second, others=others
        )
    if schema is not None:
        existing.schema.merge(schema).check_limits(destination.capabilities.limits)


def fillable(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns that rows can have a value for: all of the JSON variant, else none that only a schema file asks for."""
    if any(column.type == "JSON" for column in columns):
        return tuple(columns)
    return tuple(replace(column, fields=fillable(column.fields)) for column in columns if column.is_ours)


def _conflicts(existing: TableSchema, schema: TableSchema | None) -> tuple[SchemaChange, ...]:
    if schema is not None:
        return existing.conflicts(schema)
    text, typed = (existing.conflicts(existing.expected(numeric)) for numeric in get_args(NumericStrings))
    # Which of the two an export makes is not known here, so only what agrees with neither is wrong.
    typed_paths = {change.path for change in typed}
    return tuple(change for change in text if change.path in typed_paths)
