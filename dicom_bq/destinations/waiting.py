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


@dataclass(slots=True)
class Group:
    """Rows of one row group.

    Attributes:
        file: Has them.
        bands: Each with its part of the rows.
        rows: How many there are.
        extents: Of each batch, its bands in the file.
    """

    file: SpillFile
    bands: list[Band]
    rows: int = 0
    extents: list[list[Extent]] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        """Have a batch wait.

        Raises:
            OSError: The disk is full, or fails.
        """
        self.extents.append([self.file.append(band.of(batch)) for band in self.bands])
        self.rows += batch.num_rows

    @property
    def full(self) -> bool:
        """Whether another batch such as the last would be too much."""
        sizes = [[extent.length for extent in batch] for batch in [*self.extents, self.extents[-1]]]
        of_bands = [sum(band) for band in zip(*sizes, strict=True)]
        more = self.rows // len(self.extents)
        return max(of_bands) > MOST_BYTES or sum(of_bands) > MOST_WAITING or self.rows + more > MOST_ROWS

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
        for batch in cut(batches, MOST_ROWS):
            group = group or Group(self._file(), bands(batch))
            group.add(batch)
            del batch
            if group.full:
                memory.release()  # of what gathering took
                yield group
                group = None
        if group:
            yield group

    def done(self, group: Group) -> None:
        """Let another group have the room."""
        memory.release()  # of what writing it took
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
