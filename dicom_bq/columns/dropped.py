"""DroppedTags: what is not in the row, by name and by its place in the data set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dicom_bq import dictionary
from dicom_bq.columns.other import texts_of_tags
from dicom_bq.elements import ROOT, ElementTable
from dicom_bq.mapping import tag_name


def element_name(tag: int) -> str:
    """Keyword, or ``Tag_GGGGEEEE`` of an element that the dictionary does not know."""
    entry = dictionary.lookup(tag)
    return entry.keyword if entry else tag_name(tag)


def references(table: ElementTable, rows: npt.NDArray[np.int64]) -> tuple[pa.StringArray, pa.StringArray]:
    """Names of elements, and their paths from the root with item numbers: ``IconImageSequence[0].PixelData``."""
    names = texts_of_tags(table.tag[rows], element_name)
    nested = np.flatnonzero(table.item[rows] != ROOT)
    if not len(nested):
        return names, names
    paths = names.to_pylist()
    numbers = table.item_numbers()
    prefixes: dict[int, str] = {ROOT: ""}
    for position in nested.tolist():
        paths[position] = _prefix(table, int(table.item[rows[position]]), numbers, prefixes) + paths[position]
    return names, pa.array(paths, pa.string())


def _prefix(table: ElementTable, item: int, numbers: npt.NDArray[np.int64], known: dict[int, str]) -> str:
    """``A[0].B[2].`` for an item; what it passes is remembered."""
    pending = []
    while item not in known:
        pending.append(item)
        item = int(table.item[table.item_sequence[item]])
    prefix = known[item]
    for item in reversed(pending):
        name = element_name(int(table.tag[table.item_sequence[item]]))
        prefix = known[item] = f"{prefix}{name}[{numbers[item]}]."
    return prefix
