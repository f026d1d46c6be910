"""Which VR each value is to be read by.

The stream's own, unless it says nothing (implicit VR) or nothing useful (UN, OB and their like): then the standard
dictionary's, or the private dictionary's by private creator (PS3.5 7.8), or UN.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import vr_rules
from dicom_bq import dictionary
from dicom_bq.elements import ROOT, VR_CODES, VR_NUMBER, ElementTable
from dicom_bq.scan.tables import names_creator
from dicom_bq.spans import distinct_values

T = TypeVar("T")
US_OR_SS = 255
"""Stands in ``vr`` for "US or SS" until Pixel Representation is known."""
PIXEL_REPRESENTATION = 0x00280103
UN, SQ, LO, OW, US, SS = (VR_NUMBER[code] for code in ("UN", "SQ", "LO", "OW", "US", "SS"))
AMBIGUOUS = {"US or SS": US_OR_SS, "OB or OW": OW, "US or OW": OW, "US or SS or OW": OW}


@cache
def opaque_numbers() -> npt.NDArray[np.bool_]:
    """By VR number: the value is bytes without a type, 0 ("not in the stream") included."""
    rules = vr_rules.load().vr
    opaque = np.zeros(256, np.bool_)
    opaque[0] = True
    for code, number in VR_NUMBER.items():
        if code:
            opaque[number] = rules[code].family is vr_rules.Family.OPAQUE
    return opaque


def resolve(table: ElementTable) -> ElementTable:
    """Fill in ``vr`` for every element, ``US_OR_SS`` where Pixel Representation has to be asked."""
    vr = table.stored_vr.copy()
    open_rows = np.flatnonzero(opaque_numbers()[vr])
    vr[open_rows] = _standard(table.tag[open_rows], vr[open_rows])
    private = open_rows[(table.tag[open_rows] >> 16) & 1 == 1]
    private = private[(vr[private] == UN) | (vr[private] == 0)]
    if len(private):
        vr[private] = _private(table, private)
    vr[table.walked] = SQ
    return replace(table, vr=vr)


def _standard(tags: npt.NDArray[np.uint32], stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The standard dictionary's VR; what it does not know stays as stored, or UN."""
    codes = pa.array(tags).dictionary_encode()
    known = np.array([_dictionary_number(tag) for tag in codes.dictionary.to_pylist()], np.uint8)
    found = known[codes.indices.to_numpy()] if len(known) else np.zeros(0, np.uint8)
    silent = (stored == 0) | (stored == UN)
    useful = (found != 0) & (silent | ~opaque_numbers()[found])  # OB stays OB where the dictionary says "OB or OW"
    result = np.maximum(stored, (stored == 0) * np.uint8(UN))
    np.copyto(result, found, where=useful)
    resolved: npt.NDArray[np.uint8] = result
    return resolved


def _dictionary_number(tag: int) -> int:
    """VR of a standard tag, 0 for none; some retired tags have a VR and no keyword."""
    vr = dictionary.vr_table().get(tag)
    if vr is None:
        entry = dictionary.lookup(tag)
        vr = entry.vr if entry else ""
    return AMBIGUOUS.get(vr) or VR_NUMBER[vr]


