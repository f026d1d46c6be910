"""Where items lie: the rows of every repeated record, and how many each row of the table around it has.

As in Dremel's assembly, an item is known by its number among all items of its column in the batch; list offsets are
the running count of items by the number of what holds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dicom_bq.columns.paths import NO_NODE, ROOT_NODE, Paths
from dicom_bq.elements import ROOT, ElementTable
from dicom_bq.problems import Place


@dataclass(frozen=True, slots=True)
class Nesting:
    """Numbers of containers: instances at the root, items in a sequence column.

    Attributes:
        ordinal: For each element, the number of its container in the container's column; int64.
        sizes: Containers of each node: instances of the root, items of a sequence; int64, by node.
        holders: Of each sequence node, the container of its parent that holds each item; by node.
    """

    ordinal: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    holders: dict[int, npt.NDArray[np.int64]]


def settle_sequences(table: ElementTable, paths: Paths) -> npt.NDArray[np.bool_]:
    """Mark sequences without any content in any item as EMPTY, from the innermost outwards.

    Returns:
        Sequences with content; bool, by element row.
    """
    item_content = np.zeros(len(table.item_sequence) + 1, np.bool_)  # the last one is for ROOT
    filled = np.zeros(len(table), np.bool_)
    nested = np.flatnonzero(table.item != ROOT)
    place = paths.place.take(nested)
    content = (place == Place.OTHER) | ((place == Place.COLUMN) & ~table.walked.take(nested))
    item_content[table.item[nested[np.flatnonzero(content)]]] = True
    for rows in reversed(paths.sequences):
        level_rows = np.zeros(len(table), np.bool_)
        level_rows[rows] = True
        items = np.flatnonzero(item_content[:-1] & level_rows[table.item_sequence])
        filled[table.item_sequence[items]] = True
        kept = rows[filled[rows]]
        item_content[table.item[kept]] = True
        paths.set(rows[~filled[rows]], Place.EMPTY)
    return filled


def nest(table: ElementTable, paths: Paths, filled: npt.NDArray[np.bool_]) -> Nesting:
    """Number the items of every sequence column.

    Args:
        table: The batch.
        paths: Nodes and places.
        filled: Sequences with content.
    """
    sizes = np.zeros(len(paths.nodes), np.int64)
    sizes[ROOT_NODE] = table.instances
    item_ordinal = np.zeros(len(table.item_sequence) + 1, np.int64)
    kept = np.flatnonzero(filled[table.item_sequence] & (paths.item_node != NO_NODE))
    nodes = paths.item_node[kept]
    order = np.argsort(nodes, kind="stable")
    kept, nodes = kept[order], nodes[order]
    used, first, count = np.unique(nodes, return_index=True, return_counts=True)
    item_ordinal[kept] = np.arange(len(kept)) - np.repeat(first, count)
    sizes[used] = count
    ordinal = np.where(table.item == ROOT, table.instance, item_ordinal.take(table.item))
    sequence = table.item_sequence[kept]
    holders = {
        int(node): ordinal[sequence[start : start + size]]
        for node, start, size in zip(used.tolist(), first.tolist(), count.tolist(), strict=True)
    }
    return Nesting(ordinal, sizes, holders)
