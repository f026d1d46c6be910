"""A batch in the form of a wider schema, against a slow conform of Python values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_bq.conform import conform
from dicom_bq.errors import SchemaError

LEAVES = (
    pa.string(),
    pa.int64(),
    pa.float64(),
    pa.date32(),
    pa.timestamp("us", tz="UTC"),
    pa.decimal128(20, 0),
)


@st.composite
def types(draw: st.DrawFn, depth: int = 3) -> pa.DataType:
    """A type as columns have them: leaves, structs, and lists of these, but no lists of lists."""
    if depth and draw(st.booleans()):
        kind: pa.DataType = pa.struct(draw(fields(depth - 1)))
    else:
        kind = draw(st.sampled_from(LEAVES))
    return pa.list_(kind) if draw(st.booleans()) else kind


@st.composite
def fields(draw: st.DrawFn, depth: int = 3) -> list[pa.Field]:
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1, max_size=4))
    return [pa.field(name, draw(types(depth))) for name in names]


@st.composite
def narrower(draw: st.DrawFn, wide: list[pa.Field]) -> list[pa.Field]:
    """Some of the fields, in any order, and of their sub-fields the same."""
    kept = draw(st.permutations(wide))
    if len(kept) > 1:
        kept = kept[: draw(st.integers(1, len(kept)))]
    return [pa.field(field.name, draw(narrower_type(field.type))) for field in kept]


@st.composite
def narrower_type(draw: st.DrawFn, kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(draw(narrower_type(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct(draw(narrower(list(kind))))
    return kind


@st.composite
def values(draw: st.DrawFn, kind: pa.DataType, nulls: bool = True) -> Any:
    if nulls and draw(st.integers(0, 3)) == 0:
        return None
    if pa.types.is_list(kind):
        return draw(st.lists(values(kind.value_type, nulls=False), max_size=3))
    if pa.types.is_struct(kind):
        return {field.name: draw(values(field.type)) for field in kind}
    number = draw(st.integers(0, 9))
    return (
        pa.scalar(str(number)).as_py() if kind == pa.string() else pa.scalar(number).cast(_via(kind)).cast(kind).as_py()
    )


def _via(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if kind == pa.date32() else pa.int64()


def slow(value: Any, kind: pa.DataType) -> Any:
    """What conforming means, one value at a time."""
    if value is None:
        return None
    if pa.types.is_list(kind):
        return [slow(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: slow_field(value, field) for field in kind}
    return value


def slow_field(row: dict[str, Any], field: pa.Field) -> Any:
    if field.name not in row:
        return [] if pa.types.is_list(field.type) else None
    return slow(row[field.name], field.type)


@st.composite
def cases(draw: st.DrawFn) -> tuple[pa.RecordBatch, pa.Schema]:
    wide = draw(fields())
    narrow = pa.schema(draw(narrower(wide)))
    row = st.fixed_dictionaries({field.name: values(field.type) for field in narrow})
    batch = pa.RecordBatch.from_pylist(draw(st.lists(row, max_size=6)), schema=narrow)
    start = draw(st.integers(0, batch.num_rows))
    length = draw(st.integers(0, batch.num_rows - start))
    return batch.slice(start, length), pa.schema(wide)


@given(cases())
def test_agrees_with_conforming_one_value_at_a_time(case: tuple[pa.RecordBatch, pa.Schema]) -> None:
    batch, schema = case
    made = conform(batch, schema)
    made.validate(full=True)
    assert made.schema == schema
    assert made.to_pylist() == [{field.name: slow_field(row, field) for field in schema} for row in batch.to_pylist()]


@given(cases())
def test_twice_is_once(case: tuple[pa.RecordBatch, pa.Schema]) -> None:
    batch, schema = case
    once = conform(batch, schema)
    assert conform(once, schema) is once


def addresses(array: pa.Array) -> list[int]:
    return [buffer.address for buffer in array.buffers() if buffer is not None]


def test_copies_nothing_that_has_the_right_type() -> None:
    sequence = pa.struct([("Code", pa.string())])
    batch = pa.RecordBatch.from_pylist(
        [{"Name": "a", "Items": [{"Code": "x"}, {"Code": "y"}]}] * 10,
        schema=pa.schema([("Name", pa.string()), ("Items", pa.list_(sequence))]),
    )
    wide = pa.struct([("Code", pa.string()), ("Meaning", pa.string())])
    made = conform(batch, pa.schema([("Items", pa.list_(wide)), ("Name", pa.string()), ("Age", pa.int64())]))
    assert addresses(made["Name"]) == addresses(batch["Name"])
    assert made["Items"].offsets.buffers()[1].address == batch["Items"].offsets.buffers()[1].address
    assert addresses(made["Items"].values.field(0)) == addresses(batch["Items"].values.field(0))


def test_a_slice_takes_no_values_of_other_rows_along() -> None:
    sequence = pa.list_(pa.struct([("Code", pa.string())]))
    batch = pa.RecordBatch.from_pylist(
        [{"Items": [{"Code": str(n)}] * 100} for n in range(100)], pa.schema([("Items", sequence)])
    )
    wide = pa.schema([("Items", pa.list_(pa.struct([("Code", pa.string()), ("Meaning", pa.string())])))])
    assert len(conform(batch.slice(40, 2), wide)["Items"].values) == 200


def test_names_are_found_ignoring_case_and_get_the_schemas_spelling() -> None:
    batch = pa.RecordBatch.from_pylist([{"PatientID": "1", "PatientName": {"Given": "x"}}])
    schema = pa.schema([("patientname", pa.struct([("GIVEN", pa.string())])), ("patientid", pa.string())])
    assert conform(batch, schema).to_pylist() == [{"patientname": {"GIVEN": "x"}, "patientid": "1"}]


def test_large_types_of_other_writers_become_the_mappings() -> None:
    large = pa.schema([("A", pa.large_list(pa.large_string())), ("T", pa.timestamp("us", tz="Etc/UTC"))])
    batch = pa.RecordBatch.from_pylist(
        [{"A": ["x", "y"], "T": 5}, {"A": None, "T": None}, {"A": [], "T": 7}], schema=large
    )
    schema = pa.schema([("A", pa.list_(pa.string())), ("T", pa.timestamp("us", tz="UTC"))])
    made = conform(batch.slice(1), schema)
    assert made.schema == schema
    assert made.to_pylist() == batch.slice(1).to_pylist()


def test_metadata_becomes_the_schemas() -> None:
    schema = pa.schema([("A", pa.string())], metadata={b"k": b"v"})
    assert conform(pa.RecordBatch.from_pylist([{"A": "x"}]), schema).schema.metadata == {b"k": b"v"}


@pytest.mark.parametrize(
    ("row", "path"), [({"A": "x", "B": "y"}, "b"), ({"A": "x", "S": [{"T": "x", "U": "y"}]}, r"S\.u")]
)
def test_a_column_that_would_be_lost_is_an_error(row: dict[str, Any], path: str) -> None:
    schema = pa.schema([("A", pa.string()), ("S", pa.list_(pa.struct([("T", pa.string())])))])
    with pytest.raises(SchemaError, match=f"no column for {path} in the schema"):
        conform(pa.RecordBatch.from_pylist([row]), schema)
