"""A DICOM file as a tree of elements that can be changed and written again, also into what no writer writes.

Reading never fails on the data set: what does not look like an element is kept as a tail of bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.handmade import BIG_ENDIAN, DEFLATED, IMPLICIT, LONG_VRS, UNDEFINED

LONG = LONG_VRS
KNOWN = LONG | frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MOST_NODES, MOST_LEVELS, MOST_INFLATED = 2_000, 40, 1 << 16
TRANSFER_SYNTAX = 0x00020010


@dataclass(slots=True)
class Node:
    """An element or an item.

    Attributes:
        tag: (gggg,eeee) as one number.
        vr: In explicit VR; b"" for items, and where the stream has none.
        value: Bytes, or what is in a sequence or an item.
        claim: What its length field says; None for the truth.
        closed: With an undefined length, whether its delimiter is written.
    """

    tag: int
    vr: bytes
    value: bytes | list[Node]
    claim: int | None = None
    closed: bool = True


class Form(NamedTuple):
    """How elements are written."""

    implicit: bool = False
    order: str = "<"


@dataclass(slots=True)
class File:
    """A file in parts.

    Attributes:
        start: Preamble and prefix, or nothing.
        meta: Elements of group 0002, explicit little endian.
        data: Elements of the data set.
        tail: What could not be read.
        form: How the data set is written.
        deflated: Whether it is deflated.
    """

    start: bytes
    meta: list[Node] = field(default_factory=list)
    data: list[Node] = field(default_factory=list)
    tail: bytes = b""
    form: Form = field(default_factory=Form)
    deflated: bool = False


def walk(nodes: list[Node], level: int = 0) -> Iterator[tuple[list[Node], int]]:
    """Every node, as the list that holds it and its place there."""
    for place, node in enumerate(nodes):
        yield nodes, place
        if isinstance(node.value, list) and level < MOST_LEVELS:
            yield from walk(node.value, level + 1)


def parse(data: bytes) -> File:
    """Read a file."""
    file = File(data[:132] if data[128:132] == b"DICM" else b"")
    position, meta = len(file.start), Form()
    while data[position : position + 2] == b"\2\0":
        header = _header(data, position, len(data), meta)
        if header is None or header.value + header.length > len(data):
            break
        position = header.value + header.length
        file.meta.append(Node(header.tag, header.vr, data[header.value : position]))
    syntax = next((node.value for node in file.meta if node.tag == TRANSFER_SYNTAX), b"")
    assert isinstance(syntax, bytes)
    uid = syntax.strip(b" \0").decode("latin-1")
    body, file.deflated = data[position:], uid == DEFLATED
    if file.deflated:
        body = _inflated(body)
    implicit = body[4:6] not in KNOWN
    file.form = Form(implicit, ">" if uid == BIG_ENDIAN and not implicit else "<")
    file.data, end = _Reader(body, file.form).elements(0, len(body), 0, ITEM_END)
    file.tail = body[end:]
    return file


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MOST_INFLATED)
    except zlib.error:
        return body


class _Header(NamedTuple):
    tag: int
    vr: bytes
    length: int
    value: int


def _header(data: bytes, position: int, end: int, form: Form) -> _Header | None:
    """What stands at a position; None where no element can."""
    if position + 8 > end:
        return None
    group, element = struct.unpack_from(form.order + "HH", data, position)
    tag, vr = group << 16 | element, b""
    if form.implicit or group == 0xFFFE:
        return _Header(tag, vr, struct.unpack_from(form.order + "L", data, position + 4)[0], position + 8)
    vr = data[position + 4 : position + 6]
    if vr not in KNOWN:
        return None
    if vr not in LONG:
        return _Header(tag, vr, struct.unpack_from(form.order + "H", data, position + 6)[0], position + 8)
    if position + 12 > end:
        return None
    return _Header(tag, vr, struct.unpack_from(form.order + "L", data, position + 8)[0], position + 12)


class _Reader:
    """Reads one data set, up to a number of nodes."""

    def __init__(self, data: bytes, form: Form) -> None:
        self.data, self.form, self.left = data, form, MOST_NODES

    def elements(self, position: int, end: int, level: int, delimiter: int) -> tuple[list[Node], int]:
        """Nodes up to an end or a delimiter, and where they stop."""
        nodes: list[Node] = []
        while self.left > 0:
            header = _header(self.data, position, end, self.form)
            if header is None or header.tag == delimiter:
                break
            node, after = self._node(header, end, level)
            if node is None:
                break
            self.left -= 1
            nodes.append(node)
            position = after
        return nodes, position

    def _node(self, header: _Header, end: int, level: int) -> tuple[Node | None, int]:
        tag, vr, length, value = header
        undefined = length == UNDEFINED
        holds = tag == ITEM or vr == b"SQ" or undefined or (self.form.implicit and self._item_at(value, length))
        if not undefined and value + length > end:
            return None, value
        if not holds or level >= MOST_LEVELS or (tag == ITEM and not undefined and self.left < 2):
            stop = end if undefined else value + length
            return Node(tag, vr, self.data[value:stop], UNDEFINED if undefined else None, closed=False), stop
        delimiter = ITEM_END if tag == ITEM else SEQUENCE_END
        inner_end = end if undefined else value + length
        inside, stop = self.elements(value, inner_end, level + 1, delimiter)
        if not undefined:
            whole: list[Node] | bytes = inside if stop == inner_end else self.data[value:inner_end]
            return Node(tag, vr, whole), inner_end
        closing = _header(self.data, stop, end, self.form)
        closed = closing is not None and closing.tag == delimiter
        return Node(tag, vr, inside, UNDEFINED, closed), stop + 8 * closed

    def _item_at(self, position: int, length: int) -> bool:
        return length >= 8 and self.data[position : position + 4] == b"\xfe\xff\0\xe0"


def write(file: File) -> bytes:
    """The bytes of a file."""
    body = encode(file.data, file.form) + file.tail
    if file.deflated:
        compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = compressor.compress(body) + compressor.flush()
    return file.start + encode(file.meta, Form()) + body


def encode(nodes: list[Node], form: Form) -> bytes:
    """The bytes of elements."""
    return b"".join(_encoded(node, form) for node in nodes)


def _encoded(node: Node, form: Form) -> bytes:
    # PS3.5 6.2.2 note 2: what is inside UN is implicit VR little endian.
    inner = Form(implicit=True) if node.vr == b"UN" else form
    value = encode(node.value, inner) if isinstance(node.value, list) else node.value
    claim = len(value) if node.claim is None else node.claim
    group_element = struct.pack(form.order + "HH", node.tag >> 16, node.tag & 0xFFFF)
    if form.implicit or node.tag >> 16 == 0xFFFE:
        header = group_element + struct.pack(form.order + "L", claim & 0xFFFFFFFF)
    elif node.vr in LONG:
        header = group_element + node.vr + struct.pack(form.order + "HL", 0, claim & 0xFFFFFFFF)
    else:
        header = group_element + (node.vr or b"UN")[:2].ljust(2) + struct.pack(form.order + "H", claim & 0xFFFF)
    if not (claim == UNDEFINED and node.closed and isinstance(node.value, list)):
        return header + value
    delimiter = ITEM_END if node.tag == ITEM else SEQUENCE_END
    return header + value + struct.pack(form.order + "HHL", delimiter >> 16, delimiter & 0xFFFF, 0)


SYNTAXES = {
    IMPLICIT: (Form(implicit=True), False),
    BIG_ENDIAN: (Form(order=">"), False),
    DEFLATED: (Form(), True),
}
"""How the data set is written under a transfer syntax; explicit little endian under all others."""
