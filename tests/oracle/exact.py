"""Whether the items of a sequence are exactly as long as they say, each in the other: pydicom reads on all the same."""

from __future__ import annotations

import struct

from .tables import LONG_LENGTH, NUMBER, TEXT

UNDEFINED = 0xFFFFFFFF
KNOWN = LONG_LENGTH | TEXT | NUMBER.keys()
DELIMITERS = 0xFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
#: Stands where an element does not say its VR, and has a length of 16 bits; see unstated.py.
MARK = b"QZ"


class _InexactError(Exception):
    """Something ends where it should not."""


def is_exact(data: bytes, *, implicit: bool, order: str) -> bool:
    """Whether the value of a sequence is items from its first byte to its last."""
    try:
        return _items(data, 0, len(data), implicit=implicit, order=order) == len(data)
    except (_InexactError, struct.error):
        return False


def _items(data: bytes, at: int, end: int, *, implicit: bool, order: str, open_end: bool = False) -> int:
    """Where items end: at the end, or behind a sequence delimiter, which one of undefined length has to have."""
    while at < end or open_end:
        tag, length = _tag(data, at, order), struct.unpack_from(order + "L", data, at + 4)[0]
        if tag == SEQUENCE_END:
            return at + 8
        if tag != ITEM:
            raise _InexactError
        stop = end if length == UNDEFINED else at + 8 + length
        if stop > end:
            raise _InexactError
        at = _elements(data, at + 8, stop, implicit=implicit, order=order, open_end=length == UNDEFINED)
        if length != UNDEFINED and at != stop:
            raise _InexactError
    return at


def _elements(data: bytes, at: int, end: int, *, implicit: bool, order: str, open_end: bool) -> int:
    """Where elements end: at the end, or behind an item delimiter, which an item of undefined length has to have."""
    while at < end or open_end:
        tag = _tag(data, at, order)
        if tag == ITEM_END:
            return at + 8
        if tag >> 16 == DELIMITERS:
            raise _InexactError
        vr, length, start = _header(data, at, implicit=implicit, order=order)
        stop = end if length == UNDEFINED else start + length
        if stop > end:
            raise _InexactError
        if length == UNDEFINED or vr == "SQ" or (implicit and length >= 8 and _tag(data, start, order) == ITEM):
            inner = implicit or vr == "UN"  # PS3.5 6.2.2 note 2
            little = "<" if vr == "UN" else order
            after = _items(data, start, stop, implicit=inner, order=little, open_end=length == UNDEFINED)
            if length != UNDEFINED and after != stop:
                raise _InexactError
            stop = after
        at = stop
    return at


def _tag(data: bytes, at: int, order: str) -> int:
    group, element = struct.unpack_from(order + "HH", data, at)
    return int(group) << 16 | int(element)


def _header(data: bytes, at: int, *, implicit: bool, order: str) -> tuple[str, int, int]:
    """VR, length, and where the value starts."""
    if implicit:
        return "", struct.unpack_from(order + "L", data, at + 4)[0], at + 8
    vr = data[at + 4 : at + 6].decode("latin-1")
    if vr not in KNOWN and vr != MARK.decode():
        raise _InexactError  # what pydicom takes for an implicit VR
    if vr in LONG_LENGTH:
        return vr, struct.unpack_from(order + "L", data, at + 8)[0], at + 12
    return vr, struct.unpack_from(order + "H", data, at + 6)[0], at + 8
