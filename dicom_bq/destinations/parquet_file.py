"""One Parquet file, written band by band by as many threads as are wanted."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dicom_bq.destinations.footers import Footer, join_columns
from dicom_bq.destinations.waiting import Group, Waiting

MOST_ENCODERS = 4
"""Threads, with a band each: gathering groups, which one thread does, takes a third of the time of encoding them."""
MOST_AHEAD = 16
"""Bands that are given out, so that threads have something to do while the next group is gathered."""
PAGE_BYTES = 256 << 10
"""Until a page is written its values wait as indices and levels: up to 8 MiB of them with Arrow's own 1 MiB."""
MAGIC, LENGTH = b"PAR1", 4
"""What a Parquet file begins and ends with; bytes of the number before the end that says how long the footer is."""


def write_groups(path: Path, schema: pa.Schema, groups: Iterable[Group], waiting: Waiting, encoders: int = 1) -> int:
    """Write a Parquet file of row groups, as many as come.

    Args:
        path: Of the file.
        schema: Of all groups.
        groups: Are asked for one by one; no more than ``encoders`` bands are in memory.
        waiting: Where they have waited.
        encoders: Threads. The bytes written do not depend on it.

    Returns:
        The file's rows.
    """
    rows = count = 0
    with path.open("wb") as file, tempfile.TemporaryFile(dir=path.parent) as described:
        file.write(MAGIC)
        parts = list[tuple[Footer, int]]()
        for group, encoded in _encoded(groups, min(encoders, MOST_ENCODERS)):
            pages, footer = _apart(encoded)
            parts.append((footer, file.tell() - len(MAGIC)))
            file.write(pages)
            if len(parts) == len(group.bands):
                described.write(join_columns(parts))
                rows, count = rows + group.rows, count + 1
                waiting.done(group)
                parts.clear()
        start = file.tell()
        before, after = _apart(_encode(schema))[1].around(rows, count)
        described.seek(0)
        file.write(before)
        shutil.copyfileobj(described, file)
        file.write(after)
        file.write((file.tell() - start).to_bytes(LENGTH, "little") + MAGIC)
    return rows


def _encoded(groups: Iterable[Group], encoders: int) -> Iterator[tuple[Group, memoryview]]:
    """The bands of each group, each as a Parquet file, in their order.

    One encoder is this thread: a signal is heeded at once.
    """
    bands = ((group, number) for group in groups for number in range(len(group.bands)))
    if encoders == 1:
        yield from ((group, _encode_band(group, number)) for group, number in bands)
        return
    waiting: deque[tuple[Group, Future[memoryview]]] = deque()
    pool = ThreadPoolExecutor(encoders)
    try:
        for group, number in bands:
            waiting.append((group, pool.submit(_encode_band, group, number)))
            if len(waiting) == MOST_AHEAD:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # of a job that is stopped, nobody waits for what has not begun


def _encode_band(group: Group, number: int) -> memoryview:
    return _encode(group.bands[number].schema, group.band(number))


def _encode(schema: pa.Schema, *tables: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", data_page_size=PAGE_BYTES) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=table.num_rows)
    return memoryview(sink.getvalue())


def _apart(encoded: memoryview) -> tuple[memoryview, Footer]:
    """Pages and footer of a file; the footer's length and the magic number stand behind it."""
    end = len(encoded) - LENGTH - len(MAGIC)
    start = end - int.from_bytes(encoded[end : end + LENGTH], "little")
    return encoded[len(MAGIC) : start], Footer.read(bytes(encoded[start:end]))
