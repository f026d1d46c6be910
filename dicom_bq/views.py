"""SQL over exported tables: the latest row of each instance, and the resource paths of chosen instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from dicom_bq.column import RECORD, REPEATED
from dicom_bq.destinations.base import Existing
from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.schema import TableSchema
from dicom_bq.sources.filters import Uids

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
LATEST_BY = ("LastUpdated", "InstanceCoercionDateTime", "InstanceCreationDate", "InstanceCreationTime")
"""Columns that tell an instance's later version from an earlier one, most telling first (PS3.3 C.12.1)."""


class Queryable(Protocol):
    """A destination whose table can be asked in SQL."""

    @property
    def uri(self) -> str:
        """Where it is, for messages."""

    @property
    def sql(self) -> str:
        """The table's name in a query."""

    def existing(self) -> Existing | None:
        """See ``Destination``."""

    def select(self, query: str) -> Iterator[tuple[object, ...]]:
        """Rows of a query. Raises DestinationError when it is refused."""


def latest_rows(table: str, schema: TableSchema, order_by: Sequence[str] = ()) -> str:
    """Query, in GoogleSQL, of the latest row of each SOP Instance UID; rows without one are all in it.

    Of rows that the order does not tell apart, one is in it, whichever.

    Args:
        table: Name of the table in a query.
        schema: Its columns.
        order_by: Columns by which a row is later than another; none for those of ``LATEST_BY`` that it has.

    Raises:
        UsageError: A column is not there, or is not one value; or there is none to order by.
    """
    single = {column.name.lower() for column in schema.columns if column.mode != REPEATED and column.type != RECORD}
    by = list(order_by) or [name for name in LATEST_BY if name.lower() in single]
    for name in ("SOPInstanceUID", *by):
        if name.lower() not in single:
            raise UsageError(reason=f"{table} has no column {name} with one value a row")
    if not by:
        known = ", ".join(LATEST_BY)
        raise UsageError(reason=f"{table} has none of the columns {known}: say which row is later by --order-by")
    order = ", ".join(f"`{name}` DESC NULLS LAST" for name in by)
    return (
        f"SELECT *\nFROM {table}\nWHERE TRUE\n"
        f"QUALIFY `SOPInstanceUID` IS NULL\n"
        f"  OR ROW_NUMBER() OVER (PARTITION BY `SOPInstanceUID` ORDER BY {order}) = 1"
    )


def instances_where(table: Queryable, where: str) -> Iterator[Uids]:
    """UIDs of study, series and instance of the rows that a condition is true for, in ascending order.

    Args:
        table: An exported table.
        where: Condition in the table's SQL.

    Yields:
        Three UIDs; fewer of a row that lacks the last ones, none of a row without a study.

    Raises:
        DestinationError: There is no such table, or the condition is refused.
        UsageError: It lacks a UID column.
    """
    existing = table.existing()
    if existing is None:
        raise DestinationError(destination=table.uri, reason="there is no such table", advice="Export one first")
    names = {column.name.lower() for column in existing.schema.columns}
    missing = sorted(name for name in UIDS if name.lower() not in names)
    if missing:
        raise UsageError(reason=f"{table.uri} has no column {', '.join(missing)}, which a filter needs")
    columns = ", ".join(UIDS)
    # On lines of its own, so that a comment at its end hides nothing of ours.
    query = f"SELECT DISTINCT {columns}\nFROM {table.sql}\nWHERE (\n{where}\n)\nORDER BY {columns}"
    for row in table.select(query):
        present = [uid is not None for uid in row]
        yield tuple(str(uid) for uid in row[: (*present, False).index(False)])
