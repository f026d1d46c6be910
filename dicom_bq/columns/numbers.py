"""Numbers: US SS UL SL UV SV FL FD AT, and text read as numbers, to int64, float64 and decimal arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import vr_rules
from dicom_bq.columns.facts import vr_facts
from dicom_bq.columns.flat import Flat, per_element, reasons
from dicom_bq.columns.text import Texts, split
from dicom_bq.elements import VR_CODES, ElementTable
from dicom_bq.problems import Reason
from dicom_bq.spans import overlapping, ranges
from vr_rules import Family

INTEGER_TEXT = r"^[+-]?[0-9]+$"
FLOAT_TEXT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
INT64_MAX = (1 << 63) - 1
FIRST_INEXACT = 1 << 53
UINT64_TYPE = pa.decimal128(20, 0)
"""UV's column: all of 0 to 2**64 - 1 and nothing lost."""
ARROW_TYPES = {Family.INTEGER: pa.int64(), Family.FLOAT: pa.float64(), Family.NUMERIC: UINT64_TYPE}


def decode_numbers(table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64], family: Family) -> Flat:
    """Decode elements into a numeric family.

    Args:
        table: The batch.
        texts: Its texts, for numbers that are stored as text.
        rows: Elements whose column is of ``family``.
        family: INTEGER, FLOAT, NUMERIC or ATTRIBUTE_TAG.
    """
    target = Family.INTEGER if family is Family.ATTRIBUTE_TAG else family
    parts, positions, count = [], [], len(rows)
    counts, reason = np.zeros(count, np.int64), np.zeros(count, np.uint8)
    for number in np.unique(table.vr[rows]).tolist():
        at = np.flatnonzero(table.vr[rows] == number)
        decode = _decode_text if vr_facts().text[number] else _decode_binary
        values, counts[at], reason[at] = decode(table, texts, rows[at], target)
        parts.append(values)
        positions.append(at)
    return Flat(_in_row_order(parts, positions, counts, ARROW_TYPES[target]), counts, reason)


def _in_row_order(
    parts: list[pa.Array],
    positions: list[npt.NDArray[np.int64]],
    counts: npt.NDArray[np.int64],
    kind: pa.DataType,
) -> pa.Array:
    """Values of several VRs, each in row order, as one array in row order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return pa.array([], kind)
    order = np.concatenate(positions)
    starts = np.empty(len(counts), np.int64)
    starts[order] = np.append(0, np.cumsum(counts[order])[:-1])
    return pc.take(pa.concat_arrays(parts), pa.array(ranges(starts, counts)))


def raw_numbers(table: ElementTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """All numbers in binary elements of one VR, as they are stored; a rest shorter than a number is left out."""
    rule = vr_rules.load().vr[VR_CODES[int(table.vr[rows[0]])]]
    size, counts = rule.unit, table.length.take(rows) // rule.unit
    before = np.cumsum(counts) - counts
    starts = np.repeat(table.offset.take(rows) - before * size, counts)
    starts += np.arange(len(starts)) * size
    if rule.family is Family.ATTRIBUTE_TAG:
        halves = overlapping(table.arena, "<u2")
        tags: npt.NDArray[Any] = halves[starts].astype(np.int64) << 16 | halves[starts + 2]
        return tags
    numbers: npt.NDArray[Any] = overlapping(table.arena, str(rule.binary))[starts]
    return numbers


def _decode_binary(
    table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64], target: Family
) -> tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    unit = int(vr_facts().unit[table.vr[rows[0]]])
    counts = table.length[rows] // unit
    numbers = raw_numbers(table, rows)
    outside = np.zeros(len(numbers), np.bool_)
    if target is Family.FLOAT:
        with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN all the same
            floats = numbers.astype(np.float64)
        outside |= _inexact(numbers, floats)
        values = pa.array(floats)
    elif target is Family.NUMERIC:
        outside |= numbers < 0
        values = unsigned_decimals(np.where(outside, 0, numbers).astype(np.uint64))
    else:
        if numbers.dtype == np.uint64:
            outside |= numbers > np.uint64(INT64_MAX)
        values = pa.array(numbers.astype(np.int64))
    odd = table.length[rows] % unit != 0
    return (
        values,
        counts,
        reasons(len(rows), (Reason.BAD_LENGTH, odd), (Reason.OUT_OF_RANGE, per_element(outside, counts))),
    )


def _inexact(numbers: npt.NDArray[Any], floats: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of some numbers are integers that a double does not hold; there is none below 2**53."""
    inexact = np.zeros(len(numbers), np.bool_)
    if numbers.dtype.kind != "f" and numbers.dtype.itemsize == floats.dtype.itemsize:
        large = np.flatnonzero(np.abs(floats) >= FIRST_INEXACT)
        pairs = zip(numbers[large].tolist(), floats[large].tolist(), strict=True)
        inexact[large] = [number != rounded for number, rounded in pairs]  # Python compares exactly, numpy does not
    return inexact


def unsigned_decimals(numbers: npt.NDArray[np.uint64]) -> pa.Array:
    """decimal128(20, 0) of unsigned 64-bit numbers: their own bytes, with eight zero ones above."""
    words = np.zeros((len(numbers), 2), np.uint64)
    words[:, 0] = numbers
    return pa.Array.from_buffers(UINT64_TYPE, len(numbers), [None, pa.py_buffer(words)])


def _decode_text(
    table: ElementTable, texts: Texts, rows: npt.NDArray[np.int64], target: Family
) -> tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Numbers written in digits: a wrong VR that can be read, or DS and IS on request."""
    parts, counts = split(texts.take(rows), trim_both=True)
    pattern = FLOAT_TEXT if target is Family.FLOAT else INTEGER_TEXT
    good = pc.match_substring_regex(parts, pattern).to_numpy(zero_copy_only=False)
    values, outside = _parse(parts, good, target)
    bad = per_element(~good, counts)
    return (
        values,
        counts,
        reasons(len(rows), (Reason.NOT_PARSEABLE, bad), (Reason.OUT_OF_RANGE, per_element(outside, counts))),
    )


def _parse(
    parts: pa.StringArray, good: npt.NDArray[np.bool_], target: Family
) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Numbers of the components that look like one; which of them the type cannot hold."""
    if target is Family.FLOAT:
        text = parts.to_numpy(zero_copy_only=False)
        floats = np.array(
            [float(part) if ok else 0.0 for part, ok in zip(text, good.tolist(), strict=True)], np.float64
        )
        return pa.array(floats), np.isinf(floats)
    low, high = (0, (1 << 64) - 1) if target is Family.NUMERIC else (-INT64_MAX - 1, INT64_MAX)
    numbers = [
        _integer(part, low, high) if ok else 0 for part, ok in zip(parts.to_pylist(), good.tolist(), strict=True)
    ]
    outside = np.array([number is None for number in numbers], np.bool_)
    filled = [number or 0 for number in numbers]
    if target is Family.NUMERIC:
        return unsigned_decimals(np.array(filled, np.uint64)), outside
    return pa.array(filled, pa.int64()), outside


def _integer(text: str, low: int, high: int) -> int | None:
    """The number, None when it is out of range; a long row of digits is not even converted."""
    if len(text) > 40 and len(text.lstrip("+-0")) > 20:
        return None
    number = int(text)
    return number if low <= number <= high else None
