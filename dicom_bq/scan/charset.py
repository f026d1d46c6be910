"""Text of any DICOM character set to UTF-8 (PS3.5 6.1, PS3.3 C.12.1.1.2).

Most text is ASCII in every one of them and is left where it is. Only values with other bytes, or with an escape
sequence, are decoded - by pydicom, which knows the code extensions of ISO 2022 - and put behind the arena.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

import vr_rules
from dicom_bq.elements import VR_NUMBER, ElementTable, Note
from dicom_bq.problems import Reason
from dicom_bq.scan.quiet import quiet
from dicom_bq.scan.vr import containers, nearest
from dicom_bq.spans import reduce_spans

SPECIFIC_CHARACTER_SET = 0x00080005
ESCAPE = 0x1B
DEFAULT_REPERTOIRE = "iso8859"
"""pydicom's name for the encoding of ISO IR 6, which it reads as Latin-1."""
DELIMITERS = {"PN": {0x5E, 0x3D}, "": {0x09, 0x0A, 0x0C, 0x0D}}
"""Bytes that end a code extension: of names ^ and =, of other text the format effectors (PS3.5 6.1.2.5.3)."""
PN = VR_NUMBER["PN"]
LATIN_1 = "latin_1"
LATIN_1_HALF = re.compile("[\x80-\xff]")
ESCAPE_SEQUENCE = re.compile(r"\x1b(\$[()]?.|[()\-].)", re.DOTALL)
"""Designations of PS3.3 tables C.12-3 and C.12-4 that a decoder left in the text."""


@cache
def text_numbers() -> npt.NDArray[np.bool_]:
    """By VR number: the value is text."""
    rules = vr_rules.load().vr
    text = np.zeros(256, np.bool_)
    for code, number in VR_NUMBER.items():
        if code:
            text[number] = rules[code].family is not vr_rules.Family.OPAQUE and not rules[code].unit and code != "SQ"
    return text


def to_utf8(table: ElementTable, decoded: npt.NDArray[np.bool_]) -> ElementTable:
    """Replace every text value that is not ASCII by its UTF-8 form.

    Args:
        table: Elements with ``vr`` resolved.
        decoded: Rows that are UTF-8 already.
    """
    rows = _not_ascii(table, decoded)
    if not len(rows):
        return table
    declared = _declared(table)
    known: dict[tuple[bytes, tuple[str, ...], bool], str] = {}  # names and institutions repeat in a series
    tail, offset, length, notes = bytearray(), table.offset.copy(), table.length.copy(), list(table.notes)
    for row in rows.tolist():
        encodings = nearest(table, row, declared, (DEFAULT_REPERTOIRE,))
        raw = table.value(row)
        key = raw, encodings, bool(table.vr[row] == PN)
        text = known.get(key) or known.setdefault(key, decode(raw, encodings, is_name=key[2]))
        reason = _reason(raw, text, encodings)
        if reason:
            notes.append(Note(int(table.instance[row]), row, reason, int(table.tag[row])))
        value = text.encode("utf-8", "replace")
        offset[row], length[row] = len(table.arena) + len(tail), len(value)
        tail += value
    arena = np.concatenate([table.arena, np.frombuffer(bytes(tail), np.uint8)])
    return replace(table, arena=arena, offset=offset, length=length, notes=tuple(notes))


def _not_ascii(table: ElementTable, decoded: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Rows of text that holds a byte over 127 or an escape."""
    rows = np.flatnonzero(text_numbers()[table.vr] & ~decoded & (table.length > 0))
    flags = ((table.arena >= 0x80) | (table.arena == ESCAPE)).view(np.uint8)
    found = reduce_spans(flags, table.offset[rows], table.offset[rows] + table.length[rows], np.bitwise_or)
    special: npt.NDArray[np.int64] = rows[found == 1]
    return special


def _declared(table: ElementTable) -> dict[int, tuple[str, ...]]:
    """Python encodings that each data set or item declares for itself and what is in it."""
    rows = np.flatnonzero((table.tag == SPECIFIC_CHARACTER_SET) & text_numbers()[table.vr])
    return {
        container: python_encodings(table.value(row))
        for row, container in zip(rows.tolist(), containers(table, rows).tolist(), strict=True)
    }


@cache
def python_encodings(value: bytes) -> tuple[str, ...]:
    """The Python encodings of a Specific Character Set value; an unknown term counts as the default repertoire."""
    from pydicom.charset import convert_encodings

    terms = [term.strip(" \0") for term in value.decode("latin-1").split("\\")]
    with quiet():
        try:
            return tuple(convert_encodings(terms))
        except (LookupError, ValueError):  # an embedded NUL; or the caller made pydicom strict
            return (DEFAULT_REPERTOIRE,)


def decode(raw: bytes, encodings: Sequence[str], *, is_name: bool) -> str:
    """Decode one value, code extensions included; what does not decode becomes U+FFFD."""
    from pydicom.charset import decode_bytes

    with quiet():
        try:
            text = decode_bytes(raw, list(encodings), DELIMITERS["PN" if is_name else ""])
        except (UnicodeError, LookupError, ValueError):  # only when the caller made pydicom strict
            return raw.decode("ascii", "replace")
    return ESCAPE_SEQUENCE.sub("", text) if "\x1b" in text else text


def _reason(raw: bytes, text: str, encodings: Sequence[str]) -> Reason | None:
    if "\ufffd" in text:
        return Reason.UNDECODABLE
    assumed = encodings[0] == DEFAULT_REPERTOIRE and LATIN_1 not in encodings
    return Reason.ASSUMED_LATIN_1 if assumed and LATIN_1_HALF.search(text) else None
