"""What a load makes of a table's columns: pure functions over the API's field objects."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dicom_bq.destinations.bigquery_tables import (
    arrow_schema,
    changes,
    extended,
    loaded,
    missing_required,
    replaced,
    same_columns,
    tagged,
    walk_fields,
)

Field = dict[str, Any]
TAG = "projects/p/locations/eu/taxonomies/1/policyTags/2"


def field(name: str, kind: str = "STRING", mode: str = "NULLABLE", **more: Any) -> Field:
    return {"name": name, "type": kind, "mode": mode, **more}


def record(name: str, *fields: Field, **more: Any) -> Field:
    return field(name, "RECORD", "REPEATED", fields=list(fields), **more)


def paths(fields: list[Field]) -> list[str]:
    return [path for path, _ in walk_fields(fields)]


def test_additions_go_to_the_end_of_their_level() -> None:
    table = [field("b"), record("S", field("y"), field("z")), field("a")]
    ours = [field("a"), field("aa"), record("S", field("x"), field("z"))]
    assert paths(extended(table, ours)) == ["b", "S", "S.y", "S.z", "S.x", "a", "aa"]


def test_what_is_there_stays_as_it_is() -> None:
    mine = field("A", description="mine", policyTags={"names": [TAG]}, defaultValueExpression="'x'")
    table = [mine, record("S", field("y", mode="REQUIRED"), description="theirs")]
    result = extended(table, [field("a"), record("s", field("Y"), field("z"))])
    assert result[0] is mine
    assert result[1] == record("S", field("y", mode="REQUIRED"), field("z"), description="theirs")


_NAMES = st.sampled_from("abcde")


def _levels(depth: int) -> st.SearchStrategy[list[Field]]:
    leaf = st.builds(field, _NAMES)
    if depth:
        inner = st.builds(lambda name, fields: record("S" + name, *fields), _NAMES, _levels(depth - 1))
        leaf = leaf | inner.filter(lambda item: bool(item["fields"]))
    return st.lists(leaf, unique_by=lambda item: item["name"], max_size=5)


@given(_levels(2), _levels(2))
def test_extending_adds_what_is_missing_and_moves_nothing(table: list[Field], ours: list[Field]) -> None:
    result = extended(table, ours)
    assert set(paths(result)) == set(paths(table)) | set(paths(ours))
    assert [path for path in paths(result) if path in set(paths(table))] == paths(table)
    assert extended(result, ours) == result
    added, lost = changes(table, result)
    assert (lost, bool(added)) == ((), result != table)


@given(_levels(2), _levels(2))
def test_replacing_is_ours_and_loading_is_in_the_tables_order(table: list[Field], ours: list[Field]) -> None:
    assert paths(replaced(table, ours)) == paths(ours)
    files = loaded(extended(table, ours), ours)
    assert [item["name"] for item in files] == [
        item["name"] for item in extended(table, ours) if item["name"] in {mine["name"] for mine in ours}
    ]
    assert set(paths(ours)) <= set(paths(files))


def test_replacing_carries_spelling_descriptions_and_policy_tags_over() -> None:
    table = [field("A", description="mine", policyTags={"names": [TAG]}), record("S", field("y", description="deep"))]
    ours = [field("a", description="ours"), record("S", field("y"), field("z", description="new"))]
    assert replaced(table, ours) == [
        field("A", description="mine", policyTags={"names": [TAG]}),
        record("S", field("y", description="deep"), field("z", description="new")),
    ]


def test_replacing_puts_no_policy_tag_on_a_record() -> None:
    table = [field("A", policyTags={"names": [TAG]}, description="d")]
    assert replaced(table, [record("A", field("x"))]) == [record("A", field("x"), description="d")]


def test_tags_are_of_leaves_and_the_nearest_name_counts() -> None:
    other = TAG.replace("2", "3")
    fields = [record("S", field("x"), field("y")), field("x"), field("z")]
    result = tagged(fields, {"S": TAG, "x": other})
    assert result == [
        record("S", field("x", policyTags={"names": [other]}), field("y", policyTags={"names": [TAG]})),
        field("x", policyTags={"names": [other]}),
        field("z"),
    ]
    assert tagged(fields, {}) == fields


def test_changes_name_the_outermost() -> None:
    before = [field("a"), record("S", field("x"))]
    after = [record("s", field("X"), record("T", field("y"), field("z"))), field("b")]
    assert changes(before, after) == (("s.T", "b"), ("a",))


def test_required_columns_inside_records_that_we_have() -> None:
    table = [
        record("S", field("must", mode="REQUIRED"), field("may")),
        record("absent", field("must", mode="REQUIRED")),
        field("top", mode="REQUIRED"),
    ]
    assert list(missing_required(table, [record("s", field("may"))])) == ["S.must", "top"]
    assert list(missing_required(table, [record("S", field("MUST")), field("top")])) == []


def test_files_hold_what_parquet_can() -> None:
    table = [field("note"), record("S", field("x"), field("j", "JSON"), field("b", "BYTES")), field("a")]
    files = loaded(table, [field("a"), record("S", field("x"))])
    assert paths(files) == ["S", "S.x", "S.b", "a"]
    assert arrow_schema(files) == pa.schema(
        [("S", pa.list_(pa.struct([("x", pa.string()), ("b", pa.binary())]))), ("a", pa.string())]
    )


def test_a_record_of_nothing_that_parquet_can_hold_is_in_no_file() -> None:
    only = record("only", field("j", "JSON"), record("inside", field("g", "GEOGRAPHY")))
    assert loaded([record("S", field("x"), only), only], [record("S", field("x")), only]) == [record("S", field("x"))]


def test_columns_are_the_same_when_the_table_says_all_that_is_wanted() -> None:
    table = [record("S", field("A", maxLength="9", rangeElementType={"type": "DATE"}))]
    assert same_columns(table, [record("s", field("a", description="mine"))])
    assert same_columns(table, [record("S", field("A", rangeElementType={"type": "DATE"}))])
    assert not same_columns(table, [record("S", field("A", rangeElementType={"type": "TIMESTAMP"}))])
    assert not same_columns([record("S", field("A"))], table)
    assert not same_columns(table, [*table, field("B")])


def test_a_mode_that_is_left_out_is_nullable() -> None:
    assert same_columns([{"name": "a", "type": "STRING"}], [field("a")])
    assert not same_columns([{"name": "a", "type": "STRING"}], [field("a", mode="REQUIRED")])


def test_required_columns_are_not_nullable_in_the_file() -> None:
    schema = arrow_schema([field("a", mode="REQUIRED"), field("b", "INTEGER")])
    assert [column.nullable for column in schema] == [False, True]
