"""Elements of an explicit data set that do not say their VR: blanks stand there, or no letters at all.

Some writers leave the VR out and the length in its 16 bits; others write an element of implicit VR, with a length of
32 bits (PS3.5 7.1.2, 7.1.3). What follows tells which: the wrong length leads into the middle of something else, or
takes all the rest of the file for one value.
"""

from __future__ import annotations

from struct import Struct

from dicom_bq.scan.tables import tables

HEADER = Struct("<HH2s")
HEADER_BYTES = 8
"""Of an element, at least (PS3.5 7.1.2, 7.1.3)."""
NOTHING = b"\0\0"


def is_no_vr(code: bytes) -> bool:
    """Whether two bytes are no VR that a later edition might have: those are two capital letters (PS3.5 6.2)."""
    return not (code.isalpha() and code.isupper())


def may_end(code: bytes, length: int) -> bool:
    """Whether an element may be the last: without a value it may be one of implicit VR, cut off behind its header."""
    return length > 0 or code == NOTHING


def may_follow(data: bytes, position: int, tag: int, code: bytes) -> bool:
    """Whether there is an element that may follow one without a VR: a greater tag, a VR or the same bytes for none.

    Args:
        data: Explicit VR little endian.
        position: Where the element would be; its header is in the data.
        tag: Of the element without a VR.
        code: What it has there.
    """
    group, element, vr = HEADER.unpack_from(data, position)
    return (group << 16 | element) > tag and (vr in tables().codes or vr == code)
