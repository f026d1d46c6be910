"""Rows as the files that a load job reads: Parquet, in temporary files without a name."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from dicom_bq.errors import DestinationError

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 20_000
"""Rows of a row group, more or less: with 800 columns the footer has half a megabyte for each."""
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
        if self.partitioning and "field" in self.partitioning:
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


def parquet_parts(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, check: Checks, part_bytes: int | None
) -> Iterator[Part]:
    """Parquet files with all rows; the same rows make the same bytes.

    Args:
        batches: Rows in any form that conforms to ``schema``.
        schema: Of the files.
        check: Is shown every batch.
        part_bytes: A file is closed when it has so many; None for one file.

    Yields:
        Files, at least one; the last may be the only one without rows.

    Raises:
        DestinationError: ``check`` says so, a column is NULL that must not be, or the disk is full.
    """
    import pyarrow as pa

    groups = _row_groups(batches, schema, check)
    try:
        more = True
        while more:
            part, more = _write_part(groups, schema, part_bytes)
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


def _row_groups(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, check: Callable[[pa.RecordBatch], None]
) -> Iterator[pa.Table]:
    import pyarrow as pa

    from dicom_bq.conform import conform

    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        conformed = conform(batch, schema)
        check(conformed)
        waiting.append(conformed)
        if sum(batch.num_rows for batch in waiting) >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _write_part(groups: Iterator[pa.Table], schema: pa.Schema, part_bytes: int | None) -> tuple[Part, bool]:
    """One file, and whether rows may be left."""
    import pyarrow.parquet as pq

    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller's)
    rows, more = 0, False
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in groups:
            writer.write_table(group)
            rows += group.num_rows
            if part_bytes is not None and file.tell() >= part_bytes:
                more = True
                break
    size = file.tell()
    file.seek(0)
    return Part(file, rows, size, hashlib.file_digest(file, "sha256").hexdigest()), more
