"""Bytes of many files in one arena, mostly their first ones.

Opening ahead matters on a cold disk: 256 files are opened and announced to the kernel (POSIX_FADV_WILLNEED) before
the first of them is read, so that their blocks arrive together. On a warm cache it costs next to nothing.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from dicom_bq.scan.lanes import PADDING

Array: TypeAlias = npt.NDArray[Any]

WINDOW = 256
"""Files open at a time."""
_ADVISES = hasattr(os, "posix_fadvise")


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
    count, begins = len(places), offsets.tolist()
    arena = np.empty(count * size + PADDING, np.uint8)
    rooms, got, missing = arena.data, [0] * count, [-1] * count
    for number, descriptor in _opened(places, begins, size):
        room = rooms[number * size : (number + 1) * size]
        try:
            got[number], missing[number] = _read(descriptor, places[number], begins[number], room)
        except OSError:
            got[number], missing[number] = 0, -1
        finally:
            os.close(descriptor)
    arena[count * size :] = 0
    start = np.arange(count, dtype=np.int64) * size
    return Heads(arena, start, start + np.array(got, np.int64), np.array(missing, np.int64))


def _read(descriptor: int, place: Place, offset: int, room: memoryview) -> tuple[int, int]:
    """Bytes read into ``room``, and how many are left in the file; no bytes and -1 for what is not as it was."""
    status = os.fstat(descriptor)
    _, start, size, modified = place
    if not stat.S_ISREG(status.st_mode) or (modified is not None and modified != status.st_mtime_ns):
        return 0, -1
    there = status.st_size - start
    size = there if size is None else size
    got = os.preadv(descriptor, [room[: max(size - offset, 0)]], start + offset)
    return got, max(min(size, there) - offset - got, 0)


def _opened(places: Sequence[Place], offsets: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Numbers and descriptors of the files that open, a window ahead of their use."""
    for first in range(0, len(places), WINDOW):
        window: deque[tuple[int, int]] = deque()
        try:
            for number in range(first, min(first + WINDOW, len(places))):
                place = places[number]
                descriptor = _open(place.path, place.start + offsets[number], size)
                if descriptor >= 0:
                    window.append((number, descriptor))
            while window:
                yield window.popleft()
        finally:
            for _, descriptor in window:
                os.close(descriptor)


def _open(path: str, offset: int, size: int) -> int:
    """A descriptor, -1 where there is none to be had; the scalar path says why."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return -1
    if _ADVISES:
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)
        except OSError:  # a pipe, say
            pass
    return descriptor
