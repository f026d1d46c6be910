"""pydicom Datasets, read or built in memory, to the same ElementTable as their files.

Values that pydicom has not decoded yet are taken as the bytes they are; decoded ones are encoded again, text as
UTF-8. Datasets are walked with a stack of their own, however deep they nest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_bq import dictionary
from dicom_bq.elements import ROOT, UNDEFINED_LENGTH, VR_NUMBER, ElementTable
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.charset import DEFAULT_REPERTOIRE, SPECIFIC_CHARACTER_SET, python_encodings
from dicom_bq.scan.encode import NUMBER_FORMATS, encode
from dicom_bq.scan.extensions import ESCAPE
from dicom_bq.scan.normalise import as_table, normalise
from dicom_bq.scan.quiet import quiet
from dicom_bq.scan.rows import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicom_bq.scan.tables import PIXEL_DATA_TAGS, tables
from dicom_bq.scan.vr import PIXEL_REPRESENTATION, is_signed

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import BaseTag

SQ = VR_NUMBER["SQ"]
ITEM_HEADER_BYTES = 8
WRITTEN: Mapping[str, tuple[str, str, str]] = {
    "US or SS": ("US", "US", "SS"),
    "OB or OW": ("OW", "OW", "OW"),
    "US or OW": ("OW", "US", "US"),
    "US or SS or OW": ("OW", "US", "SS"),
}
"""What an element is written as of whose VR pydicom leaves two or three: bytes; numbers, and where they have a sign."""
ORDERED_BYTES = frozenset({"OD", "OF", "OL", "OV", "OW"})
"""VRs of bytes that have a byte order (PS3.5 7.3), and that pydicom does not turn round."""


def scan_datasets(datasets: Iterable[Dataset]) -> ElementTable:
    """Read Datasets.

    Args:
        datasets: One a SOP instance; they are not changed.
    """
    batch = Batch()
    for dataset in datasets:
        mark = batch.rows.mark()
        with quiet():
            append_dataset(dataset, batch)
        batch.rows.finish_instance(mark)
    return normalise(as_table(batch.rows, b"".join(batch.chunks)), batch.rows)


def append_dataset(dataset: Dataset, batch: Batch) -> None:
    """Append the elements of one Dataset, its file meta information first, to a batch."""
    meta = getattr(dataset, "file_meta", None)
    for part in (meta, dataset):
        if part is not None and not _append(part, batch):
            return


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a data set says of how it is to be read, or the nearest one around it.

    Attributes:
        signed: Pixel Representation: numbers of VR "US or SS" have a sign.
        encodings: Python encodings of its Specific Character Set.
        read_by: Those that it was read with, by which pydicom decodes its text.
        big_endian: It was read so, and pydicom leaves bytes as they were.
    """

    signed: bool = False
    encodings: tuple[str, ...] = (DEFAULT_REPERTOIRE,)
    read_by: tuple[str, ...] = (DEFAULT_REPERTOIRE,)
    big_endian: bool = False

    def within(self, dataset: Dataset) -> _Settings:
        """Those of a data set that stands where these hold."""
        character_set = _stored(dataset, SPECIFIC_CHARACTER_SET)
        encodings = python_encodings(character_set[0]) if character_set else self.encodings
        representation = _stored(dataset, PIXEL_REPRESENTATION)
        signed = is_signed(*representation) if representation and representation[0] else self.signed
        read = dataset.original_character_set or encodings
        little_endian = dataset.original_encoding[1]
        big_endian = self.big_endian if little_endian is None else not little_endian
        return _Settings(signed, encodings, (read,) if isinstance(read, str) else tuple(read), big_endian)


@dataclass(slots=True)
class _Open:
    """A sequence whose items are being appended.

    Attributes:
        tags: What is still to come where the sequence stands.
        dataset: Where that is.
        settings: That hold there.
        item: Item that it is in.
        items: Items still to come.
        row: The sequence's element row.
        before: Bytes encoded before its first item.
    """

    tags: Iterator[BaseTag]
    dataset: Dataset
    settings: _Settings
    item: int
    items: Iterator[Dataset]
    row: int
    before: int


def _append(dataset: Dataset, batch: Batch) -> bool:
    """Append a Dataset and everything in it; False after an encapsulated Pixel Data, where reading a file stops."""
    rows, stack, encoded = batch.rows, list[_Open](), 0
    tags, current, settings, item = iter(sorted(dataset.keys())), dataset, _Settings().within(dataset), ROOT
    while True:
        tag = next(tags, None)
        if tag is not None:
            element = _element(current, tag, settings)
            items = _append_element(element, int(tag), item, batch, settings)
            encoded += _header_bytes(rows.stored_vr[-1]) + (rows.length[-1] + 1 & ~1)  # lengths are even (PS3.5 7.1)
            if items is not None:
                stack.append(_Open(tags, current, settings, item, items, len(rows) - 1, encoded))
                tags = iter(())
            elif item == ROOT and tag in PIXEL_DATA_TAGS and _is_encapsulated(element):
                return False
            continue
        if not stack:
            return True
        sequence = stack[-1]
        following = next(sequence.items, None)
        if following is None:
            rows.length[sequence.row] = encoded - sequence.before
            tags, current, settings, item = sequence.tags, sequence.dataset, sequence.settings, sequence.item
            stack.pop()
        else:
            encoded += ITEM_HEADER_BYTES
            rows.item_sequence.append(sequence.row)
            tags, current, item = iter(sorted(following.keys())), following, len(rows.item_sequence) - 1
            settings = sequence.settings.within(following)


