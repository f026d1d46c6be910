"""OtherElements: private elements, and values that did not fit, as text at the level where they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import vr_rules
from dicom_bq.columns.facts import Trim, vr_facts
from dicom_bq.columns.numbers import raw_numbers
from dicom_bq.columns.text import Texts, split
from dicom_bq.elements import VR_CODES, ElementTable
from vr_rules import Family


@dataclass(frozen=True, slots=True)
class OtherTexts:
    """Raw values of elements as text.

    Attributes:
        rows: The elements; int64.
        parts: All texts.
        starts: First text of each element; int64.
        counts: Texts of each element; int64.
    """

    rows: npt.NDArray[np.int64]
    parts: pa.StringArray
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def where(self, chosen: slice) -> OtherTexts:
        """Some of them."""
        return OtherTexts(self.rows[chosen], self.parts, self.starts[chosen], self.counts[chosen])


def raw_texts(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64]) -> OtherTexts:
    """Values as text, one entry a value.

    Args:
        table: The batch.
        texts: Its texts.
        rows: Elements that are not opaque.
    """
    vr, facts = table.vr.take(rows), vr_facts()
    group = _groups().take(vr)
    binary = np.flatnonzero(~facts.text.take(vr))
    group[binary[table.length[rows[binary]] % np.maximum(facts.unit[vr[binary]], 1) != 0]] = _BROKEN
    parts: list[pa.Array] = []
    starts, counts, total = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), 0
    for number in np.flatnonzero(np.bincount(group)).tolist():
        at = np.flatnonzero(group == number)
        values, sizes = _reader(number)(table, texts, rows[at])
        starts[at], counts[at] = total + np.cumsum(sizes) - sizes, sizes
        parts.append(values)
        total += len(values)
    return OtherTexts(rows, pa.concat_arrays(parts) if parts else pa.array([], pa.string()), starts, counts)


_Read: TypeAlias = tuple[pa.StringArray, npt.NDArray[np.int64]]
_BROKEN = 255
"""Group of binary values that are no whole number of numbers."""


@cache
def _groups() -> npt.NDArray[np.uint8]:
    """By VR number: the first VR that is read in the same way, which for a number is none but itself."""
    facts = vr_facts()
    ways = [
        (True, splits, trim == Trim.BOTH) if text else (False, number, False)
        for number, (text, splits, trim) in enumerate(
            zip(facts.text.tolist(), facts.splits.tolist(), facts.trim.tolist(), strict=True)
        )
    ]
    return np.array([ways.index(way) for way in ways], np.uint8)


def _reader(group: int) -> Callable[[ElementTable, Texts, npt.NDArray[np.int64]], _Read]:
    if group == _BROKEN:
        return _hexadecimal
    if not vr_facts().text[group]:
        return _number_texts
    return _split_texts if vr_facts().splits[group] else _whole_texts


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


def texts_of_tags(tags: npt.NDArray[np.uint32], text_of: Callable[[int], str]) -> pa.StringArray:
    """The text of every tag; each different one is asked for once."""
    codes = pa.array(tags).dictionary_encode()
    return pc.take(pa.array(map(text_of, codes.dictionary.to_pylist()), pa.string()), codes.indices)
