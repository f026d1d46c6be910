"""Where data sets begin in the beginnings of files, and how they are encoded: meta information, walked in lock-step.

What is not found here, or not as it should be, is for the scalar walker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.scan.heads import Heads
from dicom_bq.scan.lanes import HALF, NOT_A_VR, WORD, vr_table, words
from dicom_bq.scan.meta import (
    BIG_ENDIAN_UID,
    DEFLATED_UIDS,
    DIRECTORY_GROUP,
    IMPLICIT_UID,
    MEDIA_STORAGE_DIRECTORY,
    META_SOP_CLASS,
    META_TRANSFER_SYNTAX,
    Meta,
    form_of,
    found_form,
    starts_with_element,
)
from dicom_bq.scan.rows import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Form
from dicom_bq.scan.tables import LONG
from dicom_bq.spans import distinct_values

Array: TypeAlias = npt.NDArray[Any]

PREFIX = 128
"""Bytes of the preamble; the prefix follows it (PS3.10 7.1)."""
PREFIX_WORD = int.from_bytes(b"DICM", "little")
FORMS = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
LONGEST_UID = 128
"""Bytes looked at: twice what a UID may have (PS3.5 6.2), so that a longer one is not taken for one of these."""
DIRECTORY_GROUPS = (DIRECTORY_GROUP, DIRECTORY_GROUP << 8)
"""The group that a directory begins with, little and big endian."""
FIRST_SIX = np.uint64((1 << 48) - 1)
"""Tag and VR, of a header as a number."""
META_STEPS = 64
"""Elements of group 0002 looked at; there are 16 in the standard."""


@dataclass(frozen=True, slots=True)
class DataSets:
    """What the file meta information says, file by file.

    Attributes:
        meta: Position of the first element of group 0002; int64.
        start: Position of the data set; int64.
        forms: File numbers of the data sets of each form.
        unfinished: Files of which more is needed to know; file numbers.
    """

    meta: Array
    start: Array
    forms: dict[Form, Array]
    unfinished: Array


def find_data_sets(heads: Heads, files: Array) -> DataSets:
    """Walk the file meta information of files in lock-step; what is not found is for the scalar walker.

    Args:
        heads: Beginnings of files, some of them.
        files: Numbers of those that begin at the file's first byte.
    """
    meta, word_at = heads.start + PREFIX + 4, words(heads.arena)
    if not len(files):
        nobody = np.zeros(0, np.int64)
        return DataSets(meta, meta, dict.fromkeys(FORMS, nobody), nobody)
    files = files[heads.missing[files] >= 0]
    long_enough = heads.end[files] - heads.start[files] > PREFIX + 4
    has_prefix = long_enough & ((word_at[heads.start[files] + PREFIX] & WORD) == PREFIX_WORD)
    bare: dict[Form, list[int]] = {form: [] for form in FORMS}
    prefixed = [*files[has_prefix].tolist(), *_without_prefix(heads, meta, files[~has_prefix], bare)]
    steps = _walk_meta(heads, meta, np.array(sorted(prefixed), np.int64))
    forms = _sort(heads, steps)
    for form, numbers in bare.items():
        if numbers:
            forms[form] = np.union1d(forms[form], np.array(numbers, np.int64))
    return DataSets(meta, steps.position, forms, np.flatnonzero(steps.short & (heads.missing > 0)))


@dataclass(frozen=True, slots=True)
class _Steps:
    """How far file meta information was walked, by file.

    Attributes:
        position: Where the walk stopped; int64.
        uids: Position and length of the value of some tags, 0 where there is none; int64, shape (files, 2).
        done: Its end was found; bool.
        short: It goes on behind the bytes read; bool.
    """

    position: Array
    uids: dict[int, Array]
    done: Array
    short: Array


def _walk_meta(heads: Heads, meta: Array, live: Array) -> _Steps:
    """Walk the elements of group 0002 (PS3.10 7.1, explicit VR little endian), one of each file a step.

    Args:
        heads: Beginnings of files.
        meta: Position of the first element.
        live: Numbers of the files that have it.
    """
    position, word_at = meta.copy(), words(heads.arena)
    uids: dict[int, Array] = {tag: np.full((len(meta), 2), 0) for tag in (META_TRANSFER_SYNTAX, META_SOP_CLASS)}
    done, short = np.zeros(len(meta), np.bool_), np.zeros(len(meta), np.bool_)
    for _ in range(META_STEPS):
        fits = position[live] + 12 <= heads.end[live]
        short[live[~fits]] = True
        live = live[fits]
        if not len(live):
            break
        header = word_at[position[live]]
        inside = (header & HALF) == 2
        done[live[~inside]] = True
        live, header = live[inside], header[inside]
        code = vr_table()[((header >> np.uint64(32)) & HALF).astype(np.intp)]
        valid = code != NOT_A_VR
        live, header, code = live[valid], header[valid], code[valid]
        long = (code & LONG) != 0
        length = np.where(long, word_at[position[live] + 8] & WORD, header >> np.uint64(48)).astype(np.int64)
        value = position[live] + np.where(long, 12, 8)
        for tag, found in uids.items():
            here = (header & WORD) == ((tag & 0xFFFF) << 16 | tag >> 16)
            found[live[here], 0], found[live[here], 1] = value[here], length[here]
        position[live] = value + length
    return _Steps(position, uids, done, short)


def _without_prefix(heads: Heads, meta: Array, files: Array, bare: dict[Form, list[int]]) -> Iterator[int]:
    """Files that begin with an element: numbers of those that have meta information all the same; ``meta`` is set.

    Those with nothing but a data set go to ``bare``, by the form that the first element shows. What begins with a
    directory's group, or with nothing plausible, is left out.
    """
    for number in files.tolist():
        head = heads.arena[heads.start[number] : min(heads.start[number] + PREFIX * 4, heads.end[number])].tobytes()
        if int.from_bytes(head[:2], "little") in DIRECTORY_GROUPS or not starts_with_element(head):
            continue
        meta[number] = heads.start[number]
        if head[:2] == b"\2\0":
            yield number
        else:
            bare[form_of(Meta(0, head, "", ""))[0]].append(number)


def _sort(heads: Heads, steps: _Steps) -> dict[Form, Array]:
    """Divide files by transfer syntax; those whose first element looks otherwise are for the scalar walker."""
    done = np.flatnonzero(steps.done)
    syntaxes, syntax_of = _distinct(heads, steps.uids[META_TRANSFER_SYNTAX][done])
    classes, class_of = _distinct(heads, steps.uids[META_SOP_CLASS][done])
    form_numbers = np.array([[_form_number(syntax, sop) for sop in classes] for syntax in syntaxes], np.int8)
    numbers = form_numbers[syntax_of, class_of] if len(done) else np.zeros(0, np.int8)
    header = words(heads.arena)[steps.position[done]]
    group = header & HALF
    numbers[(group == DIRECTORY_GROUPS[0]) | (group == DIRECTORY_GROUPS[1])] = -1
    first = (header & FIRST_SIX) | numbers.view(np.uint8).astype(np.uint64) << np.uint64(48)
    kinds, kind_of = np.unique(first, return_inverse=True)
    so_written = np.array([_is_written_so(kind) for kind in kinds.tolist()], np.bool_)[kind_of]
    return {form: done[(numbers == at) & so_written] for at, form in enumerate(FORMS)}


@lru_cache(1 << 12)
def _is_written_so(kind: int) -> bool:
    """Whether the first six bytes of a data set look as the form says whose number stands behind them."""
    first, number = (kind & int(FIRST_SIX)).to_bytes(6, "little"), kind >> 48
    return number < len(FORMS) and any(first) and found_form(first, FORMS[number], is_declared=True) == FORMS[number]


def _distinct(heads: Heads, found: Array) -> tuple[list[bytes], Array]:
    """Different UIDs, without padding, among those found at some positions with some lengths; which each one is."""
    values, value_of = distinct_values(heads.arena, found[:, 0], np.minimum(found[:, 1], LONGEST_UID))
    return [value.rstrip(b"\0 ") for value in values], value_of


@cache
def _form_numbers() -> dict[bytes, int]:
    left_out = dict.fromkeys((b"", *(uid.encode() for uid in DEFLATED_UIDS)), -1)
    return left_out | {IMPLICIT_UID.encode(): 1, BIG_ENDIAN_UID.encode(): 2}


def _form_number(syntax: bytes, sop_class: bytes) -> int:
    """Number in ``FORMS``, -1 for what the scalar walker reads."""
    return -1 if sop_class == MEDIA_STORAGE_DIRECTORY.encode() else _form_numbers().get(syntax, 0)
