"""pydicom opening each file and decoding every value, nested ones too."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.contenders import Outcome

if TYPE_CHECKING:
    from pydicom import Dataset

TITLE = "pydicom, every value decoded"


def prepare(options: Mapping[str, object]) -> None:
    """Silences pydicom about the values it finds odd."""
    import pydicom  # noqa: F401

    warnings.simplefilter("ignore")


def _touch(dataset: Dataset) -> int:
    values = 0
    for element in dataset:
        values += 1
        if element.VR == "SQ":
            values += sum(map(_touch, element.value))
    return values


def run(paths: Sequence[str]) -> Outcome:
    """Opens every file and looks at every element."""
    import pydicom

    values = sum(_touch(pydicom.dcmread(path, stop_before_pixels=True)) for path in paths)
    return Outcome(len(paths), facts={"elements": values})
