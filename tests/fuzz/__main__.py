"""``python -m tests.fuzz``: each target for its share of the time, in processes that may crash or hang."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.targets import TARGETS

START = 30
"""Seconds that a process may take longer than it fuzzes."""


@dataclass
class Outcome:
    """What one target's process came to."""

    target: str
    executions: int = 0
    seconds: float = 0.0
    coverage: str = "not measured"
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, facts: Path, text: str) -> None:
        """Count what one more process has left and said."""
        if facts.exists():
            executions, kinds = json.loads(facts.read_text()).values()
            facts.unlink()
            self.executions += executions
            self.kinds = dict(Counter(self.kinds) + Counter(kinds))
        seen = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
        if seen:
            self.coverage = "{} edges, {} features, {} inputs kept".format(*seen[-1])

    def line(self) -> str:
        """For people."""
        rate = self.executions / self.seconds if self.seconds else 0
        found = "".join(f"\n    {count:>6}  {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.target}: {self.executions:,} executions in {self.seconds:.0f} s, {rate:,.0f}/s; "
            f"coverage {self.coverage}; {len(self.kinds)} kinds of findings{found}"
        )


def run(target: str, seconds: float, seed: int, findings: Path) -> Outcome:
    """Run one target, in one process after the other: what libFuzzer has found out stays in a directory."""
    shared, outcome = Path("/dev/shm"), Outcome(target)
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        started = time.monotonic()
        while (left := seconds - outcome.seconds) > 0:
            code, text = _process([target, str(left), str(seed), folder, str(findings)], Path(folder) / "log", left)
            outcome.add(Path(folder) / "facts.json", text)
            outcome.seconds, seed = time.monotonic() - started, seed + 1
            if code:
                outcome.kinds[f"the process ended with {code}"] = 1
                _keep_batch(Path(folder), findings, target, text)
                break
    return outcome


def _process(arguments: list[str], log: Path, seconds: float) -> tuple[int, str]:
    """The exit code of a process, and what it said."""
    command = [sys.executable, "-m", "tests.fuzz.guided", *arguments]
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command, stdout=output, stderr=output, check=False, timeout=seconds + START, env=_environment()
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    return code, log.read_text(errors="replace")


def _environment() -> dict[str, str]:
    return os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}


def _keep_batch(work: Path, findings: Path, target: str, text: str) -> None:
    """The inputs of the batch that a process ended over: one of them did it."""
    folder = Path(tempfile.mkdtemp(prefix=f"{target}-ended-", dir=findings))
    for path in (*work.glob("*.dcm"), *work.glob("alone"), *work.glob("together-*")):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "why.txt").write_text(text[-20_000:])


def replay(paths: list[Path]) -> int:
    """Check files that were found, one by one."""
    import random

    from tests.fuzz.targets import Pool

    with tempfile.TemporaryDirectory() as folder:
        pools = [Pool(target, Path(folder), Path(folder), random.Random(0)) for target in TARGETS]
        wrong = 0
        for path in paths:
            for pool in pools:
                found = pool.alone(path.read_bytes())
                wrong += found is not None
                print(f"{path.name}: {pool.target}: {found[0] if found else 'well'}")
                if found:
                    print(found[1])
    return 1 if wrong else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of all targets together (default: 60)")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seed", type=int, default=time.time_ns() % (1 << 31), help="another one each time by default")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="directory (default: findings)")
    parser.add_argument("--tolerate", metavar="KIND", help="findings whose kind begins so do not fail the run")
    parser.add_argument("--replay", type=Path, nargs="+", help="check these files, and fuzz nothing")
    arguments = parser.parse_args()
    if arguments.replay:
        return replay(arguments.replay)
    arguments.findings.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}", flush=True)
    wrong = False
    for target in arguments.targets:
        outcome = run(target, arguments.seconds / len(arguments.targets), arguments.seed, arguments.findings)
        print(outcome.line(), flush=True)
        tolerated = arguments.tolerate or "\n"
        wrong |= not outcome.executions or not all(kind.startswith(tolerated) for kind in outcome.kinds)
    if any(arguments.findings.iterdir()):
        print(f"findings are in {arguments.findings}; try one again with --replay FILE")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
