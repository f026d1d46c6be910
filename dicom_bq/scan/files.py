"""Files to an ElementTable: most of them in lock-step, the odd ones one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dicom_bq.elements import ElementTable
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.heads import Place
from dicom_bq.scan.members import place_of
from dicom_bq.scan.merge import merge, without
from dicom_bq.scan.normalise import as_table, normalise
from dicom_bq.scan.outcome import BatchTooLargeError, Failure, Scanned, ScanOptions, Skipped
from dicom_bq.scan.part10 import scan_file
from dicom_bq.scan.rounds import FILE, Work, walk_round
from dicom_bq.sources.members import Member

READ_SIZES = (8 << 10, 64 << 10, 256 << 10, 1 << 20)
"""Bytes read of a file in lock-step: of all at first, then more of those whose header is longer, and the most of
those that one element is too long for."""
LATER_ROUND_BYTES = 16 << 20
"""Read together of files whose header is longer: there are few, and a step of a few lanes takes as long as one of many.
Measured on files of every kind, with 4 MiB at first: 269 us a file if no more are read here, 244 with these."""
MAX_JUMPS = 8
"""Values passed over in one file; files with more are the scalar walker's."""


@dataclass(slots=True)
class _Pieces:
    """Tables of parts of a batch; ``instance`` is the number of the file.

    Attributes:
        tables: Each with an arena of its own.
        odd: Numbers of files left to the scalar walker.
    """

    tables: list[ElementTable] = field(default_factory=list)
    odd: list[int] = field(default_factory=list)


def scan_files(
    uris: Sequence[str], options: ScanOptions | None = None, members: Mapping[str, Member] | None = None
) -> Scanned:
    """Read the headers of files.

    Args:
        uris: Paths, and names of members of archives.
        options: Bounds.
        members: Where those are that are no paths.

    Returns:
        One table of all readable files, in the order given; the others by name, with the reason.

    Raises:
        BatchTooLargeError: They hold more than one batch should.
    """
    options, members = options or ScanOptions(), members or {}
    pieces = _Pieces()
    if options.lockstep:
        _scan_lockstep(uris, pieces, options, members)
    else:
        pieces.odd = list(range(len(uris)))
    batch, failures, skipped = Batch(), list[Failure](), list[Skipped]()
    numbers = []
    for number in sorted(pieces.odd):
        outcome = scan_file(uris[number], batch, options, members.get(uris[number]))
        _check_size(len(uris), pieces.tables, options, len(batch.rows), batch.size)
        if outcome is None:
            numbers.append(number)
        elif isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            skipped.append(outcome)
    missed = {failure.uri for failure in failures} | {skip.uri for skip in skipped}
    read = tuple(uri for uri in uris if uri not in missed) if missed else tuple(uris)
    scalar = as_table(batch.rows, b"".join(batch.chunks))
    batch.chunks.clear()  # one value may be as long as a header is allowed to be
    odd = np.zeros(len(uris), np.bool_)
    odd[pieces.odd] = True
    tables = [without(table, odd) for table in pieces.tables]
    table, moved = merge(tables, scalar, np.array(numbers, np.int32), len(uris))
    table = normalise(table, batch.rows, moved)
    return Scanned(table, read, tuple(failures), tuple(skipped), scalar=len(pieces.odd), members=members)


def _check_size(
    files: int, tables: Sequence[ElementTable], options: ScanOptions, elements: int = 0, size: int = 0
) -> None:
    """Raise BatchTooLargeError if what has been read is too much; a single file has a bound of its own."""
    elements += sum(len(table) for table in tables)
    size += sum(len(table.arena) for table in tables)
    if files > 1 and (size > options.max_batch_bytes or elements > options.max_batch_elements):
        raise BatchTooLargeError


def _scan_lockstep(uris: Sequence[str], pieces: _Pieces, options: ScanOptions, members: Mapping[str, Member]) -> None:
    """Walk what can be walked in lock-step, within the bytes allowed of each file; the rest is in ``pieces.odd``."""
    count, limit = len(uris), options.max_header_bytes & ~1
    zero = np.zeros(count, np.int64)
    todo = Work(np.arange(count, dtype=np.int32), zero, zero, np.full(count, FILE, np.int8))
    places = [place_of(uri, members.get(uri)) for uri in uris] if members else list(map(Place, uris))
    inflated = np.array([place is None for place in places], np.bool_)
    pieces.odd += np.flatnonzero(inflated).tolist()
    todo = todo.where(~inflated)
    for _ in range(MAX_JUMPS):
        todo = _scan_stretch(places, todo, limit, pieces, options)
        if not len(todo.number):
            return
    pieces.odd += todo.number.tolist()


def _scan_stretch(
    places: Sequence[Place | None], todo: Work, limit: int, pieces: _Pieces, options: ScanOptions
) -> Work:
    """Walk each file to its end, or to a value that is passed over; what is to be done behind those."""
    sizes = sorted({min(size, limit) for size in READ_SIZES})
    jumped, partial, stuck = ([todo.where(slice(0))] for _ in range(3))
    together = options.max_round_bytes
    for size in sizes:
        if size == sizes[-1]:  # one element is longer than what was read last, and may be a lot longer
            todo = Work.of([todo, *stuck])
        long = todo.offset - todo.begin + size > limit
        pieces.odd += todo.number[long].tolist()
        partial, stuck = partial[:1], stuck if size < sizes[-1] else stuck[:1]
        for part in _parts(todo.where(~long), max(1, together // size)):
            done = walk_round([place for number in part.number.tolist() if (place := places[number])], part, size)
            pieces.tables += done.tables
            pieces.odd += done.odd.tolist()
            jumped.append(done.jumped)
            partial.append(done.partial)
            stuck.append(done.stuck)
            _check_size(len(places), pieces.tables, options)
        todo, together = Work.of(partial), max(together, LATER_ROUND_BYTES)
    pieces.odd += [*todo.number.tolist(), *Work.of(stuck).number.tolist()]
    return Work.of(jumped)


def _parts(work: Work, most: int) -> list[Work]:
    """Work in parts that each share an arena."""
    return [work.where(slice(at, at + most)) for at in range(0, len(work.number), most)]
