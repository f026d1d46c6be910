"""What an export would do, found out by doing everything but the writing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dicom_bq.destinations.base import Destination, WriteDisposition
    from dicom_bq.destinations.bigquery_plan import LoadPlan
    from dicom_bq.report import ReadReport
    from dicom_bq.schema import SchemaChange


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """One export that has not been done.

    Attributes:
        read: What the files hold.
        destination: URI of the table.
        disposition: ``WRITE_APPEND`` and so on.
        rows: In the table now, None when there is no table.
        changes: Of the table's columns; empty for a table that will be made.
        load: The load job; None for other destinations than BigQuery.
    """

    read: ReadReport
    destination: str
    disposition: str
    rows: int | None
    changes: tuple[SchemaChange, ...]
    load: LoadPlan | None

    @classmethod
    def of(cls, read: ReadReport, target: Destination, disposition: WriteDisposition) -> ExportPlan:
        """The plan for instances that have been read.

        Raises:
            DestinationError: The export would fail.
        """
        from dicom_bq.destinations.base import WriteDisposition
        from dicom_bq.destinations.bigquery import BigQueryTable

        target.check(disposition, read.schema)
        existing = target.existing()
        changes: tuple[SchemaChange, ...] = ()
        if existing is not None:
            replaced = disposition is WriteDisposition.WRITE_TRUNCATE
            changes = existing.schema.diff(read.schema if replaced else existing.schema.merge(read.schema))
        return cls(
            read,
            target.uri,
            disposition.value,
            None if existing is None else existing.rows,
            changes,
            target.plan(read.schema, disposition) if isinstance(target, BigQueryTable) else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "destination": self.destination,
            "write_disposition": self.disposition,
            "rows": self.rows,
            "changes": [str(change) for change in self.changes],
            "job": self.load.to_dict() if self.load else None,
            **self.read.to_dict(),
        }

    def to_json(self) -> str:
        """For programs."""
        return json.dumps(self.to_dict(), indent=2)

    def json_pieces(self) -> Iterator[str]:
        """The text of ``to_json``."""
        yield self.to_json()

    def to_text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        table = "will be made" if self.rows is None else f"has {self.rows:,} rows"
        yield f"{self.destination}: the table {table}; {self.disposition} of {self.read.exported:,} rows"
        if self.rows is not None:
            yield f"Changes of its columns: {len(self.changes):,}"
            yield from (f"  {change}" for change in self.changes)
        if self.load:
            yield f"Load job in project {self.load.job_project}, location {self.load.location}:"
            yield json.dumps(self.load.job, indent=2)
        yield "Columns of the rows:"
        yield self.read.schema.to_text()
