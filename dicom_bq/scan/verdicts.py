"""What becomes of each file that was walked in lock-step, as far as its elements tell.

The last element of a file that goes on behind the bytes read is taken off, with what is nested in it: it may not be
all there. Then each file is judged by where its walk stopped, and by whether its brackets close as they should.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.scan.brackets import NONE, Nested, Tokens, levels, nest
from dicom_bq.scan.lanes import DELIMITER_GROUP, ENCAPSULATED, opaque_codes, tag_sets
from dicom_bq.scan.tables import names_creator
from dicom_bq.spans import ranges

Array: TypeAlias = npt.NDArray[Any]

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


def take_off_last(
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
    passed = is_opaque(word[final], code[final], implicit=implicit) & (tokens.value[final] <= span.end[some])
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


def judge(
    span: Span,
    stop: Array,
    tokens: Tokens,
    header: tuple[Array, Array],
    cut: tuple[Array, Array],
    *,
    implicit: bool,
) -> tuple[Array, Nested, Array]:
    """Decide each file's verdict.

    Args:
        span: Where the data sets are.
        stop: Where each walk stopped; set to the value's position where a header is not all there.
        tokens: What was walked.
        header: Tag words and VR numbers of it.
        cut: What ``take_off_last`` has returned.
        implicit: The form has no VRs.

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
    opaque[some] = is_opaque(word[final], code[final], implicit=implicit) & root[some] & ~torn
    sound = nested.well_formed & ~empty
    sound[_strange(tokens, word)] = False
    verdict = _verdicts(span, stop, sound=sound, partial=partial, root=root, opaque=opaque)
    wanted = np.repeat(verdict <= Verdict.PARTIAL, np.diff(tokens.first))
    wanted[cut[1]] = False
    return verdict, nested, wanted


def _verdicts(span: Span, stop: Array, *, sound: Array, partial: Array, root: Array, opaque: Array) -> Array:
    """The verdict of each file.

    Args:
        span: Where the data sets are.
        stop: Where each walk stopped.
        sound: There are elements, and their brackets close as they should.
        partial: The last element was taken off.
        root: The last element is not in a sequence.
        opaque: Nor is its value needed.
    """
    over = (stop > span.end) & (stop < ENCAPSULATED)
    left = span.missing - (stop - span.end)  # bytes of the file after a value that was passed over
    jump = over & opaque & (left >= 0)
    complete = (stop == span.end) & (span.missing == 0) | (stop == ENCAPSULATED) & root | jump & (left == 0)
    short = (stop < ENCAPSULATED) & ~(over & opaque) & (span.missing > 0)
    verdict = np.full(len(stop), Verdict.ODD, np.uint8)
    verdict[short] = Verdict.UNFINISHED
    for applies, reached in ((partial, Verdict.PARTIAL), (jump, Verdict.JUMPED), (complete, Verdict.READ)):
        verdict[sound & applies] = reached  # of several that apply the last counts
    return verdict


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


def is_opaque(word: Array, code: Array, *, implicit: bool) -> Array:
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
