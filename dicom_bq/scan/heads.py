"""Bytes of many files in one arena, mostly their first ones, and where in them each data set begins.

Opening ahead matters on a cold disk: 256 files are opened and announced to the kernel (POSIX_FADV_WILLNEED) before
the first of them is read, so that their blocks arrive together. On a warm cache it costs next to nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.scan.lanes import HALF, NOT_A_VR, PADDING, WORD, vr_table, words
from dicom_bq.scan.meta import (
    BIG_ENDIAN_UID,
    DEFLATED_UIDS,
    IMPLICIT_UID,
    MEDIA_STORAGE_DIRECTORY,
    META_SOP_CLASS,
    META_TRANSFER_SYNTAX,
    Meta,
    form_of,
    starts_with_element,
)
from dicom_bq.scan.rows import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Form
from dicom_bq.scan.tables import LONG
from dicom_bq.spans import distinct_values

Array: TypeAlias = npt.NDArray[Any]

WINDOW = 256
"""Files open at a time."""
PREFIX = 128
"""Bytes of the preamble; the prefix follows it (PS3.10 7.1)."""
PREFIX_WORD = int.from_bytes(b"DICM", "little")
FORMS = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
LONGEST_UID = 128
"""Bytes looked at: twice what a UID may have (PS3.5 6.2), so that a longer one is not taken for one of these."""
META_STEPS = 64
"""Elements of group 0002 looked at; there are 16 in the standard."""


class Place(NamedTuple):
    """Where a file is.

    Attributes:
        path: Of the file, or of the archive that it is in.
        start: Its first byte there.
        size: Its bytes; None for all that are there.
        modified: When that file was, if it has to be the same; nanoseconds since 1970.
    """

    path: str
    start: int = 0
    size: int | None = None
    modified: int | None = None


@dataclass(frozen=True, slots=True)
class Heads:
    """Beginnings of files, or of what follows a value that was passed over.

    Attributes:
        arena: All of them, one after the other at even positions, ``lanes.PADDING`` bytes at the end; uint8.
        start: Position of each file's first byte; int64.
        end: Position after its last byte read; int64.
        missing: Bytes of the file after those; int64; -1 for a file that could not be read.
    """

    arena: Array
    start: Array
    end: Array
    missing: Array


def read_heads(places: Sequence[Place], offsets: Array, size: int) -> Heads:
    """Read ``size`` bytes of each file.

    Args:
        places: Where the files are.
        offsets: Where in each file to begin, mostly 0; int64.
        size: Bytes, even.
    """
    count = len(places)
    arena = np.empty(count * size + PADDING, np.uint8)
    view = arena.data
    start = np.arange(count, dtype=np.int64) * size
    end, missing = start.copy(), np.full(count, -1, np.int64)
    for number, descriptor in _opened(places, offsets, size):
        try:
            status, place = os.fstat(descriptor), places[number]
            if stat.S_ISREG(status.st_mode) and place.modified in {None, status.st_mtime_ns}:
                at, offset = number * size, int(offsets[number])
                there = status.st_size - place.start if place.size is None else place.size
                got = os.preadv(descriptor, [view[at : at + min(size, max(there - offset, 0))]], place.start + offset)
                end[number] += got
                missing[number] = max(min(there, status.st_size - place.start) - offset - got, 0)
        except OSError:
            missing[number] = -1
        finally:
            os.close(descriptor)
    arena[count * size :] = 0
    return Heads(arena, start, end, missing)


def _opened(places: Sequence[Place], offsets: Array, size: int) -> Iterator[tuple[int, int]]:
    """Numbers and descriptors of the files that open, a window ahead of their use."""
    for first in range(0, len(places), WINDOW):
        window: list[tuple[int, int]] = []
        try:
            for number in range(first, min(first + WINDOW, len(places))):
                place = places[number]
                descriptor = _open(place.path, place.start + int(offsets[number]), size)
                if descriptor >= 0:
                    window.append((number, descriptor))
            while window:
                yield window.pop(0)
        finally:
            for _, descriptor in window:
                os.close(descriptor)


def _open(path: str, offset: int, size: int) -> int:
    """A descriptor, -1 where there is none to be had; the scalar path says why."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return -1
    if hasattr(os, "posix_fadvise"):
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)
        except OSError:  # a pipe, say
            pass
    return descriptor


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
    files = files[heads.missing[files] >= 0]
    long_enough = heads.end[files] - heads.start[files] > PREFIX + 4
    has_prefix = long_enough & ((word_at[heads.start[files] + PREFIX] & WORD) == PREFIX_WORD)
    bare: dict[Form, list[int]] = {form: [] for form in FORMS}
    prefixed = [*files[has_prefix].tolist(), *_without_prefix(heads, meta, files[~has_prefix], bare)]
    live, position = np.array(sorted(prefixed), np.int64), meta.copy()
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
    forms = _sort(heads, position, uids, np.flatnonzero(done))
    for form, numbers in bare.items():
        forms[form] = np.union1d(forms[form], np.array(numbers, np.int64))
    return DataSets(meta, position, forms, np.flatnonzero(short & (heads.missing > 0)))


def _without_prefix(heads: Heads, meta: Array, files: Array, bare: dict[Form, list[int]]) -> Iterator[int]:
    """Files that begin with an element: numbers of those that have meta information all the same; ``meta`` is set.

    Those with nothing but a data set go to ``bare``, by the form that the first element shows. What begins with a
    directory's group 0004, or with nothing plausible, is left out.
    """
    for number in files.tolist():
        head = heads.arena[heads.start[number] : min(heads.start[number] + PREFIX * 4, heads.end[number])].tobytes()
        if head[:2] in (b"\4\0", b"\0\4") or not starts_with_element(head):
            continue
        meta[number] = heads.start[number]
        if head[:2] == b"\2\0":
            yield number
        else:
            bare[form_of(Meta(0, head, "", ""))[0]].append(number)


def _sort(heads: Heads, position: Array, uids: dict[int, Array], done: Array) -> dict[Form, Array]:
    """Divide files by transfer syntax; those whose first element looks otherwise are for the scalar walker."""
    word_at = words(heads.arena)
    syntaxes, syntax_of = _distinct(heads, uids[META_TRANSFER_SYNTAX][done])
    classes, class_of = _distinct(heads, uids[META_SOP_CLASS][done])
    form_numbers = np.array([[_form_number(syntax, sop) for sop in classes] for syntax in syntaxes], np.int8)
    numbers = form_numbers[syntax_of, class_of] if len(done) else np.zeros(0, np.int8)
    code = vr_table()[((word_at[position[done]] >> np.uint64(32)) & HALF).astype(np.intp)]
    has_vr = code != NOT_A_VR
    return {form: done[(numbers == at) & (has_vr != form.implicit)] for at, form in enumerate(FORMS)}


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
