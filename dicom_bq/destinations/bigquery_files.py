"""Rows as the files that a load job reads, in temporary files without a name."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from dicom_bq.destinations.bigquery_json import JsonWriter, Writer
from dicom_bq.destinations.bigquery_tables import Field, arrow_schema, needs_json
from dicom_bq.errors import DestinationError

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 256 * 1024 * 1024
"""Size of a staged file, more or less; BigQuery reads files in parallel."""
MOST_PARTS = 10_000
"""URIs of a load job: https://cloud.google.com/bigquery/quotas#load_jobs"""
MOST_ROW_BYTES = 100 * 1000**2
MOST_PARTITIONS = 4_000
"""Partitions that one job changes: https://cloud.google.com/bigquery/quotas#partitioned_tables"""


@dataclass(frozen=True, slots=True)
class Part:
    """One file.

    Attributes:
        file: Open, without a name.
        rows: Rows in it.
        bytes: Its size.
        digest: SHA-256 of it, in hexadecimal.
    """

    file: IO[bytes]
    rows: int
    bytes: int
    digest: str


@dataclass(slots=True)
class Checks:
    """What has to hold for all rows of a job.

    Attributes:
        destination: URI, for messages.
        partitioning: ``timePartitioning`` of the table, None when it has none.
        rows: Rows seen so far.
        partitions: Partitions seen so far, as their first day or hour.
    """

    destination: str
    partitioning: dict[str, Any] | None = None
    rows: int = 0
    partitions: set[object] = field(default_factory=set)

    def __call__(self, batch: pa.RecordBatch) -> None:
        """Look at a batch.

        Raises:
            DestinationError: A row is too large, or the rows are of too many partitions.
        """
        if batch.nbytes > MOST_ROW_BYTES:
            for number in range(batch.num_rows):
                self._check_row(batch.slice(number, 1).nbytes, self.rows + number + 1)
        self.rows += batch.num_rows
        if self.partitioning and self.partitioning.get("field") in batch.schema.names:
            self._count_partitions(batch, self.partitioning)

    def _check_row(self, size: int, number: int) -> None:
        if size > MOST_ROW_BYTES:
            raise DestinationError(
                destination=self.destination,
                reason=f"row {number:,} has {size:,} bytes, and BigQuery takes {MOST_ROW_BYTES:,}",
                advice="Drop large sequences with --max-sequence-bytes",
            )

    def _count_partitions(self, batch: pa.RecordBatch, partitioning: dict[str, Any]) -> None:
        import pyarrow.compute as pc

        column = batch.column(batch.schema.names.index(partitioning["field"]))
        unit = partitioning["type"].lower()
        self.partitions.update(pc.unique(pc.floor_temporal(column, unit=unit)).to_pylist())
        if len(self.partitions) > MOST_PARTITIONS:
            raise DestinationError(
                destination=self.destination,
                reason=f"the rows are of more than {MOST_PARTITIONS:,} partitions by {unit}, more than a job can write",
                advice="Use a coarser --partition-by, such as month or year",
            )


def make_parts(
    batches: Iterable[pa.RecordBatch], fields: Sequence[Field], check: Checks, part_bytes: int | None
) -> Iterator[Part]:
    """Files with all rows, Parquet unless they have to be JSON; the same rows make the same bytes.

    Args:
        batches: Rows in any form that conforms to ``fields``.
        fields: Of the files.
        check: Is shown every batch.
        part_bytes: A file is closed when it has so many; None for one file.

    Yields:
        Files, at least one; it alone may have no rows.

    Raises:
        DestinationError: ``check`` says so, a column is NULL that must not be, or the disk is full.
    """
    import pyarrow as pa

    from dicom_bq.destinations.row_groups import row_groups

    schema = arrow_schema(fields)
    groups = row_groups(_checked(batches, schema, check))
    writer = functools.partial(JsonWriter, fields=fields) if needs_json(fields) else _parquet_writer
    try:
        first = next(groups, None)
        required = True
        while required or first is not None:
            part, first = _write_part(first, groups, functools.partial(writer, schema=schema), part_bytes)
            required = False
            yield part
    except pa.ArrowInvalid as error:
        raise DestinationError(
            destination=check.destination,
            reason=f"a row has no value for a column that is REQUIRED in the table: {error}",
            advice="Make the column NULLABLE: ALTER TABLE ... ALTER COLUMN ... DROP NOT NULL",
        ) from error
    except OSError as error:
        raise DestinationError(
            destination=tempfile.gettempdir(),
            reason=f"rows cannot be written here: {error.strerror}",
            advice="Make room, or set TMPDIR to where there is",
        ) from error


def _checked(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, check: Callable[[pa.RecordBatch], None]
) -> Iterator[pa.RecordBatch]:
    from dicom_bq.conform import conform

    for batch in batches:
        conformed = conform(batch, schema)
        check(conformed)
        yield conformed


def _parquet_writer(file: IO[bytes], schema: pa.Schema) -> Writer:
    import pyarrow.parquet as pq

    writer: Writer = pq.ParquetWriter(file, schema, compression="zstd")
    return writer


def _write_part(
    group: pa.Table | None,
    groups: Iterator[pa.Table],
    open_writer: Callable[[IO[bytes]], Writer],
    part_bytes: int | None,
) -> tuple[Part, pa.Table | None]:
    """One file, and the first group of the next one."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        rows = 0
        with open_writer(file) as writer:
            while group is not None and (part_bytes is None or file.tell() < part_bytes or not rows):
                writer.write_table(group, row_group_size=group.num_rows)
                rows += group.num_rows
                group = None  # else it is in memory until the next one is complete
                group = next(groups, None)
        size = file.tell()
        file.seek(0)
        part = Part(file, rows, size, hashlib.file_digest(file, "sha256").hexdigest())
        stack.pop_all()  # the file is the caller's now
    return part, group
