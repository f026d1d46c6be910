"""fastdicom (bindings of dicom-rs) reading every value into Python objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contenders import Outcome, package

TITLE = "fastdicom (dicom-rs), every value"
Dataset = Any  # of a package without types
_module: Any = None


def prepare(options: Mapping[str, object]) -> None:
    """Imports fastdicom."""
    global _module  # noqa: PLW0603
    _module = package("fastdicom", "fastdicom")


def _touch(dataset: Dataset) -> int:
    values = 0
    for value in dataset.values():
        values += 1
        if isinstance(value, list) and value and isinstance(value[0], _module.Dataset):
            values += sum(map(_touch, value))
    return values


def run(paths: Sequence[str]) -> Outcome:
    """Opens every file and looks at every value; counts the files it refuses."""
    values = refused = 0
    for path in paths:
        try:
            values += _touch(_module.dcmread(path, stop_before_pixels=True))
        except _module.DicomError:
            refused += 1
    return Outcome(len(paths), facts={"elements": values, "refused": refused})
