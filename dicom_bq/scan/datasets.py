"""pydicom Datasets, read or built in memory, to the same ElementTable as their files.

Values that pydicom has not decoded yet are taken as the bytes they are; decoded ones are encoded again, text as
UTF-8. Datasets are walked with a stack of their own, however deep they nest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_bq.elements import ROOT, VR_NUMBER, ElementTable
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.quiet import quiet
from dicom_bq.scan.rows import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicom_bq.scan.tables import PIXEL_DATA_TAGS, tables

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import BaseTag

SQ = VR_NUMBER["SQ"]
NUMBER_FORMATS: Mapping[str, str] = {
    "FD": "<d", "FL": "<f", "SL": "<i", "SS": "<h", "SV": "<q", "UL": "<I", "US": "<H", "UV": "<Q",
}  # fmt: skip
ITEM_HEADER_BYTES = 8
AMBIGUOUS_FIRST = {"US or SS": "", "OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}
"""A stored VR for what pydicom leaves undecided; "" asks for Pixel Representation later."""


def scan_datasets(datasets: Iterable[Dataset]) -> ElementTable:
    """Read Datasets.

    Args:
        datasets: One a SOP instance; they are not changed.
    """
    from dicom_bq.scan.normalise import as_table, normalise

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


@dataclass(slots=True)
class _Open:
    """A sequence whose items are being appended.

    Attributes:
        tags: What is still to come where the sequence stands.
        dataset: Where that is.
        item: Item that it is in.
        items: Items still to come.
        row: The sequence's element row.
        before: Bytes encoded before its first item.
    """

    tags: Iterator[BaseTag]
    dataset: Dataset
    item: int
    items: Iterator[Dataset]
    row: int
    before: int


def _append(dataset: Dataset, batch: Batch) -> bool:
    """Append a Dataset and everything in it; False after an encapsulated Pixel Data, where reading a file stops."""
    rows, stack, encoded = batch.rows, list[_Open](), 0
    tags, current, item = iter(sorted(dataset.keys())), dataset, ROOT
    while True:
        tag = next(tags, None)
        if tag is not None:
            element = _element(current, tag)
            items = _append_element(element, int(tag), item, batch)
            encoded += _header_bytes(rows.stored_vr[-1]) + (rows.length[-1] + 1 & ~1)  # lengths are even (PS3.5 7.1)
            if items is not None:
                stack.append(_Open(tags, current, item, items, len(rows) - 1, encoded))
                tags = iter(())
            elif item == ROOT and tag in PIXEL_DATA_TAGS and getattr(element, "is_undefined_length", False):
                return False
            continue
        if not stack:
            return True
        sequence = stack[-1]
        following = next(sequence.items, None)
        if following is None:
            rows.length[sequence.row] = encoded - sequence.before
            tags, current, item = sequence.tags, sequence.dataset, sequence.item
            stack.pop()
        else:
            encoded += ITEM_HEADER_BYTES
            rows.item_sequence.append(sequence.row)
            tags, current, item = iter(sorted(following.keys())), following, len(rows.item_sequence) - 1


def _header_bytes(vr: int) -> int:
    """Bytes of an element's header in explicit VR (PS3.5 7.1.2)."""
    return 12 if vr in tables().long else 8


def _element(dataset: Dataset, tag: BaseTag) -> Any:  # noqa: ANN401 (DataElement or RawDataElement)
    """An element, not decoded if pydicom has not done so; deferred values are read."""
    element: Any = dataset.get_item(tag, keep_deferred=True)
    if not hasattr(element, "is_implicit_VR"):
        return element
    if element.value is None and element.length:
        return dataset.get_item(tag)
    if element.VR == "SQ" and not element.is_little_endian:
        return dataset[tag]  # items in big endian: pydicom reads them
    return element


def _append_element(element: Any, tag: int, item: int, batch: Batch) -> Iterator[Dataset] | None:  # noqa: ANN401
    """Append one element; the items to descend into when it is a sequence."""
    rows, value = batch.rows, element.value
    if _is_sequence(value):
        row = rows.append(item, tag, VR_NUMBER.get(element.VR or "", SQ), batch.size, 0)
        rows.walked.append(row)
        items: Iterator[Dataset] = iter(value)
        return items
    if hasattr(element, "is_implicit_VR"):
        _append_raw(element, tag, item, batch)
    else:
        _append_decoded(element, tag, item, batch)
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


def _append_decoded(element: DataElement, tag: int, item: int, batch: Batch) -> None:
    """An element as a program set it: its value, encoded."""
    name = AMBIGUOUS_FIRST.get(element.VR, element.VR)
    value, name = encode(element.value, name)
    row = _append_value(item, tag, VR_NUMBER.get(name, 0), value, batch)
    if not isinstance(element.value, bytes):  # bytes may be text all the same, by the dictionary
        batch.rows.decoded.append(row)


def _append_value(item: int, tag: int, vr: int, value: bytes, batch: Batch) -> int:
    """Append an element; Pixel Data and its like only by its length."""
    row = batch.rows.append(item, tag, vr, batch.size, len(value))
    if vr not in tables().opaque or tag not in tables().opaque_tags:
        batch.keep(value)
    return row


def encode(value: Any, vr: str) -> tuple[bytes, str]:  # noqa: ANN401 (whatever a program assigned)
    """Bytes of a decoded value, and the VR they can be read by.

    Args:
        value: As pydicom holds it: one value, a sequence of values, or None.
        vr: The element's VR. A value that it cannot encode becomes text, which then fits its column or does not.
    """
    if value is None:
        return b"", vr
    if isinstance(value, bytes):
        return value, vr
    many = isinstance(value, Sequence) and not isinstance(value, str)
    values = list(value) if many else [value]
    numeric = _ENCODERS.get(vr)
    if numeric is not None:
        try:
            return b"".join(numeric(one) for one in values), vr
        except (struct.error, TypeError, ValueError, OverflowError):
            vr = "LO"
    return "\\".join("" if one is None else str(one) for one in values).encode("utf-8", "replace"), vr


def _packer(pattern: str) -> Callable[[Any], bytes]:
    return lambda number: struct.pack(pattern, number)


def _pack_tag(value: Any) -> bytes:  # noqa: ANN401
    from pydicom.tag import Tag

    tag = Tag(value)
    return struct.pack("<HH", tag.group, tag.element)


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    **{vr: _packer(pattern) for vr, pattern in NUMBER_FORMATS.items()},
    "AT": _pack_tag,
}
