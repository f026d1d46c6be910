"""Bands of row groups that are encoded each by itself: the same file, byte by byte, as Arrow writes of all."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_bq.destinations import parquet_file
from dicom_bq.destinations.bands import bands
from dicom_bq.destinations.footers import Footer, join_columns
from dicom_bq.destinations.parquet_file import write_groups
from dicom_bq.destinations.waiting import Group, Waiting

ITEM = pa.struct([pa.field("Code", pa.string()), pa.field("Values", pa.list_(pa.float64()))])
SCHEMA = pa.schema(
    [
        pa.field("Name", pa.string()),
        pa.field("Day", pa.date32()),
        pa.field("Time", pa.time64("us")),
        pa.field("Number", pa.int64()),
        pa.field("Bytes", pa.binary()),
        pa.field("Truth", pa.bool_()),
        pa.field("Items", pa.list_(ITEM)),
        pa.field("Nothing", pa.string()),
    ],
    metadata={"what": "a test"},
)
ROWS = st.fixed_dictionaries(
    {
        "Name": st.none() | st.text(st.characters(codec="utf-8"), max_size=300),
        "Day": st.none() | st.dates(),
        "Time": st.none() | st.times(),
        "Number": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "Bytes": st.none() | st.binary(max_size=300),
        "Truth": st.none() | st.booleans(),
        "Items": st.lists(
            st.fixed_dictionaries(
                {"Code": st.none() | st.text(max_size=3), "Values": st.lists(st.floats(), max_size=3)}
            ),
            max_size=3,
        ),
    }
)


def groups(count: int, rows: int = 3) -> Iterator[pa.Table]:
    """Groups of ever longer texts, so that their pages are of different sizes."""
    for group in range(count):
        made = [
            {
                "Name": f"{row}" * group * 50,
                "Number": group << group % 40,
                "Items": [{"Code": "A", "Values": [0.5] * row}],
            }
            for row in range(rows)
        ]
        yield pa.Table.from_pylist(made, SCHEMA)


def write(path: Path, tables: Iterable[pa.Table], encoders: int) -> int:
    """Write each table as a row group, in bands."""
    with Waiting(path.parent) as waiting:
        groups = (group for table in tables for group in waiting.groups(table.to_batches()))
        return write_groups(path, SCHEMA, groups, waiting, encoders)


def written_by_arrow(tables: Iterable[pa.Table]) -> bytes:
    """The file that one thread writes, row group after row group."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd", data_page_size=parquet_file.PAGE_BYTES) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=table.num_rows)
    return sink.getvalue()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 14, 15, 16, 150])
def test_the_file_is_what_arrow_writes_whatever_the_number_of_encoders(tmp_path: Path, count: int) -> None:
    expected = written_by_arrow(groups(count))
    for encoders in (1, 2, 3, 9):
        assert write(tmp_path / f"{encoders}", groups(count), encoders) == 3 * count
        assert (tmp_path / f"{encoders}").read_bytes() == expected
    assert pq.read_table(tmp_path / "3").to_pylist() == [row for group in groups(count) for row in group.to_pylist()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ROWS, min_size=1, max_size=20), max_size=5))
def test_nor_on_what_is_in_it(tmp_path_factory: pytest.TempPathFactory, content: list[list[dict[str, object]]]) -> None:
    directory = tmp_path_factory.mktemp("groups")
    tables = [pa.Table.from_pylist(rows, SCHEMA) for rows in content]
    write(directory / "x", tables, 2)
    assert (directory / "x").read_bytes() == written_by_arrow(tables)


