"""DCMTK's dcmdump, 500 files a process: every value as text, long ones left out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from benchmarks.contenders import NotInstalledError, Outcome

TITLE = "DCMTK `dcmdump`, 500 files a process"
FILES_A_PROCESS = 500
_program: str | None = None


def prepare(options: Mapping[str, object]) -> None:
    """Finds the program."""
    global _program  # noqa: PLW0603
    _program = shutil.which("dcmdump")
    if _program is None:
        message = "dcmdump is not on the PATH; `apt-get install dcmtk` to include it"
        raise NotInstalledError(message)


def run(paths: Sequence[str]) -> Outcome:
    """Dumps every file to a pipe and counts lines; a file it refuses makes none."""
    assert _program is not None
    lines = 0
    for start in range(0, len(paths), FILES_A_PROCESS):
        command = [_program, "-M", "-q", *paths[start : start + FILES_A_PROCESS]]
        dump = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        lines += dump.stdout.count(b"\n(")
    return Outcome(len(paths), facts={"elements": lines})
