"""What a destination can hold of a schema: limits as data, and the check against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_bq.column import Column, walk
from dicom_bq.errors import SchemaLimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """Most that a table may have; None where there is no limit. Names are unique ignoring case everywhere.

    Attributes:
        columns: Columns and sub-fields of all levels together.
        record_levels: RECORDs inside each other, the outermost counted.
        name_characters: Characters of one name.
        description_characters: Characters of one column's description.
    """

    columns: int | None = None
    record_levels: int | None = None
    name_characters: int | None = None
    description_characters: int | None = None


BIGQUERY_LIMITS = Limits(columns=10_000, record_levels=15, name_characters=300, description_characters=1_024)
"""https://cloud.google.com/bigquery/quotas#all_tables and #standard_tables"""

NO_LIMITS = Limits()


def check_limits(columns: Sequence[Column], limits: Limits = BIGQUERY_LIMITS) -> None:
    """Raise unless columns keep the limits.

    Args:
        columns: The top level of a table.
        limits: What its destination can hold.

    Raises:
        SchemaLimitError: Names the limit and the path of the first column past it.
    """
    for number, (path, level, column) in enumerate(walk(columns), start=1):
        _at_most("number of columns", path, number, limits.columns)
        _at_most("levels of RECORD", path, level, limits.record_levels)
        _at_most("characters of name", path, len(column.name), limits.name_characters)
        _at_most("characters of description", path, len(column.description), limits.description_characters)
    if twice := name_twice(columns):
        raise SchemaLimitError(limit="columns of one name, ignoring case", path=twice, found=2, allowed=1)


def name_twice(columns: Sequence[Column]) -> str | None:
    """Path of a column whose name, ignoring case, another of its level has; None if there is none."""
    seen: set[str] = set()
    for path, _, _ in walk(columns):
        if path.lower() in seen:
            return path
        seen.add(path.lower())
    return None


def _at_most(limit: str, path: str, found: int, allowed: int | None) -> None:
    if allowed is not None and found > allowed:
        raise SchemaLimitError(limit=limit, path=path, found=found, allowed=allowed)
