"""GDCM (C++, by its SWIG bindings) reading each file up to Pixel Data; values stay undecoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contenders import Outcome, package

TITLE = "python-gdcm `ReadUpToTag`, values not decoded"
_module: Any = None


def prepare(options: Mapping[str, object]) -> None:
    """Imports gdcm and silences it."""
    global _module  # noqa: PLW0603
    _module = package("gdcm", "python-gdcm")
    _module.Trace.WarningOff()
    _module.Trace.ErrorOff()


def run(paths: Sequence[str]) -> Outcome:
    """Reads every file; counts those it refuses."""
    refused = 0
    for path in paths:
        reader = _module.Reader()
        reader.SetFileName(path)
        refused += not reader.ReadUpToTag(_module.Tag(0x7FE0, 0x0010))
    return Outcome(len(paths), facts={"refused": refused})
