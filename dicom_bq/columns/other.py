"""OtherElements: private elements, and values that did not fit, as text at the level where they stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import vr_rules
from dicom_bq.columns.facts import Trim, vr_facts
from dicom_bq.columns.numbers import raw_numbers
from dicom_bq.columns.text import Texts, split
from dicom_bq.elements import VR_CODES, ElementTable
from dicom_bq.mapping import tag_name
from vr_rules import Family


@dataclass(frozen=True, slots=True)
class OtherTexts:
    """Raw values of elements as text.

    Attributes:
        parts: All texts.
        starts: First text of each element; int64.
        counts: Texts of each element; int64.
    """

    parts: pa.StringArray
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def raw_texts(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64]) -> OtherTexts:
    """Values as text, one entry a value.

    Args:
        table: The batch.
        texts: Its texts.
        rows: Elements that are not opaque.
    """
    parts: list[pa.Array] = []
    starts, counts, total = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), 0
    vr = table.vr[rows]
    facts = vr_facts()
    broken = ~facts.text[vr] & (table.length[rows] % np.maximum(facts.unit[vr], 1) != 0)
    groups = [(np.flatnonzero(broken), _hexadecimal)]
    for number in np.unique(vr[~broken]).tolist():
        groups.append((np.flatnonzero((vr == number) & ~broken), _reader(number)))
    for at, read in groups:
        if len(at):
            values, sizes = read(table, texts, rows[at])
            starts[at], counts[at] = total + np.cumsum(sizes) - sizes, sizes
            parts.append(values)
            total += len(values)
    return OtherTexts(pa.concat_arrays(parts) if parts else pa.array([], pa.string()), starts, counts)


_Read = tuple[pa.StringArray, npt.NDArray[np.int64]]


def _reader(number: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    if not vr_facts().text[number]:
        return _number_texts
    return _split_texts if vr_facts().splits[number] else _whole_texts


def _whole_texts(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64]) -> _Read:
    return texts.take(rows), np.ones(len(rows), np.int64)


def _split_texts(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64]) -> _Read:
    return split(texts.take(rows), trim_both=bool(vr_facts().trim[table.vr[rows[0]]] == Trim.BOTH))


def _number_texts(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64]) -> _Read:
    """Numbers in their shortest decimal form that reads back as the same number; AT as eight hexadecimal digits."""
    rule = vr_rules.load().vr[VR_CODES[int(table.vr[rows[0]])]]
    numbers, counts = raw_numbers(table, rows), table.length[rows] // rule.unit
    if rule.family is Family.ATTRIBUTE_TAG:
        return pa.array([f"{number:08X}" for number in numbers.tolist()], pa.string()), counts
    return pc.cast(pa.array(numbers), pa.string()), counts


def _hexadecimal(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64]) -> _Read:
    """Bytes that are no whole number of values, as upper-case hexadecimal digits."""
    return pa.array([table.value(row).hex().upper() for row in rows.tolist()], pa.string()), np.ones(
        len(rows), np.int64
    )


def tag_texts(tags: npt.NDArray[np.uint32]) -> pa.StringArray:
    """``Tag_GGGGEEEE`` of every tag."""
    codes = pa.array(tags).dictionary_encode()
    names = pa.array([tag_name(tag) for tag in codes.dictionary.to_pylist()], pa.string())
    return pc.take(names, codes.indices)
