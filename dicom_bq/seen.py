"""Which SOP Instance UIDs were met, and in which file first: on disk, so that their number costs no memory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping

from dicom_bq.errors import kept_in

_CACHE_KIB = 16_384


def digest(uid: bytes) -> bytes:
    """Sixteen bytes that stand for a UID."""
    return hashlib.blake2b(uid, digest_size=16).digest()


class Seen:
    """Digests of UIDs, each with a URI, in a database without a name, which is made when there is something to keep."""

    def __init__(self) -> None:
        self._base: sqlite3.Connection | None = None

    def add(self, first: Mapping[bytes, str]) -> None:
        """Keep digests that are not here yet.

        Raises:
            DestinationError: The disk is full, or fails.
        """
        if not first:
            return
        with _refusals():
            if self._base is None:
                self._base = self._open()
            pairs = [(key, os.fsencode(uri)) for key, uri in first.items()]
            self._base.executemany("INSERT INTO seen VALUES (?, ?)", pairs)

    def get(self, key: bytes) -> str | None:
        """The URI that a digest came with, None for a new one."""
        if self._base is None:
            return None
        with _refusals():
            row = self._base.execute("SELECT uri FROM seen WHERE digest = ?", (key,)).fetchone()
        return None if row is None else os.fsdecode(row[0])

    def has_any(self, keys: Iterable[bytes]) -> bool:
        """Whether one of the digests is here."""
        return any(self.get(key) is not None for key in keys)

    def _open(self) -> sqlite3.Connection:
        base = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "": gone when it is closed
        weakref.finalize(self, base.close)
        for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            base.execute(f"PRAGMA {pragma}")
        base.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, uri BLOB) WITHOUT ROWID")
        return base


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    with kept_in(tempfile.gettempdir()):
        try:
            yield
        except sqlite3.Error as error:  # it is told what is wrong with the disk, never with the rows
            raise OSError(errno.EIO, str(error)) from error
