"""DICOM encoded by hand, so that any mistake can be made (PS3.5 7.1, 7.5; PS3.10 7.1)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SEQUENCE = 0x00081140  # Referenced Image Sequence
PIXEL_DATA = 0x7FE00010
PREFIX = bytes(128) + b"DICM"
# VRs with two reserved bytes and a 32-bit length, PS3.5 7.1.2.
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


def explicit(tag: int, vr: str | bytes, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """Return an explicit VR element; ``length`` is what its header claims instead of the truth."""
    code = vr if isinstance(vr, bytes) else vr.encode()
    claimed = len(value) if length is None else length
    form = "2xL" if code in LONG_VRS else "H"
    return struct.pack(f"{order}HH2s{form}", tag >> 16, tag & 0xFFFF, code, claimed) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    """Return an implicit VR element, item or delimiter."""
    claimed = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, claimed) + value


def text(tag: int, vr: str, value: str) -> bytes:
    """Return a padded text element."""
    return explicit(tag, vr, value.encode() + b" " * (len(value) % 2))


def item(content: bytes, length: int | None = None) -> bytes:
    return implicit(ITEM, content, length)


def open_item(content: bytes) -> bytes:
    """Return an item of undefined length, closed."""
    return implicit(ITEM, content, UNDEFINED) + implicit(ITEM_END)


def sequence(content: bytes, length: int | None = None) -> bytes:
    return explicit(SEQUENCE, "SQ", content, length)


def open_sequence(content: bytes) -> bytes:
    """Return a sequence of undefined length, closed."""
    return sequence(content, UNDEFINED) + implicit(SEQUENCE_END)


def meta(syntax: str | None, *, group_length: bool = True, wrong_by: int = 0) -> bytes:
    """Return preamble and file meta group."""
    body = explicit(0x00020002, "UI", b"1.2.840.10008.5.1.4.1.1.7\0") + explicit(0x00020003, "UI", b"2.25.1\0\0")
    if syntax is not None:
        body += explicit(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    if group_length:
        body = explicit(0x00020000, "UL", struct.pack("<L", len(body) + wrong_by)) + body
    return PREFIX + body


IDENTITY = (
    explicit(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
    + explicit(0x00080018, "UI", b"2.25.1\0\0")
    + text(0x00080060, "CS", "OT")
)
NAME, PATIENT_ID = text(0x00100010, "PN", "Odd^File"), text(0x00100020, "LO", "ID-1")
PATIENT = NAME + PATIENT_ID
UID_ELEMENT = text(0x00081155, "UI", "2.25.22")
IMPLICIT_IDENTITY = implicit(0x00080018, b"2.25.1\0\0") + implicit(0x00080060, b"OT")
IMPLICIT_BODY = IMPLICIT_IDENTITY + implicit(0x00100010, b"Odd^File") + implicit(0x00280010, b"\x08\0")
BIG_BODY = (
    explicit(0x00080018, "UI", b"2.25.1\0\0", order=">")
    + explicit(0x00080060, "CS", b"OT", order=">")
    + explicit(0x00280010, "US", b"\0\x08", order=">")
)


def explicit_file(*parts: bytes) -> bytes:
    """Return an explicit VR little endian file: identity, then ``parts``."""
    return meta(EXPLICIT) + IDENTITY + b"".join(parts)


def implicit_file(*parts: bytes) -> bytes:
    """Return an implicit VR little endian file: identity, then ``parts``."""
    return meta(IMPLICIT) + IMPLICIT_IDENTITY + b"".join(parts)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def truncations(data: bytes) -> Iterator[bytes]:
    """Give ``data`` cut before each of its bytes, the empty file first."""
    return (data[:end] for end in range(len(data)))


def small_file(syntax: str) -> bytes:
    """Return a small whole file with nesting and private elements, for cutting and changing."""
    if syntax == IMPLICIT:
        inside = item(implicit(0x00081155, b"2.25.2\0\0")) + open_item(implicit(0x00080060, b"MR"))
        return implicit_file(implicit(SEQUENCE, inside), IMPLICIT_BODY[len(IMPLICIT_IDENTITY) :])
    if syntax == BIG_ENDIAN:
        return meta(syntax) + BIG_BODY
    inside = UID_ELEMENT + explicit(0x00280010, "US", b"\x04\0")
    body = (
        text(0x00080005, "CS", "ISO_IR 192")
        + IDENTITY
        + open_sequence(open_item(inside) + item(inside))
        + PATIENT
        + text(0x00290010, "LO", "SIEMENS CSA HEADER")
        + explicit(0x00291010, "OB", b"\0\1\2\3")
        + explicit(PIXEL_DATA, "OW", bytes(16))
    )
    return meta(syntax) + (deflated(body) if syntax == DEFLATED else body)
