"""Footers of Parquet files: the row groups of several files, each encoded by itself, become those of one.

What encodes a file takes one thread, and keeps what it will say in the footer: 3 MB a row group of 1,800 columns, 300
MB for 100,000 instances of every kind. So each row group is made as a file, by whichever thread is free, and the pages
of all are written one after the other. A footer is one structure in Thrift's compact encoding; what it says of a row
group depends on nothing before it but where in the file its pages are. To join files is therefore to move places. A
footer, shortened, and what becomes of it when its pages are moved by 1,000 bytes::

    file metadata   3: rows 4,600                                             the sum of all
                    4: row groups   1: columns   2: place 0                   0 stands for none, and stays
                                                 3: metadata   9: place 105   1105
                                                              11: place 4     1004
                                    5: place 4                                1004

Sources: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md for the encoding,
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift for the numbers of fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)
INTEGERS = (I64, I32, I16)
SIZES = {TRUE: 0, FALSE: 0, BYTE: 1, DOUBLE: 8}
"""Bytes of a value of a fixed size; a field's truth is in its kind. There is no map in a footer."""
Places: TypeAlias = "Mapping[int, Places]"
"""The fields, by number, that are places in the file or have such in them; a place has none."""
PLACE: Places = {}
NOWHERE: Places = {}
COLUMN_METADATA: Places = {9: PLACE, 10: PLACE, 11: PLACE, 14: PLACE}
"""Of data pages, index pages, the dictionary page and the Bloom filter."""
COLUMN: Places = {2: PLACE, 3: COLUMN_METADATA, 4: PLACE, 6: PLACE}
"""Of the metadata, the offset index and the column index."""
ROW_GROUP: Places = {1: COLUMN, 5: PLACE}
ROWS, ROW_GROUPS = 3, 4
"""The fields of the file metadata that depend on how many row groups there are."""
MORE, BITS, LONG_LIST = 0x80, 0x7F, 0xF


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer of a Parquet file, without its length and the magic number.

    Attributes:
        data: The file metadata.
        fields: Where the value of each of its fields begins and ends, by number.
        places: Where in ``data`` it says where something is in the file.
    """

    data: bytes
    fields: Mapping[int, tuple[int, int]]
    places: tuple[int, ...]

    @classmethod
    def read(cls, data: bytes) -> Footer:
        """Take one apart that has been written by a library."""
        number = at = 0
        fields, places = dict[int, tuple[int, int]](), list[int]()
        while data[at]:
            number, kind, start = _field(data, at, number)
            at = _end(data, start, kind, ROW_GROUP if number == ROW_GROUPS else NOWHERE, places)
            fields[number] = start, at
        return cls(data, fields, tuple(places))

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return _number(self.data, self.fields[ROWS][0])[0] >> 1

    def moved(self, by: int) -> bytes:
        """What it says of the row groups when their pages are so many bytes further on."""
        start, end = self.fields[ROW_GROUPS]
        done, pieces = _list(self.data, start)[-1], list[bytes]()
        for place in self.places:
            value, following = _number(self.data, place)
            pieces += self.data[done:place], _varint(value + 2 * by if value else 0)
            done = following
        return b"".join([*pieces, self.data[done:end]])

    def around(self, rows: int, count: int) -> tuple[bytes, bytes]:
        """What stands before and behind the row groups in the footer of a file with so many rows and row groups."""
        (rows_start, rows_end), (start, end) = self.fields[ROWS], self.fields[ROW_GROUPS]
        head = bytes([count << 4 | STRUCT]) if count < LONG_LIST else bytes([LONG_LIST << 4 | STRUCT]) + _varint(count)
        return self.data[:rows_start] + _varint(2 * rows) + self.data[rows_end:start] + head, self.data[end:]


def _field(data: bytes, at: int, number: int) -> tuple[int, int, int]:
    """Number of the field whose head is at a position, behind the one with ``number``; its kind; where its value is."""
    step, kind = data[at] >> 4, data[at] & 0xF
    if step:
        return number + step, kind, at + 1
    written, start = _number(data, at + 1)
    return written >> 1, kind, start


def _end(data: bytes, at: int, kind: int, places: Places, found: list[int]) -> int:
    """Where a value ends; places in it are added to ``found``."""
    if kind in INTEGERS:
        if places is PLACE:
            found.append(at)
        while data[at] >= MORE:
            at += 1
        return at + 1
    if kind == STRUCT:
        number = 0
        while data[at]:
            number, inner, start = _field(data, at, number)
            at = _end(data, start, inner, places.get(number, NOWHERE), found)
        return at + 1
    if kind == BINARY:
        size, start = _number(data, at)
        return start + size
    if kind in {LIST, SET}:
        count, inner, at = _list(data, at)
        for _ in range(count):
            at = _end(data, at, inner, places, found)
        return at
    return at + SIZES[kind]


def _list(data: bytes, at: int) -> tuple[int, int, int]:
    """How many elements a list has; their kind; where they are."""
    count, kind = data[at] >> 4, data[at] & 0xF
    at += 1
    if count == LONG_LIST:
        count, at = _number(data, at)
    return count, BYTE if kind in {TRUE, FALSE} else kind, at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends. Those with a sign are twice as large, less one if negative."""
    value = shift = 0
    while data[at] >= MORE:
        value |= (data[at] & BITS) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def _varint(value: int) -> bytes:
    """A number of variable length."""
    out = bytearray()
    while value >= MORE:
        out.append(value & BITS | MORE)
        value >>= 7
    out.append(value)
    return bytes(out)
