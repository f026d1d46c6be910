"""Elements to tag paths: which node of the column tree each element belongs to, level by level.

A level is the data sets themselves, then the items of their sequences, then the items of those. Each step looks at
all elements of one level of the whole batch at once, and no further down than a table can hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dicom_bq.column import OTHER_ELEMENTS_KEY, TagPath
from dicom_bq.columns.facts import NOT_DATA, TagFacts
from dicom_bq.columns.kinds import REASON_NUMBER, Kinds, find_kinds
from dicom_bq.elements import ROOT, VR_NUMBER, ElementTable
from dicom_bq.problems import Place, Reason

MAX_LEVELS = 15
"""RECORD levels of a BigQuery table (https://cloud.google.com/bigquery/docs/nested-repeated, Limitations)."""
SQ, UN = VR_NUMBER["SQ"], VR_NUMBER["UN"]
ROOT_NODE = 0
NO_NODE = -1
LARGEST_TABLE = 1 << 22
"""Pairs of container and tag that are looked up in a table; more are sorted."""


class Node(NamedTuple):
    """A column or the root: ``key`` in the container node ``parent``.

    Attributes:
        parent: Number of that node.
        path: Keys from the root to this node.
    """

    parent: int
    path: TagPath


@dataclass(slots=True)
class Paths:
    """Where each element belongs. ``place`` and ``reason`` are settled further while values are decoded.

    Attributes:
        nodes: All nodes; 0 is the root.
        children: Node by parent and key.
        node: Node of each element's column, or of the container's OtherElements; ``NO_NODE`` for none; int32.
        container_node: Node of the container that holds the element; int32.
        place: A ``Place``; uint8.
        reason: Number in ``REASON_NUMBER``; uint8.
        level: Level of the container, 0 for the data set; int8; -1 for what is not reached.
        item_node: Sequence node of each item; int32.
    """

    nodes: list[Node]
    children: dict[tuple[int, int], int]
    node: npt.NDArray[np.int32]
    container_node: npt.NDArray[np.int32]
    place: npt.NDArray[np.uint8]
    reason: npt.NDArray[np.uint8]
    level: npt.NDArray[np.int8]
    item_node: npt.NDArray[np.int32]
    deepest: int = 0
    sequences: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def child(self, parent: int, key: int) -> int:
        """The node of a key in a container, made if it is new."""
        node = self.children.get((parent, key))
        if node is None:
            node = self.children[parent, key] = len(self.nodes)
            self.nodes.append(Node(parent, (*self.nodes[parent].path, key)))
        return node

    def path(self, node: int) -> TagPath:
        """Keys from the root to a node."""
        return self.nodes[node].path

    def set(self, rows: npt.NDArray[np.int64], place: Place, reason: Reason | None = None) -> None:
        """Settle the place of elements."""
        self.place[rows] = place
        self.reason[rows] = REASON_NUMBER[reason] if reason else 0

    def to_other(self, rows: npt.NDArray[np.int64], reason: Reason | None = None) -> None:
        """Send elements to OtherElements of their level, or drop them where a table is not that deep."""
        self.set(rows, Place.OTHER, reason)
        self.hold(rows)

    def hold(self, rows: npt.NDArray[np.int64]) -> None:
        """Give elements that go to OtherElements its node, or drop them where a table is not that deep."""
        fits = self.level[rows] < MAX_LEVELS
        deep, rows = _chosen(rows, ~fits), _chosen(rows, fits)
        self.place[deep], self.node[deep] = Place.DROPPED, NO_NODE
        self.reason[deep] = np.where(self.reason[deep], self.reason[deep], REASON_NUMBER[Reason.TOO_DEEP])
        self.node[rows] = self.nodes_of(self.container_node[rows], np.zeros(len(rows), np.int64), (OTHER_ELEMENTS_KEY,))

    def nodes_of(
        self, parents: npt.NDArray[np.int32], codes: npt.NDArray[np.int64], keys: Sequence[int]
    ) -> npt.NDArray[np.int32]:
        """Nodes of many (parent, key) pairs at once.

        Args:
            parents: Container nodes.
            codes: Number of the key in ``keys``, for each parent.
            keys: Different keys.
        """
        pair = parents.astype(np.int64) * len(keys) + codes
        if (len(self.nodes) + 1) * len(keys) > LARGEST_TABLE:
            distinct, inverse = np.unique(pair, return_inverse=True)
            return self._nodes(distinct, keys)[inverse]
        present = np.zeros((len(self.nodes) + 1) * len(keys), np.bool_)
        present[pair] = True
        distinct = np.flatnonzero(present)
        node_of = np.empty(len(present), np.int32)
        node_of[distinct] = self._nodes(distinct, keys)
        nodes: npt.NDArray[np.int32] = node_of[pair]
        return nodes

    def _nodes(self, pairs: npt.NDArray[np.int64], keys: Sequence[int]) -> npt.NDArray[np.int32]:
        nodes = [self.child(pair // len(keys), keys[pair % len(keys)]) for pair in pairs.tolist()]
        return np.array(nodes, np.int32)


def find_paths(
    table: ElementTable, facts: TagFacts, empty: npt.NDArray[np.bool_], max_sequence_bytes: int | None
) -> Paths:
    """Give every element its node and its place, as far as that needs no value.

    Args:
        table: The batch.
        facts: Its tags' facts.
        empty: Elements without a value.
        max_sequence_bytes: Larger sequences are dropped; None for no limit.
    """
    count, items = len(table), len(table.item_sequence)
    kinds = find_kinds(table, facts)
    paths = Paths(
        nodes=[Node(NO_NODE, ())],
        children={},
        node=np.full(count, NO_NODE, np.int32),
        container_node=np.full(count, NO_NODE, np.int32),
        place=kinds.place.take(kinds.number),
        reason=kinds.reason.take(kinds.number),
        level=np.full(count, -1, np.int8),
        item_node=np.full(items, NO_NODE, np.int32),
    )
    broken = np.flatnonzero((table.stored_vr == SQ) & (table.vr == UN))
    paths.set(_chosen(broken, paths.place[broken] == Place.DROPPED), Place.DROPPED, Reason.NOT_ITEMS)
    paths.set(np.flatnonzero(empty & ~table.walked & (paths.place != Place.NOT_DATA)), Place.EMPTY)
    is_root = table.item == ROOT
    rows, nested = np.flatnonzero(is_root), np.flatnonzero(~is_root)
    item_of_nested = table.item[nested]
    for level in range(MAX_LEVELS + 1):
        if not len(rows):
            break
        paths.level[rows], paths.deepest = level, level
        item = table.item.take(rows)
        paths.container_node[rows] = paths.item_node[item] if level else ROOT_NODE
        _drop_on_level(table, kinds, paths, rows, level, max_sequence_bytes)
        sequences = _place_level(table, facts, kinds, paths, rows)
        paths.sequences.append(sequences)
        if not items:
            break
        accepted = np.zeros(count, np.bool_)
        accepted[sequences] = True
        inside = accepted[table.item_sequence]
        reached = np.flatnonzero(inside)
        paths.item_node[reached] = paths.node[table.item_sequence[reached]]
        rows = nested[np.flatnonzero(inside.take(item_of_nested))]
    paths.set(np.flatnonzero(paths.level < 0), Place.INSIDE_DROPPED)
    _forgive_empty(table, facts, paths, empty)
    return paths


def _forgive_empty(table: ElementTable, facts: TagFacts, paths: Paths, empty: npt.NDArray[np.bool_]) -> None:
    """A dropped sequence without any value in it has no value itself, so that it is not dropped.

    What is in a dropped sequence follows it in document order, up to the next element that was reached.
    """
    dropped = np.flatnonzero((paths.place == Place.DROPPED) & table.walked)
    if len(dropped):
        unreached = paths.level < 0
        owner = np.maximum.accumulate(np.where(unreached, 0, np.arange(len(table))))
        value = unreached & ~table.walked & ~empty & (facts.family[facts.code] != NOT_DATA)
        filled = np.zeros(len(table), np.bool_)
        filled[owner[value]] = True
        paths.set(dropped[~filled[dropped]], Place.EMPTY)


def _drop_on_level(
    table: ElementTable, kinds: Kinds, paths: Paths, rows: npt.NDArray[np.int64], level: int, limit: int | None
) -> None:
    """Drop what does not fit into a table on this level, and sequences larger than the limit."""
    kind = kinds.number.take(rows)
    if level + int(kinds.records.max(initial=0)) > MAX_LEVELS:
        columns = np.isin(paths.place[rows], (Place.COLUMN, Place.DROPPED))
        paths.set(_chosen(rows, columns & (level + kinds.records[kind] > MAX_LEVELS)), Place.DROPPED, Reason.TOO_DEEP)
    sequence = _chosen(rows, kinds.descends.take(kind))
    if level >= MAX_LEVELS:
        paths.set(sequence, Place.DROPPED, Reason.TOO_DEEP)
    elif limit is not None:
        paths.set(_chosen(sequence, table.length[sequence] > limit), Place.DROPPED, Reason.SEQUENCE_TOO_LARGE)


def _place_level(
    table: ElementTable, facts: TagFacts, kinds: Kinds, paths: Paths, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Give the elements of one level their nodes; return those that are sequences to descend into."""
    _supersede(table, paths, rows)
    place = paths.place.take(rows)
    paths.hold(_chosen(rows, place == Place.OTHER))
    column = _chosen(rows, place == Place.COLUMN)
    paths.node[column] = paths.nodes_of(paths.container_node.take(column), facts.code.take(column), facts.keys)
    return _chosen(column, kinds.descends.take(kinds.number.take(column)))


def _chosen(rows: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """``rows[mask]``, eight times as fast for a mask with few changes."""
    picked: npt.NDArray[np.int64] = rows[np.flatnonzero(mask)]
    return picked


def _supersede(table: ElementTable, paths: Paths, rows: npt.NDArray[np.int64]) -> None:
    """Of elements with the same tag in the same data set only the last counts (PS3.5 7.1 allows one)."""
    tag = table.tag.take(rows)
    falls = np.flatnonzero(tag[1:] <= tag[:-1])  # mostly where one data set ends and the next begins
    before, after = rows[falls], rows[falls + 1]
    if not np.any((table.item[before] == table.item[after]) & (table.instance[before] == table.instance[after])):
        return
    earlier = superseded(table, rows)
    earlier = earlier[paths.place[earlier] != Place.NOT_DATA]
    paths.set(earlier, Place.SUPERSEDED, Reason.DUPLICATE)
    paths.node[earlier] = NO_NODE


def superseded(table: ElementTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which of some elements are followed by another with the same tag in the same data set."""
    tag = table.tag.take(rows)
    holder = np.where(table.item[rows] == ROOT, -1 - table.instance[rows], table.item[rows])
    order = np.lexsort((tag, holder))
    same = (holder[order][1:] == holder[order][:-1]) & (tag[order][1:] == tag[order][:-1])
    earlier: npt.NDArray[np.int64] = rows[order[:-1][same]]
    return earlier
