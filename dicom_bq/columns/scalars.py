"""Columns of one value a row: a value stands in the cell of its row, and all columns of a family are one long array.

A column with a value in every row, one after the other, is a slice of the decoded values. Of the others all cells
are laid out end to end, and one ``take`` fills them: it costs as much for one column as for a hundred.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq.columns.decode import Leaves

ALIGNMENT = 64
"""Cells; a column that begins at a multiple of that has its bits of validity at a byte of its own."""
MOST_CELLS = 1 << 20
"""Of one ``take``, so that memory is bounded; more only for one column."""

Numbers = npt.NDArray[np.int64]


def scalar_columns(leaves: Leaves, sizes: Numbers, ordinal: Numbers) -> dict[int, pa.Array]:
    """All columns that elements of one family make, by node.

    Args:
        leaves: The elements, of one value each.
        sizes: Rows of the table that each of ``leaves.used`` is a column of.
        ordinal: Row there of each element of the batch.
    """
    first, count = leaves.first[:-1], np.diff(leaves.first)
    last = leaves.starts[leaves.first[1:] - 1]
    dense = (count == sizes) & (last - leaves.starts[first] == sizes - 1)  # and no other value between them
    nodes = leaves.used.tolist()
    columns: dict[int, pa.Array] = {}
    for column in np.flatnonzero(dense).tolist():
        columns[nodes[column]] = leaves.values.slice(int(leaves.starts[first[column]]), int(sizes[column]))
    sparse = np.flatnonzero(~dense)
    room = (sizes[sparse] + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    for chosen in _within(room, MOST_CELLS):
        some = sparse[chosen]
        base = np.cumsum(room[chosen]) - room[chosen]
        cells = _cells(leaves, some, base, int(room[chosen].sum()), ordinal)
        for column, begin in zip(some.tolist(), base.tolist(), strict=True):
            columns[nodes[column]] = cells.slice(begin, int(sizes[column]))
    return columns


def _within(room: Numbers, most: int) -> list[slice]:
    """Stretches whose sum is at most that, or of one."""
    edges, total = [0], 0
    for number, size in enumerate(room.tolist()):
        if total and total + size > most:
            edges.append(number)
            total = 0
        total += size
    edges.append(len(room))
    return [slice(begin, end) for begin, end in itertools.pairwise(edges) if end > begin]


def _cells(leaves: Leaves, columns: Numbers, base: Numbers, total: int, ordinal: Numbers) -> pa.Array:
    """The cells of some columns, which begin where ``base`` says; null where there is no element."""
    begins = np.full(len(leaves.used), -1, np.int64)
    begins[columns] = base
    begin = np.repeat(begins, np.diff(leaves.first))
    wanted = np.flatnonzero(begin >= 0)
    cell = begin[wanted] + ordinal.take(leaves.rows[wanted])
    index, absent = np.zeros(total, np.int64), np.ones(total, np.bool_)
    index[cell], absent[cell] = leaves.starts[wanted], False
    return pc.take(leaves.values, pa.array(index, mask=absent))
