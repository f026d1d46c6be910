"""One round of lock-step walking: some bytes of each of many files, read into one arena and walked form by form.

A file that begins here says how it is encoded; one that goes on does so as it was. What a round leaves is the next
round's work: what stands behind values that were passed over, and what the bytes read were too few for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ElementTable
from dicom_bq.scan.data_sets import FORMS, DataSets, find_data_sets
from dicom_bq.scan.heads import Heads, Place, read_heads
from dicom_bq.scan.lanes import item_positions
from dicom_bq.scan.lockstep import walk_lockstep
from dicom_bq.scan.normalise import swap
from dicom_bq.scan.rows import Form
from dicom_bq.scan.verdicts import Span, Verdict

Array: TypeAlias = npt.NDArray[Any]

FILE = len(FORMS)


@dataclass(frozen=True, slots=True)
class Work:
    """Parts of files to be walked.

    Attributes:
        number: The file; int32.
        begin: Where in the file the header begins, or goes on behind a value that was passed over; int64.
        offset: Where to go on now; int64.
        form: Number in ``FORMS`` of how it is encoded; ``FILE`` for the beginning of a file, which says it; int8.
    """

    number: Array
    begin: Array
    offset: Array
    form: Array

    def where(self, chosen: Array | slice) -> Work:
        """Some of it."""
        return Work(self.number[chosen], self.begin[chosen], self.offset[chosen], self.form[chosen])

    @classmethod
    def of(cls, works: Sequence[Work]) -> Work:
        """All of several, by number: a table's instances ascend."""
        columns = ("number", "begin", "offset", "form")
        whole = cls(*(np.concatenate([getattr(work, column) for work in works]) for column in columns))
        return whole.where(np.argsort(whole.number, kind="stable"))


@dataclass(frozen=True, slots=True)
class Round:
    """What became of some work.

    Attributes:
        tables: Elements, each table with an arena of its own; of one file, those of the first come first.
        odd: Numbers of files for the scalar walker; int32.
        jumped: What is to be done behind values that were passed over.
        partial: Where the walk goes on with the bytes that follow.
        stuck: Where it has not got anywhere without more of them.
    """

    tables: list[ElementTable]
    odd: Array
    jumped: Work
    partial: Work
    stuck: Work


def walk_round(places: Sequence[Place], work: Work, size: int) -> Round:
    """Read some bytes of each file and walk them.

    Args:
        places: Where the files of the work are.
        work: What is to be walked.
        size: Bytes, even.
    """
    heads, first = read_heads(places, work.offset, size), work.form == FILE
    found = find_data_sets(heads, np.flatnonzero(first))
    form = work.form.copy()
    for number, encoding in enumerate(FORMS):
        form[found.forms[encoding]] = number
    walks = _Walks(heads, work.number, np.full(len(form), Verdict.ODD, np.uint8), heads.end.copy())
    walks.verdict[found.unfinished] = Verdict.UNFINISHED
    data_sets = Span(np.where(first, found.start, heads.start), heads.end, heads.missing)
    for number, encoding in enumerate(FORMS[1:], 1):
        walks.walk((heads.missing >= 0) & (form == number), data_sets, encoding)
    _walk_explicit(walks, found, form, first)
    after = work.offset + walks.stop - heads.start
    return Round(
        walks.tables[::-1],
        work.number[walks.verdict == Verdict.ODD],
        Work(work.number, after, after, form).where(walks.verdict == Verdict.JUMPED),
        Work(work.number, work.begin, after, form).where(walks.verdict == Verdict.PARTIAL),
        work.where(walks.verdict == Verdict.UNFINISHED),
    )


@dataclass(frozen=True, slots=True)
class _Walks:
    """A round under way.

    Attributes:
        heads: What was read.
        number: The file that each head is of; int32.
        verdict: A ``Verdict`` of each; uint8.
        stop: Position in the arena where the walk of each stopped; int64.
        tables: Elements, the last walked last.
        items: ``item_positions`` of the arena by byte order, once they were asked for.
    """

    heads: Heads
    number: Array
    verdict: Array
    stop: Array
    tables: list[ElementTable] = field(default_factory=list)
    items: dict[bool, Array] = field(default_factory=dict)

    def walk(self, chosen: Array, span: Span, encoding: Form) -> None:
        """Walk the chosen heads.

        Args:
            chosen: Which; bool.
            span: Where the data sets of all of them are.
            encoding: How those of the chosen ones are encoded.
        """
        heads, big = np.flatnonzero(chosen), encoding.big_endian
        if not len(heads):
            return
        if big not in self.items:
            self.items[big] = item_positions(self.heads.arena, big_endian=big)
        walked = walk_lockstep(self.heads.arena, span.where(heads), encoding, self.items[big])
        self.verdict[heads], self.stop[heads] = walked.verdict, walked.stop
        table = swap(walked.table, np.arange(len(walked.table))) if big else walked.table
        self.tables.append(replace(table, instance=self.number[heads[table.instance]]))


def _walk_explicit(walks: _Walks, found: DataSets, form: Array, first: Array) -> None:
    """Walk explicit VR little endian: data sets in one piece with their meta information, and that of all others.

    Args:
        walks: The round, with all other data sets walked.
        found: Where meta information and data sets begin.
        form: Number in ``FORMS`` of each data set.
        first: Which heads begin a file; bool.
    """
    heads = walks.heads
    alone = first & (form > 0) & (walks.verdict <= Verdict.PARTIAL) & (found.start > found.meta)
    stop, verdict = walks.stop[alone], walks.verdict[alone]
    span = Span(
        start=np.where(first, found.meta, heads.start),
        end=np.where(alone, found.start, heads.end),
        missing=np.where(alone, 0, heads.missing),
    )
    walks.walk((heads.missing >= 0) & (form == 0) | alone, span, FORMS[0])
    walks.stop[alone], walks.verdict[alone] = stop, np.maximum(walks.verdict[alone], verdict)
