"""Row groups that wait on disk until they are as large as they should be, and are then read band by band."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from dicom_bq import memory
from dicom_bq.destinations.bands import Band, bands
from dicom_bq.destinations.row_groups import MOST_ROWS, cut
from dicom_bq.rowsfile import Extent, SpillFile

MOST_BYTES = 16 << 20
"""Arrow bytes of one band of a group: with what comes of writing it, no more than reading a batch of files takes."""
MOST_WAITING = 160 << 20
"""Bytes on disk of one group: 20,000 rows and more of 1,600 leaves."""
ENOUGH_ROWS, ENOUGH_BYTES = 500, 4 << 20
"""Of what waits together, where there is so much: each time it takes the room of a schema as well, some 100 KB."""


@dataclass(slots=True)
class Group:
    """Rows of one row group.

    Attributes:
        file: Has them.
        bands: Each with its part of the rows.
        rows: How many there are.
        extents: Of each batch, its bands in the file.
        sizes: Bytes of each band.
    """

    file: SpillFile
    bands: list[Band]
    rows: int = 0
    extents: list[list[Extent]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        """Have a batch wait.

        Raises:
            OSError: The disk is full, or fails.
        """
        self.extents.append([self.file.append(band.of(batch)) for band in self.bands])
        self.rows += batch.num_rows
        before = self.sizes or [0] * len(self.bands)
        self.sizes = [size + extent.length for size, extent in zip(before, self.extents[-1], strict=True)]

    @property
    def full(self) -> bool:
        """Whether another batch such as the last would be too much."""
        sizes = [size + extent.length for size, extent in zip(self.sizes, self.extents[-1], strict=True)]
        rows = self.rows + self.rows // len(self.extents)
        return max(sizes) > MOST_BYTES or sum(sizes) > MOST_WAITING or rows > MOST_ROWS

    def band(self, number: int) -> pa.Table:
        """All rows, as far as they are in a band."""
        return pa.Table.from_batches([self.file.read(batch[number]) for batch in self.extents])


class Waiting:
    """Where groups wait: temporary files without a name.

    Args:
        directory: Where there is room for as many groups as are written at a time, and one more.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._free: list[SpillFile] = []

    def groups(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Group]:
        """Gather batches of one schema, in their order; groups as full as batches allow, none without rows.

        Raises:
            OSError: The disk is full, or fails.
        """
        group: Group | None = None
        for batch in _enough(cut(batches, MOST_ROWS)):
            group = group or Group(self._file(), bands(batch))
            group.add(batch)
            del batch
            if group.full:
                _release(group)
                yield group
                group = None
        if group:
            yield group

    def done(self, group: Group) -> None:
        """Let another group have the room."""
        _release(group)
        group.file.clear()
        self._free.append(group.file)

    def _file(self) -> SpillFile:
        if self._free:
            return self._free.pop()
        file = self._stack.enter_context(tempfile.TemporaryFile(dir=self._directory))  # noqa: SIM115
        return SpillFile(file.fileno(), codec=None)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _release(group: Group) -> None:
    """Give back what gathering or writing took; after little of it that takes longer than it is worth."""
    if sum(group.sizes) > MOST_WAITING // 2:
        memory.release()


def _enough(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches that are small put together; none is kept longer than it is wanted."""
    held, rows, size = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        held.append(batch)
        del batch
        if rows >= ENOUGH_ROWS or size >= ENOUGH_BYTES:
            yield from _together(held)
            rows = size = 0
    yield from _together(held)


def _together(held: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches of a list as one, if that can be; the list is empty afterwards."""
    if len(held) > 1:
        held[:] = pa.Table.from_batches(held).combine_chunks().to_batches()
    while held:
        yield held.pop(0)
