"""Lanes: many element chains of a batch advanced together, one element a step.

See ``lockstep`` for the idea. A lane starts at a position and reads element after element until it meets the next
item tag, the end of its file's bytes, or something that it does not understand. Lanes know nothing of nesting: into
a sequence or an item they simply go on, over a delimitation item they simply pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import UNDEFINED_LENGTH
from dicom_bq.scan.rows import Form
from dicom_bq.scan.tables import LONG, SQ, UN, tables
from dicom_bq.spans import overlapping

Array: TypeAlias = npt.NDArray[Any]

PADDING = 32
"""Bytes after the last file in an arena: a header may be looked at past a file's end, never past the arena's."""
HALF, WORD = np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)
ITEM_WORD, PIXEL_DATA_WORD = np.uint32(0xE000FFFE), np.uint64(0x00107FE0)
DELIMITER_GROUP = 0xFFFE
UNDEFINED = np.uint64(UNDEFINED_LENGTH)
ENCAPSULATED, ODD = 1 << 40, 1 << 41
"""Stop positions past every end: a value of undefined length that may be Pixel Data; what is not understood."""
NOT_A_VR = 0xFF
LONG_RUN, FEW_LANES = 2048, 64
"""A step costs about as much for one lane as for 64: a few lanes that are still going after so many steps are left
to the scalar walker (30,000 elements in one file: 0.9 s in lock-step, 0.01 s there)."""


@cache
def vr_table() -> Array:
    """VR number plus ``LONG`` by the two bytes of an explicit VR as a little-endian number; uint8, shape (65536,).

    ``NOT_A_VR`` where the two bytes are none.
    """
    table = np.full(1 << 16, NOT_A_VR, np.uint8)
    for code, number in tables().codes.items():
        table[int.from_bytes(code, "little")] = number
    return table


@cache
def opaque_codes() -> Array:
    """By VR number: values are never needed, whatever the tag; bool, shape (256,)."""
    opaque = np.zeros(256, np.bool_)
    opaque[list(tables().opaque)] = True
    return opaque


@dataclass(frozen=True, slots=True)
class TagSet:
    """A set of tags that is asked about for whole arrays: a hash table without collisions.

    Attributes:
        multiplier: Odd factor, found by trial, that sends every member to a slot of its own.
        slots: Member by slot, as ``element << 16 | group``; uint32, shape (65536,).
    """

    multiplier: np.uint32
    slots: Array

    @classmethod
    def of(cls, tags: frozenset[int]) -> TagSet:
        """Make the set of these tags."""
        words = np.array([(tag & 0xFFFF) << 16 | tag >> 16 for tag in tags], np.uint32)
        for factor in range(0x9E3779B1, 1 << 32, 2):
            slot = _slot(words, np.uint32(factor))
            if np.bincount(slot).max() == 1:
                slots = np.full(1 << 16, words[0])  # in a free one a member is not found, which has a slot of its own
                slots[slot] = words
                return cls(np.uint32(factor), slots)
        raise AssertionError  # 1,300 tags and 65,536 slots: some hundred factors, which take four milliseconds

    def has(self, words: Array) -> Array:
        """Which of these (``element << 16 | group``, uint32) are members."""
        found: Array = self.slots[_slot(words, self.multiplier)] == words
        return found


def _slot(words: Array, factor: np.uint32) -> Array:
    slot: Array = (words * factor) >> np.uint32(16)
    return slot


@cache
def tag_sets() -> tuple[TagSet, TagSet]:
    """Standard sequences; standard tags of an excluded VR."""
    return TagSet.of(tables().sequences), TagSet.of(tables().opaque_tags)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Lanes that have stopped.

    Attributes:
        start: First position; int64, ascending.
        stop: Position where each stopped: at an item tag, at or past its end, ``ENCAPSULATED`` or ``ODD``; int64.
        at_item: It stopped at an item tag; bool.
        count: Elements read; int64.
        token_lane: Lane of each element read, in the order of steps; int32.
        token_step: Step of it; int32.
        token_position: Its position; int32.
        token_header: Its first eight bytes as a number; uint64.
        token_length: Its length; uint32.
    """

    start: Array
    stop: Array
    at_item: Array
    count: Array
    token_lane: Array
    token_step: Array
    token_position: Array
    token_header: Array
    token_length: Array


def words(arena: Array) -> Array:
    """The eight bytes at every position of an arena as one number, without a copy; uint64, shape (bytes - 7,)."""
    return overlapping(arena, "<u8")


def item_positions(arena: Array, *, big_endian: bool) -> Array:
    """Every even position that holds an item tag (FFFE,E000), in a value or not; int64, ascending."""
    halves = arena[: len(arena) & ~1].view(">u2" if big_endian else "<u2")
    found = np.flatnonzero(halves == 0xFFFE)
    found = found[found < len(halves) - 1]
    positions: Array = found[halves[found + 1] == 0xE000] * 2
    return positions


def _turned(words_: Array) -> Array:
    """Headers stored big endian, as little-endian ones: groups, elements and 16-bit lengths turned round, VRs not."""
    even, vr = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF00000000)
    swapped = (words_ & even) << np.uint64(8) | (words_ >> np.uint64(8)) & even
    turned: Array = swapped & ~vr | words_ & vr
    return turned


