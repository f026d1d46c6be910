"""Parquet: one file, or a directory of part files that together are one table.

What needs pyarrow is in ``parquet_parts``: to import it takes as long as a worker takes to start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_bq.destinations import files
from dicom_bq.destinations.base import Announce, Capabilities, Existing, WriteDisposition, check_write
from dicom_bq.errors import DestinationError
from dicom_bq.schema import TableSchema
from dicom_bq.schema_limits import NO_LIMITS

if TYPE_CHECKING:
    import pyarrow as pa

_CAPABILITIES = Capabilities(limits=NO_LIMITS)


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One Parquet file, replaced as a whole: appending copies the rows it has.

    Attributes:
        path: Where it is, or will be.
        encoders: Threads that encode; what is written does not depend on it.
    """

    path: Path
    encoders: int = 1

    @property
    def uri(self) -> str:
        """The path, as given."""
        return str(self.path)

    @property
    def capabilities(self) -> Capabilities:
        """Limits of Parquet: none that a DICOM schema meets."""
        return _CAPABILITIES

    def _entries(self) -> list[Path]:
        return [self.path] if self.path.exists() else []

    def existing(self) -> Existing | None:
        """See ``Destination``."""
        return _existing(self.uri, self._entries())

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """See ``Destination``."""
        files.check_parent(self.path)
        truncate = disposition is WriteDisposition.WRITE_TRUNCATE
        check_write(self, None if truncate else self.existing(), disposition, schema)

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """See ``Destination``."""
        from dicom_bq.destinations import parquet_parts

        self.check(disposition, schema)
        with files.refusals(self.uri), files.exclusive(self.path):
            truncate = disposition is WriteDisposition.WRITE_TRUNCATE
            table = parquet_parts.Parts.read(self.uri, [] if truncate else self._entries())
            existing = table.existing()
            check_write(self, existing, disposition, schema)
            target = table.target(existing, schema)
            every = chain.from_iterable((*(part.batches() for part in table.parts), batches))
            rows = 0

            def ready(identity: str) -> None:
                if announce:
                    announce(identity, rows)

            with files.replacing_file(self.path, ready) as temporary:
                written = parquet_parts.write_file(temporary, target, every, self.encoders)
                rows = written - (existing.rows if existing else 0)
            return rows

    def holds(self, mark: str) -> bool:
        """See ``Destination``."""
        with files.refusals(self.uri), files.exclusive(self.path):  # takes away the lock that a killed process left
            return files.identity(self.path) == mark

    def forget(self, mark: str) -> None:
        """See ``Destination``: there is nothing."""


@dataclass(frozen=True, slots=True)
class ParquetDirectory:
    """A directory of Parquet files ``part-00000.parquet``, ... that all have the same columns.

    Appending adds parts; those that are there are shared by hard links, or rewritten where the schema grew.

    Attributes:
        path: Where it is, or will be.
        encoders: Threads that encode; what is written does not depend on it.
    """

    path: Path
    encoders: int = 1

    @property
    def uri(self) -> str:
        """The path, as given."""
        return str(self.path)

    @property
    def capabilities(self) -> Capabilities:
        """Limits of Parquet: none that a DICOM schema meets."""
        return _CAPABILITIES

    def _entries(self) -> list[Path]:
        """Parts in order of name; a directory with anything else in it is not ours to replace."""
        if not self.path.exists():
            return []
        entries = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        for entry in entries:
            if entry == self.path or entry.suffix != ".parquet" or not entry.is_file():
                advice = "Choose a directory that holds one table's Parquet files and nothing else, or a new one"
                reason = f"{entry.name} is not a part of a Parquet table"
                raise DestinationError(destination=self.uri, reason=reason, advice=advice)
        return entries

    def existing(self) -> Existing | None:
        """See ``Destination``."""
        if files.is_interrupted(self.path):
            with files.refusals(self.uri), files.exclusive(self.path):
                files.recover_directory(self.path)
        return _existing(self.uri, self._entries())

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """See ``Destination``."""
        files.check_parent(self.path)
        if self.path.exists() and self.path.samefile("."):
            reason = "this is the directory that the command runs in, and it would be replaced as a whole"
            advice = "Name a new directory in it, or run the command elsewhere"
            raise DestinationError(destination=self.uri, reason=reason, advice=advice)
        self._entries()
        truncate = disposition is WriteDisposition.WRITE_TRUNCATE
        check_write(self, None if truncate else self.existing(), disposition, schema)

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """See ``Destination``."""
        from dicom_bq.destinations import parquet_parts

        self.check(disposition, schema)
        with files.refusals(self.uri), files.exclusive(self.path):
            files.recover_directory(self.path)
            truncate = disposition is WriteDisposition.WRITE_TRUNCATE
            table = parquet_parts.Parts.read(self.uri, [] if truncate else self._entries())
            existing = table.existing()
            check_write(self, existing, disposition, schema)
            target = table.target(existing, schema)
            kept = [part for part in table.parts if part.rows]
            rows = 0

            def ready(identity: str) -> None:
                if announce:
                    announce(identity, rows)

            with files.replacing_directory(self.path, ready) as temporary:
                for part in kept:
                    parquet_parts.keep(part, temporary / part.path.name, target, self.encoders)
                rows = parquet_parts.write_parts(temporary, target, batches, self.encoders, required=not kept)
            return rows

    def holds(self, mark: str) -> bool:
        """See ``Destination``."""
        with files.refusals(self.uri), files.exclusive(self.path):
            files.recover_directory(self.path)
            return files.identity(self.path) == mark

    def forget(self, mark: str) -> None:
        """See ``Destination``: there is nothing."""


def _existing(uri: str, entries: list[Path]) -> Existing | None:
    if not entries:
        return None
    from dicom_bq.destinations.parquet_parts import Parts

    return Parts.read(uri, entries).existing()
