"""Rows streamed into a DuckDB file: one statement takes batch after batch, and its full row groups go to disk at once.

Until a transaction ends DuckDB holds the row group that it is filling, of 122,880 rows unless told otherwise when the
file is attached, and as many blocks of the file as its memory limit allows. Both are kept small here: 100,000 rows of
250 columns took 910 MiB without, and take 270 MiB, in less time.
"""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from dicom_bq.conform import conform
from dicom_bq.destinations import files
from dicom_bq.typemaps.duckdb import quote

if TYPE_CHECKING:
    import duckdb

VECTOR = 2048
"""Rows that DuckDB takes at a time, with all that is in their lists; a row group is of so many or a multiple."""
MOST_ROWS, MOST_BYTES = 8 * VECTOR, 48 << 20
"""Of a row group. It is held until it is complete, and then has about 2 MiB of metadata."""
_SETTINGS: Mapping[str, int] = {"threads": 1, "write_buffer_row_group_count": 1}
"""More threads are slower on rows that come one batch after another, and each has chunks of all columns of its own."""
_LEAST_MEMORY, _COLUMNS_OF_A_MEBIBYTE, _TIMES_A_VECTOR = 32, 16, 2
"""Measured: 591 columns need 55 MiB, 2,161 need 150; a vector of 500 frames a row as much as its Arrow bytes."""


def rows_of_a_group(batch: pa.RecordBatch | None) -> int:
    """How many rows like those of a batch are a row group."""
    size = batch.nbytes // batch.num_rows if batch and batch.num_rows else 0
    rows = MOST_ROWS
    while rows > VECTOR and rows * size > MOST_BYTES:
        rows //= 2
    return rows


@contextlib.contextmanager
def attached(
    path: Path, spill: Path, rows: int = VECTOR, *, spills: bool = False, read_only: bool = False
) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
    """A connection to a database file, made when it is not there, and whether its settings are this connection's own.

    They are not when another part of this process has the file open; rows then take the memory that they take there.

    Args:
        path: Of the file.
        spill: Directory for what DuckDB has no memory for.
        rows: Of a row group. When DuckDB ends its work on a file, it puts smaller ones together, which takes memory.
        spills: There may be such. The directory holds rows then, so nobody else can look into it; it is gone
            afterwards. What a process has left there that was killed is gone whatever the connection is for.
        read_only: Nothing is written, so that the file may be where nothing can be.
    """
    import duckdb

    with contextlib.ExitStack() as after, contextlib.ExitStack() as stack:
        is_apart = True
        connection = stack.enter_context(duckdb.connect(":memory:", config={**_SETTINGS, "temp_directory": str(spill)}))
        try:
            _attach(connection, path, "READ_ONLY" if read_only else f"ROW_GROUP_SIZE {rows}")
        except duckdb.ResourceInUseException:
            is_apart = False
            connection = stack.enter_context(duckdb.connect(path))
        if is_apart:  # the file is this connection's, and so is the directory
            shutil.rmtree(spill, ignore_errors=True)
        if is_apart and spills:
            with files.refusals(str(path)):
                spill.mkdir(mode=0o700)
            after.callback(shutil.rmtree, spill, ignore_errors=True)
        yield connection, is_apart


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, option: str) -> None:
    """Have the file's database under the name that it has elsewhere, and no other that could have the same."""
    apart = f"dicom_bq_{uuid.uuid4().hex}"
    name = str(path).replace("'", "''")
    connection.execute(f"ATTACH ':memory:' AS {apart}; USE {apart}; DETACH memory")
    connection.execute(f"ATTACH '{name}' (TYPE duckdb, {option})")
    names = "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> $1"
    ((found,),) = connection.execute(names, [apart]).fetchall()
    connection.execute(f"USE {quote(found)}")


def insert(
    connection: duckdb.DuckDBPyConnection, into: str, target: pa.Schema, batches: Iterable[pa.RecordBatch], columns: int
) -> int:
    """Insert rows in their order.

    Args:
        connection: Has a transaction.
        into: The table and its columns, as in an INSERT statement.
        target: Those columns.
        batches: Rows; what they raise is raised.
        columns: How many there are at all levels: decides the memory that DuckDB may take. 0: what it has been set to.

    Returns:
        The number of rows.
    """
    stream = _Stream(connection, target, batches, columns)
    # DuckDB finds it by its name.
    dicom_bq_incoming = pa.RecordBatchReader.from_batches(target, stream.begun())
    try:
        connection.execute(f"INSERT INTO {into} FROM dicom_bq_incoming")
    except Exception:
        if stream.raised is None:
            raise
    finally:
        del dicom_bq_incoming
    if stream.raised is not None:
        raise stream.raised
    return stream.rows


class _Stream:
    """Batches as DuckDB takes them.

    Args:
        connection: That takes them.
        target: Form of the batches.
        batches: What there is to take.
        columns: Of a batch at all levels; 0 leaves DuckDB's memory as it is.

    Attributes:
        rows: Taken so far.
        raised: What taking has raised; DuckDB would make an error of its own of it.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, target: pa.Schema, batches: Iterable[pa.RecordBatch], columns: int
    ) -> None:
        self.rows = 0
        self.raised: BaseException | None = None
        self._target, self._batches = target, iter(batches)
        self._settings = connection.cursor() if columns else None  # the connection itself is busy
        self._base, self._limit = _LEAST_MEMORY + columns // _COLUMNS_OF_A_MEBIBYTE, 0

    def begun(self) -> Iterator[pa.RecordBatch]:
        """The batches, by what is inside its ``try`` already.

        A signal that comes while DuckDB works raises where Python code is next gone on with, and that is here.
        """
        taking = self._taking()
        next(taking)
        return taking

    def _taking(self) -> Iterator[pa.RecordBatch]:
        try:
            yield None
            yield from map(self._whole, self._batches)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.raised = error
            raise

    def _whole(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        batch = conform(batch, self._target)
        self._make_room(batch.nbytes, batch.num_rows)
        self.rows += batch.num_rows
        # DuckDB 2.0.0 refuses structs that are slices of others; concatenation makes them whole.
        columns = [pa.concat_arrays([column]) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, schema=self._target)

    def _make_room(self, size: int, rows: int) -> None:
        """Let DuckDB have the memory that it needs for rows of this size; the rest is for its disk."""
        limit = self._base + _TIMES_A_VECTOR * (max(size, size * VECTOR // max(rows, 1)) >> 20)
        if self._settings and limit > self._limit:
            self._limit = limit
            self._settings.execute(f"SET memory_limit = '{limit} MiB'")