def advance(arena: Array, start: Array, end: Array, form: Form) -> Lanes:
    """Run lanes until all have stopped.

    Args:
        arena: Bytes of the batch, ``PADDING`` after the last file.
        start: Where each lane starts, ascending.
        end: Where the bytes of its file end.
        form: How the data sets are encoded.
    """
    word_at, read = words(arena), _implicit_step if form.implicit else _explicit_step
    stop, at_item = start.copy(), np.zeros(len(start), np.bool_)
    lane, position, last = np.arange(len(start), dtype=np.int32), start, end - 8
    steps: list[tuple[Array, Array, Array, Array]] = []
    while True:
        inside = (position <= last).nonzero()[0]  # numbers pick out eight times as fast as booleans do
        if len(inside) < len(lane):
            outside = (position > last).nonzero()[0]
            stop[lane[outside]] = position[outside]
            lane, position, last = lane[inside], position[inside], last[inside]
        if not len(lane):
            break
        if len(steps) >= LONG_RUN and len(lane) < FEW_LANES:
            stop[lane] = ODD
            break
        header = word_at[position]
        if form.big_endian:
            header = _turned(header)
        if steps:
            stays = header.view("<u4")[::2] == ITEM_WORD
            at = stays.nonzero()[0]
            if len(at):
                at_item[lane[at]], stop[lane[at]] = True, position[at]
                going = (~stays).nonzero()[0]
                lane, position, last, header = lane[going], position[going], last[going], header[going]
        length, following = read(word_at, position, header, form, first=not steps)
        steps.append((lane, position, header, length))
        position = following
    return _stopped(start, stop, at_item, steps)


def _stopped(start: Array, stop: Array, at_item: Array, steps: list[tuple[Array, Array, Array, Array]]) -> Lanes:
    """Put what each step read together."""
    empty = np.zeros(0, np.int64)
    steps = steps or [(empty, empty, empty.astype(np.uint64), empty.astype(np.uint64))]
    kinds = (np.int32, np.int32, np.uint64, np.uint32)  # half of what the steps reckon with
    lane, position, header, length = (
        np.concatenate(column, dtype=kind, casting="same_kind")
        for column, kind in zip(zip(*steps, strict=True), kinds, strict=True)
    )
    step = np.repeat(np.arange(len(steps), dtype=np.int32), [len(read[0]) for read in steps])
    count = np.bincount(lane, minlength=len(start))
    return Lanes(start, stop, at_item, count, lane, step, position, header, length)


def _explicit_step(word_at: Array, position: Array, header: Array, form: Form, *, first: bool) -> tuple[Array, Array]:
    """Length of each element, and where its lane goes on. Most have a 16-bit length; the others are looked at again.

    An item begins a lane. The length of any other delimiter is 0, which is no VR; where it is not, the file is odd.
    """
    code = vr_table().take(header.view("<u2")[2::4])
    if first:
        code[header.view("<u2")[::4] == DELIMITER_GROUP] = NOT_A_VR
    length = header >> np.uint64(48)
    following = position + length.view(np.int64)
    following += 8
    other = (code >= LONG).nonzero()[0]
    if len(other):
        length[other], following[other] = _long_step(word_at, position[other], header[other], code[other], form)
    return length, following


@cache
def _long_lengths() -> tuple[Array, Array]:
    """By VR number plus ``LONG``: where the 32-bit length stands in a header; whether to pass over the value."""
    at, over = np.full(256, 8), np.ones(256, np.int64)
    at[NOT_A_VR], over[NOT_A_VR], over[SQ | LONG] = 4, 0, 0  # of delimiters (PS3.5 7.5); items are read
    return at, over


def _long_step(word_at: Array, position: Array, header: Array, code: Array, form: Form) -> tuple[Array, Array]:
    """As ``_explicit_step`` for items, delimiters, VRs with a 32-bit length (PS3.5 7.1.2), and what is no VR."""
    places, passes = _long_lengths()
    length_at = position + places.take(code)
    over = passes.take(code)
    length = _length(word_at[length_at], big_endian=form.big_endian)
    following = length_at + 4
    following += length.view(np.int64) * over
    odd = (code == NOT_A_VR) & (header.view("<u2")[::4] != DELIMITER_GROUP)
    undefined = (length == UNDEFINED) & (over > 0)
    odd |= undefined
    if odd.any():
        opaque = undefined & (code != (UN | LONG)) & opaque_codes()[code & (LONG - 1)]
        _mark(following, header, odd, opaque)
    return length, following


def _length(words_: Array, *, big_endian: bool) -> Array:
    """The 32-bit length at the start of each word."""
    low = words_ & WORD
    return low.astype(np.uint32).byteswap().astype(np.uint64) if big_endian else low


def _implicit_step(word_at: Array, position: Array, header: Array, form: Form, *, first: bool) -> tuple[Array, Array]:
    """As ``_explicit_step``; the dictionary tells what is a sequence, and any undefined length may be one."""
    sequences, opaque = tag_sets()
    tag, length = header.view("<u4")[::2], header >> np.uint64(32)
    descend = header.view("<u2")[::4] == DELIMITER_GROUP
    undefined = length == UNDEFINED
    descend |= sequences.has(tag)
    not_sequence = np.zeros(len(tag), np.bool_)
    at = np.flatnonzero(undefined & ~descend)
    if len(at):
        not_sequence[at] = opaque.has(tag[at])
        descend[at] = ~not_sequence[at]
    following = position + 8
    skipped = np.flatnonzero(~descend)
    following[skipped] += length[skipped].astype(np.int64)
    odd = not_sequence | (tag == 0)
    if odd.any():
        _mark(following, header, odd, not_sequence)
    return length, following


def _mark(following: Array, header: Array, odd: Array, undefined: Array) -> None:
    """Stop lanes for good where they are odd; an undefined length may be that of the data set's Pixel Data."""
    following[odd] = ODD
    following[undefined & ((header & WORD) == PIXEL_DATA_WORD)] = ENCAPSULATED
