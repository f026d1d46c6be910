"""A table in a DuckDB file, written in one transaction."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from dicom_bq.column import RECORD, REPEATED, Column
from dicom_bq.destinations import files
from dicom_bq.destinations.base import Announce, Capabilities, Existing, WriteDisposition, check_write, fillable
from dicom_bq.destinations.duckdb_widen import additions, needs_rebuild, rebuild
from dicom_bq.errors import DestinationError, MissingDependencyError
from dicom_bq.schema import TableSchema
from dicom_bq.schema_limits import NO_LIMITS
from dicom_bq.typemaps.bigquery import edition_of, table_description
from dicom_bq.typemaps.duckdb import columns_of_duckdb, create_table, quote

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_Fact: TypeAlias = "tuple[str, str | None, str | None]"
_CAPABILITIES = Capabilities(limits=NO_LIMITS)
_RUN = "dicom_bq_run_"
"""A table of this name and the run's is there from the commit of its rows until the run knows that it is finished."""
# Everything the catalog knows of a name: what it is, and what would be lost if the table were written anew.
_FACTS = """
FROM (
    SELECT database_name, schema_name, table_name, 'table' AS kind, NULL AS name, comment FROM duckdb_tables()
    UNION ALL SELECT database_name, schema_name, view_name, 'view', NULL, comment FROM duckdb_views()
    UNION ALL SELECT database_name, schema_name, table_name, 'constraints', NULL, NULL FROM duckdb_constraints()
    UNION ALL SELECT database_name, schema_name, table_name, 'indexes', NULL, NULL FROM duckdb_indexes()
    UNION ALL SELECT database_name, schema_name, table_name, 'defaults', NULL, NULL FROM duckdb_columns()
        WHERE column_default NOT NULL
    UNION ALL SELECT database_name, schema_name, table_name, 'required', column_name, NULL FROM duckdb_columns()
        WHERE NOT is_nullable AND column_default IS NULL
    UNION ALL SELECT database_name, schema_name, table_name, 'column', column_name, comment FROM duckdb_columns()
        WHERE comment NOT NULL
)
SELECT kind, name, comment
WHERE database_name = current_database() AND schema_name = 'main' AND lower(table_name) = $1
"""
_ADVICE = "Nothing has changed; choose another file or table, or correct this one"
_DEFINITIONS = ("constraints", "defaults", "indexes")
_MESSAGES_WITHOUT_VALUES = frozenset(
    (
        "BinderException",
        "CatalogException",
        "ConnectionException",
        "DependencyException",
        "IOException",
        "ParserException",
    )
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
    def sql(self) -> str:
        """The table's name in a query."""
        return quote(self.table)

    @property
    def capabilities(self) -> Capabilities:
        """Limits of DuckDB: none that a DICOM schema meets."""
        return _CAPABILITIES

    def existing(self) -> Existing | None:
        """See ``Destination``."""
        if not self.path.exists():
            return None
        with self._attached(None, read_only=True) as (connection, _):
            return self._existing(connection)

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """See ``Destination``."""
        files.check_parent(self.path)
        if not self.path.exists():
            check_write(self, None, disposition, schema)
            return
        with self._connected() as connection:
            existing = self._existing(connection)
            check_write(self, existing, disposition, schema)
            if existing and disposition is not WriteDisposition.WRITE_TRUNCATE:
                facts = self._facts(connection)
                self._check_required(existing.schema, schema or existing.schema.expected(), facts)
                if schema and needs_rebuild(existing.schema, existing.schema.merge(schema)):
                    self._check_definitions(facts)

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """See ``Destination``."""
        self.check(disposition, schema)
        source = iter(batches)
        first = next(source, None)
        is_ours = self._make(first)
        try:
            with self._attached(first) as (connection, is_apart), _transaction(connection):
                existing = self._existing(connection)
                check_write(self, existing, disposition, schema)
                self._prepare(connection, existing, schema, disposition)
                every = itertools.chain(() if first is None else (first,), source)
                rows = self._insert(connection, schema, every, is_apart=is_apart)
                if announce:
                    mark = f"{_RUN}{uuid.uuid4().hex}"
                    announce(mark, rows)
                    connection.execute(f"CREATE TABLE {quote(mark)} (rows BIGINT)")
            return rows
        except BaseException:
            if is_ours:
                _remove(self.path.resolve())
            raise

    def _make(self, rows: pa.RecordBatch | None) -> bool:
        """Make the file if there is none, in one step: half of one, from a full disk, nobody could open; whether so."""
        with files.refusals(self.uri), files.exclusive(self.path):
            temporary, path = files.beside(self.path, "writing"), self.path.resolve()
            _remove(temporary)
            if path.exists():
                return False
            try:
                with self._attached(rows, temporary):
                    pass
                files.give_name(temporary, path)
            finally:
                _remove(temporary)
            return True

    def holds(self, mark: str) -> bool:
        """See ``Destination``."""
        if not self.path.exists():
            return False
        with self._connected() as connection:
            found = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = $1", [mark]).fetchone()
        return found is not None

    def forget(self, mark: str) -> None:
        """See ``Destination``: its table."""
        with self._connected() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {quote(mark)}")

    def select(self, query: str) -> Iterator[tuple[object, ...]]:
        """Rows of a query on the file, which it cannot change.

        Raises:
            DestinationError: DuckDB refuses the condition that is in it.
        """
        with (
            self._refusals("the condition", "Correct the condition") as duckdb,
            duckdb.connect(self.path, read_only=True) as connection,
        ):
            result = connection.execute(query)
            while row := result.fetchone():
                yield row

    def _prepare(
        self,
        connection: duckdb.DuckDBPyConnection,
        existing: Existing | None,
        schema: TableSchema,
        disposition: WriteDisposition,
    ) -> None:
        """Make the table have every column of the schema, and say which dictionary decided them."""
        if existing is None or disposition is WriteDisposition.WRITE_TRUNCATE:
            connection.execute(f"DROP TABLE IF EXISTS {quote(self.table)}")
            connection.execute(create_table(schema.columns, self.table))
            self._comment(connection, "TABLE", table_description(schema.edition))
            return
        merged = existing.schema.merge(schema)
        facts = self._facts(connection)
        self._check_required(existing.schema, schema, facts)
        comment = next(text for kind, _, text in facts if kind == "table") or table_description("")
        if needs_rebuild(existing.schema, merged):
            self._rebuild(connection, existing.schema, merged, facts)
        else:
            for statement in additions(self.table, existing.schema, merged):
                connection.execute(statement)
        ours = comment.startswith(table_description(""))
        self._comment(connection, "TABLE", table_description(merged.edition) if ours else comment)

    def _check_required(self, stored: TableSchema, schema: TableSchema, facts: list[_Fact]) -> None:
        """Refuse rows without a value for what may not be NULL in the table."""
        lists = (column for column in stored.columns if column.is_ours and column.mode == REPEATED)
        have = {column.name.lower() for column in (*fillable(schema.columns), *lists)}
        missing = [name for kind, name, _ in facts if kind == "required" and name and name.lower() not in have]
        if missing:
            reason = f"{', '.join(missing)} may not be NULL, and no row has a value for it"
            raise DestinationError(destination=self.uri, reason=reason, advice="Give it a default, or drop NOT NULL")

    def _check_definitions(self, facts: list[_Fact]) -> None:
        """Refuse to write a table anew that would lose what it is defined by."""
        definitions = sorted({kind for kind, _, _ in facts if kind in _DEFINITIONS})
        if definitions:
            reason = f"a record gains sub-fields, but the table has {' and '.join(definitions)}, which would be lost"
            advice = "Drop them first, or choose another table"
            raise DestinationError(destination=self.uri, reason=reason, advice=advice)

    def _rebuild(
        self, connection: duckdb.DuckDBPyConnection, stored: TableSchema, wanted: TableSchema, facts: list[_Fact]
    ) -> None:
        self._check_definitions(facts)
        order = connection.table(quote(self.table)).columns
        connection.execute(rebuild(self.table, order, stored, wanted))
        for kind, name, comment in facts:
            if kind == "column" and name and comment:
                self._comment(connection, "COLUMN", comment, f".{quote(name)}")

    def _comment(self, connection: duckdb.DuckDBPyConnection, kind: str, text: str, column: str = "") -> None:
        text = text.replace("'", "''")
        connection.execute(f"COMMENT ON {kind} {quote(self.table)}{column} IS '{text}'")

    def _facts(self, connection: duckdb.DuckDBPyConnection) -> list[_Fact]:
        facts: list[_Fact] = connection.execute(_FACTS, [self.table.lower()]).fetchall()
        return facts

    def _insert(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        *,
        is_apart: bool,
    ) -> int:
        from dicom_bq.destinations.duckdb_stream import insert

        columns = ", ".join(map(quote, self._written(connection, schema)))
        target = connection.table(quote(self.table)).select(columns).limit(0).arrow().schema
        leaves = sum(column.type != RECORD for _, _, column in schema.walk())
        return insert(connection, f"{quote(self.table)} ({columns})", target, batches, leaves if is_apart else 0)

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
        comments = {kind: comment for kind, _, comment in self._facts(connection) if kind in {"table", "view"}}
        if not comments:
            return None
        if "view" in comments:
            advice = "Choose another table with --table"
            raise DestinationError(destination=self.uri, reason=f"{self.table} is a view", advice=advice)
        schema = TableSchema(self._columns(connection), edition_of(comments["table"] or ""))
        return Existing(schema, len(connection.table(quote(self.table))))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the file."""
        with self._attached(None) as (connection, _):
            yield connection

    @contextlib.contextmanager
    def _attached(
        self, rows: pa.RecordBatch | None, path: Path | None = None, *, read_only: bool = False
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
        """See ``duckdb_stream.attached``; for rows like these, or for none; to what is to become the file."""
        with self._refusals():
            from dicom_bq.destinations.duckdb_stream import VECTOR, attached, rows_of_a_group

            spill, spills = files.beside(self.path, "spill"), rows is not None and path is None
            group = rows_of_a_group(rows) if rows else VECTOR
            with attached(path or self.path, spill, group, spills=spills, read_only=read_only) as found:
                yield found

    @contextlib.contextmanager
    def _refusals(self, subject: str = "the rows", advice: str = _ADVICE) -> Iterator[ModuleType]:
        """DuckDB, whose errors become this program's; what it refuses, and what to do then."""
        try:
            import duckdb
        except ImportError as error:
            raise MissingDependencyError.of(error, "duckdb", "duckdb") from error
        try:
            yield duckdb
        except duckdb.Error as error:
            reason, advice = _explained(error, subject, advice)
            told = error if _is_without_values(error) else None
            raise DestinationError(destination=self.uri, reason=reason, advice=advice) from told
        except RuntimeError as error:  # DuckDB lets the program handle a signal, and drops what that raises
            if str(error) != "Query interrupted":
                raise
            raise KeyboardInterrupt from None


def _remove(path: Path) -> None:
    """Take a database file away, and the log that DuckDB leaves beside one where the disk is full."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)


def _is_without_values(error: Exception) -> bool:
    return type(error).__name__ in _MESSAGES_WITHOUT_VALUES


def _explained(error: Exception, subject: str, advice: str) -> tuple[str, str]:
    """What happened and what to do. DuckDB quotes values in its messages about data, so those stay unsaid."""
    text = str(error).splitlines()[0].removesuffix(".")
    if "Could not set lock" in text:
        return "another process has the file open", "Close it there, or choose another file"
    for code in (errno.ENOSPC, errno.EIO):
        if os.strerror(code) in str(error):
            return os.strerror(code), "Nothing has changed; make room and run the same command again"
    if not _is_without_values(error):
        text = f"DuckDB refuses {subject} ({type(error).__name__})"
    return text, advice


@contextlib.contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
