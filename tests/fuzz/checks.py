"""What must be true of any files whatever: checks that raise when it is not, without naming a value.

``walkers_agree`` and ``rows_hold`` take a whole batch, since reading files together is what the product does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dicom_bq.columns.build import BuiltBatch
from dicom_bq.conform import conform
from dicom_bq.elements import UNDEFINED_LENGTH, ElementTable
from dicom_bq.problems import Place, Reason
from dicom_bq.reading import Built, Reading, ReadOptions
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import Scanned
from tests.agreement import compare
from tests.fuzz.tree import MOST_INFLATED, TRANSFER_SYNTAX, Form, Node, encode, parse, walk
from tests.handmade import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, JPEG_BASELINE, LONG_VRS, PIXEL_DATA, UNDEFINED
from tests.walkers import assert_same, both

SOURCE = "SourceDicomStore"
PLACES = frozenset(Place)
PLAIN = re.compile(rb"[\x21-\x5b\x5d-\x7e]*[ \0]*|[\0-\xff]{4}")
"""One word, or the number that is the group's length."""
SPECIFIC_CHARACTER_SET = 0x00080005
OTHERWISE = frozenset({Reason.READ_BY_PYDICOM, Reason.OTHER_SYNTAX})
SYNTAXES = frozenset(
    uid.encode() + b"\0" * (len(uid) % 2) for uid in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, JPEG_BASELINE)
)


class WrongError(AssertionError):
    """Something that must hold does not."""


def hold(fact: object, message: str) -> None:
    """Assert, also under ``python -O``, and with a message that says which law."""
    if not fact:
        raise WrongError(message)


def walkers_agree(paths: Sequence[str]) -> Scanned:
    """Lock-step and scalar walker: the same table, or the same refusals; each file counted once."""
    together, alone = both(paths)
    assert_same(together, alone)
    counted = [*together.uris, *(one.uri for one in (*together.failures, *together.skipped))]
    hold(sorted(counted) == sorted(paths), "each file is in exactly one place")
    hold(all(one.reason for one in (*together.failures, *together.skipped)), "each refusal has a reason")
    return together


@dataclass(frozen=True)
class Good:
    """A file that is well, to stand beside others.

    Attributes:
        path: Where it is.
        uri: The path as a URI in a row.
        batch: Its row when it is read alone; by the names of options.
    """

    path: str
    batch: BuiltBatch


def batches(reading: Reading, uris: Sequence[str]) -> list[Built]:
    """What an export makes of some files in one batch, or in several where it has to."""
    return list(reading.batch(list(uris), {}))


def good(path: str, options: ReadOptions) -> Good:
    """Read a file alone, to know what its row is."""
    (built,) = batches(Reading(options={**options, "include_source_store": True}), [path])
    assert isinstance(built, BuiltBatch)
    return Good(path, built)


def rows_hold(paths: Sequence[str], neighbours: Sequence[Good] = (), options: ReadOptions | None = None) -> int:
    """From files to rows as an export does it; returns the number of rows.

    Args:
        paths: Files that may hold anything.
        neighbours: Files whose rows are known; they are put between the others and must come out unharmed.
        options: How to read.
    """
    reading = Reading(options={**(options or {}), "include_source_store": True})
    uris = _mixed(paths, [one.path for one in neighbours])
    built = batches(reading, uris)
    tally = reading.tally
    if tally.bug:
        raise tally.bug
    outcomes = len(tally.failures) + len(tally.skipped)
    hold(tally.found == len(uris), "each file is found once")
    hold(tally.found == tally.exported + outcomes, "found = exported + failed + skipped")
    hold(tally.exported == sum(one.batch.num_rows for one in built), "each exported file is a row")
    hold(all(one.code != "internal" for one in tally.failures), "no failure is a bug")
    for one in built:
        one.batch.validate(full=True)
        if isinstance(one, BuiltBatch):
            hold(np.isin(one.placements, list(PLACES)).all(), "each element has a place")
    refused = {one.uri for one in (*tally.failures, *tally.skipped)}
    told = [uri for one in built for uri in one.batch.column(SOURCE).to_pylist()]
    hold(told == [uri for uri in uris if uri not in refused], "rows stand in the order of their files")
    if options is None or options.get("schema_type") != "json":
        _unharmed(built, neighbours)
    return tally.exported


