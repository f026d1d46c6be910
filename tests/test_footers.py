"""Row groups that are encoded each by itself: the same file, byte by byte, as Arrow writes of all of them."""

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

from dicom_bq.destinations import row_groups
from dicom_bq.destinations.footers import Footer
from dicom_bq.destinations.row_groups import write_groups

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


def written_by_arrow(tables: Iterable[pa.Table]) -> bytes:
    """The file that one thread writes, row group after row group."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=table.num_rows)
    return sink.getvalue()


@pytest.mark.parametrize("count", [0, 1, 2, 7, 14, 15, 16, 150])
def test_the_file_is_what_arrow_writes_whatever_the_number_of_encoders(tmp_path: Path, count: int) -> None:
    expected = written_by_arrow(groups(count))
    for encoders in (1, 2, 3, 9):
        assert write_groups(tmp_path / f"{encoders}", SCHEMA, groups(count), encoders) == 3 * count
        assert (tmp_path / f"{encoders}").read_bytes() == expected
    assert pq.read_table(tmp_path / "3").to_pylist() == [row for group in groups(count) for row in group.to_pylist()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ROWS, min_size=1, max_size=20), max_size=5))
def test_nor_on_what_is_in_it(tmp_path_factory: pytest.TempPathFactory, content: list[list[dict[str, object]]]) -> None:
    directory = tmp_path_factory.mktemp("groups")
    tables = [pa.Table.from_pylist(rows, SCHEMA) for rows in content]
    write_groups(directory / "x", SCHEMA, iter(tables), 2)
    assert (directory / "x").read_bytes() == written_by_arrow(tables)


def test_everything_that_has_a_place_is_moved() -> None:
    """Also what this program does not write: the indices of pages, behind the pages."""
    (table,) = groups(1, rows=2_000)
    sink = io.BytesIO()
    pq.write_table(table, sink, write_page_index=True, row_group_size=500, data_page_size=1024)
    data = sink.getvalue()
    length = int.from_bytes(data[-8:-4], "little")
    footer = Footer.read(data[-8 - length : -8])
    before, after = footer.around(footer.rows, 4)
    moved = before + footer.moved(1000) + after
    further = data[:4] + bytes(1000) + data[4 : -8 - length] + moved + len(moved).to_bytes(4, "little") + data[-4:]
    assert pq.read_table(io.BytesIO(further)).equals(table)
    old, new = pq.read_metadata(io.BytesIO(data)), pq.read_metadata(io.BytesIO(further))
    assert new.row_group(3).column(0).has_offset_index
    assert new.row_group(3).column(0).has_column_index
    for number in range(4):
        for column in range(new.num_columns):
            here, there = old.row_group(number).column(column), new.row_group(number).column(column)
            assert there.data_page_offset == here.data_page_offset + 1000
            assert there.dictionary_page_offset in {None, (here.dictionary_page_offset or 0) + 1000}
    assert before + footer.moved(0) + after == footer.data


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
    assert before + footer.moved(5) + after == described(moved)


def test_no_more_groups_are_in_memory_than_there_are_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, lock, alive, most = row_groups._encode, threading.Lock(), 0, 0

    def counted() -> Iterator[pa.Table]:
        nonlocal alive, most
        for group in groups(20):
            with lock:
                alive += 1
                most = max(most, alive)
            yield group

    def counting(schema: pa.Schema, *few: pa.Table) -> memoryview:
        nonlocal alive
        made = encode(schema, *few)
        with lock:
            alive -= len(few)
        return made

    monkeypatch.setattr(row_groups, "_encode", counting)
    write_groups(tmp_path / "x", SCHEMA, counted(), 3)
    assert most == 3
    write_groups(tmp_path / "x", SCHEMA, counted(), 99)
    assert most == row_groups.MOST_ENCODERS


def test_what_fails_in_an_encoder_fails_here(tmp_path: Path) -> None:
    other = pa.table({"Other": ["x"]})
    with pytest.raises(ValueError, match="Table schema does not match schema used to create file"):
        write_groups(tmp_path / "x", SCHEMA, iter([*groups(2), other, *groups(2)]), 2)


FULL = """
import resource, signal, sys
from pathlib import Path
from dicom_bq.destinations.row_groups import write_groups
from tests.test_footers import SCHEMA, groups
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_groups(Path(sys.argv[1]), SCHEMA, groups(40), 2)
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_cannot_grow_is_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path / "x"], check=True, capture_output=True, text=True)
    assert done.stdout == "File too large\n"
