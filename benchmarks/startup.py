"""How long a command takes that does nothing: imports, and little else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.harness import ROOT, Settings

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "`python -c pass`": ("-c", "pass"),
    "`dicom-bq --help`": ("-m", "dicom_bq", "--help"),
    "`dicom-bq export --help`": ("-m", "dicom_bq", "export", "--help"),
    "`dicom-bq schema --keyword PatientName`": ("-m", "dicom_bq", "schema", "--keyword", "PatientName"),
    "`python -c 'import dicom_bq'`": ("-c", "import dicom_bq"),
    "`python -c 'import pydicom'`": ("-c", "import pydicom"),
}


def measure(settings: Settings) -> list[dict[str, Any]]:
    """Median of ten starts of each command, taking turns, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    problems: dict[str, str] = {}
    repeats = 3 if settings.quick else 10
    for round_number in range(repeats + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=False)
            if round_number:
                seconds[name].append(time.perf_counter() - started)
            if done.returncode:
                problems[name] = f"exit code {done.returncode}"
    return [
        {"command": name, "seconds": median(taken), "fastest": min(taken), "slowest": max(taken),
         "problems": [problems[name]] if name in problems else []}
        for name, taken in seconds.items()
    ]  # fmt: skip
