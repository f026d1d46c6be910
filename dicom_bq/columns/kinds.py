"""Kinds of elements: where one belongs as far as its tag, its VR, and whether it was read as a sequence decide alone.

A batch has hundreds of thousands of elements and a few hundred tags: the rules are applied to each kind that there
could be, and every element looks up what became of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dicom_bq.columns.facts import FAMILY_NUMBER, NOT_DATA, OPAQUE, SEQUENCE, UNKNOWN, TagFacts, vr_facts
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
    """Decide for every kind that the elements of a batch can be of.

    Args:
        table: The batch.
        facts: Its tags' facts.
    """
    family = facts.family[:, None, None]
    stored = vr_facts().family[None, :, None]
    walked = np.array([False, True])[None, None, :]
    known, opaque = family < NOT_DATA, (stored == OPAQUE) & ~walked
    readable = _readable()[facts.family][:, vr_facts().family][:, :, None]
    place = np.full((len(family), len(VR_CODES), 2), Place.COLUMN, np.uint8)
    reason = np.zeros(place.shape, np.uint8)
    rules: tuple[tuple[npt.NDArray[np.bool_], Place, Reason | None], ...] = (
        (known & (family != SEQUENCE) & walked, Place.DROPPED, Reason.NOT_A_SEQUENCE),
        (known & opaque, Place.DROPPED, Reason.WRONG_VR),
        ((family == OPAQUE) | (~known & opaque), Place.DROPPED, Reason.EXCLUDED_VR),
        ((family == UNKNOWN) & ~opaque & ~walked, Place.OTHER, None),
        (known & (family != OPAQUE) & ~opaque & ~walked & ~readable, Place.OTHER, Reason.WRONG_VR),
        (family == NOT_DATA, Place.NOT_DATA, None),
    )
    for applies, where, why in rules:  # of several that apply the last counts
        chosen = np.broadcast_to(applies, place.shape)
        place[chosen], reason[chosen] = where, REASON_NUMBER[why] if why else 0
    descends = np.broadcast_to(walked & ((family == SEQUENCE) | (family == UNKNOWN)), place.shape)
    records = facts.repeater + np.uint8(2) * (facts.family == FAMILY_NUMBER[Family.PERSON_NAME])
    return Kinds(
        number=(facts.code * len(VR_CODES) + table.vr) * 2 + table.walked,
        place=place.ravel(),
        reason=reason.ravel(),
        descends=descends.ravel(),
        records=np.repeat(records.astype(np.uint8), len(VR_CODES) * 2),
    )


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
