"""A small writer of DICOM data sets: elements as plain tuples, encoded as PS3.5 section 7 says.

pydicom can write files too, at about 10 ms each; a corpus of thousands needs 0.3 ms.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"

LONG_LENGTH = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # PS3.5 7.1.2
BINARY_FORMAT = {
    b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"FL": "f", b"FD": "d", b"SV": "q", b"UV": "Q",
}  # fmt: skip
CODECS = {
    "": "ascii",
    "ISO_IR 100": "latin_1",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "\\ISO 2022 IR 87": "iso2022_jp",
}
CHARACTER_SET_VRS = frozenset(b"LO LT PN SH ST UC UT".split())  # PS3.5 6.1.2.3
UNDEFINED = 0xFFFFFFFF


class Element(NamedTuple):
    """One data element: its value is encoded bytes, or for SQ a tuple of items, each a tuple of elements."""

    tag: int
    vr: bytes
    value: bytes | tuple[Item, ...]


Item = tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a data set is laid out in the stream; always little endian, as 99.9 % of files are."""

    uid: str = EXPLICIT_LITTLE
    undefined_lengths: bool = False

    @property
    def explicit(self) -> bool:
        """Whether the VR is in the stream."""
        return self.uid != IMPLICIT_LITTLE


def encode(elements: Iterable[Element], syntax: Syntax) -> bytes:
    """Encodes elements, which must be in tag order, without any length for the whole."""
    pieces: list[bytes] = []
    for element in elements:
        _append(element, syntax, pieces)
    return b"".join(pieces)


def _append(element: Element, syntax: Syntax, pieces: list[bytes]) -> None:
    if isinstance(element.value, tuple):
        _append_sequence(element, syntax, pieces)
        return
    pieces.append(_header(element.tag, element.vr, len(element.value), syntax))
    pieces.append(element.value)


def _append_sequence(element: Element, syntax: Syntax, pieces: list[bytes]) -> None:
    items: list[bytes] = []
    for item in element.value:
        content = encode(item, syntax)  # type: ignore[arg-type]
        items.append(_delimiter(0xE000, UNDEFINED if syntax.undefined_lengths else len(content), syntax))
        items.append(content)
        if syntax.undefined_lengths:
            items.append(_delimiter(0xE00D, 0, syntax))
    if syntax.undefined_lengths:
        items.append(_delimiter(0xE0DD, 0, syntax))
    body = b"".join(items)
    length = UNDEFINED if syntax.undefined_lengths else len(body)
    pieces += [_header(element.tag, element.vr, length, syntax), body]


def _header(tag: int, vr: bytes, length: int, syntax: Syntax) -> bytes:
    group, element = tag >> 16, tag & 0xFFFF
    if not syntax.explicit:
        return struct.pack("<HHI", group, element, length)
    if vr in LONG_LENGTH:
        return struct.pack("<HH2sHI", group, element, vr, 0, length)
    return struct.pack("<HH2sH", group, element, vr, length)


def _delimiter(element: int, length: int, syntax: Syntax) -> bytes:
    return struct.pack("<HHI", 0xFFFE, element, length)


def value_bytes(vr: bytes, value: object, character_set: str = "") -> bytes:
    """Encodes one value, or a list of values, and pads it to an even length (PS3.5 6.2)."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if vr in BINARY_FORMAT:
        return struct.pack(f"<{len(values)}{BINARY_FORMAT[vr]}", *values)
    if vr == b"AT":
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in values)
    if isinstance(value, bytes):
        return value + b"\0" * (len(value) % 2)
    encoded = b"\\".join(_text(vr, str(one), character_set) for one in values)
    return encoded + (b"\0" if vr == b"UI" else b" ") * (len(encoded) % 2)


def _text(vr: bytes, text: str, character_set: str) -> bytes:
    if text.isascii() or vr not in CHARACTER_SET_VRS:
        return text.encode("ascii")
    codec = CODECS[character_set]
    if not character_set.startswith("\\"):
        return text.encode(codec)
    # ISO 2022: back to the initial set before every delimiter, PS3.5 6.1.2.5.3.
    return b"=".join(b"^".join(component.encode(codec) for component in group.split("^")) for group in text.split("="))


def meta_information(class_uid: str, instance_uid: str, syntax_uid: str) -> tuple[Element, ...]:
    """The group 0002 elements of a file (PS3.10 section 7.1), group length excluded."""
    texts = {0x00020002: class_uid, 0x00020003: instance_uid, 0x00020010: syntax_uid,
             0x00020012: "1.2.826.0.1.3680043.9.7433.1.1"}  # fmt: skip
    elements = [Element(tag, b"UI", value_bytes(b"UI", text)) for tag, text in texts.items()]
    elements.append(Element(0x00020013, b"SH", b"DICOMBQ_BENCH_1 "))
    return (Element(0x00020001, b"OB", b"\0\1"), *elements)


def part10(meta: Sequence[Element], body: bytes) -> bytes:
    """A whole file: preamble, prefix, meta information, data set (PS3.10 section 7)."""
    explicit = Syntax()
    content = encode(meta, explicit)
    length = Element(0x00020000, b"UL", struct.pack("<I", len(content)))
    return b"\0" * 128 + b"DICM" + encode([length], explicit) + content + body


def pixel_data(size: int, syntax: Syntax, noise: bytes, fragments: int = 0) -> bytes:
    """Pixel Data of `size` bytes cut from `noise`; encapsulated in that many fragments when asked (PS3.5
    A.4)."""
    if not fragments:
        return _header(0x7FE00010, b"OW", size, syntax) + noise[:size]
    part = size // fragments // 2 * 2
    offsets = _delimiter(0xE000, 0, syntax)
    pieces = [_delimiter(0xE000, part, syntax) + noise[k * part : (k + 1) * part] for k in range(fragments)]
    return _header(0x7FE00010, b"OB", UNDEFINED, syntax) + offsets + b"".join(pieces) + _delimiter(0xE0DD, 0, syntax)


def in_tag_order(elements: Mapping[int, Element]) -> Item:
    """The elements of a mapping by tag, as a stream needs them."""
    return tuple(elements[tag] for tag in sorted(elements))
