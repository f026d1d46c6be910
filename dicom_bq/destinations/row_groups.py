"""Small batches gathered into row groups: of enough rows to be cheap, of few enough bytes to be held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

MOST_ROWS = 32_768
"""Rows of one group. A group of an 800-column schema has about 480 KB of Parquet footer, however few its rows."""
MOST_BYTES = 128 << 20
"""Arrow bytes of one group. Encoding it cannot be interrupted, and takes a second."""


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
    for batch in _cut(batches, most_rows):
        if held and (rows + batch.num_rows > most_rows or size + batch.nbytes > most_bytes):
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if held:
        yield pa.Table.from_batches(held)


def _cut(batches: Iterable[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, most_rows):
            yield batch.slice(start, most_rows)
