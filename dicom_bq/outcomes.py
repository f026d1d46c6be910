"""Files that are no row, however many: the first of them in memory, all in a file that is read when it is asked for."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import weakref
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar, overload

from dicom_bq.errors import kept_in

if TYPE_CHECKING:
    from dicom_bq.scan.outcome import Failure, Skipped

T = TypeVar("T", "Failure", "Skipped")

MOST_IN_MEMORY = 1000
"""Outcomes; when there are more, they are read from the file."""
_BLOCK = 1 << 16


class Outcomes(Sequence[T]):
    """Failures or skips in the order met: a sequence of any length in the memory of a short one.

    Args:
        kind: What they are.
        path: File for all of them; None for one without a name, which is made when they become many.

    Attributes:
        codes: How many there are of each code.
        checksum: CRC-32 of what is in the file; 0 without one.
    """

    def __init__(self, kind: type[T], path: Path | None = None) -> None:
        self.codes: Counter[str] = Counter()
        self.checksum = 0
        self._kind: type[T] = kind
        self._path = path
        self._first: list[T] = []
        self._length = 0
        self._file: IO[bytes] | None = None
        self._starts: list[int] = []
        """Where in the file every thousandth is."""
        self._end = 0

    @classmethod
    def load(cls, kind: type[T], path: Path, checksum: int) -> Outcomes[T] | None:
        """What an earlier process has left in a file; None if that is not what it had written, by its checksum."""
        found = cls(kind)
        if _checksum(path) != checksum:
            return None
        if path.exists():
            with path.open("rb") as lines:
                found.extend(kind(*json.loads(line)) for line in lines)
        return found

    def extend(self, outcomes: Iterable[T]) -> None:
        """Add some.

        Raises:
            DestinationError: The disk is full, or fails.
        """
        for outcome in outcomes:
            if self._file is None and (self._path or self._length == MOST_IN_MEMORY):
                self._open()
            self._write(self._length, outcome)
            if self._length < MOST_IN_MEMORY:
                self._first.append(outcome)
            self._length += 1
            self.codes[outcome.code] += 1

    def append(self, outcome: T) -> None:
        """Add one."""
        self.extend((outcome,))

    def sync(self) -> None:
        """Have all of them on disk, if they have a file with a name."""
        if self._file is not None:
            with self._refusals():
                self._file.flush()
                os.fsync(self._file.fileno())

    def _open(self) -> None:
        with self._refusals():
            self._file = open(self._path, "w+b", opener=_private) if self._path else tempfile.TemporaryFile()  # noqa: SIM115 (below)
        weakref.finalize(self, _close, self._file)
        for number, outcome in enumerate(self._first):
            self._write(number, outcome)

    def _write(self, number: int, outcome: T) -> None:
        if self._file is None:
            return
        if number % MOST_IN_MEMORY == 0:
            self._starts.append(self._end)
        line = json.dumps([outcome.uri, outcome.code, outcome.reason]).encode() + b"\n"
        with self._refusals():
            self._file.write(line)
        self._end += len(line)
        self.checksum = zlib.crc32(line, self.checksum)

    def _refusals(self) -> contextlib.AbstractContextManager[None]:
        return kept_in(str(self._path or tempfile.gettempdir()))

    def _read(self, first: int) -> Iterator[T]:
        """Those from a thousandth on, from the file."""
        if self._file is None or first >= len(self._starts):
            return
        with self._refusals():
            self._file.flush()
        offset, rest = self._starts[first], b""
        while block := self._block(self._file, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield self._kind(*json.loads(line))

    def _block(self, file: IO[bytes], offset: int) -> bytes:
        with self._refusals():
            return os.pread(file.fileno(), _BLOCK, offset)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        yield from self._first
        yield from self._read(1)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self._slice(range(*index.indices(self._length)))
        number = range(self._length)[index]  # raises IndexError, and counts from the end
        if number < len(self._first):
            return self._first[number]
        return next(islice(self._read(number // MOST_IN_MEMORY), number % MOST_IN_MEMORY, None))

    def _slice(self, numbers: range) -> list[T]:
        if numbers.step != 1 or not numbers:
            return [self[number] for number in numbers]
        thousandth = numbers[0] // MOST_IN_MEMORY
        start = numbers[0] - thousandth * MOST_IN_MEMORY
        return list(islice(self._read(thousandth) if thousandth else self, start, start + len(numbers)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == yours for mine, yours in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._length:,} of {self._kind.__name__}>"


def number_of(outcomes: Sequence[Failure] | Sequence[Skipped], code: str) -> int:
    """How many have a code."""
    if isinstance(outcomes, Outcomes):
        return outcomes.codes[code]
    return sum(outcome.code == code for outcome in outcomes)


def _checksum(path: Path) -> int:
    checksum = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _close(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):  # what a full disk has no room for has been told before
        file.close()
