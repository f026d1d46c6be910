"""How many processes can be of use."""

from __future__ import annotations

import operator
import os

MOST_WORKERS = 64
"""Processes; each needs a few file descriptors here."""


def processors() -> int:
    """Those that this process may use, as far as the operating system tells."""
    if hasattr(os, "process_cpu_count"):
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    return max(1, min(count or 1, MOST_WORKERS))


def processes(asked: int | None) -> int:
    """As many as are asked for; by default one for each processor."""
    return processors() if asked is None else operator.index(asked)
