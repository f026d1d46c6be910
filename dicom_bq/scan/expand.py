"""Opens sequences that a walker passed over because their VR was not in the stream.

A private sequence in implicit VR, a known sequence stored as UN: only the dictionaries tell that the value is a
list of items (PS3.5 6.2.2). Their elements are walked and put where document order wants them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ROOT, VR_NUMBER, ElementTable
from dicom_bq.errors import ScanError
from dicom_bq.scan.rows import IMPLICIT_LITTLE, Form, Rows
from dicom_bq.scan.scalar import walk_items

SQ, UN = VR_NUMBER["SQ"], VR_NUMBER["UN"]

Array: TypeAlias = npt.NDArray[Any]

COLUMNS = ("item", "tag", "stored_vr", "offset", "length")


Opened: TypeAlias = list[tuple[int, Rows, Form]]
"""Sequences: element row, what is in it, how that is encoded."""
Forms: TypeAlias = Mapping[int, Form | None]
"""How a row's items are encoded, where it is not implicit VR little endian; None where there are none."""


def expand(table: ElementTable, forms: Forms, decoded: Array) -> tuple[ElementTable, Array, Forms] | None:
    """Open every sequence that is not walked yet, with all that is in it, or item by item where one is malformed.

    Args:
        table: Elements with ``vr`` resolved.
        forms: What is known of its rows.
        decoded: Rows whose text is UTF-8 already.

    Returns:
        The longer table, and ``decoded`` and ``forms`` for its rows; None when there was nothing to open. A value that
        is not a list of items becomes UN: no sequence, just bytes.
    """
    opened: Opened = []
    others: list[int] = []
    for row in _pending(table).tolist():
        form = forms.get(row, IMPLICIT_LITTLE)
        rows = None if form is None else _items(table.value(row), form)
        if form is None or rows is None:
            others.append(row)
        else:
            opened.append((row, rows, form))
    table.vr[others] = UN
    return _splice(table, opened, others, decoded) if opened else None


def close(table: ElementTable) -> None:
    """Let sequences that have not been opened be bytes."""
    table.vr[_pending(table)] = UN


def _pending(table: ElementTable) -> Array:
    return np.flatnonzero((table.vr == SQ) & ~table.walked & (table.length > 0))


def _items(value: bytes, form: Form) -> Rows | None:
    """The items of a sequence; the sequences in them closed, to be opened next, if some are malformed."""
    for closed in (False, True):
        with contextlib.suppress(ScanError):
            return walk_items(value, form, closed=closed)
    return None


def _splice(
    table: ElementTable, opened: Opened, others: Sequence[int], decoded: Array
) -> tuple[ElementTable, Array, Forms]:
    """Insert each sequence's elements after its row; renumber rows and items, and those of ``others``."""
    at = np.array([row for row, _, _ in opened])
    sizes = np.array([len(rows) - 1 for _, rows, _ in opened])
    shift = np.append(0, np.cumsum(sizes))
    moved = np.arange(len(table)) + shift[np.searchsorted(at, np.arange(len(table)))]
    inserted = np.setdiff1d(np.arange(len(table) + shift[-1]), moved, assume_unique=True)

    def spliced(old: Array, fresh: Array) -> Array:
        out = np.empty(len(old) + len(fresh), old.dtype)
        out[moved], out[inserted] = old, fresh
        return out

    new, nothing = _opened_columns(table, opened), np.zeros(len(inserted), np.bool_)
    bases = [(base, rows, form) for base, (_, rows, form) in zip(moved[at].tolist(), opened, strict=True)]
    walked = spliced(table.walked, nothing)
    walked[np.concatenate([np.array(rows.walked, np.int64) + base for base, rows, _ in bases])] = True
    sequences = [moved[table.item_sequence], *(np.array(rows.item_sequence) + base for base, rows, _ in bases)]
    item, item_sequence = in_sequence_order(spliced(table.item, new["item"]), np.concatenate(sequences))
    stored_vr = spliced(table.stored_vr, new["stored_vr"])
    longer = replace(
        table,
        instance=spliced(table.instance, np.repeat(table.instance[at], sizes)),
        item=item,
        tag=spliced(table.tag, new["tag"]),
        stored_vr=stored_vr,
        vr=stored_vr.copy(),
        offset=spliced(table.offset, new["offset"]),
        length=spliced(table.length, new["length"]),
        walked=walked,
        item_sequence=item_sequence,
        notes=tuple(replace(note, row=int(moved[note.row])) if note.row >= 0 else note for note in table.notes),
    )
    forms: dict[int, Form | None] = {
        base + row: form
        for base, rows, form in bases
        if form != IMPLICIT_LITTLE
        for row in np.flatnonzero(np.array(rows.stored_vr) == SQ).tolist()
    }
    return longer, spliced(decoded, nothing), forms | dict.fromkeys(moved[others].tolist())


def in_sequence_order(item: Array, item_sequence: Array) -> tuple[Array, Array]:
    """Sort items by the row of their sequence, as ElementTable promises.

    Args:
        item: Item of each element, ``ROOT`` for none.
        item_sequence: Element row of each item's sequence, the items of one sequence in their order.

    Returns:
        Both, renumbered.
    """
    if np.all(item_sequence[1:] >= item_sequence[:-1]):
        return item, item_sequence.astype(np.int32)
    order = np.argsort(item_sequence, kind="stable")
    rank = np.empty(len(order) + 1, np.int32)
    rank[order], rank[ROOT] = np.arange(len(order)), ROOT
    return rank[item], item_sequence[order].astype(np.int32)


def _opened_columns(table: ElementTable, opened: Opened) -> dict[str, Array]:
    """The opened sequences' elements, one sequence after the other, items numbered on from the table's."""
    columns: dict[str, list[Array]] = {name: [] for name in COLUMNS}
    items = len(table.item_sequence)
    for row, rows, _ in opened:
        columns["item"].append(np.array(rows.item[1:], np.int32) + np.int32(items))
        columns["tag"].append(np.array(rows.tag[1:], np.uint32))
        columns["stored_vr"].append(np.array(rows.stored_vr[1:], np.uint8))
        columns["offset"].append(np.array(rows.offset[1:], np.int64) + table.offset[row])
        columns["length"].append(np.array(rows.length[1:], np.int64))
        items += len(rows.item_sequence)
    return {name: np.concatenate(parts) for name, parts in columns.items()}
