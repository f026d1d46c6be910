"""Bands: a schema cut into runs of columns, so that a row group is written one of them at a time.

What it takes to write a row group is memory for the columns that are written together. A row group of 20,000 instances
has 90 MB; in bands of an eighth each it takes 11 MB. A column that is larger than that by itself, a list of structures
such as OtherElements, is cut into some of its sub-fields at a time. Parquet stores every leaf by itself, with the lists
and structures around it written down as levels: its pages are the same whatever is beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from dicom_bq.conform import nulls, with_values

BANDS = 8
"""How many there are if all are of one size; those of a size of its own come on top of it."""


@dataclass(frozen=True, slots=True)
class Band:
    """Some columns.

    Attributes:
        numbers: Of the columns in the whole schema.
        schema: Theirs, possibly without some of their sub-fields.
    """

    numbers: tuple[int, ...]
    schema: pa.Schema

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The band of a batch of the whole schema."""
        arrays = [
            _narrow(batch.column(number), field.type) for number, field in zip(self.numbers, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def bands(batch: pa.RecordBatch) -> list[Band]:
    """Cut a schema so that the bands of a batch are of about the same size.

    Returns:
        Bands that together have every leaf once, in the order of the schema.
    """
    number_of = {name: number for number, name in enumerate(batch.schema.names)}
    runs = _runs(list(zip(batch.schema, batch.columns, strict=True)), batch.nbytes // BANDS)
    return [Band(tuple(number_of[field.name] for field in run), pa.schema(run)) for run in runs]


def _runs(fields: list[tuple[pa.Field, pa.Array]], most_bytes: int) -> Iterator[list[pa.Field]]:
    """Runs of fields that have no more bytes, or are one leaf."""
    run, size = list[pa.Field](), 0
    for field, array in fields:
        more = array.nbytes
        if run and size + more > most_bytes:
            yield run
            run, size = [], 0
        pieces = _pieces(field, array, most_bytes) if more > most_bytes else [field]
        if len(pieces) > 1:
            yield from ([piece] for piece in pieces)
        else:
            run.append(field)
            size += more
    if run:
        yield run


def _pieces(field: pa.Field, array: pa.Array, most_bytes: int) -> list[pa.Field]:
    """A field that is too large, or several of the name with some of its sub-fields each."""
    kind = field.type
    if pa.types.is_struct(kind):
        children = [(child, array.field(number)) for number, child in enumerate(kind)]
        return [field.with_type(pa.struct(run)) for run in _runs(children, most_bytes)]
    if pa.types.is_list(kind):
        item = kind.value_field
        return [field.with_type(pa.list_(piece)) for piece in _pieces(item, array.values, most_bytes)]
    return [field]


def _narrow(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An array without the sub-fields that a type does not have."""
    if array.type == kind:
        return array
    if pa.types.is_struct(kind):
        children = [_narrow(array.field(child.name), child.type) for child in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=nulls(array))
    return with_values(array, kind, _narrow)
