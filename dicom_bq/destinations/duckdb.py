"""A table in a DuckDB file, written in one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_bq.column import REPEATED, Column
from dicom_bq.conform import conform
from dicom_bq.destinations import files
from dicom_bq.destinations.base import Capabilities, Existing, WriteDisposition, check_write
from dicom_bq.destinations.duckdb_widen import widen
from dicom_bq.destinations.row_groups import row_groups
from dicom_bq.errors import DestinationError, MissingDependencyError
from dicom_bq.schema import TableSchema
from dicom_bq.schema_limits import NO_LIMITS
from dicom_bq.typemaps.bigquery import edition_of, table_description
from dicom_bq.typemaps.duckdb import columns_of_duckdb, create_table, quote

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_CAPABILITIES = Capabilities(limits=NO_LIMITS)
_INCOMING = "dicom_bq_incoming"
_FIND = """
SELECT 'table', comment FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name = 'main' AND lower(table_name) = $1
UNION ALL
SELECT 'view', comment FROM duckdb_views()
WHERE database_name = current_database() AND schema_name = 'main' AND lower(view_name) = $1
"""
_MESSAGES_WITHOUT_VALUES = frozenset(
    ("BinderException", "CatalogException", "ConnectionException", "DependencyException", "IOException")
)


@dataclass(frozen=True, slots=True)
class DuckDBTable:
    """One table of a DuckDB database file.

    Attributes:
        path: The file; made when it is not there.
        table: Name of the table in it, in the main schema.
    """

    path: Path
    table: str = "dicom"

    @property
    def uri(self) -> str:
        """Path and table."""
        return f"{self.path}#{self.table}"

    @property
    def capabilities(self) -> Capabilities:
        """Limits of DuckDB: none that a DICOM schema meets."""
        return _CAPABILITIES

    def existing(self) -> Existing | None:
        """See ``Destination``."""
        if not self.path.exists():
            return None
        with self._connected() as connection:
            return self._existing(connection)

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """See ``Destination``."""
        files.check_parent(self.path)
        check_write(self, self.existing(), disposition, schema)

    def write(self, schema: TableSchema, batches: Iterable[pa.RecordBatch], disposition: WriteDisposition) -> int:
        """See ``Destination``."""
        files.check_parent(self.path)
        is_new = not self.path.exists()
        try:
            with self._connected() as connection, _transaction(connection):
                existing = self._existing(connection)
                check_write(self, existing, disposition, schema)
                self._prepare(connection, existing, schema, disposition)
                return self._insert(connection, schema, batches)
        except BaseException:
            if is_new:
                self.path.unlink(missing_ok=True)
            raise

    def _prepare(
        self,
        connection: duckdb.DuckDBPyConnection,
        existing: Existing | None,
        schema: TableSchema,
        disposition: WriteDisposition,
    ) -> None:
        """Make the table have every column of the schema, and say which dictionary decided them."""
        if existing is None or disposition is WriteDisposition.WRITE_TRUNCATE:
            merged = schema
            connection.execute(f"DROP TABLE IF EXISTS {quote(self.table)}")
            connection.execute(create_table(schema.columns, self.table))
        else:
            merged = existing.schema.merge(schema)
            for statement in widen(self.table, existing.schema, merged):
                connection.execute(statement)
        text = table_description(merged.edition).replace("'", "''")
        connection.execute(f"COMMENT ON TABLE {quote(self.table)} IS '{text}'")

    def _insert(
        self, connection: duckdb.DuckDBPyConnection, schema: TableSchema, batches: Iterable[pa.RecordBatch]
    ) -> int:
        import pyarrow as pa

        columns = ", ".join(map(quote, self._written(connection, schema)))
        target = connection.table(quote(self.table)).select(columns).limit(0).arrow().schema
        rows = 0
        for group in row_groups(conform(batch, target) for batch in batches):
            # DuckDB 2.0.0 refuses structs that are slices of others; concatenation makes them whole.
            whole = pa.concat_batches(group.to_batches())
            connection.register(_INCOMING, pa.Table.from_batches([whole]))
            connection.execute(f"INSERT INTO {quote(self.table)} ({columns}) FROM {_INCOMING}")
            connection.unregister(_INCOMING)
            rows += group.num_rows
        return rows

    def _written(self, connection: duckdb.DuckDBPyConnection, schema: TableSchema) -> list[str]:
        """Columns to insert: the rows' own, and the mapping's other lists, to be empty. The rest get a default."""
        own = {column.name.lower() for column in schema.columns}
        return [
            column.name
            for column in self._columns(connection)
            if column.name.lower() in own or (column.is_ours and column.mode == REPEATED)
        ]

    def _columns(self, connection: duckdb.DuckDBPyConnection) -> tuple[Column, ...]:
        relation = connection.table(quote(self.table))
        return columns_of_duckdb(relation.columns, relation.types)

    def _existing(self, connection: duckdb.DuckDBPyConnection) -> Existing | None:
        found = connection.execute(_FIND, [self.table.lower()]).fetchall()
        if not found:
            return None
        kind, comment = found[0]
        if kind != "table":
            advice = "Choose another table with --table"
            raise DestinationError(destination=self.uri, reason=f"{self.table} is a {kind}", advice=advice)
        schema = TableSchema(self._columns(connection), edition_of(comment or ""))
        return Existing(schema, len(connection.table(quote(self.table))))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the file; DuckDB's errors become this program's."""
        try:
            import duckdb
        except ImportError as error:
            raise MissingDependencyError(package="duckdb", extra="duckdb") from error
        try:
            with duckdb.connect(self.path) as connection:
                yield connection
        except duckdb.Error as error:
            reason, advice = _explained(error)
            raise DestinationError(destination=self.uri, reason=reason, advice=advice) from error


def _explained(error: Exception) -> tuple[str, str]:
    """What happened and what to do. DuckDB quotes values in its messages about data, so those stay unsaid."""
    text = str(error).splitlines()[0].removesuffix(".")
    if "Could not set lock" in text:
        return "another process has the file open", "Close it there, or choose another file"
    if type(error).__name__ not in _MESSAGES_WITHOUT_VALUES:
        text = f"DuckDB refuses the rows ({type(error).__name__})"
    return text, "Nothing has changed; choose another file or table, or correct this one"


@contextlib.contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
