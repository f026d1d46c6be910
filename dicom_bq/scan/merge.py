"""Tables of parts of a batch to one table of the batch, instances in the order of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ROOT, ElementTable
from dicom_bq.scan.expand import in_sequence_order

Array: TypeAlias = npt.NDArray[Any]

COLUMNS = ("instance", "item", "tag", "stored_vr", "vr", "offset", "length", "walked")


def without(table: ElementTable, odd: Array) -> ElementTable:
    """A table less the elements of files that turned out to be odd in a later part."""
    gone = odd[table.instance]
    if not gone.any():
        return table
    rows = np.flatnonzero(~gone)
    row_of = np.cumsum(~gone) - 1
    kept = ~gone[table.item_sequence]
    item_of = np.append(np.cumsum(kept) - 1, ROOT).astype(np.int32)
    columns = {name: getattr(table, name)[rows] for name in COLUMNS}
    columns["item"] = item_of[columns["item"]]
    return replace(table, **columns, item_sequence=row_of[table.item_sequence[kept]].astype(np.int32))


def merge(
    tables: Sequence[ElementTable], scalar: ElementTable, numbers: Array, files: int
) -> tuple[ElementTable, Array]:
    """One table of the pieces, instances in the order of their files.

    Args:
        tables: Walked in lock-step, ``instance`` being the file's number.
        scalar: Walked one by one, ``instance`` counting from 0.
        numbers: The file's number of each of the scalar table's instances.
        files: Files of the batch.

    Returns:
        The table, and the row in it of each row of ``scalar``.
    """
    parts = [*tables, replace(scalar, instance=numbers[scalar.instance])]
    instance = np.concatenate([part.instance for part in parts])
    exported = np.zeros(files, np.bool_)
    exported[instance] = True
    exported[numbers] = True
    number_of = (np.cumsum(exported) - 1).astype(np.int32)
    order = np.argsort(instance.astype(np.uint16) if files <= 1 << 16 else instance, kind="stable")
    moved = np.empty(len(order), np.int64)
    moved[order] = np.arange(len(order))
    table = _joined(parts, order, moved)
    scalar_rows = moved[len(order) - len(scalar) :]
    notes = [
        replace(
            note,
            instance=int(number_of[numbers[note.instance]]),
            row=int(scalar_rows[note.row]) if note.row >= 0 else -1,
        )
        for note in scalar.notes
    ]
    instances, dense = int(exported.sum()), number_of[instance[order]]
    return replace(table, instances=instances, instance=dense, notes=tuple(notes)), scalar_rows


def _joined(parts: Sequence[ElementTable], order: Array, moved: Array) -> ElementTable:
    """All parts as one table, arenas one after the other.

    Args:
        parts: The parts.
        order: Row among all parts' rows, for each row of the result.
        moved: The inverse.
    """

    def column(name: str) -> Array:
        joined: Array = np.concatenate([getattr(part, name) for part in parts])[order]
        return joined

    def shifted(name: str, counts: Sequence[int]) -> Array:
        """A column of numbers that count from the start of their part; negative ones stay."""
        before = np.cumsum([0, *counts])
        columns = [(getattr(part, name).astype(np.int64), at) for part, at in zip(parts, before, strict=False)]
        return np.concatenate([np.where(numbers < 0, numbers, numbers + at) for numbers, at in columns])

    item = shifted("item", [len(part.item_sequence) for part in parts])[order].astype(np.int32)
    sequence = moved[shifted("item_sequence", [len(part) for part in parts])]
    item, sequence = in_sequence_order(item, sequence)
    return replace(
        parts[0],
        arena=np.concatenate([part.arena for part in parts]),
        item=item,
        tag=column("tag"),
        stored_vr=column("stored_vr"),
        vr=column("stored_vr"),
        offset=shifted("offset", [len(part.arena) for part in parts])[order],
        length=column("length"),
        walked=column("walked"),
        item_sequence=sequence,
    )
