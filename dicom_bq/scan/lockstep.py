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

**Verdicts.** A file whose chain was walked to its end is READ. Where a long value is not needed, Pixel Data above
all, the walk goes on behind it (JUMPED). A file that is sound but longer than what was read is walked as far as whole
elements of its data set go, and on from there with the bytes that follow (PARTIAL); if not even one is whole, it is
UNFINISHED, and tried again with more bytes. See ``verdicts``, and ``rounds`` for what follows from them.

**Fallbacks.** The walker is as strict as the scalar one and less able: deflated data sets, a missing transfer
syntax, UN of undefined length, encapsulated icons, zeros after the last element, anything malformed - such files are
ODD and left to the scalar walker, whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ABSENT, ROOT, UNDEFINED_LENGTH, ElementTable
from dicom_bq.scan.brackets import Nested, Tokens
from dicom_bq.scan.expand import in_sequence_order
from dicom_bq.scan.lanes import DELIMITER_GROUP, Lanes, advance, tag_sets, vr_table
from dicom_bq.scan.rows import Form
from dicom_bq.scan.tables import LONG, SQ
from dicom_bq.scan.verdicts import Span, is_opaque, judge, take_off_last
from dicom_bq.spans import contents, gather

Array: TypeAlias = npt.NDArray[Any]

MOST_GATHERED = 1 << 15
"""Runs of values copied at a time: what that takes besides is more than the values."""


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
    cut = take_off_last(span, stop, tokens, header, implicit=form.implicit)
    verdict, nested, wanted = judge(span, stop, tokens, header, cut, implicit=form.implicit)
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
    position, header, length = _in_file_order(lanes, reached, sizes)
    word, element = header.view("<u4")[::2], header.view("<u2")[1::4]
    delimiter = header.view("<u2")[::4] == DELIMITER_GROUP
    item, item_end, sequence_end = (delimiter & (element == number) for number in (0xE000, 0xE00D, 0xE0DD))
    if implicit:
        code, sequence = np.zeros(len(word), np.uint8), _sequences(word, length, delimiter)
        value = position + 8
    else:
        code, sequence, more = _vrs(header, delimiter)
        value = position + 8 + more
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
        file=np.repeat(owner, sizes).astype(np.int32),
        first=first,
        end=span.end,
    )
    return tokens, (word, code)


def _in_file_order(lanes: Lanes, reached: Array, sizes: Array) -> tuple[Array, Array, Array]:
    """Positions, first eight bytes, and lengths of what the reached lanes have read, lane after lane.

    Args:
        lanes: All of them; what they have read is in the order of steps.
        reached: Which of them count.
        sizes: What each has read, 0 where it does not count.
    """
    place = (np.cumsum(sizes) - sizes).take(lanes.token_lane) + lanes.token_step
    kept = None if reached.all() else np.flatnonzero(reached[lanes.token_lane])
    place = place if kept is None else place[kept]
    total = int(sizes.sum())

    def placed(values: Array) -> Array:
        out = np.empty(total, values.dtype)
        out[place] = values if kept is None else values[kept]
        return out

    return placed(lanes.token_position), placed(lanes.token_header), placed(lanes.token_length)


def _vrs(header: Array, delimiter: Array) -> tuple[Array, Array, Array]:
    """By explicit VR: its number, whether it is SQ, and the bytes of a header beyond eight (PS3.5 7.1.2)."""
    code = vr_table().take(header.view("<u2")[2::4])
    code[np.flatnonzero(delimiter)] = 0
    sequence, more = code == (SQ | LONG), (code & LONG) >> 5
    code &= LONG - 1
    return code, sequence, more


def _sequences(word: Array, length: Array, delimiter: Array) -> Array:
    """Without VRs: what the dictionary says is a sequence, and what has an undefined length and may be one."""
    known, opaque = tag_sets()
    sequence = known.has(word)
    open_ended = np.flatnonzero((length == UNDEFINED_LENGTH) & ~delimiter & ~sequence)
    sequence[open_ended] = ~opaque.has(word[open_ended])
    return sequence


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
    return table, walked | is_opaque(tag, stored, implicit=implicit)
