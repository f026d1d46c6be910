"""The oracle reads what pydicom's `DataElement.value` says, on every element of the corpus that pydicom decodes.

The oracle calls the functions behind `value`, because `value` loses some of what the mapping keeps. This holds that
it loses nothing else, and that the oracle adds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.multival import MultiValue

from tests.oracle.reading import (
    OracleCannotRead,
    elements_of,
    encodings_for,
    items,
    lenient_pydicom,
    numbers,
    read_file,
    whole_text,
)
from tests.oracle.tables import NUMBER, TEXT
from tests.oracle.values import split

CORPUS = os.environ.get("DICOM_BQ_CORPUS", "")
FILES = sorted(path for path in Path(CORPUS).glob("*/*.dcm")) if CORPUS else []

pytestmark = [pytest.mark.corpus, pytest.mark.skipif(not FILES, reason="DICOM_BQ_CORPUS is not set")]


def values(dataset: Dataset, encodings: list[str]) -> Iterator[tuple[int, list[object], list[object]]]:
    """Tag, values by the oracle, values by pydicom, of each element with a VR in the stream, at every depth."""
    elements = elements_of(dataset, ordered=True)
    if 0x00080005 in elements:
        encodings = encodings_for(whole_text(elements[0x00080005], ["iso8859"], "CS"))
    for tag, element in elements.items():
        vr = element.stored_vr
        if not element.has_bytes():
            continue
        if vr == "SQ":
            for item in items(element, encodings):
                yield from values(item, encodings)
        elif vr in TEXT:
            ours = [plain(one) for one in split(whole_text(element, encodings, vr), vr)]
            yield tag, ours, [plain(one) for one in many(dataset[tag].value)]
        elif vr in NUMBER:
            yield tag, numbers(element, vr) or [], many(dataset[tag].value)


def many(value: object) -> list[object]:
    return list(value) if isinstance(value, MultiValue | list) else [value]


def plain(value: object) -> str:
    """Text without what pydicom takes off: padding on either side, and the last `=` of a name."""
    original = getattr(value, "original_string", None)
    text = original if isinstance(original, str) else str(value)
    return text.replace("\0", "").strip(" ").rstrip("=")


def test_the_oracle_reads_what_pydicom_says():
    compared, refused = 0, []
    for path in FILES:
        try:
            with lenient_pydicom():
                found = list(values(read_file(path), ["iso8859"]))
        except OracleCannotRead:  # an item is longer than its sequence, and pydicom reads on
            refused.append(path.name)
            continue
        assert [(path.name, hex(tag)) for tag, ours, pydicoms in found if ours != pydicoms] == []
        compared += len(found)
    assert compared > 10_000
    assert len(refused) <= len(FILES) // 50, refused
