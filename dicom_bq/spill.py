"""Record batches with different columns become rows of one schema; until it is known they wait on disk."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import weakref
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self, TypeVar

from dicom_bq import memory
from dicom_bq.errors import kept_in
from dicom_bq.processors import processes
from dicom_bq.rowsfile import Extent, RowsFile, SpillFile

if TYPE_CHECKING:
    import pyarrow as pa

    from dicom_bq.read_options import ReadOptions
    from dicom_bq.reading import Built
    from dicom_bq.schema import TableSchema

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SpilledBatch:
    """A batch on disk.

    Attributes:
        schema: Its columns.
        file: Holds it.
        extent: Where in the file.
    """

    schema: TableSchema
    file: RowsFile
    extent: Extent

    @property
    def batch(self) -> pa.RecordBatch:
        """The rows, read from disk."""
        return self.file.read(self.extent)


class Spill:
    """Temporary files of record batches.

    The files have no name from their first moment on, so nothing is left behind however the process ends.

    Args:
        directory: Where there is room for the rows; None for the system's temporary directory (TMPDIR).
        reuse: Batches that come from other processes are gone once the next is asked for.

    Raises:
        DestinationError: The directory does not exist or cannot be written.
    """

    def __init__(self, directory: str | None = None, *, reuse: bool = False) -> None:
        self.directory = directory or tempfile.gettempdir()
        self.reuse = reuse
        self._stack = contextlib.ExitStack()
        self._close = weakref.finalize(self, self._stack.close)
        self._file: SpillFile | None = None
        self._kept: list[tuple[RowsFile, Extent]] = []
        self.own()  # raises now if it cannot be

    def file(self) -> SpillFile:
        """One more file, which is there as long as the Spill.

        Raises:
            DestinationError: As for the class.
        """
        with self.refusals():
            file, descriptor = self._make()
        self._stack.callback(file.close)
        return descriptor

    def own(self) -> SpillFile:
        """The file of this process."""
        if self._file is None:
            self._file = self.file()
        return self._file

    def _make(self) -> tuple[IO[bytes], SpillFile]:
        file = tempfile.TemporaryFile(dir=self.directory)  # noqa: SIM115 (closed with the Spill)
        return file, SpillFile(file.fileno())

    def add(self, batch: pa.RecordBatch) -> None:
        """Write a batch.

        Raises:
            DestinationError: The disk is full, or fails.
        """
        with self.refusals():
            self._kept.append((self.own(), self.own().append(batch)))

    def refusals(self) -> contextlib.AbstractContextManager[None]:
        """Turn an operating system's error into a DestinationError that names the directory."""
        return kept_in(self.directory)

    def keep(self, built: Built) -> None:
        """Add a batch that may be on disk already."""
        if isinstance(built, SpilledBatch):
            self._kept.append((built.file, built.extent))
        else:
            self.add(built.batch)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches as they were added, one in memory at a time; raises as ``taken``."""
        return (self.taken(file, extent) for file, extent in self._kept)

    def taken(self, file: RowsFile, extent: Extent) -> pa.RecordBatch:
        """A batch of a file.

        Raises:
            DestinationError: The disk fails.
        """
        with self.refusals():
            return file.read(extent)

    def rows(self, built: Built) -> pa.RecordBatch:
        """The rows of a batch that may be on disk; raises as ``taken``."""
        return self.taken(built.file, built.extent) if isinstance(built, SpilledBatch) else built.batch

    def close(self) -> None:
        """Give the disk space back; also happens when the object is no longer used."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def assemble(
    batches: Iterable[Built], schema: TableSchema | None, spill: Spill, options: ReadOptions
) -> tuple[TableSchema, Iterator[pa.RecordBatch]]:
    """Rows with one schema, from batches that each have their own.

    Args:
        batches: Are consumed at once when the schema is not known, else as the rows are asked for.
        schema: The schema they were built with, None when each has the columns that it has values for.
        spill: Holds the rows in the meantime.
        options: Decide the columns that a table has without any values, and whether there is a second processor.

    Returns:
        The schema, and the rows in its form.
    """
    if schema is not None:
        return schema, conformed(map(spill.rows, batches), schema)
    schemas = _spilled(batches, spill)
    schema = union(schemas, options)
    memory.release()
    rows = conformed(spill.batches(), schema)
    return schema, rows if processes(options.get("workers")) == 1 else ahead(rows)


def ahead(batches: Iterator[T]) -> Generator[T]:
    """The same, each made by another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            held = [batch]
            del batch  # it is not kept longer than it is wanted
            yield held.pop()


def union(schemas: Iterable[TableSchema], options: ReadOptions) -> TableSchema:
    """The columns of all schemas, and those that every table has."""
    from dicom_bq.schema import TableSchema

    include_source_store = options.get("include_source_store", False)
    least = known_schema(options) or TableSchema.from_paths(
        (), include_source_store=include_source_store, numeric_strings=options.get("numeric_strings", "text")
    )
    return functools.reduce(TableSchema.merge, schemas, least)


def known_schema(options: ReadOptions) -> TableSchema | None:
    """The columns, where the options alone decide them."""
    if options.get("schema_type") != "json":
        return None
    from dicom_bq.columns.jsonmodel import json_schema

    return json_schema(include_source_store=options.get("include_source_store", False))


def _spilled(batches: Iterable[Built], spill: Spill) -> Iterator[TableSchema]:
    for built in batches:
        spill.keep(built)
        yield built.schema


def conformed(batches: Iterable[pa.RecordBatch], schema: TableSchema) -> Iterator[pa.RecordBatch]:
    """Batches in the form of a schema that has all their columns."""
    from dicom_bq.conform import conform

    return map(functools.partial(conform, schema=schema.to_arrow()), batches)
