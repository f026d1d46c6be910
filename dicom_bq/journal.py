"""A file of JSON objects that is only ever added to; each is on disk before ``append`` returns.

A line is the checksum of an object and the object. A line that was cut off or damaged announces nothing, nor does any
after it. One process has a journal at a time: it is locked, and the lock of a process that was killed is free.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

NEW = ".new"
"""What the name of a journal that is being rewritten ends in."""
LONGEST_FIRST = 1 << 16
"""Bytes; a longer line is none that a journal begins with."""


class Place(NamedTuple):
    """Where a line is in the file, in bytes."""

    offset: int
    length: int


class Journal:
    """An open journal.

    Args:
        path: The file; made, and its directory, when it is not there.

    Raises:
        BlockingIOError: Another process has it.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _locked(path)
        self._end = 0

    def entries(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """What is in it, from the beginning; to be called once, before anything is added."""
        with open(self._descriptor, "rb", closefd=False) as lines:
            for line in lines:
                entry = _checked(line)
                if entry is None:
                    break
                place = Place(self._end, len(line))
                self._end += len(line)
                yield place, entry
        os.ftruncate(self._descriptor, self._end)  # else what comes next would stand in a line that was cut off

    def append(self, entry: dict[str, Any]) -> Place:
        """Add an object.

        Raises:
            OSError: The disk is full, or fails; nothing is added.
        """
        text = json.dumps(entry, separators=(",", ":")).encode()
        line = b"%08x %b\n" % (zlib.crc32(text), text)
        try:
            write(self._descriptor, line, self._end)
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        place = Place(self._end, len(line))
        self._end += len(line)
        return place

    def read(self, place: Place) -> dict[str, Any]:
        """An object that is there.

        Raises:
            OSError: It is no more what it was.
        """
        entry = _checked(read(self._descriptor, place.length, place.offset))
        if entry is None:
            raise OSError(errno.EIO, "the journal was changed by another program", str(self.path))
        return entry

    def clear(self) -> None:
        """Make it empty."""
        os.ftruncate(self._descriptor, 0)
        self._end = 0

    def rewrite(self, places: Iterable[Place]) -> None:
        """Leave these lines and no others, in one step; each has another place then.

        Raises:
            OSError: The disk is full, or fails; nothing has changed.
        """
        new = self.path.with_name(self.path.name + NEW)
        descriptor, end = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), 0
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before anybody can find it
            for place in places:
                write(descriptor, read(self._descriptor, place.length, place.offset), end)
                end += place.length
            os.fdatasync(descriptor)
            self._become(new, descriptor, end)
        except OSError:
            os.close(descriptor)
            new.unlink()
            raise

    def _become(self, new: Path, descriptor: int, end: int) -> None:
        new.replace(self.path)
        os.close(self._descriptor)
        self._descriptor, self._end = descriptor, end

    def remove(self) -> None:
        """Take the file away; from then on it is as if it had never been."""
        self.path.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def first_entry(path: str) -> dict[str, Any]:
    """What a journal begins with, whoever has it; empty if the file is none.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as lines:  # noqa: PTH123
        return _checked(lines.readline(LONGEST_FIRST)) or {}


def _checked(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line[:-1].partition(b" ")
    if line[-1:] != b"\n" or checksum != b"%08x" % zlib.crc32(text):
        return None
    entry: dict[str, Any] = json.loads(text)
    return entry


def _locked(path: Path) -> int:
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # its last holder has taken the directory away in between
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it at a place in a file.

    Raises:
        OSError: The disk is full, or fails.
    """
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def read(descriptor: int, size: int, offset: int) -> bytes:
    """All bytes that were written at a place in a file, however few the system gives at once (2 GiB at most).

    Raises:
        OSError: The disk fails, or the file is shorter than it was.
    """
    pieces, got = list[bytes](), 0
    while got < size:
        data = os.pread(descriptor, size - got, offset + got)
        if not data:
            raise OSError(errno.EIO, "a file was made shorter by another program")
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
