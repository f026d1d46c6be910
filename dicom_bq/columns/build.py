"""An ElementTable to a RecordBatch: the columns of one batch, and an account of every element.

facts      what the rules say of each tag
texts      where text begins and ends
kinds      where elements of one tag and VR belong
paths      which column each element belongs to
decode     values, one VR family at a time; what does not fit goes to OtherElements
nesting    which row of which record each element is in
assemble   Arrow arrays, nested as the schema is
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dicom_bq.column import TagPath
from dicom_bq.columns.account import count_problems
from dicom_bq.columns.assemble import Assembly, Part
from dicom_bq.columns.decode import Leaves, decode_leaves, stable_order
from dicom_bq.columns.dropped import references
from dicom_bq.columns.facts import TagFacts, tag_facts, vr_facts
from dicom_bq.columns.nesting import Nesting, nest, settle_sequences
from dicom_bq.columns.other import OtherTexts, raw_texts
from dicom_bq.columns.paths import NO_NODE, ROOT_NODE, Paths, find_paths
from dicom_bq.columns.text import Texts, read_texts
from dicom_bq.elements import ElementTable
from dicom_bq.mapping import NumericStrings
from dicom_bq.problems import Place, Problems, Reason
from dicom_bq.schema import TableSchema
from dicom_bq.spans import run_starts


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Choices of the mapping that are the user's.

    Attributes:
        max_sequence_bytes: Larger sequences are dropped; None keeps all. The Healthcare API drops about 1 MiB.
        numeric_strings: ``text`` keeps the digits of DS and IS, ``typed`` makes them FLOAT and INTEGER.
        include_source_store: Add SourceDicomStore, the URI of each instance.
    """

    max_sequence_bytes: int | None = None
    numeric_strings: NumericStrings = "text"
    include_source_store: bool = False


@dataclass(frozen=True, slots=True)
class BuiltBatch:
    """The columns of a batch.

    Attributes:
        batch: One row a SOP instance.
        schema: Its columns; without a schema asked for, exactly those that have a value.
        problems: What was dropped, repaired, did not fit.
        placements: A ``Place`` for each element row; uint8.
        reasons: Number in ``kinds.REASON_NUMBER`` for each element row, 0 for none; uint8.
        paths: Nodes of the elements, for explanations.
    """

    batch: pa.RecordBatch
    schema: TableSchema
    problems: Problems
    placements: npt.NDArray[np.uint8]
    reasons: npt.NDArray[np.uint8]
    paths: Paths


def build(
    table: ElementTable,
    schema: TableSchema | None = None,
    options: BuildOptions | None = None,
    sources: Sequence[str] | None = None,
) -> BuiltBatch:
    """Make the columns of a batch.

    Args:
        table: The batch.
        schema: Columns wanted; what they lack is counted as NOT_IN_SCHEMA. None for all that have a value.
        options: The user's choices.
        sources: URI of each instance, for ``include_source_store``.
    """
    options = options or BuildOptions()
    facts = tag_facts(table.tag, options.numeric_strings)
    is_text = vr_facts().text[table.vr] & ~table.walked
    text_rows = np.flatnonzero(is_text)
    texts = read_texts(table, text_rows, _trim(table, facts, text_rows))
    empty = np.where(is_text, texts.length, table.length) == 0
    paths = find_paths(table, facts, empty, options.max_sequence_bytes)
    decoded, repairs = decode_leaves(table, facts, paths, texts)
    filled = settle_sequences(table, paths)
    nesting = nest(table, paths, filled)
    parts = _parts(decoded)
    other = _other(table, paths, nesting, texts)
    made = _schema_of([paths.path(node) for node in (*parts, *other)], options) if schema is None else schema
    assembly = Assembly(
        table,
        paths,
        nesting,
        parts,
        other,
        _dropped(table, paths),
        _sources(sources, table, options),
    )
    arrow = made.to_arrow()
    arrays = assembly.columns(made.columns, list(arrow), ROOT_NODE)
    batch = pa.RecordBatch.from_arrays(arrays, schema=arrow)
    if schema is not None:
        _not_in_schema(paths, assembly.visited)
    repairs += [(texts.repaired, Reason.REPAIRED_NUL)]
    problems = count_problems(table, paths, repairs)
    return BuiltBatch(batch, made, problems, paths.place, paths.reason, paths)


def _schema_of(leaves: Iterable[TagPath], options: BuildOptions) -> TableSchema:
    """The columns that some elements have a value for."""
    return TableSchema.from_paths(
        leaves, include_source_store=options.include_source_store, numeric_strings=options.numeric_strings
    )


def _trim(table: ElementTable, facts: TagFacts, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Ends that padding is removed from: as the dictionary's VR says, which is the column's, else as the stored one."""
    trim = facts.trim.take(facts.code.take(rows))
    without_entry = np.flatnonzero(trim == 0)
    trim[without_entry] = vr_facts().trim[table.vr[rows[without_entry]]]
    return trim


def _sources(sources: Sequence[str] | None, table: ElementTable, options: BuildOptions) -> list[str] | None:
    """URIs as valid text: a file name need not be UTF-8."""
    if sources is None or not options.include_source_store:
        return None
    return [uri.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for uri in sources]


def _parts(decoded: list[Leaves]) -> dict[int, Part]:
    """Decoded elements by node."""
    return {
        node: Part(leaves, begin, end)
        for leaves in decoded
        for node, (begin, end) in zip(leaves.used.tolist(), itertools.pairwise(leaves.first.tolist()), strict=True)
    }


def _other(table: ElementTable, paths: Paths, nesting: Nesting, texts: Texts) -> dict[int, OtherTexts]:
    """Elements of each OtherElements column, by container, then tag."""
    rows = np.flatnonzero(paths.place == Place.OTHER)
    rows = rows[stable_order(paths.node.take(rows))]
    node, container, tag = paths.node.take(rows), nesting.ordinal.take(rows), table.tag.take(rows)
    falls = (container[1:] < container[:-1]) | (container[1:] == container[:-1]) & (tag[1:] < tag[:-1])
    if np.any(falls & (node[1:] == node[:-1])):  # PS3.5 7.1 wants tags to ascend, and mostly they do
        rows = rows[np.lexsort((tag, container, node))]
    every, first = raw_texts(table, texts, rows), run_starts(node)
    edges = itertools.pairwise([*first.tolist(), len(rows)])
    return {number: every.where(slice(*edge)) for number, edge in zip(node[first].tolist(), edges, strict=True)}


def _dropped(table: ElementTable, paths: Paths) -> tuple[pa.StringArray, pa.StringArray, npt.NDArray[np.int64]]:
    rows = np.flatnonzero(paths.place == Place.DROPPED)
    return (*references(table, rows), table.instance[rows].astype(np.int64))


def _not_in_schema(paths: Paths, visited: set[int]) -> None:
    """Elements whose column was not asked for."""
    if len(visited) == len(paths.nodes) - 1:
        return
    seen = np.zeros(len(paths.nodes) + 1, np.bool_)
    seen[list(visited)] = True
    placed = (paths.place == Place.COLUMN) | (paths.place == Place.OTHER)
    missing = np.flatnonzero(placed & (paths.node != NO_NODE) & ~seen[paths.node])
    paths.set(missing, Place.NOT_IN_SCHEMA, Reason.NOT_IN_SCHEMA)
