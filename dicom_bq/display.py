"""How far a job is, said on stderr: a bar on a terminal, else a line a minute.

A thread of its own says it, so that it is said too while one step takes long.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

from dicom_bq.progress import Progressed

FIRST_AFTER = 2.0
"""Seconds until there is a bar; a job that takes less says nothing."""
EVERY = 0.2
"""Seconds between two bars."""
LINE_EVERY = 60.0
"""Seconds between two lines, where there is no terminal."""
WIDTH = 24
"""Characters of a bar."""
NEW_LINE = "\r\033[K"
"""Begins the line of a terminal again, empty."""


class Display:
    """Shows how far a job is, from ``with`` to its end.

    Args:
        stream: A bar is drawn here if it is a terminal.
        say: Else called once a minute, with a line and the counts in it.
        quiet: Show nothing.
        bar: Draw one, if there is a terminal.
    """

    def __init__(self, stream: TextIO, say: Callable[..., None], *, quiet: bool = False, bar: bool = True) -> None:
        self._stream, self._say, self._quiet = stream, say, quiet
        self._bar = bar and stream.isatty()
        self._started = time.monotonic()
        self._next = self._started + (FIRST_AFTER if self._bar else LINE_EVERY)
        self._now = Progressed()
        self._shown = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicom-bq display", daemon=True)

    def __enter__(self) -> Self:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Take the bar away for good."""
        self._ended.set()
        if self._thread.ident:
            self._thread.join(EVERY)  # a terminal that takes no more text is not waited for
        self.clear()

    def clear(self) -> None:
        """Take the bar away, so that other text can follow."""
        if self._shown:
            self._shown = False
            self._write(NEW_LINE)

    def __call__(self, now: Progressed) -> None:
        """The job is so far."""
        self._now = now

    def tick(self) -> None:
        """Show it if it is time to."""
        at = time.monotonic()
        if at < self._next:
            return
        seconds = at - self._started
        if self._bar:
            self._next, self._shown = at + EVERY, True
            self._write(NEW_LINE + self._bar_of(seconds)[: self._columns() - 1])
        else:
            self._next = at + LINE_EVERY
            self._say(describe(self._now, seconds), **counts(self._now, seconds))

    def _run(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody takes it any more
            while not self._ended.wait(EVERY):
                self.tick()

    def _bar_of(self, seconds: float) -> str:
        share = share_of(self._now)
        drawn = "" if share is None else f"[{'#' * int(WIDTH * share):-<{WIDTH}}] {share:4.0%}  "
        return drawn + describe(self._now, seconds)

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody takes it any more
            self._stream.write(text)
            self._stream.flush()


def share_of(now: Progressed) -> float | None:
    """How much of the present step is done: reading, then writing; None where that is not known."""
    if now.is_read:
        return min(1.0, now.written / now.exported) if now.exported else None
    return now.found / now.listed if now.listing_done and now.listed else None


def describe(now: Progressed, seconds: float) -> str:
    """A line for people.

    Args:
        now: How far the job is.
        seconds: Since it began.

    >>> describe(Progressed(found=3000, failed=2, listed=9000, listing_done=True), 10)
    '3,000 of 9,000 files, 300 files/s, 2 failed, 20 s left'
    >>> describe(Progressed(found=9000, exported=8998, listed=9000, listing_done=True, written=1000), 40)
    '9,000 files read, 0 failed; writing: 1,000 of 8,998 rows'
    """
    if now.is_read and now.found:
        rows = f"writing: {now.written:,} of {now.exported:,} rows"
        written = now.written >= now.exported
        return f"{now.found:,} files read, {now.failed:,} failed; {'finishing the table' if written else rows}"
    rate = now.found / seconds if seconds else 0.0
    total = f" of {now.listed:,}" if now.listing_done else ""
    left = f", {duration((now.listed - now.found) / rate)} left" if now.listing_done and rate else ""
    return f"{now.found:,}{total} files, {rate:,.0f} files/s, {now.failed:,} failed{left}"


def counts(now: Progressed, seconds: float) -> dict[str, Any]:
    """The same for programs."""
    found: dict[str, Any] = {
        "found": now.found,
        "exported": now.exported,
        "failed": now.failed,
        "listed": now.listed,
        "listingDone": now.listing_done,
        "written": now.written,
        "seconds": round(seconds, 1),
    }
    return found


def duration(seconds: float) -> str:
    """Seconds as one reads them.

    >>> [duration(seconds) for seconds in (4.2, 75, 3700, 90000)]
    ['4 s', '1 min 15 s', '1 h 01 min', '25 h 00 min']
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
