"""The only place where the oracle touches pydicom's reader and decoders.

Numbers and sequences are what `pydicom.values.convert_value` makes of an element, text is what
`pydicom.charset.decode_bytes` makes of it, but for what text.py says: the two functions behind
`DataElement.value`. They are called directly, and not through `Dataset.__getitem__`, because that one loses
what the mapping has to keep (the white space of AE, the digits of a DS that does not parse, the U+FFFD of a
name) and changes the data set that it is asked about. Elements that were built in memory have their value taken
as it is.
"""

from __future__ import annotations

import datetime
import logging
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag
from pydicom.values import convert_value

from .exact import KNOWN, is_exact
from .tables import NUMBER, OPAQUE
from .text import decode, encodings_of
from .unstated import with_marks

PIXEL_DATA = 0x7FE00010
FILE_META = 0x0002
UNDEFINED_LENGTH = 0xFFFFFFFF
#: An item, or the end of a sequence without any, by whether it is little endian.
BEGINNINGS = {True: (b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0"), False: (b"\xff\xfe\xe0\0", b"\xff\xfe\xe0\xdd")}
NOT_EXPLICIT_LITTLE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2")
DEFLATED = "1.2.840.10008.1.2.1.99"
LAST = 2**63  # a position behind all others


class OracleCannotRead(Exception):  # noqa: N818 - it is not an error of the file
    """pydicom gave up on this file or data set, so there is nothing to compare with."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")


@contextmanager
def lenient_pydicom() -> Iterator[None]:
    """No validation, no warnings, no log lines; an end of file that pydicom swallows becomes an exception."""
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="End of file reached", category=UserWarning)
            yield
    except OracleCannotRead:
        raise
    except RecursionError as error:
        raise OracleCannotRead(error) from error
    finally:
        logger.disabled = disabled


@contextmanager
def _pydicom_may_fail() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise OracleCannotRead(error) from error


@dataclass(frozen=True)
class Element:
    """One data element as pydicom holds it: `raw` when it was read, else the `value` somebody set."""

    tag: int
    stored_vr: str
    raw: RawDataElement | None = None
    value: Any = None

    def has_bytes(self) -> bool:
        """Whether there is anything in the value field."""
        if self.raw is not None:
            return bool(self.data())
        if self.value is None:
            return False
        return not isinstance(self.value, str | Sequence) or len(self.value) > 0

    def has_length(self) -> bool:
        """Whether the stream says that there is, even if the file ends before it."""
        defined = self.raw is not None and self.raw.length != UNDEFINED_LENGTH
        return bool(self.raw and self.raw.length) if defined else self.has_bytes()

    def data(self) -> bytes:
        """The bytes of the value field, as far as the file has them."""
        return (self.raw.value or b"") if self.raw is not None else b""

    def read_as(self, vr: str) -> RawDataElement:
        """The raw element with another VR.

        PS3.5 6.2.2 note 2: UN is implicit VR little endian inside. OB has no byte order (PS3.5 7.3), so it is
        taken for the same; the other binary VRs are in the byte order of the stream.
        """
        assert self.raw is not None
        raw = self.raw._replace(VR=vr, length=len(self.data()))
        bytes_only = self.stored_vr in {"OB", "UN"}
        return raw._replace(is_implicit_VR=True, is_little_endian=True) if bytes_only else raw


def elements_of(dataset: Dataset, *, ordered: bool) -> dict[int, Element]:
    """The elements of one item by tag, in tag order or as they are stored."""
    tags = sorted(dataset.keys())
    if not ordered:
        tags.sort(key=lambda tag: _position(dataset, tag))
    with _pydicom_may_fail():
        elements = {int(tag): _element(dataset, tag) for tag in tags}
    if not ordered and 0 in elements and not elements[0].has_length():
        del elements[0]  # zeros, which are padding
    return elements


def _position(dataset: Dataset, tag: BaseTag) -> int:
    """Where an element stands in its stream; of several with one tag pydicom keeps the last one."""
    held = dataset.get_item(tag, keep_deferred=True)
    return (held.value_tell if isinstance(held, RawDataElement) else held.file_tell) or 0


def _element(dataset: Dataset, tag: BaseTag) -> Element:
    held = dataset.get_item(tag, keep_deferred=True)
    if isinstance(held, RawDataElement) and held.value is None and held.length:
        held = dataset[tag]  # left in the file until now
    if isinstance(held, RawDataElement):
        if held.length == UNDEFINED_LENGTH and held.VR not in OPAQUE and held.value:
            raise NotImplementedError(tag)  # a sequence that pydicom takes for bytes
        return Element(int(tag), held.VR or "", raw=held)
    assert isinstance(held, DataElement)
    if isinstance(held.value, bytes):
        length = UNDEFINED_LENGTH if held.is_undefined_length else len(held.value)
        raw = RawDataElement(tag, held.VR, length, held.value, 0, True, True)
        return Element(int(tag), held.VR, raw=raw)
    return Element(int(tag), held.VR, value=held.value)


def read_file(path: str | Path) -> Dataset:
    """Reads a file up to an encapsulated Pixel Data, which is kept as an element without its bytes."""
    stopped: list[str | None] = []

    def at_encapsulated_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:
        stop = tag == PIXEL_DATA and vr != "SQ" and length == UNDEFINED_LENGTH
        if stop:
            stopped.append(vr)
        return stop

    with _pydicom_may_fail(), BytesIO(_marked(Path(path).read_bytes())) as handle:
        dataset = read_partial(handle, stop_when=at_encapsulated_pixel_data, force=True)
        if dataset.file_meta.original_encoding == (False, True):
            dataset.file_meta = _file_meta(handle)
    if stopped:
        tag = BaseTag(PIXEL_DATA)
        dataset[tag] = RawDataElement(tag, stopped[0] or "OW", UNDEFINED_LENGTH, b"not read", LAST, False, True)
    return dataset


def _marked(data: bytes) -> bytes:
    """The bytes of a file, with a mark for each VR that is not said, if it is in explicit VR little endian."""
    handle = BytesIO(data)
    try:
        meta = _file_meta(handle)
        start, syntax = handle.tell(), str(meta.get("TransferSyntaxUID", ""))
        if syntax == DEFLATED:
            inflated = zlib.decompress(data[start:], -zlib.MAX_WBITS)
            marked = with_marks(inflated, 0)
            return data if marked == inflated else data[:start] + zlib.compress(marked, wbits=-zlib.MAX_WBITS)
    except Exception:  # pydicom will say it again
        return data
    begins = data[start + 4 : start + 6].decode("latin-1") in KNOWN
    return data if syntax in NOT_EXPLICIT_LITTLE or not (syntax or begins) else with_marks(data, start)


def _file_meta(handle: BinaryIO) -> FileMetaDataset:
    """Group 0002 once more, as it is stored: pydicom has converted what it looked at, and has lost bytes by that."""
    handle.seek(0)
    read_preamble(handle, force=True)
    found = read_dataset(
        handle, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag >> 16 != FILE_META
    )
    return FileMetaDataset(found)


def root_elements(source: Dataset | str | Path) -> tuple[dict[int, Element], bool]:
    """All elements of an instance, file meta group first, and whether to go on in tag order."""
    ordered = isinstance(source, Dataset)
    dataset = source if isinstance(source, Dataset) else read_file(source)
    meta = getattr(dataset, "file_meta", None)
    elements = {} if meta is None else elements_of(meta, ordered=ordered)
    elements |= elements_of(dataset, ordered=ordered)
    return _up_to_encapsulated_pixel_data(elements), ordered


def _up_to_encapsulated_pixel_data(elements: dict[int, Element]) -> dict[int, Element]:
    pixel_data = elements.get(PIXEL_DATA)
    if pixel_data is None or pixel_data.raw is None or pixel_data.raw.length != UNDEFINED_LENGTH:
        return elements
    if pixel_data.stored_vr == "SQ":
        return elements
    tags = list(elements)
    return {tag: elements[tag] for tag in tags[: tags.index(PIXEL_DATA) + 1]}


def encodings_for(character_set: str) -> list[str]:
    """Python's names for a value of (0008,0005) Specific Character Set."""
    with _pydicom_may_fail():
        return encodings_of([part.strip(" ") for part in character_set.split("\\")])


def whole_text(element: Element, encodings: list[str], vr: str) -> str:
    """The text of an element read as `vr`, not split, not trimmed, only without NUL."""
    if element.raw is None:
        return _without_escape(_text_of(element.value, element.stored_vr).replace("\0", ""), encodings)
    if element.tag >> 16 == FILE_META:
        encodings = encodings_for("")  # PS3.10 7.1: of the data set is the character set that the data set names
    with _pydicom_may_fail():
        text = decode(element.data(), encodings, vr).replace("\0", "")
    return _without_escape(text, encodings)


def _without_escape(text: str, encodings: list[str]) -> str:
    """The text without the escape sequence of ISO 2022 IR 58, which pydicom leaves there."""
    return text.replace("\x1b$)A", "") if "iso_ir_58" in encodings else text


def _text_of(value: object, vr: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\\".join(_text_of(part, vr) for part in value)
    original = getattr(value, "original_string", None)
    if isinstance(original, str):
        return original
    if isinstance(value, datetime.datetime):
        return value.strftime({"DA": "%Y%m%d", "TM": "%H%M%S.%f"}.get(vr, "%Y%m%d%H%M%S.%f%z"))
    if isinstance(value, datetime.date):
        return value.strftime("%Y%m%d")
    if isinstance(value, datetime.time):
        return value.strftime("%H%M%S.%f")
    return str(value)


def numbers(element: Element, vr: str) -> list[int] | list[float] | None:
    """The numbers of an element read as `vr`; None when its bytes are not a whole number of them, or it has items."""
    if element.raw is None:
        value = element.value
    elif len(element.data()) % NUMBER[vr]:
        return None
    else:
        with _pydicom_may_fail():
            value = convert_value(vr, element.read_as(vr))
    many = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if any(isinstance(each, Dataset) for each in many):
        return None
    return [int(each) if vr not in {"FL", "FD"} else float(each) for each in many]


def _dataset(value: object) -> Dataset:
    if not isinstance(value, Dataset):  # a character set stored as a sequence, or pydicom has tried other VRs
        raise TypeError(type(value).__name__)
    return value


def items(element: Element, encodings: list[str]) -> list[Dataset]:
    """The items of an element read as a sequence."""
    if element.raw is None:
        with _pydicom_may_fail():
            return [_dataset(each) for each in element.value]
    raw = element.read_as("SQ")
    with _pydicom_may_fail():
        if not element.data().startswith(BEGINNINGS[raw.is_little_endian]):
            raise ValueError(element.tag)  # pydicom would read anything as an item
        if element.stored_vr in OPAQUE and not raw.is_implicit_VR:
            raise ValueError(element.tag)  # no standard says how items are written in OW, OF, OL, OD and OV
        if not is_exact(element.data(), implicit=raw.is_implicit_VR, order="<" if raw.is_little_endian else ">"):
            raise ValueError(element.tag)  # pydicom would read beyond the end of an item
        return [_dataset(each) for each in convert_value("SQ", raw, encodings) or []]
