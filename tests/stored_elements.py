"""An encoder for data elements that writes whatever it is told, also what no conforming writer would.

An *item* is a tuple of `StoredElement`, in the order in which they are written. From an item come

* `encode(item, syntax)`: the bytes of the data set in a `Syntax` (implicit or explicit VR, byte order,
  defined or undefined lengths of sequences and items);
* `part10(item, syntax)`: a file with preamble, file meta group and, if the syntax says so, deflated;
* `dataset(item)`: the same as a pydicom `Dataset` built in memory, never written and never read.

It is not pydicom's: any VR for any tag, odd lengths, duplicates, no order, and bytes that mean nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydicom import Dataset
from pydicom.charset import convert_encodings, encode_string
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as DatasetSequence
from pydicom.tag import BaseTag

UNDEFINED_LENGTH = 0xFFFFFFFF
LONG_LENGTH = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
#: struct's letter for one value of a binary VR; AT is two numbers of its own.
PACKED = {"AT": "HH", "FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}


@dataclass(frozen=True)
class StoredElement:
    """A data element as it stands in a stream.

    Attributes:
        tag: (gggg,eeee) as one number.
        vr: The VR that an explicit stream says; an implicit one leaves it out.
        value: Text (encoded in the character set of the item), numbers (packed in the byte order of the
            stream), bytes as they are, or items of a sequence.
    """

    tag: int
    vr: str
    value: str | bytes | tuple[float, ...] | Items


Item: TypeAlias = "tuple[StoredElement, ...]"


@dataclass(frozen=True)
class Items:
    """The value of a sequence."""

    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Syntax:
    """How an item is written."""

    uid: str = "1.2.840.10008.1.2.1"
    undefined_length: bool = False

    @property
    def implicit(self) -> bool:
        return self.uid == "1.2.840.10008.1.2"

    @property
    def byte_order(self) -> str:
        return ">" if self.uid == "1.2.840.10008.1.2.2" else "<"

    @property
    def deflated(self) -> bool:
        return self.uid == "1.2.840.10008.1.2.1.99"


IMPLICIT = Syntax("1.2.840.10008.1.2")
EXPLICIT = Syntax("1.2.840.10008.1.2.1")
BIG_ENDIAN = Syntax("1.2.840.10008.1.2.2")
DEFLATED = Syntax("1.2.840.10008.1.2.1.99")


def encode(item: Sequence[StoredElement], syntax: Syntax, character_set: str = "") -> bytes:
    """The bytes of the elements of an item, in the order given."""
    own = [element.value for element in item if element.tag == 0x00080005 and isinstance(element.value, str)]
    character_set = own[-1] if own else character_set
    return b"".join(_encode_element(element, syntax, character_set) for element in item)


def _encode_element(element: StoredElement, syntax: Syntax, character_set: str) -> bytes:
    value = encode_value(element, syntax, character_set)
    undefined = isinstance(element.value, Items) and _undefined_length(element, syntax)
    length = UNDEFINED_LENGTH if undefined else len(value)
    group_element = struct.pack(syntax.byte_order + "HH", element.tag >> 16, element.tag & 0xFFFF)
    if syntax.implicit:
        header = group_element + struct.pack("<I", length)
    elif element.vr in LONG_LENGTH:
        header = group_element + element.vr.encode() + struct.pack(syntax.byte_order + "HI", 0, length)
    else:
        header = group_element + element.vr.encode() + struct.pack(syntax.byte_order + "H", length)
    return header + value + (_delimiter(0xE0DD, syntax) if undefined else b"")


def _undefined_length(element: StoredElement, syntax: Syntax) -> bool:
    """What is inside UN cannot end at a delimiter of the other byte order."""
    return syntax.undefined_length and (element.vr != "UN" or syntax.byte_order == "<")


def encode_value(element: StoredElement, syntax: Syntax, character_set: str = "") -> bytes:
    """The value field of an element, padded to an even length unless it is given as bytes."""
    value = element.value
    if isinstance(value, bytes):
        return value
    if isinstance(value, Items):
        # PS3.5 6.2.2 note 2: what is inside UN is implicit VR little endian.
        inner = replace(IMPLICIT, undefined_length=_undefined_length(element, syntax))
        inner = inner if element.vr == "UN" else syntax
        return b"".join(_encode_item(item, inner, character_set) for item in value.items)
    if isinstance(value, str):
        encoded = encode_text(value, character_set)
        return encoded + (b"\0" if element.vr == "UI" else b" ") * (len(encoded) % 2)
    if element.vr == "AT":
        halves = [half for tag in value for half in (int(tag) >> 16, int(tag) & 0xFFFF)]
        return struct.pack(f"{syntax.byte_order}{len(halves)}H", *halves)
    return struct.pack(f"{syntax.byte_order}{len(value)}{PACKED[element.vr]}", *value)


def _encode_item(item: Item, syntax: Syntax, character_set: str) -> bytes:
    inner = encode(item, syntax, character_set)
    length = UNDEFINED_LENGTH if syntax.undefined_length else len(inner)
    end = _delimiter(0xE00D, syntax) if syntax.undefined_length else b""
    return struct.pack(syntax.byte_order + "HHI", 0xFFFE, 0xE000, length) + inner + end


def _delimiter(element: int, syntax: Syntax) -> bytes:
    return struct.pack(syntax.byte_order + "HHI", 0xFFFE, element, 0)


def encode_text(text: str, character_set: str) -> bytes:
    """Text in a Specific Character Set; with code extensions, each part between delimiters starts anew."""
    encodings = convert_encodings(character_set.split("\\"))
    if len(encodings) == 1:
        return text.encode(encodings[0], errors="replace")
    for delimiter in "\n\\=^":
        if delimiter in text:
            parts = [encode_text(part, character_set) for part in text.split(delimiter)]
            return delimiter.encode().join(parts)
    return encode_string(text, encodings) if text else b""


def meta_elements(syntax: Syntax) -> Item:
    """A file meta group, with its length."""
    group = (
        StoredElement(0x00020001, "OB", b"\0\1"),
        StoredElement(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.7"),
        StoredElement(0x00020003, "UI", "1.2.3.4"),
        StoredElement(0x00020010, "UI", syntax.uid),
    )
    return StoredElement(0x00020000, "UL", (len(encode(group, EXPLICIT)),)), *group


def part10(item: Sequence[StoredElement], syntax: Syntax = EXPLICIT) -> bytes:
    """A file: preamble, file meta group, data set."""
    data = encode(item, syntax)
    if syntax.deflated:
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = compressor.compress(data) + compressor.flush()
    return bytes(128) + b"DICM" + encode(meta_elements(syntax), EXPLICIT) + data


def dataset(item: Sequence[StoredElement], syntax: Syntax = EXPLICIT) -> Dataset:
    """The item as a pydicom data set in memory, with the file meta group of `part10`."""
    built = _dataset(item)
    built.file_meta = FileMetaDataset(_dataset(meta_elements(syntax)))
    return built


def _dataset(item: Sequence[StoredElement]) -> Dataset:
    return Dataset({BaseTag(element.tag): _data_element(element) for element in item})


def _data_element(element: StoredElement) -> DataElement | RawDataElement:
    tag, value = BaseTag(element.tag), element.value
    if isinstance(value, bytes):
        return RawDataElement(tag, element.vr, len(value), value, 0, False, True)
    if isinstance(value, Items):
        return DataElement(tag, "SQ", DatasetSequence([_dataset(inner) for inner in value.items]))
    if isinstance(value, tuple):
        return DataElement(tag, element.vr, value[0] if len(value) == 1 else list(value), validation_mode=0)
    return DataElement(tag, element.vr, value, validation_mode=0)
