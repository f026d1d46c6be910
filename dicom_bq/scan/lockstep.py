"""The vectorised walker: all files of a batch at once, one element of each a step.

**Lanes.** A data set is a chain: the length of each element says where the next one begins, so a chain cannot be
read in parallel. A batch can: every file is a *lane*, and one step of a dozen array operations moves all lanes on by
one element. Long chains are cut into short ones: wherever an item tag (FFFE,E000) stands, a lane starts on
speculation, and a lane that reaches an item tag stops there. An object with 500 frames is not one chain of 35,000
steps but 10,000 lanes of a few.

**Proof.** Item tags also occur by chance, inside values. A file's lane at its first element is certainly right. If
it stops at an item tag, the lane that started there is right, and so on along the chain. What the chain does not
reach was a guess gone wrong and is thrown away. No wrong lane can be reached, because a right one only ever stops at
the start of an element.

**Brackets.** The elements of all reached lanes, in file order, are one flat run. ``brackets`` finds what is nested
in what by counting opens and closes.

A worked example: one file, a sequence of undefined length with one item, then Pixel Data::

    position  element                            lane   token
    0         (0008,0016) UI, 26 bytes           A      element, level 0
    34        (0008,1140) SQ, undefined          A      opens,   level 0
    46        (FFFE,E000) item, 18 bytes         B      opens,   level 1     A stops here: B is reached
    54        (0008,1155) UI, 10 bytes           B      element, level 2
                 (its value holds FE FF 00 E0)   C                           nobody stops at C: thrown away
    72        (FFFE,E0DD) sequence delimitation  B      closes the sequence; the item closed at 46 + 8 + 18
    80        (7FE0,0010) OW, 32768 bytes        B      element, level 0     its end is past the bytes read

**Fallbacks.** The walker is as strict as the scalar one and less able: deflated data sets, a missing transfer
syntax, UN of undefined length, encapsulated icons, zeros after the last element, anything malformed - such files are
ODD and left to the scalar walker, whole. Where a long value is not needed, Pixel Data above all, the walk goes on
behind it (JUMPED). A file that is sound but longer than what was read is walked as far as whole elements of its data
set go, and on from there with the bytes that follow (PARTIAL); if not even one is whole, it is UNFINISHED, and tried
again with more bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ABSENT, ROOT, UNDEFINED_LENGTH, ElementTable
from dicom_bq.scan.brackets import NONE, Nested, Tokens, levels, nest
from dicom_bq.scan.expand import in_sequence_order
from dicom_bq.scan.lanes import (
    DELIMITER_GROUP,
    ENCAPSULATED,
    Lanes,
    advance,
    opaque_codes,
    tag_sets,
    vr_table,
)
from dicom_bq.scan.rows import Form
from dicom_bq.scan.tables import LONG, SQ, names_creator
from dicom_bq.spans import contents, gather, ranges

Array: TypeAlias = npt.NDArray[Any]

NEAR = 64
"""Bytes between two values that are copied with them: a header has 8 or 12, with delimiters of items some more."""
MOST_GATHERED = 1 << 15
"""Runs of values copied at a time: what that takes besides is more than the values."""
GROUP, META_GROUP = 0xFFFF, 0x0002


class Verdict(IntEnum):
    """What became of a file."""

    READ = 0
    """All its elements are in the table."""
    JUMPED = 1
    """All up to a value that is not needed and reaches past what was read; elements follow it in the file."""
    PARTIAL = 2
    """All up to an element that is not all there are in the table; it and those after it are to be read."""
    UNFINISHED = 3
    """More of the file has to be read; none of its elements are in the table."""
    ODD = 4
    """The scalar walker's business."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where the data sets of some files lie in an arena.

    Attributes:
        start: First byte of each data set; int64, ascending.
        end: End of the bytes read; int64.
        missing: Bytes of the file after those; int64.
    """

    start: Array
    end: Array
    missing: Array

    def where(self, chosen: Array) -> Span:
        """Those of some files."""
        return Span(self.start[chosen], self.end[chosen], self.missing[chosen])


@dataclass(frozen=True, slots=True)
class Walked:
    """What lock-step walking found; file numbers are those of the ``Span``.

    Attributes:
        verdict: A ``Verdict`` for each file; uint8.
        stop: Arena position where each file's walk stopped, past the bytes read for JUMPED; int64.
        table: Elements of the files READ, JUMPED and PARTIAL, ``instance`` being the file's number; ``vr`` is as
            stored.
    """

    verdict: Array
    stop: Array
    table: ElementTable


def walk_lockstep(arena: Array, span: Span, form: Form, candidates: Array) -> Walked:
    """Walk the data sets of a batch.

    Args:
        arena: Bytes, with ``lanes.PADDING`` after the last file.
        span: Where the data sets are.
        form: How they are encoded.
        candidates: ``lanes.item_positions`` of the arena.
    """
    file = np.searchsorted(span.start, candidates, side="right") - 1
    inside = (file >= 0) & (candidates < span.end[file])
    start = np.concatenate([span.start, candidates[inside]])
    owner = np.concatenate([np.arange(len(span.start)), file[inside]])
    order = np.argsort(start, kind="stable")
    start, owner = start[order], owner[order]
    lanes = advance(arena, start, span.end[owner], form)
    reached, last = _reach(lanes, np.searchsorted(start, span.start))
    tokens, header = _tokens(lanes, reached, owner, span, implicit=form.implicit)
    stop = lanes.stop[last]
    del lanes, reached, file, inside, start, owner, order  # as much as the table
    cut = _cut(span, stop, tokens, header, implicit=form.implicit)
    verdict, nested, wanted = _judge(span, stop, tokens, header, cut, implicit=form.implicit)
    table, unwanted = _table(arena, tokens, header, nested, wanted, implicit=form.implicit)
    del tokens, header, cut, nested, wanted  # more than the values, of which there are now two copies
    return Walked(verdict, stop, _with_values(table, unwanted))


def _reach(lanes: Lanes, first: Array) -> tuple[Array, Array]:
    """Follow the chain of lanes of every file.

    Returns:
        Lanes reached; the last lane of each file.
    """
    count = len(lanes.start)
    successor = np.where(lanes.at_item, np.searchsorted(lanes.start, lanes.stop), -1)
    known = lanes.at_item & (lanes.start[np.minimum(successor, count - 1)] == lanes.stop)
    successor = np.where(known, successor, -1)
    # Mostly the next lane is the successor; runs of those are passed in one go.
    breaks = np.flatnonzero(successor != np.arange(1, count + 1))
    edges = np.zeros(count + 1, np.int64)
    last = first.copy()
    live, lane = np.arange(len(first)), first
    while len(live):
        run_end = breaks[np.searchsorted(breaks, lane)]
        np.add.at(edges, lane, 1)
        np.add.at(edges, run_end + 1, -1)
        last[live] = run_end
        following = successor[run_end]
        going = following >= 0
        live, lane = live[going], following[going]
    return np.cumsum(edges[:-1]) > 0, last


def _tokens(
    lanes: Lanes, reached: Array, owner: Array, span: Span, *, implicit: bool
) -> tuple[Tokens, tuple[Array, Array]]:
    """The headers of reached lanes in file order; with their tag words and stored VR numbers."""
    sizes = np.where(reached, lanes.count, 0)
    offset = np.cumsum(sizes) - sizes
    place = offset.take(lanes.token_lane) + lanes.token_step
    kept = None if reached.all() else np.flatnonzero(reached[lanes.token_lane])
    place = place if kept is None else place[kept]
    total = int(sizes.sum())

    def placed(values: Array) -> Array:
        out = np.empty(total, values.dtype)
        out[place] = values if kept is None else values[kept]
        return out

    position, header, length = placed(lanes.token_position), placed(lanes.token_header), placed(lanes.token_length)
    file = np.repeat(owner, sizes).astype(np.int32)
    word, halves = header.view("<u4")[::2], header.view("<u2")
    delimiter = halves[::4] == DELIMITER_GROUP
    if implicit:
        code = np.zeros(total, np.uint8)
        sequences, opaque = tag_sets()
        sequence = sequences.has(word)
        open_ended = np.flatnonzero((length == UNDEFINED_LENGTH) & ~delimiter & ~sequence)
        sequence[open_ended] = ~opaque.has(word[open_ended])
        value = position + 8
    else:
        code = vr_table().take(halves[2::4])
        code[np.flatnonzero(delimiter)] = 0
        sequence = code == (SQ | LONG)
        value = position + 8 + ((code & LONG) >> 5)
        code &= LONG - 1
    item, item_end, sequence_end = (delimiter & (halves[1::4] == element) for element in (0xE000, 0xE00D, 0xE0DD))
    ends = np.flatnonzero(item_end | sequence_end)
    length[ends] = header[ends] >> np.uint64(32)  # a lane may have taken what is not 0 for a VR
    first = np.zeros(len(span.start) + 1, np.int64)
    np.cumsum(np.bincount(owner, sizes, len(span.start)).astype(np.int64), out=first[1:])
    tokens = Tokens(
        position=position,
        value=value,
        length=length,
        opens=sequence | item,
        item=item,
        item_end=item_end,
        sequence_end=sequence_end,
        file=file,
        first=first,
        end=span.end,
    )
    return tokens, (word, code)


def _cut(
    span: Span, stop: Array, tokens: Tokens, header: tuple[Array, Array], *, implicit: bool
) -> tuple[Array, Array]:
    """Take off the last element of every file that goes on after the bytes read, with what is nested in it.

    Args:
        span: Where the data sets are.
        stop: Where each walk stopped; set back to the element taken off.
        tokens: What was walked; those taken off become elements of the data set that mean nothing.
        header: Tag words and VR numbers; the same.
        implicit: The form has no VRs.

    Returns:
        Files of which something is left; numbers of the tokens taken off.
    """
    word, code = header
    some = np.flatnonzero((tokens.first[1:] > tokens.first[:-1]) & (span.missing > 0) & (stop < ENCAPSULATED))
    final = tokens.first[1:][some] - 1
    passed = _opaque(word[final], code[final], implicit=implicit) & (tokens.value[final] <= span.end[some])
    some = some[~(passed & (stop[some] > span.end[some]))]
    those, number = tokens.of_files(some)
    begin, end, top = those.first[:-1], those.first[1:], np.append(np.flatnonzero(levels(those) == 0), NONE)
    last = top[np.searchsorted(top[:-1], end) - 1]
    left = np.flatnonzero((last > begin) & (last < end))
    stop[some[left]] = those.position[last[left]]
    off = number[ranges(last[left], (end - last)[left])]
    word[off] = code[off] = 0
    tokens.opens[off] = tokens.item[off] = tokens.item_end[off] = tokens.sequence_end[off] = False
    return some[left], off


def _judge(
    span: Span,
    stop: Array,
    tokens: Tokens,
    header: tuple[Array, Array],
    cut: tuple[Array, Array],
    *,
    implicit: bool,
) -> tuple[Array, Nested, Array]:
    """Decide each file's verdict.

    Returns:
        The verdicts; how tokens are nested; which tokens are of files of which something is read.
    """
    word, code = header
    partial = np.zeros(len(stop), np.bool_)
    partial[cut[0]] = True
    empty = tokens.first[1:] == tokens.first[:-1]
    some = np.flatnonzero(~empty)
    final = tokens.first[1:][some] - 1
    # a header that is not all there has no length: what stands behind is another file's, or nobody's
    torn = (tokens.value[final] > span.end[some]) & ~partial[some]
    stop[some[torn]] = tokens.value[final[torn]]
    # where a file's last element reaches past what was read, its brackets end with that element's header
    end = np.minimum(stop, span.end)
    end[some] = np.where(stop[some] > span.end[some], tokens.value[final], end[some])
    nested = nest(replace(tokens, end=end))
    root, opaque = np.zeros((2, len(stop)), np.bool_)
    root[some] = nested.level[final] == 0
    opaque[some] = _opaque(word[final], code[final], implicit=implicit) & root[some] & ~torn
    over = (stop > span.end) & (stop < ENCAPSULATED)
    left = span.missing - (stop - span.end)  # bytes of the file after a value that was passed over
    jump = over & opaque & (left >= 0)
    complete = (stop == span.end) & (span.missing == 0) | (stop == ENCAPSULATED) & root | jump & (left == 0)
    short = (stop < ENCAPSULATED) & ~(over & opaque) & (span.missing > 0)
    sound = nested.well_formed & ~empty
    sound[_strange(tokens, word)] = False
    verdict = np.full(len(stop), Verdict.ODD, np.uint8)
    verdict[short] = Verdict.UNFINISHED
    for applies, reached in ((partial, Verdict.PARTIAL), (jump, Verdict.JUMPED), (complete, Verdict.READ)):
        verdict[sound & applies] = reached
    wanted = np.repeat(verdict <= Verdict.PARTIAL, np.diff(tokens.first))
    wanted[cut[1]] = False
    return verdict, nested, wanted


def _strange(tokens: Tokens, word: Array) -> Array:
    """Files, some more than once, with a delimiter that is none of the three, or ends something and has a length.

    And those with a sequence in group 0002: file meta information has none (PS3.10 7.1), so that is no such group.
    """
    delimiter = np.flatnonzero(word & GROUP == DELIMITER_GROUP)
    ends = tokens.item_end[delimiter] | tokens.sequence_end[delimiter]
    known = tokens.item[delimiter] | ends & (tokens.length[delimiter] == 0)
    sequence = np.flatnonzero(tokens.opens & ~tokens.item)
    in_meta = word[sequence] & GROUP == META_GROUP
    return np.concatenate([tokens.file[delimiter[~known]], tokens.file[sequence[in_meta]]])


def _with_values(table: ElementTable, unwanted: Array) -> ElementTable:
    """A table with the values that columns may need in an arena of their own.

    What is left over of the first arena is Pixel Data and the like, most of it. Values left out begin at ABSENT.
    """
    wanted = np.flatnonzero(~unwanted)
    begin, size = table.offset.take(wanted), table.length.take(wanted)
    offset = np.full(len(table), ABSENT, np.int64)
    offset[wanted] = np.cumsum(size) - size
    parts = [slice(at, at + MOST_GATHERED) for at in range(0, len(wanted), MOST_GATHERED)]
    some = [contents(gather(table.arena, begin[part], size[part])) for part in parts]
    return replace(table, arena=np.concatenate(some) if some else table.arena[:0], offset=offset)


def _opaque(word: Array, code: Array, *, implicit: bool) -> Array:
    """Elements whose value is not needed."""
    opaque = tag_sets()[1]
    if implicit:
        return opaque.has(word)
    found = np.zeros(len(word), np.bool_)
    stored = np.flatnonzero(opaque_codes()[code])
    word = word[stored]
    # no dictionary reads a private OB as anything, but its creator as a name
    private = (word & 1 == 1) & ~names_creator(word >> np.uint32(16))
    found[stored] = opaque.has(word) | private
    return found


def _holders(nested: Nested, element: Array, items: Array) -> tuple[Array, Array]:
    """The item that holds each element, and the element that is the sequence of each item, counted from 0 each."""
    row_of, item_of = np.full((2, len(nested.holder) + 1), ROOT, np.int32)
    row_of[element] = np.arange(len(element), dtype=np.int32)
    item_of[items] = np.arange(len(items), dtype=np.int32)
    return in_sequence_order(item_of[nested.holder.take(element)], row_of[nested.holder[items]])


def _table(
    arena: Array, tokens: Tokens, header: tuple[Array, Array], nested: Nested, wanted: Array, *, implicit: bool
) -> tuple[ElementTable, Array]:
    """Elements among the tokens wanted, their values where they were read; and whose value no column needs."""
    word, code = header
    delimiter = tokens.item_end | tokens.sequence_end
    element = np.flatnonzero(wanted & ~delimiter & ~tokens.item)
    items = np.flatnonzero(wanted & tokens.item)
    item, item_sequence = _holders(nested, element, items)
    tag, stored, walked = word.take(element), code.take(element), tokens.opens.take(element)
    length = tokens.length.take(element).astype(np.int64)
    at = np.flatnonzero(walked)
    length[at] = nested.content[element[at]]
    table = ElementTable(
        arena=arena,
        instances=len(tokens.end),
        instance=tokens.file.take(element),
        item=item,
        tag=tag << np.uint32(16) | tag >> np.uint32(16),
        stored_vr=stored,
        vr=stored.copy(),
        offset=tokens.value.take(element).astype(np.int64),
        length=length,
        walked=walked,
        item_sequence=item_sequence,
    )
    return table, walked | _opaque(tag, stored, implicit=implicit)
