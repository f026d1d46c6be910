"""Real headers to start from: files bundled with pydicom, as element tuples, bulk data left out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.corpus.encoding import Element, Item, value_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

LARGEST_VALUE = 1024  # bytes; overlays, palettes and the like are bulk, not header


@cache
def read(name: str) -> dict[int, Element]:
    """The data set of a bundled test file, by tag; values are the file's own bytes (little endian)."""
    import pydicom
    import pydicom.data

    path = next(Path(pydicom.data.__file__).parent.glob(f"*/{name}"))
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return {element.tag: element for element in _item(dataset)}


def _item(dataset: Dataset) -> Item:
    elements = []
    for tag in sorted(dataset.keys()):
        raw = dataset.get_item(tag)
        vr = (raw.VR or dataset[tag].VR).encode()
        if tag.element == 0 or tag.group == 0xFFFC:
            continue
        if vr == b"SQ":
            items = tuple(_item(item) for item in dataset[tag].value)
            elements.append(Element(int(tag), vr, items))
        elif len(value := _raw_value(dataset, tag)) <= LARGEST_VALUE:
            elements.append(Element(int(tag), vr, value))
    return tuple(elements)


def _raw_value(dataset: Dataset, tag: int) -> bytes:
    raw = dataset.get_item(tag)
    value = raw.value
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value + b" " * (len(value) % 2)
    # Values pydicom decoded while reading, such as (0008,0005): encode them again.
    values = list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else value
    return value_bytes(raw.VR.encode(), values)


@cache
def dictionary(keyword: str) -> tuple[int, bytes]:
    """Tag and VR of a keyword; of an ambiguous VR the first (PS3.6)."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag, dictionary_VR(tag)[:2].encode()


def elements(values: dict[str, object], character_set: str = "") -> dict[int, Element]:
    """Elements from keywords and Python values; a list of dicts is a sequence."""
    built = {}
    for keyword, value in values.items():
        tag, vr = dictionary(keyword)
        built[tag] = Element(tag, vr, _value(vr, value, character_set))
    return built


def _value(vr: bytes, value: object, character_set: str) -> bytes | tuple[Item, ...]:
    if vr != b"SQ":
        return b"" if value is None else value_bytes(vr, value, character_set)
    assert isinstance(value, list)
    return tuple(
        tuple(sorted(elements(item, character_set).values(), key=lambda element: element.tag)) for item in value
    )
