"""dicomsdl (C++) reading every value into Python objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contenders import Outcome, package

TITLE = "dicomsdl, every value"
PIXEL_DATA = 0x7FE00010
DataSet = Any  # of a package without types
_module: Any = None


def prepare(options: Mapping[str, object]) -> None:
    """Imports dicomsdl."""
    global _module  # noqa: PLW0603
    _module = package("dicomsdl", "dicomsdl")


def _touch(dataset: DataSet) -> int:
    values = 0
    for element in dataset:
        values += 1
        if element.vr() == _module.VR.SQ:
            values += sum(map(_touch, element.toSequence()))
        else:
            element.value()
    return values


def run(paths: Sequence[str]) -> Outcome:
    """Opens every file and looks at every value; counts the files it refuses."""
    values = refused = 0
    for path in paths:
        try:
            values += _touch(_module.open_file(path, PIXEL_DATA))
        except _module.DicomException:
            refused += 1
    return Outcome(len(paths), facts={"elements": values, "refused": refused})
