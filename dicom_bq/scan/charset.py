"""Text of any DICOM character set to UTF-8 (PS3.5 6.1, PS3.3 C.12.1.1.2).

Most text is ASCII in every one of them and is left where it is. Only values with other bytes, or with an escape
sequence, are decoded and put behind the arena. What does not decode is pydicom's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

import vr_rules
from dicom_bq.elements import ROOT, VR_CODES, VR_NUMBER, ElementTable, Note
from dicom_bq.problems import Reason
from dicom_bq.remembered import remembered
from dicom_bq.scan.extensions import ESCAPE, decode_extended
from dicom_bq.scan.quiet import quiet
from dicom_bq.scan.vr import containers, nearest
from dicom_bq.spans import distinct_values, reduce_spans

SPECIFIC_CHARACTER_SET = 0x00080005
META_GROUP = 0x0002
HIGH_BITS = np.uint64(0x8080808080808080)
DEFAULT_REPERTOIRE = "iso8859"
"""pydicom's name for the encoding of ISO IR 6, which it reads as Latin-1."""
DELIMITERS = {"PN": {0x5E, 0x3D}, "": {0x09, 0x0A, 0x0C, 0x0D}}
"""Bytes that end a code extension: of names ^ and =, of other text the format effectors (PS3.5 6.1.2.5.3)."""
LATIN_1 = "latin_1"
FREQUENT = {"": DEFAULT_REPERTOIRE, "ISO_IR 6": DEFAULT_REPERTOIRE, "ISO_IR 100": LATIN_1, "ISO_IR 192": "UTF8"}
"""Encodings of the terms that stand alone in nearly every file: to import pydicom takes 0.1 to 0.2 s a process."""
NEWER = {"ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}
"""Encodings of terms pydicom does not know yet (PS3.3 tables C.12-2 and C.12-3); it leaves Python's names alone."""
LATIN_1_HALF = re.compile("[\x80-\xff]")
WHOLE, SPLIT, NAME = range(3)
"""Kinds of text: a backslash is a character, or separates values, or separates person names."""
_Decoded: TypeAlias = tuple[bytes, Reason | None]
"""A value in UTF-8, and what is to be said of it."""


@cache
def text_numbers() -> npt.NDArray[np.bool_]:
    """By VR number: the value is text."""
    rules = vr_rules.load().vr
    text = np.zeros(256, np.bool_)
    for code, number in VR_NUMBER.items():
        if code:
            text[number] = rules[code].family is not vr_rules.Family.OPAQUE and not rules[code].unit and code != "SQ"
    return text


@cache
def _text_kinds() -> npt.NDArray[np.int64]:
    """By VR number: a kind of text."""
    rules = vr_rules.load().vr
    kinds = [NAME if code == "PN" else SPLIT if code and rules[code].splits else WHOLE for code in VR_CODES]
    return np.array(kinds, np.int64)


def to_utf8(table: ElementTable, decoded: npt.NDArray[np.bool_]) -> ElementTable:
    """Replace every text value that is not ASCII by its UTF-8 form.

    Names and institutions repeat in a series, so each is decoded once.

    Args:
        table: Elements with ``vr`` resolved.
        decoded: Rows that are UTF-8 already.
    """
    rows = _not_ascii(table, decoded)
    if not len(rows):
        return table
    sets, set_of = _character_sets(table, rows)
    values, value_of = distinct_values(table.arena, table.offset.take(rows), table.length.take(rows))
    keys, key_of = np.unique((value_of * len(sets) + set_of) * 3 + _text_kinds()[table.vr[rows]], return_inverse=True)
    with quiet():
        found = [_decoded(values[key // 3 // len(sets)], sets[key // 3 % len(sets)], key % 3) for key in keys.tolist()]
    return _replaced(table, rows, found, key_of)


@remembered
def _decoded(raw: bytes, encodings: tuple[str, ...], kind: int) -> _Decoded:
    text = decode(raw, encodings, is_name=kind == NAME, splits=kind != WHOLE)
    return text.encode("utf-8", "replace"), _reason(text, encodings)


def _replaced(
    table: ElementTable, rows: npt.NDArray[np.int64], found: Sequence[_Decoded], number: npt.NDArray[np.int64]
) -> ElementTable:
    """Put the new values of some rows behind the arena; ``number`` is of each one's in ``found``."""
    offset, length = table.offset.copy(), table.length.copy()
    sizes = np.array([len(value) for value, _ in found], np.int64).take(number)
    length[rows] = sizes
    offset[rows] = len(table.arena) + np.cumsum(sizes) - sizes
    notes = [
        Note(int(table.instance[rows[at]]), int(rows[at]), reason, int(table.tag[rows[at]]))
        for at in np.flatnonzero(np.array([reason is not None for _, reason in found]).take(number)).tolist()
        if (reason := found[number[at]][1])
    ]
    fresh = b"".join(found[key][0] for key in number.tolist())
    arena = np.concatenate([table.arena, np.frombuffer(fresh, np.uint8)])
    return replace(table, arena=arena, offset=offset, length=length, notes=(*table.notes, *notes))


def _not_ascii(table: ElementTable, decoded: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Rows of text that holds a byte over 127 or an escape."""
    rows = np.flatnonzero(text_numbers()[table.vr] & ~decoded & (table.length > 0))
    if not len(rows):
        return rows
    start, end = table.offset.take(rows), table.offset.take(rows) + table.length.take(rows)
    near = _near_special(table.arena, start, end)
    start, end = start[near], end[near]
    special = reduce_spans(table.arena, start, end, np.bitwise_or) >= 0x80
    escapes = np.flatnonzero(table.arena == ESCAPE)
    if len(escapes):
        next_escape = np.append(escapes, len(table.arena))[np.searchsorted(escapes, start)]
        special |= next_escape < end
    found: npt.NDArray[np.int64] = rows[near[np.flatnonzero(special)]]
    return found


def _near_special(
    arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Which values have a byte over 127 or an escape in them or within eight bytes around: few, and found quickly.

    Eight bytes are looked at as one number, and a running count says whether any in a stretch of them is special.
    """
    whole = len(arena) // 8
    special = np.ones(whole + 1, np.bool_)  # the last bytes may not be eight
    np.not_equal(arena[: whole * 8].view(np.uint64) & HIGH_BITS, 0, out=special[:-1])
    special[np.flatnonzero(arena == ESCAPE) >> 3] = True
    count = np.zeros(len(special) + 1, np.int32)
    np.cumsum(special, out=count[1:])
    return np.flatnonzero(count[(end + 7) >> 3] > count[start >> 3])


def _character_sets(
    table: ElementTable, rows: npt.NDArray[np.int64]
) -> tuple[list[tuple[str, ...]], npt.NDArray[np.int64]]:
    """Python encodings that are in force somewhere, and which of them hold for each row."""
    declaring = np.flatnonzero((table.tag == SPECIFIC_CHARACTER_SET) & text_numbers()[table.vr])
    values, value_of = distinct_values(table.arena, table.offset[declaring], table.length[declaring])
    sets = [(DEFAULT_REPERTOIRE,), *(python_encodings(value) for value in values)]
    at_root = table.item[declaring] == ROOT
    by_instance = np.zeros(table.instances, np.int64)
    by_instance[table.instance[declaring[at_root]]] = value_of[at_root] + 1
    found = by_instance[table.instance[rows]]
    if not at_root.all():
        declared = dict(zip(containers(table, declaring).tolist(), (value_of + 1).tolist(), strict=True))
        for number in np.flatnonzero(table.item[rows] != ROOT).tolist():
            found[number] = nearest(table, int(rows[number]), declared, 0)
    tag = table.tag[rows]  # the set is not written in what it names, nor is the file meta information (PS3.10 7.1)
    found[(tag == SPECIFIC_CHARACTER_SET) | (tag >> 16 == META_GROUP)] = 0
    return sets, found


@lru_cache(1024)
def python_encodings(value: bytes) -> tuple[str, ...]:
    """The Python encodings of a Specific Character Set value; an unknown term counts as the default repertoire."""
    terms = [term.strip(" \0") for term in value.decode("latin-1").split("\\")]
    if len(terms) == 1 and terms[0] in FREQUENT:
        return (FREQUENT[terms[0]],)
    from pydicom.charset import convert_encodings

    with quiet():
        try:
            return tuple(convert_encodings([NEWER.get(term, term) for term in terms]))
        except (LookupError, ValueError):  # an embedded NUL; or the caller made pydicom strict
            return (DEFAULT_REPERTOIRE,)


def decode(raw: bytes, encodings: Sequence[str], *, is_name: bool, splits: bool) -> str:
    """Decode one value, code extensions included; what does not decode becomes U+FFFD. To be called in ``quiet``."""
    delimiters = DELIMITERS["PN" if is_name else ""]
    if ESCAPE in raw:
        return decode_extended(raw, encodings, delimiters, splits=splits)
    with contextlib.suppress(UnicodeError, LookupError):
        return raw.decode(encodings[0])
    from pydicom.charset import decode_bytes

    try:
        return decode_bytes(raw, list(encodings), delimiters)
    except (UnicodeError, LookupError, ValueError):  # only when the caller made pydicom strict
        return raw.decode("ascii", "replace")


def _reason(text: str, encodings: Sequence[str]) -> Reason | None:
    if "\ufffd" in text:
        return Reason.UNDECODABLE
    assumed = encodings[0] == DEFAULT_REPERTOIRE and LATIN_1 not in encodings
    return Reason.ASSUMED_LATIN_1 if assumed and LATIN_1_HALF.search(text) else None
