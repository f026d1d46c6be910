"""Files to an ElementTable: most of them in lock-step, the odd ones one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.elements import ElementTable
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.expand import in_sequence_order
from dicom_bq.scan.heads import Heads, find_data_sets, read_heads
from dicom_bq.scan.lockstep import Span, Verdict, walk_lockstep
from dicom_bq.scan.normalise import as_table, normalise
from dicom_bq.scan.outcome import Failure, Scanned, ScanOptions, Skipped
from dicom_bq.scan.part10 import scan_file

Array: TypeAlias = npt.NDArray[Any]

READ_SIZES = (8 << 10, 64 << 10, 1 << 20)
"""Bytes read of a file in lock-step: of all at first, then more of those whose header is longer."""
MAX_ROUND_BYTES = 64 << 20
"""Of one arena; the files of a longer round are taken in parts."""


@dataclass(slots=True)
class _Pieces:
    """Tables of parts of a batch; ``instance`` is the number of the file.

    Attributes:
        tables: Each with an arena of its own.
        odd: Numbers of files left to the scalar walker.
    """

    tables: list[ElementTable] = field(default_factory=list)
    odd: list[int] = field(default_factory=list)


def scan_files(uris: Sequence[str], options: ScanOptions | None = None) -> Scanned:
    """Read the headers of files.

    Args:
        uris: Paths.
        options: Bounds.

    Returns:
        One table of all readable files, in the order given; the others by name, with the reason.
    """
    options = options or ScanOptions()
    pieces = _Pieces()
    if options.lockstep:
        _scan_lockstep(uris, pieces)
    else:
        pieces.odd = list(range(len(uris)))
    batch, failures, skipped = Batch(), list[Failure](), list[Skipped]()
    numbers = []
    for number in sorted(pieces.odd):
        outcome = scan_file(uris[number], batch, options)
        if outcome is None:
            numbers.append(number)
        elif isinstance(outcome, Failure):
            failures.append(outcome)
        else:
            skipped.append(outcome)
    missed = {failure.uri for failure in failures} | {skip.uri for skip in skipped}
    read = tuple(uri for uri in uris if uri not in missed)
    scalar = as_table(batch.rows, b"".join(batch.chunks))
    table, moved = _merge(pieces.tables, scalar, np.array(numbers, np.int32), len(uris))
    return Scanned(normalise(table, batch.rows, moved), read, tuple(failures), tuple(skipped), scalar=len(pieces.odd))


def _scan_lockstep(uris: Sequence[str], pieces: _Pieces) -> None:
    """Walk what can be walked in lock-step; the rest is in ``pieces.odd``."""
    numbers = np.arange(len(uris), dtype=np.int32)
    for size in READ_SIZES:
        unfinished = [_round(uris, part, size, pieces) for part in _parts(numbers, size)]
        numbers = np.concatenate(unfinished) if unfinished else numbers[:0]
    pieces.odd += numbers.tolist()


def _parts(numbers: Array, size: int) -> list[Array]:
    """Files that share an arena."""
    most = max(1, MAX_ROUND_BYTES // size)
    return [numbers[at : at + most] for at in range(0, len(numbers), most)]


def _round(uris: Sequence[str], numbers: Array, size: int, pieces: _Pieces) -> Array:
    """Read the heads of some files and walk them; the numbers of those of which more is needed."""
    heads = read_heads([uris[number] for number in numbers.tolist()], size)
    found = find_data_sets(heads)
    verdict = np.full(len(numbers), Verdict.ODD, np.uint8)
    verdict[found.unfinished] = Verdict.UNFINISHED
    implicit = walk_lockstep(heads.arena, _span(heads, found.start, found.implicit), implicit=True)
    verdict[found.implicit] = implicit.verdict
    # In explicit VR the meta information is of one piece with the data set; in implicit VR it is a piece of its own.
    whole, meta = found.explicit, found.implicit[implicit.verdict == Verdict.READ]
    files = np.concatenate([whole, meta])
    end = np.concatenate([heads.end[whole], found.start[meta]])
    missing = np.concatenate([heads.missing[whole], np.zeros(len(meta), np.int64)])
    order = np.argsort(files, kind="stable")
    span = Span(found.meta[files[order]], end[order], missing[order])
    explicit = walk_lockstep(heads.arena, span, implicit=False)
    verdict[files[order]] = np.maximum(explicit.verdict, np.where(np.isin(files[order], meta), 0, 0))
    for walked, which in ((explicit, files[order]), (implicit, found.implicit)):
        if len(walked.table):
            pieces.tables.append(replace(walked.table, instance=numbers[which][walked.table.instance]))
    pieces.odd += numbers[verdict == Verdict.ODD].tolist()
    unfinished: Array = numbers[verdict == Verdict.UNFINISHED]
    return unfinished


def _span(heads: Heads, start: Array, files: Array) -> Span:
    return Span(start[files], heads.end[files], heads.missing[files])


def _merge(
    tables: Sequence[ElementTable], scalar: ElementTable, numbers: Array, files: int
) -> tuple[ElementTable, Array]:
    """One table of the pieces, instances in the order of their files.

    Args:
        tables: Walked in lock-step, ``instance`` being the file's number.
        scalar: Walked one by one, ``instance`` counting from 0.
        numbers: The file's number of each of the scalar table's instances.
        files: Files of the batch.

    Returns:
        The table, and the row in it of each row of ``scalar``.
    """
    parts = [*tables, replace(scalar, instance=numbers[scalar.instance])]
    parts = [part for part in parts if len(part) or part is parts[-1]]
    rows = np.cumsum([0, *(len(part) for part in parts)])
    items = np.cumsum([0, *(len(part.item_sequence) for part in parts)])
    bytes_ = np.cumsum([0, *(len(part.arena) for part in parts)])
    instance = np.concatenate([part.instance for part in parts])
    exported = np.zeros(files, np.bool_)
    exported[instance] = True
    exported[numbers] = True
    order = np.argsort(instance.astype(np.uint16) if files <= 1 << 16 else instance, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    item = np.concatenate(
        [np.where(part.item < 0, part.item, part.item + at) for part, at in zip(parts, items, strict=False)]
    )
    sequence = np.concatenate([part.item_sequence.astype(np.int64) + at for part, at in zip(parts, rows, strict=False)])
    item, sequence = in_sequence_order(item.astype(np.int32)[order], place[sequence])

    def joined(name: str) -> Array:
        column: Array = np.concatenate([getattr(part, name) for part in parts])[order]
        return column

    offset = np.concatenate([part.offset + at for part, at in zip(parts, bytes_, strict=False)])[order]
    dense = (np.cumsum(exported) - 1).astype(np.int32)
    stored = joined("stored_vr")
    moved = place[rows[len(parts) - 1] :]
    table = ElementTable(
        arena=np.concatenate([part.arena for part in parts]) if len(parts) > 1 else parts[0].arena,
        instances=int(exported.sum()),
        instance=dense[instance[order]],
        item=item,
        tag=joined("tag"),
        stored_vr=stored,
        vr=stored.copy(),
        offset=offset,
        length=joined("length"),
        walked=joined("walked"),
        item_sequence=sequence,
        notes=tuple(
            replace(
                note, instance=int(dense[numbers[note.instance]]), row=int(moved[note.row]) if note.row >= 0 else -1
            )
            for note in scalar.notes
        ),
    )
    return table, moved
