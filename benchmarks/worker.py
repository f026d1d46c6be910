"""The process a contender runs in: reads commands, one JSON object a line, and answers each with one.

``{"do": "warm"}`` runs once and answers with the digest of every row; ``{"do": "run"}`` is timed, and answers
with the times and with whether the rows were the same as then.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import content
from benchmarks.contenders import Contender, NotInstalledError, Outcome, load

SHORTEST = 0.25  # seconds a timed run should take; shorter ones are repeated within it
MOST_PASSES = 40


def cpu_seconds() -> float:
    """User and system time of this process and the children it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_kib() -> int:
    """Peak resident memory of this process.

    Linux gives ``ru_maxrss`` of the process that started this one where that had more; its own VmHWM is right.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def drop_cache(paths: Sequence[str]) -> None:
    """Asks the system to forget the files' pages; names and inodes stay known."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


class Work:
    """One contender with its files, and what its first run made."""

    def __init__(self, contender: Contender, paths: Sequence[str], options: Mapping[str, object]) -> None:
        self.contender = contender
        self.paths = paths
        self.cold = bool(options.get("cold"))
        self.passes = 1
        self.fingerprint = ""
        self.digest = ""
        contender.prepare(options)

    def warm(self) -> dict[str, object]:
        """The first run: fills caches, and is looked at closely."""
        started = time.perf_counter()
        outcome = self.contender.run(self.paths)
        seconds = time.perf_counter() - started
        peak = peak_kib()  # before its rows are looked at, which takes memory too
        if not self.cold:
            self.passes = min(MOST_PASSES, max(1, round(SHORTEST / seconds)))
        digests = {}
        if outcome.content is not None:
            digests = content.row_digests(outcome.content)
            self.fingerprint = content.fingerprint(outcome.content)
            self.digest = content.combined(digests.values())
        return {
            "rows": outcome.rows,
            "digests": digests,
            "digest": self.digest,
            "facts": outcome.facts,
            "peak_kib": peak,
        }

    def run(self) -> dict[str, object]:
        """One timed run; `same` says whether its rows were those of the first."""
        if self.cold:
            drop_cache(self.paths)
        cpu, started = cpu_seconds(), time.perf_counter()
        for _ in range(self.passes):
            outcome = self.contender.run(self.paths)
        wall = (time.perf_counter() - started) / self.passes
        cpu = (cpu_seconds() - cpu) / self.passes
        return {
            "wall": wall,
            "cpu": cpu,
            "passes": self.passes,
            "rows": outcome.rows,
            "same": self._same(outcome),
        }

    def _same(self, outcome: Outcome) -> bool:
        if outcome.content is None or content.fingerprint(outcome.content) == self.fingerprint:
            return True
        return content.combined(content.row_digests(outcome.content).values()) == self.digest


def main() -> None:
    """Serves until standard input ends. Contenders may print: only answers go to the real standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    paths = Path(order["paths"]).read_text().splitlines()
    try:
        work = Work(load(order["contender"]), paths, order["options"])
    except NotInstalledError as missing:
        print(json.dumps({"missing": str(missing)}), file=answers, flush=True)
        return
    commands: dict[str, Callable[[], dict[str, object]]] = {"warm": work.warm, "run": work.run}
    print(json.dumps({"ready": True, "peak_kib": peak_kib()}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(commands[json.loads(line)["do"]]()), file=answers, flush=True)


if __name__ == "__main__":
    main()
