"""The floor of reading: open each file, read its first 8 KiB, close it. Nothing in Python can be faster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from benchmarks.contenders import Outcome

TITLE = "open + read 8 KiB + close"
FIRST_READ = 8192


def prepare(options: Mapping[str, object]) -> None:
    """Nothing to do."""


def run(paths: Sequence[str]) -> Outcome:
    """Reads and forgets."""
    read = 0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        read += len(os.read(descriptor, FIRST_READ))
        os.close(descriptor)
    return Outcome(len(paths), facts={"bytes": read})