def test_everything_that_has_a_place_is_moved() -> None:
    """Also what this program does not write: the indices of pages, behind the pages."""
    (table,) = groups(1, rows=2_000)
    sink = io.BytesIO()
    pq.write_table(table, sink, write_page_index=True, data_page_size=1024)
    data = sink.getvalue()
    length = int.from_bytes(data[-8:-4], "little")
    footer = Footer.read(data[-8 - length : -8])
    before, after = footer.around(len(table), 1)
    moved = before + join_columns([(footer, 1000)]) + after
    further = data[:4] + bytes(1000) + data[4 : -8 - length] + moved + len(moved).to_bytes(4, "little") + data[-4:]
    assert pq.read_table(io.BytesIO(further)).equals(table)
    old, new = pq.read_metadata(io.BytesIO(data)), pq.read_metadata(io.BytesIO(further))
    for column in range(new.num_columns):
        here, there = old.row_group(0).column(column), new.row_group(0).column(column)
        assert there.has_offset_index
        assert there.has_column_index
        assert there.data_page_offset == here.data_page_offset + 1000
        assert there.dictionary_page_offset in {None, (here.dictionary_page_offset or 0) + 1000}
    assert before + join_columns([(footer, 0)]) + after == footer.data


def structure(fields: dict[int, Any]) -> bytes:
    """In Thrift's compact encoding: numbers below 64 as I64, bytes, structures, and lists of one structure."""
    made, last = b"", 0
    for number, value in fields.items():
        kinds = {int: 6, bytes: 8, list: 9, dict: 12}
        made += bytes([(number - last) << 4 | kinds[type(value)]])
        match value:
            case int():
                made += bytes([2 * value])
            case bytes():
                made += bytes([len(value)]) + value
            case [one]:
                made += b"\x1c" + structure(one)
            case _:
                made += structure(value)
        last = number
    return made + b"\0"


def described(place: int) -> bytes:
    """A footer in which every field that can be a place is one, and the others look the same."""
    metadata = {1: 7, 5: 7, 6: 7, 7: 7, 9: place, 10: place, 11: place, 12: {9: 7, 11: b"\x26\x0e"}, 14: place, 15: 7}
    column = {1: b"\x26\x0e", 2: place, 3: metadata, 4: place, 5: 7, 6: place, 7: 7}
    return structure({1: 2, 2: [{9: 7}], 3: 7, 4: [{1: [column], 2: 7, 3: 7, 5: place, 6: 7}], 5: [{9: 7}]})


@pytest.mark.parametrize(("place", "moved"), [(7, 12), (0, 0)])
def test_every_field_that_is_a_place_is_moved_and_no_other(place: int, moved: int) -> None:
    footer = Footer.read(described(place))
    before, after = footer.around(7, 1)
    assert before + join_columns([(footer, 5)]) + after == described(moved)


def test_the_sizes_of_a_row_group_are_those_of_all_its_columns() -> None:
    footer = Footer.read(described(7))
    before, after = footer.around(7, 1)
    three = Footer.read(before + join_columns([(footer, 0), (footer, 1), (footer, 2)]) + after)
    assert [three.number(field) for field in (2, 3, 5, 6)] == [2 * 21, 2 * 7, 2 * 7, 2 * 21]
    count, columns = three.columns(0)
    assert count == 3
    assert columns == b"".join(footer.columns(by)[1] for by in range(3))


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=20))
def test_bands_have_every_leaf_once_in_its_order(rows: list[dict[str, object]]) -> None:
    (batch,) = pa.Table.from_pylist(rows, SCHEMA).to_batches()
    parts = [band.of(batch) for band in bands(batch)]
    assert [leaf for part in parts for leaf in leaves(part.schema)] == leaves(SCHEMA)
    assert len(parts) > 1
    for part in parts:
        part.validate(full=True)


def leaves(fields: Iterable[pa.Field], parent: str = "") -> list[str]:
    """Paths of the fields that have no fields of their own."""
    found = []
    for field in fields:
        kind = field.type
        inner = [kind.value_field] if pa.types.is_list(kind) else list(kind) if pa.types.is_struct(kind) else []
        path = f"{parent}.{field.name}"
        found += leaves(inner, path) if inner else [path]
    return found


