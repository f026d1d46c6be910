"""Lists of sources: one path a line, or with a NUL after each, as ``find -print0`` writes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, cast

from dicom_bq.errors import UsageError
from dicom_bq.sources.names import printable

STDIN = "-"
PREFIX = "@"
PIECE = 1 << 16
LONGEST_ENTRY = 1 << 20
"""Bytes; a file with more of them before the next line ends is no list."""
_BOM = b"\xef\xbb\xbf"


def is_list(source: str) -> bool:
    """Whether a source is a list: ``-``, or ``@FILE`` unless there is a file of that name."""
    return source == STDIN or (source.startswith(PREFIX) and len(source) > 1 and not os.path.lexists(source))


def is_known(source: str) -> bool:
    """Whether a list can be told from another without reading it: not if it comes through stdin or a pipe."""
    path = source[len(PREFIX) :]
    return source != STDIN and (os.path.isfile(path) or not os.path.exists(path))  # noqa: PTH110, PTH113


def identity(source: str) -> str:
    """What tells lists apart without reading them, where that can be."""
    if not is_known(source):
        return STDIN
    path = os.path.realpath(source[len(PREFIX) :])
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return path
    return f"@{path} {status.st_size} {status.st_mtime_ns}"


def check_list(source: str) -> None:
    """See that a list can be read, without reading it.

    A named pipe is opened once only: whoever writes to it ends when it is closed.

    Raises:
        UsageError: It cannot.
    """
    if source == STDIN or not Path(source[len(PREFIX) :]).is_fifo():
        with _open(source):
            pass


def read_list(source: str) -> Iterator[str]:
    r"""Paths in a list, as they are: lines end in LF or CRLF, or in NUL where there is one; empty ones are left out.

    Bytes that are not UTF-8 become what ``os.fsdecode`` makes of them.

    Args:
        source: ``-`` for stdin, or ``@FILE``.

    Raises:
        UsageError: It cannot be read, or there is no path in it.
    """
    empty = True
    with _open(source) as file:
        for entry in _entries(source, file):
            if entry.strip():
                empty = False
                yield os.fsdecode(entry)
    if empty:
        raise UsageError(reason=f"{_shown(source)}: the list is empty")


def _shown(source: str) -> str:
    return "stdin" if source == STDIN else printable(source[len(PREFIX) :])


def _open(source: str) -> AbstractContextManager[BinaryIO]:
    if source == STDIN:
        return _stdin()
    try:
        return Path(source[len(PREFIX) :]).open("rb")
    except OSError as error:
        raise UsageError(reason=f"{_shown(source)}: the list cannot be read: {error.strerror}") from error


def _stdin() -> AbstractContextManager[BinaryIO]:
    """Stdin, read without Python's own buffer: a thread that waits with that in hand lets no process end in peace."""
    if sys.stdin is None:
        raise UsageError(reason="stdin is closed: give it a list to read, or leave - out")
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (AttributeError, OSError, ValueError):  # it is none of the operating system
        return nullcontext(cast("BinaryIO", sys.stdin.buffer))


def _entries(source: str, file: BinaryIO) -> Iterator[bytes]:
    try:
        rest = file.read(PIECE).removeprefix(_BOM)
        separator = b"\0" if b"\0" in rest else b"\n"
        ending = b"" if separator == b"\0" else b"\r"
        while True:
            *entries, rest = rest.split(separator)
            for entry in entries:
                yield entry.removesuffix(ending)
            piece = file.read(PIECE)
            if not piece:
                break
            rest += piece
            if len(rest) > LONGEST_ENTRY:
                raise UsageError(reason=f"{_shown(source)}: not a list of paths: a line of more than a megabyte")
    except OSError as error:
        raise UsageError(reason=f"{_shown(source)}: the list cannot be read: {error.strerror}") from error
    yield rest.removesuffix(ending)
