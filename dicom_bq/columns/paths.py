"""Elements to tag paths: which node of the column tree each element belongs to, level by level.

A level is the data sets themselves, then the items of their sequences, then the items of those. Each step looks at
all elements of one level of the whole batch at once, and no further down than a table can hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from dicom_bq.column import OTHER_ELEMENTS_KEY, TagPath
from dicom_bq.columns.facts import FAMILY_NUMBER, NOT_DATA, OPAQUE, SEQUENCE, UNKNOWN, TagFacts, vr_facts
from dicom_bq.elements import ROOT, ElementTable
from dicom_bq.problems import Place, Reason
from vr_rules import Family

MAX_LEVELS = 15
"""RECORD levels of a BigQuery table (https://cloud.google.com/bigquery/docs/nested-repeated, Limitations)."""
ROOT_NODE = 0
NO_NODE = -1
REASONS: tuple[Reason, ...] = tuple(Reason)
REASON_NUMBER: dict[Reason, int] = {reason: number + 1 for number, reason in enumerate(REASONS)}
"""Numbers in ``Paths.reason``; 0 is none."""
LARGEST_TABLE = 1 << 22
"""Pairs of container and tag that are looked up in a table; more are sorted."""


@dataclass(frozen=True, slots=True)
class Node:
    """A column or the root: ``key`` in the container node ``parent``, ``level`` RECORDs deep."""

    parent: int
    key: int
    level: int


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
            self.nodes.append(Node(parent, key, self.nodes[parent].level + 1))
        return node

    def path(self, node: int) -> TagPath:
        """Keys from the root to a node."""
        keys: list[int] = []
        while node != ROOT_NODE:
            keys.append(self.nodes[node].key)
            node = self.nodes[node].parent
        return tuple(reversed(keys))

    def set(self, rows: npt.NDArray[np.int64], place: Place, reason: Reason | None = None) -> None:
        """Settle the place of elements."""
        self.place[rows] = place
        self.reason[rows] = REASON_NUMBER[reason] if reason else 0

    def to_other(self, rows: npt.NDArray[np.int64], reason: Reason | None = None) -> None:
        """Send elements to OtherElements of their level, or drop them where a table is not that deep."""
        fits = self.level[rows] < MAX_LEVELS
        self.set(_chosen(rows, fits), Place.OTHER, reason)
        self.set(_chosen(rows, ~fits), Place.DROPPED, reason or Reason.TOO_DEEP)
        self.node[rows[fits]] = self.nodes_of(
            self.container_node[rows[fits]], np.zeros(int(fits.sum()), np.int64), (OTHER_ELEMENTS_KEY,)
        )
        self.node[rows[~fits]] = NO_NODE

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
    paths = Paths(
        nodes=[Node(NO_NODE, 0, 0)],
        children={},
        node=np.full(count, NO_NODE, np.int32),
        container_node=np.full(count, NO_NODE, np.int32),
        place=np.full(count, Place.INSIDE_DROPPED, np.uint8),
        reason=np.zeros(count, np.uint8),
        level=np.full(count, -1, np.int8),
        item_node=np.full(items, NO_NODE, np.int32),
    )
    is_root = table.item == ROOT
    rows, nested = np.flatnonzero(is_root), np.flatnonzero(~is_root)
    item_of_nested = table.item[nested]
    for level in range(MAX_LEVELS + 1):
        if not len(rows):
            break
        paths.level[rows], paths.deepest = level, level
        item = table.item[rows]
        paths.container_node[rows] = paths.item_node[item] if level else ROOT_NODE
        sequences = _place_level(table, facts, paths, rows, level, empty, max_sequence_bytes)
        paths.sequences.append(sequences)
        if not items:
            break
        accepted = np.zeros(count, np.bool_)
        accepted[sequences] = True
        inside = accepted[table.item_sequence]
        reached = np.flatnonzero(inside)
        paths.item_node[reached] = paths.node[table.item_sequence[reached]]
        rows = nested[np.flatnonzero(inside[item_of_nested])]
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
        value = unreached & ~table.walked & ~empty & (facts.family != NOT_DATA)
        filled = np.zeros(len(table), np.bool_)
        filled[owner[value]] = True
        paths.set(dropped[~filled[dropped]], Place.EMPTY)


def _place_level(
    table: ElementTable,
    facts: TagFacts,
    paths: Paths,
    rows: npt.NDArray[np.int64],
    level: int,
    empty: npt.NDArray[np.bool_],
    limit: int | None,
) -> npt.NDArray[np.int64]:
    """Place the elements of one level; return those that are sequences to descend into."""
    family, vr, walked = facts.family[rows], table.vr[rows], table.walked[rows]
    stored = vr_facts().family[vr]
    known = family < NOT_DATA
    opaque = (stored == OPAQUE) & ~walked
    paths.set(rows, Place.COLUMN)
    paths.set(_chosen(rows, known & (family != SEQUENCE) & walked), Place.DROPPED, Reason.NOT_A_SEQUENCE)
    paths.set(_chosen(rows, known & opaque), Place.DROPPED, Reason.WRONG_VR)
    paths.set(_chosen(rows, (family == OPAQUE) | (~known & opaque)), Place.DROPPED, Reason.EXCLUDED_VR)
    records = facts.repeater[rows] + np.int8(2) * (family == FAMILY_NUMBER[Family.PERSON_NAME])
    paths.set(_chosen(rows, level + records > MAX_LEVELS), Place.DROPPED, Reason.TOO_DEEP)
    paths.to_other(_chosen(rows, (family == UNKNOWN) & ~opaque & ~walked))
    unreadable = (
        known
        & (family != OPAQUE)
        & ~opaque
        & ~walked
        & ~_readable().take(family.astype(np.intp) * len(FAMILY_NUMBER) + stored)
    )
    paths.to_other(_chosen(rows, unreadable), Reason.WRONG_VR)
    sequence = walked & ((family == SEQUENCE) | (family == UNKNOWN))
    if level >= MAX_LEVELS:
        paths.set(_chosen(rows, sequence), Place.DROPPED, Reason.TOO_DEEP)
    elif limit is not None:
        paths.set(_chosen(rows, sequence & (table.length[rows] > limit)), Place.DROPPED, Reason.SEQUENCE_TOO_LARGE)
    paths.set(_chosen(rows, empty[rows] & ~walked), Place.EMPTY)
    paths.set(_chosen(rows, family == NOT_DATA), Place.NOT_DATA)
    _supersede(table, paths, rows)
    column = _chosen(rows, paths.place[rows] == Place.COLUMN)
    paths.node[column] = paths.nodes_of(paths.container_node[column], facts.code[column], facts.keys)
    return _chosen(rows, sequence & (paths.place[rows] == Place.COLUMN))


def _chosen(rows: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """``rows[mask]``, eight times as fast for a mask with few changes."""
    picked: npt.NDArray[np.int64] = rows[np.flatnonzero(mask)]
    return picked


@cache
def _readable() -> npt.NDArray[np.bool_]:
    """Whether a column's family (first axis) can be filled from a value of a family (second axis)."""
    text, number = (
        {Family.TEXT, Family.DATE, Family.TIME, Family.DATE_TIME, Family.PERSON_NAME},
        {Family.INTEGER},
    )
    sources: dict[Family, set[Family]] = {
        **dict.fromkeys(text, text),
        Family.INTEGER: number | {Family.NUMERIC} | text,
        Family.NUMERIC: number | {Family.NUMERIC} | text,
        Family.FLOAT: number | {Family.NUMERIC, Family.FLOAT} | text,
        Family.ATTRIBUTE_TAG: {Family.ATTRIBUTE_TAG},
        Family.SEQUENCE: {Family.SEQUENCE},
    }
    table = np.zeros((256, len(FAMILY_NUMBER)), np.bool_)
    for target, readable in sources.items():
        for source in readable:
            table[FAMILY_NUMBER[target], FAMILY_NUMBER[source]] = True
    return table


def _supersede(table: ElementTable, paths: Paths, rows: npt.NDArray[np.int64]) -> None:
    """Of elements with the same tag in the same data set only the last counts (PS3.5 7.1 allows one)."""
    tag = table.tag[rows]
    falls = np.flatnonzero(tag[1:] <= tag[:-1])  # mostly where one data set ends and the next begins
    before, after = rows[falls], rows[falls + 1]
    if not np.any((table.item[before] == table.item[after]) & (table.instance[before] == table.instance[after])):
        return
    holder = np.where(table.item[rows] == ROOT, -1 - table.instance[rows], table.item[rows])
    order = np.lexsort((tag, holder))
    same = (holder[order][1:] == holder[order][:-1]) & (tag[order][1:] == tag[order][:-1])
    earlier = rows[order[:-1][same]]
    earlier = earlier[paths.place[earlier] != Place.NOT_DATA]
    paths.set(earlier, Place.SUPERSEDED, Reason.DUPLICATE)
    paths.node[earlier] = NO_NODE
