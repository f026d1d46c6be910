"""Sorting more than memory should hold: in runs that wait in a file without a name, and are merged.

Items are text, or tuples of text and integers: what ``marshal`` can write.
"""

from __future__ import annotations

import heapq
import itertools
import marshal
import os
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import IO, Any, TypeVar

from dicom_bq.errors import DestinationError
from dicom_bq.journal import read, write

T = TypeVar("T", bound=Any)

RUN = 1 << 16
"""Items in memory while they are sorted."""
CHUNK = 1 << 9
"""Items of a run in memory while it is merged."""
_SIZE_BYTES = 8


def in_order(items: Iterable[T], run: int = RUN) -> Iterator[T]:
    """Items in ascending order; all are taken before the first is given.

    Args:
        items: Any number.
        run: So many at most are sorted in memory.

    Raises:
        DestinationError: There is no room for the others in the system's temporary directory (TMPDIR).
    """
    batches = _batched(iter(items), run)
    first, second = next(batches, []), next(batches, None)
    if second is None:
        first.sort()
        yield from first
        return
    with _temporary() as file:
        runs = [_write(file, sorted(batch)) for batch in itertools.chain((first, second), batches)]
        del first, second
        yield from heapq.merge(*(_read(file.fileno(), start, end) for start, end in runs))


class Kept:
    """Texts that can be asked for, most of them on disk.

    Args:
        chunk: So many are in memory.
    """

    def __init__(self, chunk: int = RUN) -> None:
        self._chunk = chunk
        self._firsts: list[str] = []
        self._extents: list[tuple[int, int]] = []
        self._last: list[str] = []
        self._read: tuple[int, list[str]] = (-1, [])
        self._file: IO[bytes] | None = None

    def add(self, text: str) -> None:
        """Keep a text that is greater than those before.

        Raises:
            DestinationError: As for ``in_order``.
        """
        if len(self._last) == self._chunk:
            self._file = self._file or _temporary()
            self._firsts.append(self._last[0])
            self._extents.append(_write(self._file, self._last))
            self._last = []
        self._last.append(text)

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str):
            return False
        texts = self._last if self._last and text >= self._last[0] else self._written(text)
        at = bisect_left(texts, text)
        return at < len(texts) and texts[at] == text

    def _written(self, text: str) -> list[str]:
        """Those written at once, of which a text would be one."""
        number = bisect_right(self._firsts, text) - 1
        if number < 0 or self._file is None:
            return []
        if self._read[0] != number:
            self._read = number, list(_read(self._file.fileno(), *self._extents[number]))
        return self._read[1]

    def close(self) -> None:
        """Give the disk space back."""
        if self._file:
            self._file.close()


def _temporary() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> DestinationError:
    return DestinationError(
        destination=tempfile.gettempdir(),
        reason=f"names cannot be sorted here: {error.strerror}",
        advice="Make room, or set TMPDIR to where there is",
    )


def _end(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _write(file: IO[bytes], items: list[Any]) -> tuple[int, int]:
    """Append items, in chunks that each begin with their size; where they are."""
    start = position = _end(file)
    try:
        for chunk in _batched(iter(items), CHUNK):
            content = marshal.dumps(chunk)
            data = len(content).to_bytes(_SIZE_BYTES, "little") + content
            write(file.fileno(), data, position)
            position += len(data)
    except OSError as error:
        raise _no_room(error) from error
    return start, position


def _read(descriptor: int, start: int, end: int) -> Iterator[Any]:
    """The items that were written there, a chunk at a time."""
    while start < end:
        try:
            size = int.from_bytes(read(descriptor, _SIZE_BYTES, start), "little")
            content = read(descriptor, size, start + _SIZE_BYTES)
        except OSError as error:
            raise _no_room(error) from error
        yield from marshal.loads(content)  # noqa: S302 (written above)
        start += _SIZE_BYTES + size


def _batched(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(itertools.islice(items, size)):
        yield batch
