"""What must be true of any files whatever: checks that raise when it is not, without naming a value.

``walkers_agree`` and ``rows_hold`` take a whole batch, since reading files together is what the product does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydicom.datadict import dictionary_VR

from dicom_bq.columns.build import BuiltBatch
from dicom_bq.conform import conform
from dicom_bq.elements import UNDEFINED_LENGTH, VR_NUMBER, ElementTable
from dicom_bq.problems import Place, Reason
from dicom_bq.read_options import ReadOptions
from dicom_bq.reading import Built, Reading
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import Scanned
from tests.agreement import compare
from tests.fuzz.tree import ITEM, KNOWN, TRANSFER_SYNTAX, Form, Node, encode, parse, walk
from tests.handmade import BIG_ENDIAN, PIXEL_DATA, UNDEFINED
from tests.walkers import assert_same, both

SOURCE = "SourceDicomStore"
PLACES = frozenset(Place)
SPECIFIC_CHARACTER_SET = 0x00080005
DELIMITERS, PADDING = 0xFFFE, 0xFFFCFFFC
TEXT_OR_NONE = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split()) | {b""}
JPIP_DEFLATED = frozenset({"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
BIG_ENDIAN_UID = BIG_ENDIAN.encode() + b"\0"


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

    What is not compared, and why:

    * A data set that is written otherwise than its transfer syntax says: the product sees that, pydicom believes it.
      So too one in big endian that does not say so; and one without a transfer syntax whose first group is above
      03FF, which pydicom takes for big endian, or 0000, where it asks the group behind that; or one whose first tag
      is in the dictionary only when it is read big endian, as the product reads it and pydicom does not.
    * What the walker refuses and pydicom reads all the same: nothing says what is right in a structure that is
      broken. The two agree on 99 of 100 of those; the others are sequences that the product drops and says so.
    * An element of two letters that are no VR, outside of items: nothing says how long its length is.
    * A value of undefined length whose VR is no sequence's: pydicom looks for the bytes of a delimiter, and takes the
      first one in it for its end.
    * A command set (group 0000), which pydicom reads in a way of its own.
    * Something in a group length, or in padding, that is stored as a sequence: the oracle does not look into it.
    * A delimiter where there is nothing to delimit: it is no data, and pydicom keeps some and passes over others.
    * A data set that a JPIP transfer syntax says is deflated: the product inflates it, pydicom does not know that.
    * A transfer syntax between control characters, with an escape sequence, or of a VR that is no text: pydicom
      decodes it in a way of its own while it reads.
    * A Specific Character Set that is no text, or has an escape sequence in its own name: pydicom decodes it while
      it reads, so that the oracle never sees it.
    * Something other than Pixel Data of undefined length, where the product stops.
    """
    file = parse(data)
    body = encode(file.data[:1], file.form) + file.tail
    nodes = [held[place] for held, place in walk(file.data)]
    declared = [node for node in file.meta if node.tag == TRANSFER_SYNTAX]
    syntaxes = [node.value for node in declared]
    ended = table.tag[table.length == UNDEFINED_LENGTH]
    not_data = (table.tag & 0xFFFF == 0) | (table.tag == PADDING)
    reasons = {note.reason for note in table.notes}
    return (
        Reason.OTHER_SYNTAX not in reasons
        and (body[:1] != b"\0" or body[1:2] == b"\0" or syntaxes == [BIG_ENDIAN_UID])
        and (bool(syntaxes) or (body[:2] != b"\0\0" and body[1:2] < b"\4"))
        and (syntaxes == [BIG_ENDIAN_UID] or len(body) < 6 or bool((table.tag == _first_tag(body)).any()))
        and Reason.READ_BY_PYDICOM not in reasons
        and (not file.tail[4:6].isalpha() or file.tail[4:6] in KNOWN)
        and bool((table.tag >> 16 != DELIMITERS).all() and ((table.tag >> 16 != 0) | (table.length == 0)).all())
        and not (not_data & (table.vr == VR_NUMBER["SQ"])).any()
        and all(map(_is_a_sequence, nodes))
        and all(_is_bare(uid) for uid in syntaxes)
        and all(node.vr in TEXT_OR_NONE for node in declared)
        and all(_is_plain(node) for node in nodes if node.tag == SPECIFIC_CHARACTER_SET)
        and bool((ended == PIXEL_DATA).all())
    )


def _first_tag(body: bytes) -> int:
    return int.from_bytes(body[:2], "little") << 16 | int.from_bytes(body[2:4], "little")


def _is_a_sequence(node: Node) -> bool:
    """Whether what is of undefined length is a sequence, or an item, for pydicom."""
    if node.claim != UNDEFINED or node.tag in {PIXEL_DATA, ITEM}:
        return True
    if node.vr:
        return node.vr in {b"SQ", b"UN"}
    try:
        return dictionary_VR(node.tag) == "SQ"
    except KeyError:
        return True


def _is_bare(uid: bytes | list[Node]) -> bool:
    text = uid.decode("latin-1").strip(" \0") if isinstance(uid, bytes) else ""
    return text == text.strip() and "\x1b" not in text and text not in JPIP_DEFLATED


def _is_plain(character_set: Node) -> bool:
    is_text = character_set.vr in TEXT_OR_NONE and isinstance(character_set.value, bytes)
    return is_text and b"\x1b" not in encode([character_set], Form())
