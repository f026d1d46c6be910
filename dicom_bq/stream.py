"""Instances as a stream of Arrow record batches, through the Arrow PyCapsule interface."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dicom_bq.read_options import ReadOptions
from dicom_bq.reading import Reading, Source
from dicom_bq.report import ReadReport
from dicom_bq.spill import Spill, assemble, conformed

if TYPE_CHECKING:
    import pyarrow as pa

    from dicom_bq.schema import TableSchema


class InstanceStream:
    """Instances in files, one row each: for ``polars.DataFrame``, ``pandas.DataFrame.from_arrow``, DuckDB.

    Without a schema the files are read once, when the schema or the first row is asked for, and the rows wait
    on disk. With one they are read as rows are asked for, and again for each stream.

    Args:
        sources: Directories, files and patterns; or one of them.
        schema: Columns; None for those that have a value in some instance.
        options: See ``ReadOptions``.

    Raises:
        UsageError: A source does not exist.
    """

    def __init__(self, sources: Source | Sequence[Source], schema: TableSchema | None, options: ReadOptions) -> None:
        Reading(options=options).sources(sources)  # raises now what is wrong with them
        self._sources = sources
        self._options = options
        self._schema = schema
        self._spill: Spill | None = None
        self._report: ReadReport | None = None

    @property
    def schema(self) -> TableSchema:
        """Columns of the rows."""
        if self._schema is None:
            started, spill = time.monotonic(), Spill()
            reading = Reading(options=self._options, spill=spill)
            with contextlib.closing(reading.sources(self._sources)) as batches:
                schema, _ = assemble(batches, None, spill, self._options)
            self._spill, self._report = spill, reading.report(schema, started)
            self._schema = schema  # the last: with it, other threads take the rest to be there
        return self._schema

    @property
    def report(self) -> ReadReport | None:
        """What the last complete pass over the files met; None before there was one."""
        return self._report

    def reader(self) -> pa.RecordBatchReader:
        """A new reader of all rows."""
        import pyarrow as pa

        schema = self.schema
        rows = conformed(self._spill.batches(), schema) if self._spill else self._read(schema)
        return pa.RecordBatchReader.from_batches(schema.to_arrow(), rows)

    def __arrow_c_schema__(self) -> object:
        return self.schema.to_arrow().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def _read(self, schema: TableSchema) -> Iterator[pa.RecordBatch]:
        started = time.monotonic()
        with Spill(reuse=True) as spill:
            reading = Reading(schema, self._options, spill=spill)
            with contextlib.closing(reading.sources(self._sources)) as batches:
                yield from conformed(map(spill.rows, batches), schema)
        self._report = reading.report(schema, started)
