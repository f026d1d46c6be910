"""Brackets: from a flat run of element headers to items and sequences, for a whole batch at once.

Tokens are element headers in file order, item tags and delimitation items among them. A sequence or an item opens a
bracket; it closes at a delimitation item when its length is undefined, else where its length says. The number of
brackets open around a token is its level: even for elements, odd for items. A file whose brackets do not close as
they were opened is refused, and read by the scalar walker, which says what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import UNDEFINED_LENGTH
from dicom_bq.spans import ranges, run_starts

Array: TypeAlias = npt.NDArray[Any]

MAX_LEVEL = 64
"""Levels looked at; more deeply nested files are the scalar walker's. A table holds 15 sequences, so 31 levels."""
NONE = -1


@dataclass(frozen=True, slots=True)
class Tokens:
    """Element headers of the files of a batch; arrays of shape (tokens,), file after file.

    Attributes:
        position: Arena position of the header; int32.
        value: Arena position of the value; int32.
        length: Length field; uint32.
        opens: It is a sequence or an item; bool.
        item: It is an item; bool.
        item_end: It is an item delimitation; bool.
        sequence_end: It is a sequence delimitation; bool.
        file: Number of its file, ascending; int32.
        first: First token of each file, and the number of tokens at the end; int64, shape (files + 1,).
        end: Position where each file's elements end; int64, shape (files,).
    """

    position: Array
    value: Array
    length: Array
    opens: Array
    item: Array
    item_end: Array
    sequence_end: Array
    file: Array
    first: Array
    end: Array

    def of_files(self, files: Array) -> tuple[Tokens, Array]:
        """The tokens of some files, ``file`` being the place in ``files``; and their numbers in these."""
        count = self.first[files + 1] - self.first[files]
        chosen = ranges(self.first[files], count)
        columns = ("position", "value", "length", "opens", "item", "item_end", "sequence_end")
        taken = {name: getattr(self, name)[chosen] for name in columns}
        file, first = np.repeat(np.arange(len(files), dtype=np.int32), count), np.append(0, np.cumsum(count))
        return replace(self, **taken, file=file, first=first, end=self.end[files]), chosen


@dataclass(frozen=True, slots=True)
class Nested:
    """How tokens are nested.

    Attributes:
        level: Brackets open around each token; int32.
        holder: Token that opened the innermost of them, ``NONE`` for none; int32.
        content: Bytes between an opening token's value position and its close; uint32, 0 for others.
        well_formed: Each file's brackets close as they should; bool, shape (files,).
    """

    level: Array
    holder: Array
    content: Array
    well_formed: Array


def nest(tokens: Tokens) -> Nested:
    """Match all brackets of a batch."""
    count, files = len(tokens.position), len(tokens.end)
    well_formed = np.ones(files, np.bool_)
    defined, close_position, close = _closes(tokens)
    past = tokens.value[defined] + tokens.length[defined] > close_position
    well_formed[tokens.file[defined[past]]] = False
    level = levels(tokens, close)
    shallow = level < MAX_LEVEL
    if not shallow.all():
        well_formed[tokens.file[~shallow]] = False
    holder = _holders(tokens, level, shallow & np.repeat(well_formed, np.diff(tokens.first)))

    bad = (level & 1) != (tokens.item | tokens.sequence_end)
    bad |= (level != 0) != (holder != NONE)
    well_formed[tokens.file[np.flatnonzero(bad)]] = False

    content = np.zeros(count, np.uint32)
    content[defined] = tokens.length[defined]
    ends = np.flatnonzero(tokens.item_end | tokens.sequence_end)
    opened = holder[ends]
    astray = (opened == NONE) | (tokens.length[opened] != UNDEFINED_LENGTH)
    well_formed[tokens.file[ends[astray]]] = False
    ends, opened = ends[~astray], opened[~astray]
    content[opened] = tokens.position[ends] - tokens.value[opened]
    _check_closes(tokens, level, defined, close, close_position, well_formed)
    return Nested(level, holder, content, well_formed)


def _closes(tokens: Tokens) -> tuple[Array, Array, Array]:
    """Brackets of defined length: their opening tokens, the positions where they close, the tokens there or next."""
    opened = np.flatnonzero(tokens.opens)
    defined = opened[tokens.length[opened] != UNDEFINED_LENGTH]
    file = tokens.file[defined]
    position = np.minimum(tokens.value[defined] + tokens.length[defined], tokens.end[file])
    token = np.searchsorted(tokens.position, position.astype(np.int32))  # of its type: else all are converted
    return defined, position, np.minimum(token, tokens.first[file + 1])


def levels(tokens: Tokens, close: Array | None = None) -> Array:
    """Brackets open around each token, counted from its file's start; int32.

    Args:
        tokens: All of them.
        close: The token at which each bracket of defined length closes; None to look for it.
    """
    close = _closes(tokens)[2] if close is None else close
    change = -np.bincount(close, minlength=len(tokens.position) + 1).astype(np.int32)
    change[1:] += tokens.opens
    change[1:] -= tokens.item_end | tokens.sequence_end
    running = np.cumsum(change[:-1], dtype=np.int32)
    starts = tokens.first[:-1]
    inside = starts < len(running)
    before = np.zeros(len(starts), np.int32)
    before[inside] = running[starts[inside]]
    level: Array = running - np.repeat(before, np.diff(tokens.first))
    return level


def _holders(tokens: Tokens, level: Array, wanted: Array) -> Array:
    """The latest opening token one level out, of the same file.

    Tokens of one level that follow each other have the same holder; where the level rises, the token before opened.
    Only where it falls back into a bracket that was opened further up, that is looked for.
    """
    run = run_starts(level)
    level_of_run = level[run]
    rises = level_of_run > np.append(NONE, level_of_run[:-1])
    holder = np.where(rises & (level_of_run > 0), run - 1, NONE).astype(np.int32)
    back = np.flatnonzero(~rises & (level_of_run > 0) & wanted[run])
    opens = np.flatnonzero(tokens.opens & wanted)
    level_of_back, level_of_open = level_of_run[back], level[opens]
    for outer in range(int(level_of_back.max(initial=0))):
        inner = back[np.flatnonzero(level_of_back == outer + 1)]
        candidates = np.append(opens[np.flatnonzero(level_of_open == outer)], NONE)
        found = candidates[np.searchsorted(candidates[:-1], run[inner]) - 1]  # NONE where there is none before
        same = np.flatnonzero(tokens.file[found] == tokens.file[run[inner]])
        holder[inner[same]] = found[same]
    return np.repeat(holder, np.diff(run, append=len(level)))


def _check_closes(
    tokens: Tokens, level: Array, defined: Array, close: Array, position: Array, well_formed: Array
) -> None:
    """A bracket of defined length closes at a token's start, after everything in it has closed; so does a file."""
    file = tokens.file[defined]
    at_end = close == tokens.first[file + 1]
    inside = np.flatnonzero(~at_end)
    off = tokens.position[close[inside]] != position[inside]
    off |= level[close[inside]] > level[defined[inside]]
    well_formed[file[inside[off]]] = False
    well_formed[file[at_end & (position != tokens.end[file])]] = False
    total = np.bincount(tokens.file[tokens.opens], minlength=len(tokens.end))
    closed = np.bincount(tokens.file[tokens.item_end | tokens.sequence_end], minlength=len(tokens.end))
    closed += np.bincount(file, minlength=len(tokens.end))
    well_formed[total != closed] = False
