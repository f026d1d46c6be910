"""Tables of parts of a batch to one table of the batch, instances in the order of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ABSENT, ROOT, ElementTable
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
    rows = np.cumsum([0, *(len(part) for part in parts)])
    items = np.cumsum([0, *(len(part.item_sequence) for part in parts)])
    bytes_ = np.cumsum([0, *(len(part.arena) for part in parts)]).tolist()
    instance = np.concatenate([part.instance for part in parts])
    exported = np.zeros(files, np.bool_)
    exported[instance] = True
    exported[numbers] = True
    order = np.argsort(instance.astype(np.uint16) if files <= 1 << 16 else instance, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    item = np.concatenate(
        [np.where(part.item < 0, part.item, part.item + at) for part, at in zip(parts, items, strict=False)]
    )
    sequence = np.concatenate([part.item_sequence.astype(np.int64) + at for part, at in zip(parts, rows, strict=False)])
    item, sequence = in_sequence_order(item.astype(np.int32)[order], place[sequence])

    def joined(name: str) -> Array:
        column: Array = np.concatenate([getattr(part, name) for part in parts])[order]
        return column

    offset = np.concatenate(
        [np.where(part.offset < 0, ABSENT, part.offset + at) for part, at in zip(parts, bytes_, strict=False)]
    )[order]
    dense = (np.cumsum(exported) - 1).astype(np.int32)
    stored = joined("stored_vr")
    moved = place[rows[len(parts) - 1] :]
    table = ElementTable(
        arena=np.concatenate([part.arena for part in parts]),
        instances=int(exported.sum()),
        instance=dense[instance[order]],
        item=item,
        tag=joined("tag"),
        stored_vr=stored,
        vr=stored.copy(),
        offset=offset,
        length=joined("length"),
        walked=joined("walked"),
        item_sequence=sequence,
        notes=tuple(
            replace(
                note, instance=int(dense[numbers[note.instance]]), row=int(moved[note.row]) if note.row >= 0 else -1
            )
            for note in scalar.notes
        ),
    )
    return table, moved
