"""Bytes on demand: a file, a part of one, or what a compressed stream inflates to, no further than needed."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Protocol

from dicom_bq.errors import DamagedError

INFLATE_STEP = 1 << 16
"""Compressed bytes read at once."""
SMALLEST_STEP, LARGEST_STEP = 1 << 14, 1 << 20
"""Bytes inflated at once."""
RAW, GZIP = -zlib.MAX_WBITS, zlib.MAX_WBITS + 16
"""What zlib calls an RFC 1951 stream by itself, and one in the frame of RFC 1952."""
GZIP_MAGIC = b"\x1f\x8b"


class ByteSource(Protocol):
    """Something that can be read from any position, as far as it goes."""

    def read(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``position``; fewer only where the source ends."""
        ...

    def reaches(self, position: int) -> bool:
        """Whether there are so many bytes, at least 1."""
        ...


class FileSource:
    """A file, by its descriptor.

    Args:
        descriptor: Open for reading.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def read(self, position: int, size: int) -> bytes:
        """Read as ``ByteSource.read`` says; a short read is repeated until the end of the file is certain.

        No more is asked for than the file has: room is made for what is asked for, and a header may claim anything.
        """
        end = min(position + size, os.fstat(self.descriptor).st_size)
        pieces = []
        while position < end and (piece := os.pread(self.descriptor, end - position, position)):
            pieces.append(piece)
            position += len(piece)
        return b"".join(pieces)

    def reaches(self, position: int) -> bool:
        """As ``ByteSource.reaches`` says."""
        return bool(os.pread(self.descriptor, 1, position - 1))


class BytesSource:
    """Bytes in memory.

    Args:
        data: All of them.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, position: int, size: int) -> bytes:
        """Read as ``ByteSource.read`` says."""
        return self.data[position : position + size]

    def reaches(self, position: int) -> bool:
        """As ``ByteSource.reaches`` says."""
        return position <= len(self.data)


class RangeSource:
    """A part of another source.

    Args:
        source: The other.
        start: Its first byte.
        size: Bytes, unless the other ends before.
    """

    def __init__(self, source: ByteSource, start: int, size: int) -> None:
        self._source, self._start, self._size = source, start, size

    def read(self, position: int, size: int) -> bytes:
        """Read as ``ByteSource.read`` says."""
        size = min(size, self._size - position)
        return self._source.read(self._start + position, size) if size > 0 else b""

    def reaches(self, position: int) -> bool:
        """As ``ByteSource.reaches`` says."""
        return position <= self._size and self._source.reaches(self._start + position)


@dataclass(frozen=True, slots=True)
class Inflation:
    """What a compressed stream is, and what it may become.

    Attributes:
        what: Its name in messages.
        frame: ``RAW`` or ``GZIP``; of the latter, several may follow each other (RFC 1952 2.2).
        size: Bytes that it is said to inflate to; there are no more. None if nothing says so.
        limit: Bytes it may inflate to at most, None for any number.
        ratio: It may inflate to so many times its size, if that is more than ``ratio_from`` bytes; 0 for any.
        ratio_from: See ``ratio``.
    """

    what: str
    frame: int = RAW
    size: int | None = None
    limit: int | None = None
    ratio: int = 0
    ratio_from: int = 0


class InflatedSource:
    """The inflated view of a deflated data set (PS3.5 A.5), of a member of an archive, or of a file.

    It is made to be read forwards: what lies before the last read is forgotten, and inflated again when asked for.

    Args:
        compressed: Where the stream is.
        start: Its first byte.
        inflation: What it is.
    """

    def __init__(self, compressed: ByteSource, start: int, inflation: Inflation) -> None:
        self._compressed, self._start, self._inflation = compressed, start, inflation
        self._rewind()

    def _rewind(self) -> None:
        self._next = self._start
        self._pending = b""
        self._inflater = zlib.decompressobj(self._inflation.frame)
        self._base = 0  # position of the first byte that is held
        self._held = bytearray()

    def read(self, position: int, size: int) -> bytes:
        """Read as ``ByteSource.read`` says.

        Raises:
            DamagedError: The stream is broken, ends early, or inflates past a limit.
        """
        end = position + size
        if self._inflation.size is not None:
            end = min(end, self._inflation.size)
        if end <= position:
            return b""
        self._go(position, end)
        start = position - self._base
        return bytes(self._held[start : end - self._base])

    def held(self, position: int) -> bytes:
        """What is there from ``position`` on without inflating any more: all there is to be had after an error."""
        return bytes(self._held[max(position - self._base, 0) :])

    def reaches(self, position: int) -> bool:
        """As ``ByteSource.reaches`` says; a size that something says is believed.

        Raises:
            DamagedError: As ``read``.
        """
        if self._inflation.size is not None:
            return position <= self._inflation.size
        self._go(min(position, self._reach), position)
        return self._reach >= position

    @property
    def _reach(self) -> int:
        return self._base + len(self._held)

    def _go(self, position: int, end: int) -> None:
        """Hold what lies between two positions, as far as there is anything."""
        if position < self._base:
            self._rewind()
        while self._reach < end and self._inflate(min(max(end - self._reach, SMALLEST_STEP), LARGEST_STEP)):
            passed = min(position - self._base, len(self._held))
            del self._held[:passed]
            self._base += passed

    def _inflate(self, most: int) -> bool:
        """Inflate some more; False at the end."""
        if self._inflater.eof and not self._next_frame():
            return False
        pending = self._pending or self._take()
        try:
            inflated = self._inflater.decompress(pending, most)
        except zlib.error:
            raise self._damaged(reason=f"deflated {self._inflation.what} is damaged") from None
        if not pending and not inflated and not self._inflater.eof:
            raise self._damaged(reason=f"deflated {self._inflation.what} ends early")
        self._pending = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        self._held += inflated
        self._check()
        return True

    def _take(self) -> bytes:
        data = self._compressed.read(self._next, INFLATE_STEP)
        self._next += len(data)
        return data

    def _next_frame(self) -> bool:
        """Begin the gzip frame that follows, if one does: zeros in between are padding, anything else is not read."""
        if self._inflation.frame != GZIP:
            return False
        self._pending = self._pending.lstrip(b"\0")
        while len(self._pending) < len(GZIP_MAGIC) and (more := self._take()):
            self._pending = (self._pending + more).lstrip(b"\0")
        if not self._pending.startswith(GZIP_MAGIC):
            self._pending = b""
            return False
        self._inflater = zlib.decompressobj(GZIP)
        return True

    def _check(self) -> None:
        inflation, reach = self._inflation, self._reach
        if inflation.limit is not None and reach > inflation.limit:
            raise self._damaged(reason=f"{inflation.what} inflates to more than {inflation.limit} bytes")
        if inflation.ratio and reach > max(inflation.ratio_from, inflation.ratio * (self._next - self._start)):
            raise self._damaged(reason=f"{inflation.what} inflates to more than {inflation.ratio} times its size")

    def _damaged(self, reason: str) -> DamagedError:
        return DamagedError(reason=reason, offset=self._next)
