"""Decoded values to nested Arrow arrays: a recursion over the columns of a schema, at most 15 levels deep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq import dictionary
from dicom_bq.column import DROPPED_TAGS_KEY, OTHER_ELEMENTS_KEY, PRIVATE_KEY, SOURCE_KEY, Column
from dicom_bq.columns.decode import Leaves
from dicom_bq.columns.nesting import Nesting
from dicom_bq.columns.other import OtherTexts, texts_of_tags
from dicom_bq.columns.paths import Paths
from dicom_bq.columns.scalars import scalar_columns
from dicom_bq.conform import absent, fit
from dicom_bq.elements import ElementTable
from dicom_bq.mapping import is_sequence, tag_name
from dicom_bq.spans import ranges

Rows = npt.NDArray[np.int64]


class Part(NamedTuple):
    """The decoded elements of one column: positions [begin, end) in ``leaves``."""

    leaves: Leaves
    begin: int
    end: int


@dataclass(slots=True)
class Assembly:
    """All that columns are put together from.

    Attributes:
        table: The batch.
        paths: Nodes.
        nesting: Numbers of containers.
        parts: Decoded elements by node.
        other: Elements of each OtherElements node, sorted by container, then tag.
        dropped: Names, references and list offsets of DroppedTags.
        sources: URI of each instance, for SourceDicomStore.
        visited: Nodes that got a column.
        scalars: Columns of one value a row, by node; those of a family are made when the first is asked for.
    """

    table: ElementTable
    paths: Paths
    nesting: Nesting
    parts: dict[int, Part]
    other: dict[int, OtherTexts]
    dropped: tuple[pa.StringArray, pa.StringArray, Rows]
    sources: Sequence[str] | None
    visited: set[int] = field(default_factory=set)
    scalars: dict[int, pa.Array] = field(default_factory=dict)

    def columns(self, columns: Sequence[Column], types: Sequence[pa.Field], node: int) -> list[pa.Array]:
        """The arrays of one level.

        Args:
            columns: Columns wanted.
            types: Their Arrow fields.
            node: The root or a sequence node.
        """
        return [self._column(column, type_.type, node) for column, type_ in zip(columns, types, strict=True)]

    def _column(self, column: Column, kind: pa.DataType, node: int) -> pa.Array:
        size = int(self.nesting.sizes[node])
        if column.key == DROPPED_TAGS_KEY:
            return self._dropped(kind)
        if column.key == SOURCE_KEY and self.sources is not None:
            return pa.array(self.sources, pa.string())
        child = self.paths.children.get((node, column.key))
        make = None if child is None else self._maker(column, child)
        if make is None or child is None:
            return absent(kind, size)
        self.visited.add(child)
        return make(column, kind, child, size)

    def _maker(self, column: Column, child: int) -> Callable[[Column, pa.DataType, int, int], pa.Array] | None:
        if column.key == OTHER_ELEMENTS_KEY:
            return self._other if child in self.other else None
        if is_sequence(column.key):
            return self._sequence if self.nesting.sizes[child] else None
        if child not in self.parts:
            return None
        entry = dictionary.lookup(column.key) if column.key < PRIVATE_KEY else None
        return self._repeating_group if entry is not None and entry.repeater_mask else self._leaf

    def _sequence(self, column: Column, kind: pa.ListType, node: int, size: int) -> pa.Array:
        items = self.columns(column.fields, list(kind.value_type), node)
        records = pa.StructArray.from_arrays(items, fields=list(kind.value_type))
        return list_array(records, self.nesting.holders[node], size, kind)

    def _leaf(self, column: Column, kind: pa.DataType, node: int, size: int) -> pa.Array:
        leaves = self.parts[node].leaves
        if leaves.repeated:
            rows, starts, counts, values = self._elements(node)
            return _lists(fit(values, kind.value_type), starts, counts, self.nesting.ordinal.take(rows), kind, size)
        if node not in self.scalars:
            sizes = self.nesting.sizes[[self.paths.nodes[used].parent for used in leaves.used.tolist()]]
            self.scalars.update(scalar_columns(leaves, sizes, self.nesting.ordinal))
        return fit(self.scalars[node], kind)

    def _elements(self, node: int) -> tuple[Rows, Rows, Rows, pa.Array]:
        """Rows of a column's elements; first value and number of values of each; the values they are among."""
        part = self.parts[node]
        leaves, chosen = part.leaves, slice(part.begin, part.end)
        return leaves.rows[chosen], leaves.starts[chosen], leaves.counts[chosen], leaves.values

    def _repeating_group(self, column: Column, kind: pa.ListType, node: int, size: int) -> pa.Array:
        """One record a group present, ascending, with the half of the tag that varies as Id."""
        rows, starts, counts, values = self._elements(node)
        tags, holder = self.table.tag[rows], self.nesting.ordinal[rows]
        order = np.lexsort((tags, holder))
        entry = dictionary.lookup(column.key)
        codes = texts_of_tags(tags[order], lambda tag: entry.repeater_id(tag) if entry else "")
        inner, repeated = _type_of(kind, "value"), self.parts[node].leaves.repeated
        counts = counts[order]
        values, starts = _gather(values, starts[order], counts), np.cumsum(counts) - counts
        value = _lists(values, starts, counts, np.arange(len(order)), inner, len(order)) if repeated else values
        records = _records(kind, id=codes, value=value)
        return list_array(records, holder[order], size, kind)

    def _other(self, column: Column, kind: pa.ListType, node: int, size: int) -> pa.Array:
        texts = self.other[node]
        rows = texts.rows
        data_type = _type_of(kind, "data")
        parts = _gather(texts.parts, texts.starts, texts.counts)
        data = list_array(parts, np.repeat(np.arange(len(rows)), texts.counts), len(rows), data_type)
        tags = texts_of_tags(self.table.tag[rows], tag_name)
        records = _records(kind, tag=tags, data=data)
        return list_array(records, self.nesting.ordinal[rows], size, kind)

    def _dropped(self, kind: pa.ListType) -> pa.Array:
        names, references, instance = self.dropped
        records = _records(kind, tagname=names, tagreference=references)
        return list_array(records, instance, self.table.instances, kind)


