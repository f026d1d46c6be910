"""Where a figure was measured, and whether the machine was quiet while it was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("dicom-bq", "pydicom", "numpy", "pyarrow", "duckdb", "fastdicom", "dicomsdl", "python-gdcm")
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
HAS_PROC = (PROC / "stat").exists()


def facts() -> dict[str, object]:
    """Processor, memory, system, versions and commit."""
    return {
        "processor": _first_line("cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "commit": _commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _first_line(file: str, key: str) -> str:
    if not HAS_PROC:
        return ""
    lines = (PROC / file).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue


def _commit() -> str:
    root = Path(__file__).parent
    describe = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return describe.stdout.strip()


@dataclass(frozen=True, slots=True)
class Clock:
    """CPU time up to a moment, in seconds: of the whole machine, and of one session of processes."""

    wall: float
    machine: float
    session: float

    @classmethod
    def read(cls, session: int) -> Clock:
        """Reads both; zeros where there is no /proc."""
        if not HAS_PROC:
            return cls(time.perf_counter(), 0.0, 0.0)
        return cls(time.perf_counter(), _machine_cpu(), _session_cpu(session) + _own_cpu())

    def foreign_since(self, earlier: Clock) -> float:
        """Cores that other processes kept busy since `earlier`; never negative."""
        used = (self.machine - earlier.machine) - (self.session - earlier.session)
        return max(0.0, used / max(self.wall - earlier.wall, 1e-9))


def _machine_cpu() -> float:
    """Time that all cores were busy or taken by the host (proc(5), stat)."""
    user, nice, system, _idle, _wait, irq, soft_irq, steal = map(
        int, (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + soft_irq + steal) / TICKS


def _own_cpu() -> float:
    times = os.times()
    return times.user + times.system


def _session_cpu(session: int) -> float:
    """CPU time of a session's processes and of children that they have waited for (proc(5), pid/stat)."""
    return sum(_cpu_in_session(entry, session) for entry in os.scandir(PROC) if entry.name.isdigit()) / TICKS


def _cpu_in_session(entry: os.DirEntry[str], session: int) -> int:
    try:
        fields = (Path(entry.path) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15])) if int(fields[3]) == session else 0


def wait_until_quiet(session: int, limit: float, seconds: float) -> bool:
    """Waits until others use less than `limit` cores, at most `seconds`; whether it came to that."""
    deadline = time.monotonic() + seconds
    while HAS_PROC:
        before = Clock.read(session)
        time.sleep(0.1)
        if Clock.read(session).foreign_since(before) <= limit:
            return True
        if time.monotonic() > deadline:
            return False
    return True
