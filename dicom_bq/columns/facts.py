"""What the rules say of each tag, looked up once a tag and spread over all elements as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import vr_rules
from dicom_bq import dictionary
from dicom_bq.column import PRIVATE_KEY
from dicom_bq.elements import VR_CODES
from dicom_bq.mapping import NumericStrings
from vr_rules import Family

GROUPED, NOT_DATA, UNKNOWN = 253, 254, 255
FAMILIES: tuple[Family, ...] = tuple(Family)
FAMILY_NUMBER: dict[Family, int] = {family: number for number, family in enumerate(FAMILIES)}
SEQUENCE, OPAQUE = FAMILY_NUMBER[Family.SEQUENCE], FAMILY_NUMBER[Family.OPAQUE]
TEXT = FAMILY_NUMBER[Family.TEXT]
TYPED = {"DS": Family.FLOAT, "IS": Family.INTEGER}


class Trim(IntEnum):
    """Ends that padding is removed from."""

    NONE = 0
    TRAILING = 1
    BOTH = 2


@dataclass(frozen=True, slots=True)
class VRFacts:
    """Arrays by VR number (``elements.VR_CODES``).

    Attributes:
        family: Number in ``FAMILIES``.
        text: The value is text.
        unit: Bytes of one value, 0 for text.
        trim: A ``Trim``.
        splits: A backslash separates values.
    """

    family: npt.NDArray[np.uint8]
    text: npt.NDArray[np.bool_]
    unit: npt.NDArray[np.int64]
    trim: npt.NDArray[np.uint8]
    splits: npt.NDArray[np.bool_]


@cache
def vr_facts() -> VRFacts:
    """The rules of all VRs."""
    rules = [vr_rules.load().vr[code or "UN"] for code in VR_CODES]
    # a UID is padded with NUL, and a space cannot be part of one: some writers pad with that
    trims = {"both": Trim.BOTH, "trailing": Trim.TRAILING, "nul": Trim.TRAILING, "none": Trim.NONE}
    family = np.array([FAMILY_NUMBER[rule.family] for rule in rules], np.uint8)
    unit = np.array([rule.unit for rule in rules])
    return VRFacts(
        family=family,
        text=(unit == 0) & (family != SEQUENCE) & (family != OPAQUE),
        unit=unit,
        trim=np.array([trims[rule.trim] for rule in rules], np.uint8),
        splits=np.array([rule.splits for rule in rules]),
    )


@dataclass(frozen=True, slots=True)
class TagFacts:
    """What is known of the different tags of a batch; arrays by their number but for ``code``.

    Attributes:
        code: Number of each element's tag; int64, shape (elements,).
        keys: Column key: base tag, or ``PRIVATE_KEY`` + tag where no dictionary entry is.
        family: Number in ``FAMILIES`` of what the column holds; ``NOT_DATA``; ``UNKNOWN`` without an entry; ``GROUPED``
            for (50xx,2600) alone, retired: sequences of several groups in one column could not be told apart.
        repeated: The column is an array.
        repeater: The element is of a repeating group.
        trim: A ``Trim`` as the dictionary's VR has it; 0 without an entry.
    """

    code: npt.NDArray[np.int64]
    keys: tuple[int, ...]
    family: npt.NDArray[np.uint8]
    repeated: npt.NDArray[np.bool_]
    repeater: npt.NDArray[np.bool_]
    trim: npt.NDArray[np.uint8]


@lru_cache(1 << 16)
def _facts(tag: int, numeric_strings: NumericStrings) -> tuple[int, int, bool, bool, int]:
    if vr_rules.load().not_data(tag):
        return tag, NOT_DATA, False, False, 0
    entry = dictionary.lookup(tag)
    if entry is None:
        return PRIVATE_KEY + tag, UNKNOWN, False, False, 0
    rule = vr_rules.load().vr[entry.vr]
    family = TYPED[entry.vr] if numeric_strings == "typed" and entry.vr in TYPED else rule.family
    if entry.is_grouped_sequence:
        return entry.tag, GROUPED, True, True, Trim.NONE
    trim = Trim.BOTH if rule.trim == "both" else Trim.TRAILING
    return entry.tag, FAMILY_NUMBER[family], entry.repeated, bool(entry.repeater_mask), trim


def tag_facts(tags: npt.NDArray[np.uint32], numeric_strings: NumericStrings) -> TagFacts:
    """Facts of the tags of all elements.

    Args:
        tags: Shape (elements,).
        numeric_strings: What DS and IS become.
    """
    codes = pa.array(tags).dictionary_encode()
    distinct = [_facts(tag, numeric_strings) for tag in codes.dictionary.to_pylist()]
    keys, *columns = zip(*distinct, strict=True) if distinct else [()] * 5
    types = (np.uint8, np.bool_, np.bool_, np.uint8)
    arrays: Iterator[npt.NDArray[Any]] = (np.array(column, kind) for column, kind in zip(columns, types, strict=True))
    return TagFacts(codes.indices.to_numpy().astype(np.int64), keys, *arrays)
