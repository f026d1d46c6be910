"""What walkers know of VRs and of the dictionary: just enough to find where the next element begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import vr_rules
from dicom_bq import dictionary
from dicom_bq.elements import VR_CODES, VR_NUMBER

PIXEL_DATA_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
LONG = 0x80
"""Added to a VR number in the code table when the length has 32 bits (PS3.5 7.1.2)."""
SQ, UN = VR_NUMBER["SQ"], VR_NUMBER["UN"]


@dataclass(frozen=True, slots=True)
class Tables:
    """What the walker knows of the dictionary and of VRs.

    Attributes:
        codes: Two bytes of an explicit VR to its number, plus ``LONG``.
        long: VR numbers with a 32-bit length.
        sequences: Standard tags of VR SQ, for implicit VR.
        opaque_tags: Standard tags of an excluded VR, for implicit VR.
        opaque: VR numbers whose values are never needed: excluded ones except UN, which may hold a sequence.
    """

    codes: dict[bytes, int]
    long: frozenset[int]
    sequences: frozenset[int]
    opaque_tags: frozenset[int]
    opaque: frozenset[int]


@cache
def tables() -> Tables:
    """The walker's tables, from the VR rules and the dictionary."""
    rules = vr_rules.load().vr
    excluded = {code for code, rule in rules.items() if rule.family is vr_rules.Family.OPAQUE}
    by_tag = dictionary.vr_table()
    return Tables(
        codes={
            code.encode(): number | (LONG if rules[code].long_length else 0)
            for number, code in enumerate(VR_CODES)
            if code
        },
        long=frozenset(number for number, code in enumerate(VR_CODES) if code and rules[code].long_length),
        sequences=frozenset(tag for tag, vr in by_tag.items() if vr == "SQ"),
        opaque_tags=frozenset(tag for tag, vr in by_tag.items() if vr in excluded and vr != "UN"),
        opaque=frozenset(VR_NUMBER[code] for code in excluded & VR_NUMBER.keys() if code != "UN"),
    )


def is_never_read(tag: int, vr: int) -> bool:
    """Whether no column needs the value: an excluded VR, unless the bytes are read as something else all the same.

    Args:
        tag: The element's tag.
        vr: Its stored VR, 0 for none.
    """
    known = tables()
    if vr in known.opaque:
        return not (_is_typed(tag) or (tag >> 16 & 1 and names_creator(tag & 0xFFFF)))
    return vr in (0, UN) and tag in known.opaque_tags


def names_creator(element: Any) -> Any:  # noqa: ANN401 (a number, or an array of numbers)
    """Whether an element of a private group, given without its group, names a creator (PS3.5 7.8.1)."""
    return (element >= 0x10) & (element <= 0xFF)


def _is_typed(tag: int) -> bool:
    entry = dictionary.lookup(tag)
    vr = dictionary.vr_table().get(tag) or (entry.vr if entry else "UN")
    return vr_rules.load().vr[vr].family is not vr_rules.Family.OPAQUE
