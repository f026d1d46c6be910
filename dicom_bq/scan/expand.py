"""Opens sequences that a walker passed over because their VR was not in the stream.

A private sequence in implicit VR, a known sequence stored as UN: only the dictionaries tell that the value is a
list of items (PS3.5 6.2.2). Their elements are walked and put where document order wants them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ROOT, VR_NUMBER, ElementTable
from dicom_bq.errors import ScanError
from dicom_bq.scan.rows import IMPLICIT_LITTLE, Form, Rows
from dicom_bq.scan.scalar import walk_items

SQ, UN = VR_NUMBER["SQ"], VR_NUMBER["UN"]

COLUMNS = ("item", "tag", "stored_vr", "offset", "length")


def expand(
    table: ElementTable, forms: Mapping[int, Form], decoded: npt.NDArray[np.bool_]
) -> tuple[ElementTable, npt.NDArray[np.bool_]] | None:
    """Open every sequence that is not walked yet.

    Args:
        table: Elements with ``vr`` resolved.
        forms: How a row's items are encoded, where it is not implicit VR little endian.
        decoded: Rows whose text is UTF-8 already.

    Returns:
        The longer table, and ``decoded`` for its rows; None when there was nothing to open. A value that is not
        a list of items becomes UN: no sequence, just bytes.
    """
    pending = np.flatnonzero((table.vr == SQ) & ~table.walked & (table.length > 0))
    opened: list[tuple[int, Rows]] = []
    for row in pending.tolist():
        try:
            opened.append((row, walk_items(table.value(row), forms.get(row, IMPLICIT_LITTLE))))
        except ScanError:
            table.vr[row] = UN
    return _splice(table, opened, decoded) if opened else None


def _splice(
    table: ElementTable, opened: list[tuple[int, Rows]], decoded: npt.NDArray[np.bool_]
) -> tuple[ElementTable, npt.NDArray[np.bool_]]:
    """Insert each sequence's elements after its row, then renumber rows and items in document order."""
    at = np.array([row for row, _ in opened])
    sizes = np.array([len(rows) - 1 for _, rows in opened])
    shift = np.append(0, np.cumsum(sizes))
    moved = np.arange(len(table)) + shift[np.searchsorted(at, np.arange(len(table)))]
    bases = moved[at].tolist()
    inserted = np.setdiff1d(np.arange(len(table) + shift[-1]), moved, assume_unique=True)

    new = _opened_columns(table, opened)
    item_sequence = np.concatenate(
        [moved[table.item_sequence], *(np.array(rows.item_sequence) + base for base, (_, rows) in zip(bases, opened, strict=True))]
    ).astype(np.int32)
    walked = [np.array(rows.walked, np.int64) + base for base, (_, rows) in zip(bases, opened, strict=True)]

    def spliced(old: npt.NDArray[np.generic], fresh: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        out = np.empty(len(old) + len(fresh), old.dtype)
        out[moved], out[inserted] = old, fresh
        return out

    columns = {name: spliced(getattr(table, name), new[name]) for name in COLUMNS}
    columns["walked"] = spliced(table.walked, np.zeros(len(inserted), np.bool_))
    columns["walked"][np.concatenate(walked)] = True
    columns["instance"] = spliced(table.instance, np.repeat(table.instance[at], sizes))
    order = np.argsort(item_sequence, kind="stable")
    rank = np.empty(len(order) + 1, np.int32)
    rank[order], rank[-1] = np.arange(len(order)), ROOT  # rank[ROOT] is ROOT
    columns["item"] = rank[columns["item"]]
    notes = tuple(replace(note, row=int(moved[note.row])) if note.row >= 0 else note for note in table.notes)
    longer = replace(table, **columns, vr=columns["stored_vr"].copy(), item_sequence=item_sequence[order], notes=notes)
    return longer, spliced(decoded, np.zeros(len(inserted), np.bool_)).astype(np.bool_)


def _opened_columns(table: ElementTable, opened: list[tuple[int, Rows]]) -> dict[str, npt.NDArray[np.generic]]:
    """The opened sequences' elements, one sequence after the other, items numbered on from the table's."""
    columns: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in COLUMNS}
    items = len(table.item_sequence)
    for row, rows in opened:
        columns["item"].append(np.array(rows.item[1:], np.int32) + np.int32(items))
        columns["tag"].append(np.array(rows.tag[1:], np.uint32))
        columns["stored_vr"].append(np.array(rows.stored_vr[1:], np.uint8))
        columns["offset"].append(np.array(rows.offset[1:], np.int64) + table.offset[row])
        columns["length"].append(np.array(rows.length[1:], np.int64))
        items += len(rows.item_sequence)
    return {name: np.concatenate(parts) for name, parts in columns.items()}
