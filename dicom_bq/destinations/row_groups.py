"""Small batches gathered into row groups: of enough rows to be cheap, of few enough bytes to be held in memory."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dicom_bq.destinations.footers import Footer

MOST_ROWS = 32_768
"""Rows of one group. A group of an 800-column schema has about 480 KB of Parquet footer, however few its rows."""
MOST_BYTES = 32 << 20
"""Arrow bytes of one group: with what comes of writing it, no more than reading a batch of files takes."""
MOST_ENCODERS = 4
"""Threads, with a group each: gathering groups, which one thread does, takes a third of the time of encoding them."""
MAGIC, LENGTH = b"PAR1", 4
"""What a Parquet file begins and ends with; bytes of the number before the end that says how long the footer is."""


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
            yield _forgotten(held)
            rows = size = 0
        held.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if held:
        yield _forgotten(held)


def write_groups(path: Path, schema: pa.Schema, groups: Iterable[pa.Table], encoders: int = 1) -> int:
    """Write a Parquet file of row groups, as many as come.

    Args:
        path: Of the file.
        schema: Of all groups.
        groups: Are asked for one by one; no more than ``encoders`` are in memory.
        encoders: Threads. The bytes written do not depend on it.

    Returns:
        The file's rows.
    """
    rows = count = 0
    _, footer = _apart(_encode(schema))
    with path.open("wb") as file, tempfile.TemporaryFile(dir=path.parent) as described:
        file.write(MAGIC)
        for encoded in _encoded(schema, groups, min(encoders, MOST_ENCODERS)):
            pages, footer = _apart(encoded)
            described.write(footer.moved(file.tell() - len(MAGIC)))
            rows, count = rows + footer.rows, count + 1
            file.write(pages)
        start = file.tell()
        before, after = footer.around(rows, count)
        described.seek(0)
        file.write(before)
        shutil.copyfileobj(described, file)
        file.write(after)
        file.write((file.tell() - start).to_bytes(LENGTH, "little") + MAGIC)
    return rows


def _encoded(schema: pa.Schema, groups: Iterable[pa.Table], encoders: int) -> Iterator[memoryview]:
    """Each group as a Parquet file, in their order. One encoder is this thread: a signal is heeded at once."""
    if encoders == 1:
        yield from map(functools.partial(_encode, schema), groups)
        return
    waiting: deque[Future[memoryview]] = deque()
    with ThreadPoolExecutor(encoders) as pool:
        for group in groups:
            waiting.append(pool.submit(_encode, schema, group))
            del group
            if len(waiting) == encoders:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _encode(schema: pa.Schema, *groups: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in groups:
            writer.write_table(group, row_group_size=group.num_rows)
    return memoryview(sink.getvalue())


def _apart(encoded: memoryview) -> tuple[memoryview, Footer]:
    """Pages and footer of a file; the footer's length and the magic number stand behind it."""
    end = len(encoded) - LENGTH - len(MAGIC)
    start = end - int.from_bytes(encoded[end : end + LENGTH], "little")
    return encoded[len(MAGIC) : start], Footer.read(bytes(encoded[start:end]))


def _forgotten(held: list[pa.RecordBatch]) -> pa.Table:
    """A table of batches that are in nothing else from now on."""
    table = pa.Table.from_batches(held)
    held.clear()
    return table


def _cut(batches: Iterable[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, most_rows):
            yield batch.slice(start, most_rows)
