"""A batch in the form of a wider schema: what it lacks is null, or empty lists where the column is REPEATED.

Nothing is copied but what has to be: a column of the right type is passed on as it is, and in the others only
the level that gained a sub-field is put together anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq.errors import SchemaError


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Put a batch into the form of a schema that has every column of its, and more.

    Args:
        batch: Rows; may be a slice.
        schema: The form wanted. Columns are found by name, ignoring case, at every level; their order is the
            schema's. A REPEATED column that the batch lacks becomes empty lists, since BigQuery's arrays are
            never null; another becomes null.

    Returns:
        A batch of that schema with the same rows; the columns that had the right type share their memory.

    Raises:
        SchemaError: The batch has a column that the schema lacks: its values would be lost.
    """
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = _fields(batch.schema.names, batch.columns, list(schema), batch.num_rows, "")
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _fields(
    names: Iterable[str], arrays: Iterable[pa.Array], wanted: list[pa.Field], rows: int, path: str
) -> list[pa.Array]:
    """The arrays of one level in the order wanted."""
    have = {name.lower(): array for name, array in zip(names, arrays, strict=True)}
    made = []
    for field in wanted:
        array = have.pop(field.name.lower(), None)
        made.append(absent(field.type, rows) if array is None else fit(array, field.type, path + field.name))
    if have:
        raise SchemaError(reason=f"no column for {', '.join(path + name for name in have)} in the schema")
    return made


def fit(array: pa.Array, kind: pa.DataType, path: str = "") -> pa.Array:
    """A column in the form of a type that has every sub-field of its, and more; as ``conform`` does it."""
    if array.type == kind:
        return array
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type):
        return _struct(array, kind, path)
    if pa.types.is_list(kind) and isinstance(array, pa.ListArray | pa.LargeListArray):
        return _list(array, kind, path)
    return array.cast(kind)


def _struct(array: pa.StructArray, kind: pa.StructType, path: str) -> pa.StructArray:
    # field() takes the slice's offset into account, flatten() would also copy the struct's nulls into it.
    arrays = [array.field(position) for position in range(array.type.num_fields)]
    names = [field.name for field in array.type]
    wanted = list(kind)
    children = _fields(names, arrays, wanted, len(array), f"{path}.")
    return pa.StructArray.from_arrays(children, fields=wanted, mask=nulls(array))


def _list(array: pa.ListArray | pa.LargeListArray, kind: pa.ListType, path: str) -> pa.ListArray:
    return with_values(array, kind, functools.partial(fit, path=path))


def with_values(
    array: pa.ListArray | pa.LargeListArray, kind: pa.ListType, convert: Callable[[pa.Array, pa.DataType], pa.Array]
) -> pa.ListArray:
    """The same lists of other values.

    Args:
        array: Lists; may be a slice.
        kind: The type wanted.
        convert: Puts the values into the form of a type.
    """
    offsets, values = array.offsets, array.values
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    # In a slice: leave out the values of other rows, and start at offset 0, which a mask of nulls needs.
    if array.offset or last - first != len(values):
        offsets = pc.subtract(offsets, first)
        values = values.slice(first, last - first)
    return pa.ListArray.from_arrays(
        offsets.cast(pa.int32()), convert(values, kind.value_type), type=kind, mask=nulls(array)
    )


def nulls(array: pa.Array) -> pa.BooleanArray | None:
    """A mask of the values that are null; None if there is none."""
    return array.is_null() if array.null_count else None


def absent(kind: pa.DataType, rows: int) -> pa.Array:
    """A column without a value: nulls, or empty lists, since BigQuery's arrays hold no NULL and are none."""
    if not pa.types.is_list(kind):
        return pa.nulls(rows, kind)
    return pa.ListArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), rows + 1), pa.nulls(0, kind.value_type), type=kind
    )
