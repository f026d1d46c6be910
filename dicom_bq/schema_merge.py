"""Schemas as an algebra: the union of two, and the difference between two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from dicom_bq.column import NULLABLE, RECORD, REQUIRED, Column, in_order, walk
from dicom_bq.errors import SchemaConflictError
from dicom_bq.schema_fields import canonical_name

_RELAXED = frozenset((NULLABLE, REQUIRED))


def merge_columns(levels: Sequence[Sequence[Column]], parent: str = "") -> tuple[Column, ...]:
    """Set union of columns, and of their sub-fields.

    Commutative, associative and idempotent, with the empty level as identity. REQUIRED with NULLABLE is
    NULLABLE. Where names differ in case alone, the spelling that is not the mapping's own stays: it is that
    of a table which exists. Of a property that only one has, such as policyTags, it is that one's; of two values the
    longer, as JSON, then the later: of numbers the larger.

    Args:
        levels: The same level of several schemas.
        parent: Its path, "" at the top.

    Raises:
        SchemaConflictError: Two have a column of one name with different types, or only one is REPEATED.
    """
    merged: dict[str, Column] = {}
    for column in (column for level in levels for column in level):
        name = column.name.lower()
        known = merged.get(name)
        merged[name] = column if known is None else _merge_column(known, column, parent)
    return in_order(tuple(merged.values()))


def _merge_column(first: Column, second: Column, parent: str) -> Column:
    if first is second:
        return first
    path = f"{parent}.{first.name}" if parent else first.name
    if not _compatible(first, second):
        raise SchemaConflictError(path=path, first=first.kind, second=second.kind)
    return Column(
        name=_spelling(first.name, second.name),
        type=first.type,
        mode=first.mode if first.mode == second.mode else NULLABLE,
        key=min(first.key, second.key),
        fields=merge_columns((first.fields, second.fields), path),
        description=max(first.description, second.description),
        properties=_merge_properties(first.properties, second.properties),
    )


def _merge_properties(*both: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    # A later one of a name replaces an earlier one.
    return tuple(sorted(dict(sorted(chain(*both), key=lambda item: (len(item[1]), item[1]))).items()))


def _compatible(first: Column, second: Column) -> bool:
    return first.type == second.type and (first.mode == second.mode or {first.mode, second.mode} == _RELAXED)


def _spelling(first: str, second: str) -> str:
    if first == second:
        return first
    return min({first, second} - {canonical_name(first)})


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One thing that differs between two schemas.

    Attributes:
        kind: What differs; a change of type is not also reported as one of mode.
        path: Column, as ``A.B``.
        before: It in the first schema, None when added.
        after: It in the second, None when removed.
    """

    kind: Literal["added", "removed", "type", "mode"]
    path: str
    before: Column | None
    after: Column | None

    def __str__(self) -> str:
        text = f"{self.kind} {self.path}: {self.kinds[0]} -> {self.kinds[1]}"
        one_sided = (self.before, self.after) if None in (self.before, self.after) else ()
        inside = sum(1 for column in one_sided if column for _ in walk(column.fields))
        return f"{text}, {inside} columns in it" if inside else text

    @property
    def is_conflict(self) -> bool:
        """True when one table cannot hold both: another type, or only one side REPEATED."""
        return self.before is not None and self.after is not None and not _compatible(self.before, self.after)

    @property
    def kinds(self) -> tuple[str, str]:
        """Type and mode before and after, "absent" where there is no column."""
        before, after = (column.kind if column else "absent" for column in (self.before, self.after))
        return before, after


def diff_columns(before: Sequence[Column], after: Sequence[Column], parent: str = "") -> Iterator[SchemaChange]:
    """What changes from one level to the other, in column order, sub-fields of shared records included.

    A column that only one side has is one change, however much is in it. Descriptions and the spelling of
    names do not count.
    """
    old = {column.name.lower(): column for column in before}
    new = {column.name.lower(): column for column in after}
    for column in in_order((*before, *(column for name, column in new.items() if name not in old))):
        name = column.name.lower()
        path = f"{parent}.{column.name}" if parent else column.name
        yield from _diff_column(path, old.get(name), new.get(name))


def _diff_column(path: str, before: Column | None, after: Column | None) -> Iterator[SchemaChange]:
    if before is None or after is None:
        yield SchemaChange("added" if before is None else "removed", path, before, after)
        return
    if before.type != after.type:
        yield SchemaChange("type", path, before, after)
    elif before.mode != after.mode:
        yield SchemaChange("mode", path, before, after)
    if before.type == after.type == RECORD:
        yield from diff_columns(before.fields, after.fields, path)
