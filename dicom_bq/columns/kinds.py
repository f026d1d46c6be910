"""Kinds of elements: where one belongs as far as its tag, its VR, and whether it was read as a sequence decide alone.

A batch has hundreds of thousands of elements of a few hundred kinds: the rules are applied to each kind once, and
every element looks up what became of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dicom_bq.columns.facts import FAMILY_NUMBER, GROUPED, NOT_DATA, OPAQUE, SEQUENCE, UNKNOWN, TagFacts, vr_facts
from dicom_bq.elements import VR_CODES, ElementTable
from dicom_bq.problems import Place, Reason
from vr_rules import Family

REASONS: tuple[Reason, ...] = tuple(Reason)
REASON_NUMBER: dict[Reason, int] = {reason: number + 1 for number, reason in enumerate(REASONS)}
"""Numbers in ``Kinds.reason`` and ``Paths.reason``; 0 is none."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """What is decided for each kind of element.

    Attributes:
        number: Kind of each element; int64, shape (elements,).
        place: A ``Place``, by kind; uint8.
        reason: Number in ``REASON_NUMBER``, by kind; uint8.
        descends: It is a sequence with a column of its own, by kind; bool.
        records: RECORD levels that the column itself takes, by kind; uint8.
    """

    number: npt.NDArray[np.int64]
    place: npt.NDArray[np.uint8]
    reason: npt.NDArray[np.uint8]
    descends: npt.NDArray[np.bool_]
    records: npt.NDArray[np.uint8]


def find_kinds(table: ElementTable, facts: TagFacts) -> Kinds:
    """Decide for every kind that an element of a batch is of.

    Args:
        table: The batch.
        facts: Its tags' facts.
    """
    number = (facts.code * len(VR_CODES) + table.vr) * 2 + table.walked
    count = len(facts.keys) * len(VR_CODES) * 2
    present = np.zeros(count, np.bool_)
    present[number] = True
    used = np.flatnonzero(present)
    code, stored, walked = used // (2 * len(VR_CODES)), vr_facts().family[used // 2 % len(VR_CODES)], used % 2 == 1
    family = facts.family[code]
    known, opaque = family < GROUPED, (stored == OPAQUE) & ~walked
    rules: tuple[tuple[npt.NDArray[np.bool_], Place, Reason | None], ...] = (
        (known & (family != SEQUENCE) & walked, Place.DROPPED, Reason.NOT_A_SEQUENCE),
        (known & opaque, Place.DROPPED, Reason.OPAQUE_VR),
        ((family == SEQUENCE) & opaque, Place.DROPPED, Reason.NOT_ITEMS),
        ((family == OPAQUE) | (~known & opaque), Place.DROPPED, Reason.EXCLUDED_VR),
        ((family == UNKNOWN) & ~opaque & ~walked, Place.OTHER, None),
        (known & (family != OPAQUE) & ~opaque & ~walked & ~_readable()[family, stored], Place.OTHER, Reason.WRONG_VR),
        (family == GROUPED, Place.DROPPED, Reason.GROUPED_SEQUENCE),
        (family == NOT_DATA, Place.NOT_DATA, None),
    )
    place, reason = np.full(count, Place.COLUMN, np.uint8), np.zeros(count, np.uint8)
    for applies, where, why in rules:  # of several that apply the last counts
        place[used[applies]], reason[used[applies]] = where, REASON_NUMBER[why] if why else 0
    descends, records = np.zeros(count, np.bool_), np.zeros(count, np.uint8)
    descends[used] = walked & ((family == SEQUENCE) | (family == UNKNOWN))
    records[used] = facts.repeater[code] + np.uint8(2) * (family == FAMILY_NUMBER[Family.PERSON_NAME])
    return Kinds(number, place, reason, descends, records)


@cache
def _readable() -> npt.NDArray[np.bool_]:
    """Whether a column's family (first axis) can be filled from a value of a family (second axis)."""
    text, number = (
        {Family.TEXT, Family.DATE, Family.TIME, Family.DATE_TIME, Family.PERSON_NAME},
        {Family.INTEGER},
    )
    sources: dict[Family, set[Family]] = {
        **dict.fromkeys(text, text),
        Family.INTEGER: number | {Family.NUMERIC} | text,
        Family.NUMERIC: number | {Family.NUMERIC} | text,
        Family.FLOAT: number | {Family.NUMERIC, Family.FLOAT} | text,
        Family.ATTRIBUTE_TAG: {Family.ATTRIBUTE_TAG},
        Family.SEQUENCE: {Family.SEQUENCE},
    }
    table = np.zeros((256, len(FAMILY_NUMBER)), np.bool_)
    for target, readable in sources.items():
        for source in readable:
            table[FAMILY_NUMBER[target], FAMILY_NUMBER[source]] = True
    return table