def _is_encapsulated(element: Any) -> bool:  # noqa: ANN401 (DataElement or RawDataElement)
    """Whether Pixel Data is of undefined length (PS3.5 A.4)."""
    if _is_raw(element):
        return bool(element.length == UNDEFINED_LENGTH)
    return bool(element.is_undefined_length)


def _header_bytes(vr: int) -> int:
    """Bytes of an element's header in explicit VR (PS3.5 7.1.2)."""
    return 12 if vr in tables().long else 8


def _is_raw(element: Any) -> bool:  # noqa: ANN401 (DataElement or RawDataElement)
    """Whether pydicom has not decoded an element yet."""
    return hasattr(element, "is_implicit_VR")


def _element(dataset: Dataset, tag: BaseTag, settings: _Settings) -> Any:  # noqa: ANN401 (DataElement or RawDataElement)
    """An element, not decoded if pydicom has not done so; deferred values are read."""
    element: Any = dataset.get_item(tag, keep_deferred=True)
    if not _is_raw(element):
        return element
    if element.value is None and element.length:
        return dataset.get_item(tag)
    in_big_endian = element.VR == "SQ" and not element.is_little_endian  # its items: pydicom reads them
    return dataset[tag] if in_big_endian or _is_foreign(element, settings) else element


def _is_foreign(element: RawDataElement, settings: _Settings) -> bool:
    """Whether text is still in the character set that it was read in, and the data set has got another one."""
    if settings.read_by == settings.encodings:
        return False
    return isinstance(element.value, bytes) and not (element.value.isascii() and ESCAPE not in element.value)


def _stored(dataset: Dataset, tag: int) -> tuple[bytes, str] | None:
    """The bytes of an element, numbers little endian, and the VR to read them by; None if there is no such element."""
    if tag not in dataset:
        return None
    element: Any = dataset.get_item(tag)
    if not _is_raw(element):
        return encode(element.value, element.VR)
    vr = element.VR or dictionary.vr_table()[tag]
    value = element.value if isinstance(element.value, bytes) else b""
    return value if element.is_little_endian or vr not in NUMBER_FORMATS else value[::-1], vr


def _append_element(
    element: Any,  # noqa: ANN401
    tag: int,
    item: int,
    batch: Batch,
    settings: _Settings,
) -> Iterator[Dataset] | None:
    """Append one element; the items to descend into when it is a sequence."""
    rows, value = batch.rows, element.value
    if _is_sequence(value):
        row = rows.append(item, tag, VR_NUMBER.get(element.VR or "", SQ), batch.size, 0)
        rows.walked.append(row)
        items: Iterator[Dataset] = iter(value)
        return items
    if _is_raw(element):
        _append_raw(element, tag, item, batch)
    else:
        _append_decoded(element, tag, item, batch, settings)
    return None


def _is_sequence(value: object) -> bool:
    from pydicom.sequence import Sequence as DicomSequence

    return isinstance(value, DicomSequence)


def _append_raw(element: RawDataElement, tag: int, item: int, batch: Batch) -> None:
    """An element as it was read: its bytes."""
    vr = VR_NUMBER.get(element.VR or "", 0)
    raw = element.value
    value = raw if isinstance(raw, bytes) else b""
    row = _append_value(item, tag, vr, value, batch)
    if not element.is_little_endian:
        batch.rows.swaps.append((row, row + 1))
    if vr == SQ:
        batch.rows.pending.append((row, IMPLICIT_LITTLE if element.is_implicit_VR else EXPLICIT_LITTLE))


def _append_decoded(element: DataElement, tag: int, item: int, batch: Batch, settings: _Settings) -> None:
    """An element as a program set it: its value, encoded."""
    choice = WRITTEN.get(element.VR)
    vr = choice[0 if isinstance(element.value, bytes) else 1 + settings.signed] if choice else element.VR
    value, name = encode(element.value, vr, settings.read_by)
    row = _append_value(item, tag, VR_NUMBER.get(name, 0), value, batch)
    if not isinstance(element.value, bytes):  # bytes may be text all the same, by the dictionary
        batch.rows.decoded.append(row)
    elif settings.big_endian and name in ORDERED_BYTES:
        batch.rows.swaps.append((row, row + 1))


def _append_value(item: int, tag: int, vr: int, value: bytes, batch: Batch) -> int:
    """Append an element; Pixel Data and its like only by its length."""
    row = batch.rows.append(item, tag, vr, batch.size, len(value))
    if vr not in tables().opaque or tag not in tables().opaque_tags:
        batch.keep(value)
    return row