def test_a_column_larger_than_a_band_is_cut_into_its_sub_fields() -> None:
    (group,) = groups(1, rows=50)
    batch = group.set_column(
        6, SCHEMA.field("Items"), pa.array([[{"Code": "A" * 99, "Values": [0.5] * 9}]] * 50, SCHEMA.field("Items").type)
    ).to_batches()[0]
    cut = [band.schema for band in bands(batch) if band.numbers == (6,)]
    assert [leaves(schema) for schema in cut] == [[".Items.item.Code"], [".Items.item.Values.item"]]


@pytest.mark.parametrize(("encoders", "together"), [(3, 3), (99, parquet_file.MOST_ENCODERS)])
def test_no_more_bands_are_in_memory_than_there_are_encoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoders: int, together: int
) -> None:
    encode, load, lock, alive, most, loads = parquet_file._encode, Group.band, threading.Lock(), 0, 0, 0
    first = threading.Barrier(together, timeout=30)

    def loading(group: Group, number: int) -> pa.Table:
        nonlocal alive, most, loads
        with lock:
            alive, loads = alive + 1, loads + 1
            most = max(most, alive)
            early = loads <= together
        if early:
            first.wait()
        return load(group, number)

    def encoding(schema: pa.Schema, *few: pa.Table) -> memoryview:
        nonlocal alive
        made = encode(schema, *few)
        with lock:
            alive -= len(few)
        return made

    monkeypatch.setattr(Group, "band", loading)
    monkeypatch.setattr(parquet_file, "_encode", encoding)
    write(tmp_path / "x", groups(20), encoders)
    assert most == together


def test_the_room_of_a_group_is_used_again(tmp_path: Path) -> None:
    with Waiting(tmp_path) as waiting:
        first, second = (next(waiting.groups(table.to_batches())) for table in groups(2))
        waiting.done(first)
        (third,) = waiting.groups(next(groups(1)).to_batches())
        assert third.file is first.file
        assert third.file is not second.file
        assert third.band(0).num_rows == 3
    assert list(tmp_path.iterdir()) == []


def test_a_group_is_full_when_one_of_its_bands_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (batch,) = next(groups(1, rows=500)).to_batches()
    largest = max(band.of(batch).nbytes for band in bands(batch))
    monkeypatch.setattr("dicom_bq.destinations.waiting.MOST_BYTES", 3 * largest + 4096)
    with Waiting(tmp_path) as waiting:
        assert [group.rows for group in waiting.groups([batch] * 7)] == [1500, 1500, 500]


def test_small_batches_wait_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (table,) = groups(1, rows=700)
    with Waiting(tmp_path) as waiting:
        (group,) = waiting.groups(batch for row in range(700) for batch in table.slice(row, 1).to_batches())
        assert group.rows == 700
        assert len(group.extents) == 2
        assert group.band(0).num_rows == 700
        monkeypatch.setattr("dicom_bq.destinations.waiting.ENOUGH_BYTES", table.nbytes // 10)
        (group,) = waiting.groups(batch for row in range(700) for batch in table.slice(row, 1).to_batches())
        assert len(group.extents) > 9
    write_small = tmp_path / "small"
    with Waiting(tmp_path) as waiting:
        rows = waiting.groups(batch for row in range(700) for batch in table.slice(row, 1).to_batches())
        write_groups(write_small, SCHEMA, rows, waiting)
    assert pq.read_table(write_small).equals(table)


def test_what_fails_in_an_encoder_fails_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "band", lambda _group, _number: pa.table({"Other": ["x"]}))
    with pytest.raises(ValueError, match="Table schema does not match schema used to create file"):
        write(tmp_path / "x", groups(5), 2)


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.test_footers import groups, write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write(Path(sys.argv[1]), groups(40), 2)
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_cannot_grow_is_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path / "x"], check=True, capture_output=True, text=True)
    assert done.stdout == "File too large\n"
