"""dicomsdl (C++) parsing each file up to Pixel Data; values stay undecoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contenders import Outcome, package

TITLE = "dicomsdl, open only"
PIXEL_DATA = 0x7FE00010
_module: Any = None


def prepare(options: Mapping[str, object]) -> None:
    """Imports dicomsdl."""
    global _module  # noqa: PLW0603
    _module = package("dicomsdl", "dicomsdl")


def run(paths: Sequence[str]) -> Outcome:
    """Opens every file."""
    for path in paths:
        _module.open_file(path, PIXEL_DATA)
    return Outcome(len(paths))
