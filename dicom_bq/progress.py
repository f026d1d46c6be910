"""How far a job is, on a terminal, once it has taken a while."""

from __future__ import annotations

import time
from typing import TextIO

FIRST_AFTER = 2.0
"""Seconds; a job that takes less says nothing."""
EVERY = 0.2
"""Seconds between two lines at least."""


class ProgressLine:
    """One line that is written over as files are read.

    Args:
        stream: Where; nothing is written unless it is a terminal.
        quiet: Write nothing at all.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._silent = quiet or not stream.isatty()
        self._started = time.monotonic()
        self._next = self._started + FIRST_AFTER
        self._shown = False

    def __call__(self, found: int, failed: int) -> None:
        """Show that so many files have been read, and so many of them could not be."""
        now = time.monotonic()
        if self._silent or now < self._next:
            return
        self._next, self._shown = now + EVERY, True
        rate = found / (now - self._started)
        self._stream.write(f"\r\033[K{found:,} files read, {failed:,} failed, {rate:,.0f} files/s")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that other text can follow."""
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
            self._shown = False
