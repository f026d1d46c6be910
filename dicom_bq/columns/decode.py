"""Values of all columns, one VR family at a time over the whole batch, and whether each element fits its column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq.columns.dates import decode_date_times, decode_dates, decode_times, parse_offset
from dicom_bq.columns.facts import FAMILIES, TagFacts, Trim, vr_facts
from dicom_bq.columns.flat import Flat
from dicom_bq.columns.kinds import REASON_NUMBER
from dicom_bq.columns.names import decode_names
from dicom_bq.columns.numbers import decode_numbers
from dicom_bq.columns.paths import Paths
from dicom_bq.columns.text import Texts, split
from dicom_bq.elements import ROOT, ElementTable
from dicom_bq.problems import Place, Reason
from dicom_bq.spans import run_starts
from vr_rules import Family

TIMEZONE_OFFSET_FROM_UTC = 0x00080201


@dataclass(frozen=True, slots=True)
class Leaves:
    """Decoded elements of one family and mode, sorted by node, then document order.

    Attributes:
        used: Different nodes of the elements, ascending; int32.
        first: First element of each of those, and the number of elements at the end; int64.
        repeated: Their columns are arrays.
        rows: Element rows that fit; int64.
        values: Their values, one element's after the other's.
        starts: First value of each element; int64.
        counts: Values of each element; int64.
    """

    used: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    repeated: bool
    rows: npt.NDArray[np.int64]
    values: pa.Array
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Elements of one family and mode that are to be decoded.

    Attributes:
        table: The batch.
        facts: Its tags' facts.
        texts: Its texts.
        rows: The elements, sorted by node.
        family: Family of their columns.
        repeated: Their columns are arrays.
    """

    table: ElementTable
    facts: TagFacts
    texts: Texts
    rows: npt.NDArray[np.int64]
    family: Family
    repeated: bool


Repairs = list[tuple[npt.NDArray[np.int64], Reason]]


def decode_leaves(table: ElementTable, facts: TagFacts, paths: Paths, texts: Texts) -> tuple[list[Leaves], Repairs]:
    """Decode every element that has a column; those that do not fit go to OtherElements.

    Args:
        table: The batch.
        facts: Its tags' facts.
        paths: Nodes and places; places change for what does not fit.
        texts: Its texts.

    Returns:
        The elements of each family and mode; and rows repaired, by reason.
    """
    leaf = np.flatnonzero((paths.place == Place.COLUMN) & ~table.walked)
    leaf = leaf[stable_order(paths.node.take(leaf))]
    group = (facts.family.astype(np.int16) * 2 + facts.repeated).take(facts.code.take(leaf))
    decoded: list[Leaves] = []
    repairs: Repairs = []
    for number in np.flatnonzero(np.bincount(group)).tolist():
        rows = leaf[np.flatnonzero(group == number)]
        family, repeated = FAMILIES[number // 2], bool(number % 2)
        flat = _DECODERS[family](_Wanted(table, facts, texts, rows, family, repeated))
        decoded.append(_fitting(paths, rows, flat, repeated))
        repairs += [(rows[at], reason) for reason, at in flat.repairs]
    return decoded, repairs


def stable_order(nodes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """What sorts elements by node, and leaves those of one node in document order."""
    small = len(nodes) and nodes.max() < 1 << 15  # numpy sorts 16 bits by radix
    return np.argsort(nodes.astype(np.int16) if small else nodes, kind="stable")


def _fitting(paths: Paths, rows: npt.NDArray[np.int64], flat: Flat, repeated: bool) -> Leaves:
    """Keep the elements that fit their column; send the others to OtherElements."""
    starts = np.cumsum(flat.counts) - flat.counts
    reason = flat.reason
    if not repeated and len(other := np.flatnonzero(flat.counts != 1)):
        reason = reason.copy()
        many, none = other[flat.counts[other] > 1], other[(flat.counts[other] == 0) & (reason[other] == 0)]
        reason[many], reason[none] = REASON_NUMBER[Reason.TOO_MANY_VALUES], REASON_NUMBER[Reason.BAD_LENGTH]
    good = reason == 0
    if not good.all():
        for number in np.unique(reason[~good]).tolist():
            paths.to_other(rows[reason == number], tuple(Reason)[number - 1])
        rows, starts, counts = rows[good], starts[good], flat.counts[good]
    else:
        counts = flat.counts
    nodes = paths.node.take(rows)
    first = run_starts(nodes)
    return Leaves(nodes[first], np.append(first, len(rows)), repeated, rows, flat.values, starts, counts)


def _text(wanted: _Wanted) -> Flat:
    """Text: whole in a column of one value, backslashes included; split in an array."""
    values = wanted.texts.take(wanted.rows)
    if not wanted.repeated:
        return _all_fit(values, np.ones(len(values), np.int64))
    parts, counts = split(values, trim_both=False)
    both = wanted.facts.trim[wanted.facts.code[wanted.rows]] == Trim.BOTH
    if both.any() and pc.any(pc.starts_with(parts, " ")).as_py():
        parts = pc.if_else(pa.array(np.repeat(both, counts)), pc.utf8_ltrim(parts, characters=" "), parts)
    return _all_fit(parts, counts)


def _all_fit(values: pa.Array, counts: npt.NDArray[np.int64]) -> Flat:
    return Flat(values, counts, np.zeros(len(counts), np.uint8))


def _components(wanted: _Wanted) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """Components of text with a format; one value is not copied to be split unless some has a backslash."""
    values = wanted.texts.take(wanted.rows)
    if not wanted.repeated and not pc.any(pc.match_substring(values, "\\")).as_py():
        return values, np.ones(len(values), np.int64)
    return split(values, trim_both=True)


def _names(wanted: _Wanted) -> Flat:
    return decode_names(*_components(wanted))


def _dates(wanted: _Wanted) -> Flat:
    return decode_dates(*_components(wanted))


def _times(wanted: _Wanted) -> Flat:
    return decode_times(*_components(wanted))


def _date_times(wanted: _Wanted) -> Flat:
    values, counts = _components(wanted)
    zones = instance_zones(wanted.table, wanted.texts)[wanted.table.instance[wanted.rows]]
    return decode_date_times(values, counts, np.repeat(zones, counts))


def instance_zones(table: ElementTable, texts: Texts) -> npt.NDArray[np.int64]:
    """Minutes east of UTC of each instance's own (0008,0201), the last if there are two; 0 where it cannot be read."""
    zones = np.zeros(table.instances, np.int64)
    rows = np.flatnonzero((table.tag == TIMEZONE_OFFSET_FROM_UTC) & (table.item == ROOT))
    rows = rows[vr_facts().text[table.vr[rows]] & ~table.walked[rows]]
    for row, text in zip(rows.tolist(), texts.take(rows).to_pylist(), strict=True):
        zones[table.instance[row]] = parse_offset(text) or 0
    return zones


def _numbers(wanted: _Wanted) -> Flat:
    return decode_numbers(wanted.table, wanted.texts, wanted.rows, wanted.family)


_DECODERS: dict[Family, Callable[[_Wanted], Flat]] = {
    Family.TEXT: _text,
    Family.PERSON_NAME: _names,
    Family.DATE: _dates,
    Family.TIME: _times,
    Family.DATE_TIME: _date_times,
    Family.INTEGER: _numbers,
    Family.FLOAT: _numbers,
    Family.NUMERIC: _numbers,
    Family.ATTRIBUTE_TAG: _numbers,
}
