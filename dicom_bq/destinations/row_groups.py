"""Small batches gathered into row groups: of enough rows to be cheap, of few enough bytes to be held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

MOST_ROWS = 32_768
"""Rows of one group. A group of an 800-column schema has about 480 KB of Parquet footer, however few its rows."""
MOST_BYTES = 32 << 20
"""Arrow bytes of one group: with what comes of writing it, no more than reading a batch of files takes."""


def row_groups(
    batches: Iterable[pa.RecordBatch], most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES
) -> Iterator[pa.Table]:
    """Gather batches, in their order, without copying them.

    Args:
        batches: Of one schema, of any size.
        most_rows: Rows of one group; larger batches are cut.
        most_bytes: Bytes of one group; exceeded only by a single batch that is larger.

    Yields:
        Groups as full as batches allow, none without rows.
    """
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in cut(batches, most_rows):
        if held and (rows + batch.num_rows > most_rows or size + batch.nbytes > most_bytes):
            yield _forgotten(held)
            rows = size = 0
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if held:
        yield _forgotten(held)


def _forgotten(held: list[pa.RecordBatch]) -> pa.Table:
    """A table of batches that are in nothing else from now on."""
    table = pa.Table.from_batches(held)
    held.clear()
    return table


def cut(batches: Iterable[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    """Batches, those that are larger in parts; none without rows, and none that is kept longer than it is wanted."""
    for batch in batches:
        parts = [batch.slice(start, most_rows) for start in range(0, batch.num_rows, most_rows)]
        del batch
        while parts:
            yield parts.pop(0)