def _records(kind: pa.ListType, **parts: pa.Array) -> pa.StructArray:
    """Records of these sub-fields, named in lower case; others that a user's schema has are empty."""
    size, fields = len(next(iter(parts.values()))), list(kind.value_type)
    arrays = [parts[one.name.lower()] if one.name.lower() in parts else absent(one.type, size) for one in fields]
    return pa.StructArray.from_arrays(arrays, fields=fields)


def _type_of(kind: pa.ListType, name: str) -> pa.DataType:
    """Type of a sub-field of records, by its name in lower case."""
    return next(one.type for one in kind.value_type if one.name.lower() == name)


def _lists(values: pa.Array, starts: Rows, counts: Rows, holder: Rows, kind: pa.ListType, size: int) -> pa.Array:
    """A column of arrays, one element a row that has any.

    Args:
        values: What the elements' values are among.
        starts: First value of each element, ascending.
        counts: Values of each element.
        holder: Row of each element, ascending, none twice.
        kind: Arrow type of the column.
        size: Rows.
    """
    sizes = np.zeros(size, np.int64)
    sizes[holder] = counts
    return _list_array(_gather(values, starts, counts), sizes, kind)


def _gather(values: pa.Array, starts: Rows, counts: Rows) -> pa.Array:
    """The values of some elements: a slice where they follow each other, else copied together."""
    total = int(counts.sum())
    if not total:
        return values.slice(0, 0)
    first = int(starts[0])
    if int(starts[-1] + counts[-1]) - first == total and np.array_equal(starts[1:], (starts + counts)[:-1]):
        return values.slice(first, total)
    return pc.take(values, pa.array(ranges(starts, counts)))


def list_array(values: pa.Array, holder: Rows, size: int, kind: pa.DataType) -> pa.Array:
    """A list column.

    Args:
        values: All entries, in the order of their holders.
        holder: The row that holds each entry, ascending.
        size: Rows.
        kind: Arrow type of the column.
    """
    return _list_array(values, np.bincount(holder, minlength=size), kind)


def _list_array(values: pa.Array, sizes: Rows, kind: pa.ListType) -> pa.Array:
    """A list column of the size of each row's list."""
    offsets = np.zeros(len(sizes) + 1, np.int32)
    sizes.cumsum(out=offsets[1:])
    return pa.Array.from_buffers(kind, len(sizes), [None, pa.py_buffer(offsets)], null_count=0, children=[values])
