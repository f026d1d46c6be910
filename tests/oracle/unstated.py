"""Elements of an explicit data set that do not say their VR, but have a length of 16 bits where it would be.

pydicom takes every one of them for an element of implicit VR, whose length of 32 bits begins with what is not a VR.
So they get a mark before pydicom reads them, with which it knows where they end, and no VR.
"""

from __future__ import annotations

import struct

from .exact import DELIMITERS, ITEM, ITEM_END, KNOWN, MARK, SEQUENCE_END, UNDEFINED
from .tables import LONG_LENGTH, OPAQUE

PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)


class _StrangeError(Exception):
    """Something that pydicom has to make sense of alone."""


def with_marks(data: bytes, start: int) -> bytes:
    """The bytes of a file whose data set begins at `start`, explicit VR little endian; as it is if nothing helps."""
    marked = bytearray(data)
    try:
        _elements(marked, start, len(data), root=True)
    except (_StrangeError, struct.error):
        return data
    return bytes(marked)


def _elements(data: bytearray, at: int, end: int, *, root: bool = False, open_end: bool = False) -> int:
    """Marks the elements of the data set or of an item, and says where it ends."""
    while at < end or open_end:
        tag, code, length = _header(data, at)
        if tag == ITEM_END and open_end:
            return at + 8
        if root and not any(data[at:]):
            return end
        if tag >> 16 == DELIMITERS:
            raise _StrangeError
        vr, start = code.decode("latin-1"), at + 8
        if vr in LONG_LENGTH:
            start, length = at + 12, struct.unpack_from("<L", data, at + 8)[0]
        elif vr not in KNOWN:
            if not _says_no_vr(data, at, end, root=root, in_item=open_end):
                raise _StrangeError
            data[at + 4 : at + 6] = MARK
        if root and tag in PIXEL_DATA and length == UNDEFINED:
            return end
        at = _value(data, vr, start, length, end)
        if at > end and not (root and vr in OPAQUE):
            raise _StrangeError
    return at


def _header(data: bytearray, at: int) -> tuple[int, bytes, int]:
    group, element, code, length = struct.unpack_from("<HH2sH", data, at)
    return group << 16 | element, bytes(code), length


def _says_no_vr(data: bytearray, at: int, end: int, *, root: bool, in_item: bool) -> bool:
    """Whether 16 bits are the length: behind the value is the end, or a greater tag with a VR, or as little of one."""
    tag, code, length = _header(data, at)
    after, is_certain = at + 8 + length, length > 0 or code == b"\0\0"
    if all(0x41 <= byte <= 0x5A for byte in code):
        return False
    if (after == end and not in_item) or (root and after <= end and not any(data[after:])):
        return is_certain
    if after + 8 > end:
        return False
    next_tag, next_code, _ = _header(data, after)
    if next_tag >> 16 == DELIMITERS:
        return in_item and next_tag == ITEM_END and is_certain
    return next_tag > tag and (next_code.decode("latin-1") in KNOWN or next_code == code)


def _value(data: bytearray, vr: str, start: int, length: int, end: int) -> int:
    """Where a value ends; marks what is in a sequence."""
    stop = end if length == UNDEFINED else start + length
    if vr == "SQ" and stop <= end:
        return _items(data, start, stop, marks=True, open_end=length == UNDEFINED)
    if length == UNDEFINED:  # fragments, or items in implicit VR, in which there is nothing to mark
        return _items(data, start, stop, marks=False, open_end=True)
    return stop


def _items(data: bytearray, at: int, end: int, *, marks: bool, open_end: bool) -> int:
    while at < end or open_end:
        tag, length = _header(data, at)[0], struct.unpack_from("<L", data, at + 4)[0]
        if tag == SEQUENCE_END:
            return at + 8
        if tag != ITEM or (not marks and length == UNDEFINED):
            raise _StrangeError
        stop = end if length == UNDEFINED else at + 8 + length
        if stop > end:
            raise _StrangeError
        at = _elements(data, at + 8, stop, open_end=length == UNDEFINED) if marks else stop
    return at
