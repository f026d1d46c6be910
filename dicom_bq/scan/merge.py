"""Tables of parts of a batch to one table of the batch, instances in the order of their files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
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
    sizes = np.array([np.bincount(part.instance, minlength=files) for part in parts])
    exported = np.asarray(sizes.any(axis=0))
    exported[numbers] = True
    number_of = (np.cumsum(exported) - 1).astype(np.int32)
    moved = _places(parts, sizes)
    table = _joined(parts, moved)
    notes = [
        replace(
            note,
            instance=int(number_of[numbers[note.instance]]),
            row=int(moved[-1][note.row]) if note.row >= 0 else -1,
        )
        for note in scalar.notes
    ]
    dense = np.repeat(number_of, sizes.sum(axis=0))
    return replace(table, instances=int(exported.sum()), instance=dense, notes=tuple(notes)), moved[-1]


def _places(parts: Sequence[ElementTable], sizes: Array) -> list[Array]:
    """Row in the result of each row of each part: file after file, and of one file part after part.

    Args:
        parts: The parts; the elements of a file follow each other in each.
        sizes: Elements of each file in each part; shape (parts, files).
    """
    ends = np.cumsum(sizes.T).reshape(sizes.T.shape).T
    before = np.cumsum(sizes, axis=1) - sizes
    shifts = ends - sizes - before
    return [
        np.arange(len(part)) + np.repeat(shift, size) for part, shift, size in zip(parts, shifts, sizes, strict=True)
    ]


def _joined(parts: Sequence[ElementTable], moved: Sequence[Array]) -> ElementTable:
    """All parts as one table, arenas one after the other.

    Args:
        parts: The parts.
        moved: Row in the result of each row of each part.
    """
    order = np.empty(sum(map(len, parts)), np.int64)
    order[np.concatenate(moved)] = np.arange(len(order))

    def column(name: str, firsts: Sequence[int] | None = None) -> Array:
        """A column; with ``firsts`` of numbers that count from the start of their part, negative ones excepted."""
        values = [getattr(part, name) for part in parts]
        if firsts:
            values = [
                value + (value >= 0) * value.dtype.type(first) if first else value
                for value, first in zip(values, firsts, strict=True)
            ]
        return np.concatenate(values).take(order)

    item = column("item", _firsts(len(part.item_sequence) for part in parts))
    sequence = np.concatenate([rows[part.item_sequence] for part, rows in zip(parts, moved, strict=True)])
    item, sequence = in_sequence_order(item, sequence)
    return replace(
        parts[0],
        arena=_together([part.arena for part in parts if len(part.arena)]),
        item=item,
        tag=column("tag"),
        stored_vr=column("stored_vr"),
        vr=column("stored_vr"),
        offset=column("offset", _firsts(len(part.arena) for part in parts)),
        length=column("length"),
        walked=column("walked"),
        item_sequence=sequence,
    )


def _together(arenas: Sequence[Array]) -> Array:
    """Arenas one after the other; one is not copied."""
    return arenas[0] if len(arenas) == 1 else np.concatenate([*arenas, np.zeros(0, np.uint8)])


def _firsts(counts: Iterable[int]) -> list[int]:
    """How many come before each part."""
    return list(itertools.accumulate(counts, initial=0))[:-1]
