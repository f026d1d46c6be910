"""pydicom opening each file and stopping before Pixel Data; values stay undecoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders import Outcome

TITLE = "pydicom `dcmread`, values not decoded"


def prepare(options: Mapping[str, object]) -> None:
    """Imports pydicom, whose files are not part of the time taken."""
    import pydicom  # noqa: F401


def run(paths: Sequence[str]) -> Outcome:
    """Opens every file."""
    import pydicom

    elements = sum(len(pydicom.dcmread(path, stop_before_pixels=True)) for path in paths)
    return Outcome(len(paths), facts={"top_level_elements": elements})
