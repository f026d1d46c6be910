"""What an export that was run to its end leaves behind although it should not."""

from __future__ import annotations

import time
from pathlib import Path

from dicom_bq.operations.store import Store

PLACES = ("out", "state", "tmp")
"""Directories of a field's disk: of the output, of the user's state, of temporary files."""
ENDS_WITHIN = 10.0
"""Seconds in which a worker notices that whoever started it is no more."""


def left_behind(folder: Path, table: str) -> list[str]:
    """Names of files and processes, and operations that are said to run.

    Args:
        folder: Of a field's disk.
        table: Name of the output, which is to be there.
    """
    jobs, runs = folder / "state/dicom-bq/jobs", folder / "state/dicom-bq/runs"
    files = [path for place in (folder / "out", folder / "tmp", jobs, runs) for path in _entries(place)]
    running = [operation for operation in Store(folder / "state/dicom-bq/operations").all() if not operation.ended]
    return [
        *(str(path.relative_to(folder)) for path in files if path != folder / "out" / table),
        *(f"operation {operation.id} {operation.state}" for operation in running),
        *(f"process {number}" for number in _processes(folder)),
    ]


def _entries(place: Path) -> list[Path]:
    return sorted(place.iterdir()) if place.exists() else []


def _processes(folder: Path) -> list[int]:
    """Processes that were given this disk's state, once they have had the time to end."""
    mark = f"XDG_STATE_HOME={folder / 'state'}".encode()
    until = time.monotonic() + ENDS_WITHIN
    while (found := _with_environment(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _with_environment(mark: bytes) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found
