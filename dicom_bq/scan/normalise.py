"""Rows to an ElementTable: settles for a whole batch what a walker leaves open.

In this order: big-endian values are turned round, every element gets the VR to read it by, sequences that hide in
values of VR UN are opened, text becomes UTF-8.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

import vr_rules
from dicom_bq import dictionary
from dicom_bq.elements import VR_NUMBER, ElementTable
from dicom_bq.scan.charset import to_utf8
from dicom_bq.scan.expand import Forms, close, expand, in_sequence_order
from dicom_bq.scan.rows import Rows
from dicom_bq.scan.vr import opaque_numbers, resolve, resolve_us_or_ss

AT = VR_NUMBER["AT"]
DEEPEST = 16
"""Rounds of opening hidden sequences: one inside the other, past the 15 levels that a table can hold."""


def normalise(table: ElementTable, rows: Rows, moved: npt.NDArray[np.int64] | None = None) -> ElementTable:
    """Settle what is open in a table.

    Args:
        table: Elements as walked, ``vr`` being the stored one.
        rows: What a scalar walker left to be done: big-endian rows, unread sequences, text that is UTF-8 already.
        moved: The table's row of each of ``rows``; None when they are the same.
    """
    moved = np.arange(len(table)) if moved is None else moved
    if rows.swaps:
        swapped = [row for first, end in rows.swaps for row in range(first, end)]
        table = swap(table, moved[swapped])
    forms: Forms = {int(moved[row]): form for row, form in rows.pending}
    decoded = np.zeros(len(table), np.bool_)
    decoded[moved[rows.decoded]] = True
    table = resolve(table)
    for _ in range(DEEPEST):
        expanded = expand(table, forms, decoded)
        if expanded is None:
            break
        table, decoded, forms = expanded
        table = resolve(table)
    else:
        close(table)
    table = resolve_us_or_ss(table)
    return to_utf8(table, decoded)


def as_table(rows: Rows, data: bytes) -> ElementTable:
    """The scalar walker's arrays as they are; ``vr`` is the stored one.

    Args:
        rows: Elements and items of a batch, instances in order.
        data: The arena that offsets count in.
    """
    count = len(rows)
    item, item_sequence = in_sequence_order(np.array(rows.item, np.int32), np.array(rows.item_sequence, np.int32))
    stored = np.array(rows.stored_vr, np.uint8)
    walked = np.zeros(count, np.bool_)
    walked[np.array(rows.walked, np.int64)] = True
    return ElementTable(
        arena=np.frombuffer(data, np.uint8),
        instances=len(rows.counts),
        instance=np.repeat(np.arange(len(rows.counts), dtype=np.int32), rows.counts),
        item=item,
        tag=np.array(rows.tag, np.uint32),
        stored_vr=stored,
        vr=stored.copy(),
        offset=np.array(rows.offset, np.int64),
        length=np.array(rows.length, np.int64),
        walked=walked,
        item_sequence=item_sequence,
        notes=tuple(rows.notes),
    )


def _units() -> dict[int, int]:
    """Bytes that change places together, by VR number: an AT is two numbers of two bytes (PS3.5 7.3)."""
    rules = vr_rules.load().vr
    binary = {code: rule.unit for code, rule in rules.items() if rule.unit and code in VR_NUMBER}
    return {VR_NUMBER[code]: 2 if code == "AT" else unit for code, unit in binary.items() if unit > 1}


def _dictionary_unit(tag: int, units: dict[int, int]) -> int:
    """The unit of the dictionary's VR, as which even a value stored as OW is read; 1 if that is no number."""
    entry = dictionary.lookup(tag)
    vr = dictionary.vr_table().get(tag) or (entry.vr if entry else "UN")
    typed = vr_rules.load().vr[vr].family is not vr_rules.Family.OPAQUE
    return units.get(VR_NUMBER.get(vr.partition(" or ")[0], 0), 1) if typed else 1


def swap(table: ElementTable, rows: npt.NDArray[np.int64]) -> ElementTable:
    """Turn big-endian values into little-endian ones. Rare: the syntax is retired.

    Args:
        table: As walked, ``vr`` being the stored one.
        rows: Elements that are stored big endian.
    """
    arena, units, opaque = table.arena.copy(), _units(), opaque_numbers()
    for row in rows.tolist():
        stored = int(table.stored_vr[row])
        unit = units.get(stored, 1)  # none for OB and UN, which have no byte order (PS3.5 7.3, 6.2.2)
        whole = 2 * unit if stored == AT else unit
        if unit > 1 and opaque[stored]:
            unit = whole = _dictionary_unit(int(table.tag[row]), units)
        start, size = int(table.offset[row]), int(table.length[row])
        following = int(table.offset[row + 1]) if row + 1 < len(table) else len(arena)
        # a value that was passed over unread, such as Pixel Data, is not in the arena
        if (
            start >= 0
            and unit > 1
            and size % whole == 0
            and start + size <= (following if following > start else len(arena))
        ):
            value = arena[start : start + size].reshape(-1, unit)
            value[:] = value[:, ::-1].copy()
    return replace(table, arena=arena)
