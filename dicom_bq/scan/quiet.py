"""Silence: what pydicom warns of and logs quotes values, which are patients'; what matters is counted instead.

Warnings and logging belong to the process, and so to all of its threads. Here no setting of theirs is changed and put
back, which threads would do to each other: as long as any thread is in a quiet section there is one filter more, for
warnings and for pydicom's log records, that lets nothing through of the threads that are in one.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast


class _Sections(threading.local):
    """Quiet sections that the current thread is in, the outermost first: what was said in each."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []


class _Filter(logging.Filter):
    """Of log records, and of warnings in the place of a pattern for their text."""

    def match(self, text: str) -> bool:
        """Whether a warning is to be ignored: the current thread is in a quiet section, which hears it."""
        if _sections.heard:
            _sections.heard[-1].append(text)
        return bool(_sections.heard)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a log record is to be kept."""
        return not self.match(str(record.msg))


_sections = _Sections()
_filter = _Filter()
_ENTRY = ("ignore", _filter, Warning, None, 0)
"""As it stands in ``warnings.filters``. Without effect outside of quiet sections, should a list keep it: one that
another thread's ``catch_warnings`` has copied."""


def _filters() -> list[object]:
    """Of warnings."""
    return cast("list[object]", warnings.filters)


class _Presence:
    """Puts the filter there with the first section, and takes it away with the last."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a signal's handler may read files too
        self._count = 0
        self._lists: list[list[object]] = []
        """Of warning filters, that it was put in."""

    def begin(self) -> None:
        """Have it there, before all others."""
        with self.lock:
            self._count += 1
            logging.getLogger("pydicom").addFilter(_filter)  # once, however often it is added
            filters = _filters()
            if not filters or filters[0] is not _ENTRY:
                filters.insert(0, _ENTRY)
                self._lists.append(filters)

    def end(self) -> None:
        """Let it go, unless another thread needs it."""
        with self.lock:
            self._count -= 1
            if self._count:
                return
            logging.getLogger("pydicom").removeFilter(_filter)
            lists, self._lists = [*self._lists, _filters()], []
            for filters in lists:
                while _ENTRY in filters:
                    with suppress(ValueError):  # its owner was faster
                        filters.remove(_ENTRY)


_presence = _Presence()


def _after_fork() -> None:
    """Another thread may have been in there, and is not in this process."""
    _presence.lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Let the current thread's warnings, and what pydicom logs in it, go nowhere; the texts can be read afterwards."""
    heard: list[str] = []
    _presence.begin()
    _sections.heard.append(heard)
    try:
        yield heard
    finally:
        _sections.heard.pop()
        _presence.end()