def _mixed(paths: Sequence[str], neighbours: Sequence[str]) -> list[str]:
    """Files with their neighbours spread evenly among them, one at either end."""
    if not neighbours:
        return list(paths)
    gaps = max(len(neighbours) - 1, 1)
    places = {len(paths) * number // gaps: one for number, one in enumerate(neighbours)}
    mixed = []
    for number in range(len(paths) + 1):
        if number in places:
            mixed.append(places[number])
        mixed += paths[number : number + 1]
    return mixed


def _unharmed(built: Sequence[BuiltBatch], neighbours: Sequence[Good]) -> None:
    for one in built:
        sources = one.batch.column(SOURCE).to_pylist()
        for neighbour in neighbours:
            if neighbour.path in sources:
                row = one.batch.slice(sources.index(neighbour.path), 1)
                same = _identical(row, conform(neighbour.batch.batch, row.schema))
                hold(same, "a file that is well has the same row in any company")


def _identical(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    return bool(pa.Table.from_batches([one]).equals(pa.Table.from_batches([other])))


def oracle_agrees(path: str) -> bool:
    """Product and oracle say the same of a file; whether there was something to compare."""
    if not _comparable(Path(path).read_bytes(), scan_files([path]).table):
        return False
    try:
        found = compare(Path(path), drops_in_order=False)
    except NotImplementedError:  # what the oracle says it does not do
        return False
    where = found.differences[0].split(":")[0] if found.differences else ""
    hold(not found.differences, f"product and oracle differ in {where}: {'; '.join(found.differences)[:600]}")
    return not found.skipped


def _comparable(data: bytes, table: ElementTable) -> bool:
    """Whether pydicom, which the oracle reads with, takes a file for the same as the product does.

    Where it says how its data set is written and that is so; where zeros at the end, which are padding for the
    product and an element for pydicom, are not; where no tag is there twice, since pydicom keeps the last one and the
    oracle does not know the others; where file meta information is at the beginning alone and plain, since pydicom
    decodes that at once; where there is no command set, which it reads in a way of its own; where nothing but Pixel
    Data ends the reading; where no character set has an escape sequence in its own name; where what is opened
    is closed, since pydicom closes it.
    """
    file = parse(data)
    body = encode(file.data, file.form) + file.tail
    nodes = [held[place] for held, place in walk(file.data)]
    sets = [node for node in nodes if node.tag == SPECIFIC_CHARACTER_SET]
    elements = np.stack([table.item.astype(np.int64), table.tag.astype(np.int64)])
    groups, ended = table.tag >> 16, table.tag[table.length == UNDEFINED_LENGTH]
    return (
        _is_plain(file.meta)
        and not any(node.claim == UNDEFINED and isinstance(node.value, list) and not node.closed for node in nodes)
        and not body.endswith(bytes(8))
        and len(body) < MOST_INFLATED
        and not any(note.reason in OTHERWISE for note in table.notes)
        and not any(b"\x1b" in encode([node], Form()) for node in sets)
        and len(np.unique(elements, axis=1).T) == len(table)
        and bool((np.diff((groups == 2).astype(np.int8)) <= 0).all() and (groups != 0).all())
        and bool(np.isin(ended, [PIXEL_DATA]).all())
    )


def _is_plain(meta: Sequence[Node]) -> bool:
    """A known transfer syntax, once, and text that is one value without odd characters."""
    syntaxes = [node.value for node in meta if node.tag == TRANSFER_SYNTAX and node.vr == b"UI"]
    texts = [node.value for node in meta if node.vr not in LONG_VRS and isinstance(node.value, bytes)]
    plain = all(PLAIN.fullmatch(text) for text in texts)
    return plain and len(syntaxes) == 1 and syntaxes[0] in SYNTAXES
