"""Footers of Parquet files: the columns of several files, each encoded by itself, become those of one.

What encodes a file takes one thread, and keeps what it will say in the footer: 3 MB a row group of 1,800 columns, 300
MB for 100,000 instances of every kind. So a few columns of a row group are made as a file, by whichever thread is free,
and the pages of all are written one after the other. A footer is one structure in Thrift's compact encoding; what it
says of a column depends on nothing before it but where in the file its pages are. To join files is therefore to move
places and to add up sizes. A footer, shortened, and what becomes of it when its pages are moved by 1,000 bytes::

    file metadata   3: rows 4,600                                             of the whole file
                    4: row groups   1: columns   2: place 0                   0 stands for none, and stays
                                                 3: metadata   9: place 105   1105
                                                              11: place 4     1004
                                    2: size 700                               the sum of those of all columns
                                    5: place 4                                1004

Sources: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md for the encoding,
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift for the numbers of fields.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
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
COLUMNS, SIZES_OF_COLUMNS = 1, (2, 6)
"""The fields of a row group that depend on how many columns there are: those, and how long they are."""
MORE, BITS, LONG_LIST = 0x80, 0x7F, 0xF
Fields: TypeAlias = dict[int, tuple[int, int]]
"""Where the value of each field of a structure begins and ends, by number."""


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer of a Parquet file of one row group or none, without its length and the magic number.

    Attributes:
        data: The file metadata.
        fields: Of it.
        group: Fields of the row group.
        places: Where in ``data`` it says where something is in the file.
    """

    data: bytes
    fields: Fields
    group: Fields
    places: tuple[int, ...]

    @classmethod
    def read(cls, data: bytes) -> Footer:
        """Take one apart that has been written by a library."""
        fields, group, places = Fields(), Fields(), list[int]()
        number = at = 0
        while data[at]:
            number, kind, start = _field(data, at, number)
            if number == ROW_GROUPS and _list(data, start)[0]:
                at = _struct(data, _list(data, start)[-1], ROW_GROUP, places, group)
            else:
                at = _end(data, start, kind, NOWHERE, places)
            fields[number] = start, at
        return cls(data, fields, group, tuple(places))

    def around(self, rows: int, count: int) -> tuple[bytes, bytes]:
        """What stands before and behind the row groups in the footer of a file with so many rows and row groups."""
        (rows_start, rows_end), (start, end) = self.fields[ROWS], self.fields[ROW_GROUPS]
        before = self.data[:rows_start] + _varint(2 * rows) + self.data[rows_end:start]
        return before + _head(count), self.data[end:]

    def moved(self, start: int, end: int, by: int) -> bytes:
        """A part of the data, as it is when the pages are so many bytes further on."""
        pieces, done = list[bytes](), start
        for place in self.places[bisect_left(self.places, start) : bisect_left(self.places, end)]:
            value, following = _number(self.data, place)
            pieces += self.data[done:place], _varint(value + 2 * by if value else 0)
            done = following
        return b"".join([*pieces, self.data[done:end]])

    def columns(self, by: int) -> tuple[int, bytes]:
        """How many columns there are, and what it says of them when their pages are so many bytes further on."""
        start, end = self.group[COLUMNS]
        count, _, first = _list(self.data, start)
        return count, self.moved(first, end, by)

    def number(self, field: int) -> int:
        """A field of the row group, as it is written."""
        return _number(self.data, self.group[field][0])[0]


def join_columns(parts: Sequence[tuple[Footer, int]]) -> bytes:
    """What a footer says of a row group that has the columns of several files.

    Args:
        parts: The footers of files of the same rows, and by how many bytes the pages of each have been moved.
    """
    first, by = parts[0]
    columns = [footer.columns(moved) for footer, moved in parts]
    at = _list(first.data, first.fields[ROW_GROUPS][0])[-1]
    pieces = list[bytes]()
    for field, (start, end) in first.group.items():
        pieces.append(first.data[at:start])
        if field == COLUMNS:
            pieces += [_head(sum(count for count, _ in columns)), *(described for _, described in columns)]
        elif field in SIZES_OF_COLUMNS:
            pieces.append(_varint(sum(footer.number(field) for footer, _ in parts)))
        else:
            pieces.append(first.moved(start, end, by))
        at = end
    return b"".join([*pieces, first.data[at : first.fields[ROW_GROUPS][1]]])


def _head(count: int) -> bytes:
    """The head of a list of structures."""
    return bytes([count << 4 | STRUCT]) if count < LONG_LIST else bytes([LONG_LIST << 4 | STRUCT]) + _varint(count)


def _struct(data: bytes, at: int, places: Places, found: list[int], fields: Fields | None = None) -> int:
    """As ``_end`` for a structure, whose fields are noted down if anybody wants them."""
    number = 0
    while data[at]:
        number, kind, start = _field(data, at, number)
        at = _end(data, start, kind, places.get(number, NOWHERE), found)
        if fields is not None:
            fields[number] = start, at
    return at + 1


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
        return _struct(data, at, places, found)
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
