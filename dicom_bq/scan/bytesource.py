"""Bytes of one data set on demand: a plain file, or a deflated one that is inflated no further than needed."""

from __future__ import annotations

import os
import zlib
from typing import Protocol

from dicom_bq.errors import ScanError

INFLATE_STEP = 1 << 16


class ByteSource(Protocol):
    """Something that can be read from any position, as far as it goes."""

    def read(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``position``; fewer only where the source ends."""
        ...


class FileSource:
    """A file, by its descriptor.

    Args:
        descriptor: Open for reading.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def read(self, position: int, size: int) -> bytes:
        """Read as ``ByteSource.read`` says; a short read is repeated until the end of the file is certain."""
        data = os.pread(self.descriptor, size, position)
        while len(data) < size:
            more = os.pread(self.descriptor, size - len(data), position + len(data))
            if not more:
                break
            data += more
        return data


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


class DeflatedSource:
    """The inflated view of a deflated data set (PS3.5 A.5), which is a raw RFC 1951 stream.

    Args:
        compressed: Where the stream is.
        start: Its first byte.
        limit: Bytes it may inflate to at most.
    """

    def __init__(self, compressed: ByteSource, start: int, limit: int) -> None:
        self._compressed = compressed
        self._next = start
        self._limit = limit
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._inflated = bytearray()

    def read(self, position: int, size: int) -> bytes:
        """Read as ``ByteSource.read`` says.

        Raises:
            ScanError: The stream is broken, ends early, or inflates past the limit.
        """
        while len(self._inflated) < position + size and not self._inflater.eof:
            self._inflate()
        return bytes(self._inflated[position : position + size])

    def _inflate(self) -> None:
        pending = self._inflater.unconsumed_tail
        if not pending:
            pending = self._compressed.read(self._next, INFLATE_STEP)
            self._next += len(pending)
            if not pending:
                raise ScanError(reason="deflated data set ends early", offset=self._next)
        try:
            self._inflated += self._inflater.decompress(pending, INFLATE_STEP * 16)
        except zlib.error:
            raise ScanError(reason="deflated data set is damaged", offset=self._next) from None
        if len(self._inflated) > self._limit:
            raise ScanError(reason=f"data set inflates to more than {self._limit} bytes", offset=self._next)