def containers(table: ElementTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One number a data set: items from 0 up, the instances' own data sets from -1 down."""
    item = table.item[rows].astype(np.int64)
    return np.where(item == ROOT, -1 - table.instance[rows].astype(np.int64), item)


def _private(table: ElementTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The private dictionary's VR of private elements, by the creator that reserved their block (PS3.5 7.8.1)."""
    tag = table.tag[rows]
    vr = np.full(len(rows), UN, np.uint8)
    element = tag & 0xFFFF
    vr[names_creator(element)] = LO
    odd = np.flatnonzero(table.tag & 0x00010000)
    creators = odd[np.flatnonzero(names_creator(table.tag[odd] & 0xFFFF))]
    data = np.flatnonzero(element >= 0x1000)
    if not len(creators) or not len(data):
        return vr
    keys = (containers(table, creators) << 32) | table.tag[creators]
    order = np.argsort(keys, kind="stable")
    block = (tag[data] & np.uint32(0xFFFF0000)) | ((tag[data] >> 8) & 0xFF)
    wanted = (containers(table, rows[data]) << 32) | block
    place = np.minimum(np.searchsorted(keys[order], wanted, side="right") - 1, len(order) - 1)
    matched = np.flatnonzero((place >= 0) & (keys[order][place] == wanted))
    data = data[matched]
    used, creator_of = np.unique(order[place[matched]], return_inverse=True)
    names, name_of = _creator_names(table, creators[used])
    pairs = pa.array((name_of[creator_of] << 32) | tag[data]).dictionary_encode()
    distinct = pairs.dictionary.to_pylist()
    found = np.array([_private_number(names[pair >> 32], pair & 0xFFFFFFFF) for pair in distinct], np.uint8)
    vr[data] = found[pairs.indices.to_numpy()] if len(distinct) else UN
    return vr


def _creator_names(table: ElementTable, creators: npt.NDArray[np.int64]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Distinct private creators, and the number of each creator row's own; a sequence names none."""
    named = ~table.walked[creators]
    names, number_of = distinct_values(table.arena, table.offset[creators] * named, table.length[creators] * named)
    return [name.decode("latin-1").strip(" \0") for name in names], number_of


def _private_number(creator: str, tag: int) -> int:
    vr = dictionary.private_vr(creator, tag)
    return AMBIGUOUS.get(vr) or VR_NUMBER[vr] if vr else UN


def resolve_us_or_ss(table: ElementTable) -> ElementTable:
    """Decide "US or SS" by the nearest enclosing Pixel Representation (PS3.3 C.7.6.3.1); US where there is none."""
    open_rows = np.flatnonzero(table.vr == US_OR_SS)
    if not len(open_rows):
        return table
    vr = table.vr.copy()
    rows = _last_of_each(table, np.flatnonzero(table.tag == PIXEL_REPRESENTATION))
    rows = rows[table.length[rows] > 0]
    values = _signs(table, rows)
    signed = dict(zip(containers(table, rows).tolist(), values.tolist(), strict=True))
    at_root = np.zeros(table.instances, np.bool_)
    root = table.item[rows] == ROOT
    at_root[table.instance[rows[root]]] = values[root]
    is_signed = at_root[table.instance[open_rows]]
    for number in np.flatnonzero(table.item[open_rows] != ROOT).tolist():
        is_signed[number] = nearest(table, int(open_rows[number]), signed, default=bool(is_signed[number]))
    vr[open_rows] = np.where(is_signed, SS, US)
    return replace(table, vr=vr)


def _last_of_each(table: ElementTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of elements of one tag the last in each data set, which is the one that counts (PS3.5 7.1 allows one)."""
    backwards = rows[::-1]
    return backwards[np.unique(containers(table, backwards), return_index=True)[1]]


def _signs(table: ElementTable, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """What each Pixel Representation says, however it is stored; one that has items says nothing of the kind."""
    plain = (table.vr[rows] == US) & (table.length[rows] == 2) & ~table.walked[rows]
    signs, place = np.zeros(len(rows), np.bool_), table.offset[rows[plain]]
    signs[plain] = (table.arena[place] == 1) & (table.arena[place + 1] == 0)
    for number in np.flatnonzero(~plain & ~table.walked[rows]).tolist():
        signs[number] = is_signed(table.value(int(rows[number])), VR_CODES[int(table.vr[rows[number]])])
    return signs


def is_signed(value: bytes, vr: str) -> bool:
    """Whether a Pixel Representation is 1, "two's complement" (PS3.3 C.7.6.3.1.1); its first number, if it has more."""
    rule = vr_rules.load().vr[vr]
    if rule.unit:
        return len(value) % rule.unit == 0 and len(value) > 0 and bool(np.frombuffer(value, rule.binary)[0] == 1)
    text = value.decode("latin-1").strip(" \0")
    return text.isdecimal() and int(text) == 1


def nearest(table: ElementTable, row: int, by_container: dict[int, T], default: T) -> T:
    """What the item that holds a row has, or the nearest item around it, or the data set."""
    item = int(table.item[row])
    while item != ROOT:
        if item in by_container:
            return by_container[item]
        item = int(table.item[table.item_sequence[item]])
    return by_container.get(-1 - int(table.instance[row]), default)
