"""``python -m tests.fuzz``: each target for its share of the time, in a process that may crash, hang or be out of memory."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
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

    def line(self) -> str:
        """For people."""
        rate = self.executions / self.seconds if self.seconds else 0
        found = "".join(f"\n    {count:>6}  {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.target}: {self.executions:,} executions in {self.seconds:.0f} s, {rate:,.0f}/s; "
            f"coverage {self.coverage}; {len(self.kinds)} kinds of findings{found}"
        )


def run(target: str, seconds: float, seed: int, findings: Path) -> Outcome:
    """Run one target."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        work, log = Path(folder), Path(folder) / "log"
        command = [sys.executable, "-m", "tests.fuzz.guided", target, str(seconds), str(seed), folder, str(findings)]
        started = time.monotonic()
        with log.open("wb") as output:
            try:
                code = subprocess.run(
                    command, stdout=output, stderr=output, check=False, timeout=seconds + START, env=_environment()
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        outcome = Outcome(target, seconds=time.monotonic() - started)
        facts = work / "facts.json"
        if facts.exists():
            outcome.executions, outcome.kinds = json.loads(facts.read_text()).values()
        text = log.read_text(errors="replace")
        seen = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
        if seen:
            outcome.coverage = "{} edges, {} features, {} inputs kept".format(*seen[-1])
        if code:
            outcome.kinds[f"the process ended with {code}"] = 1
            _keep_batch(work, findings, target, text)
        return outcome


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
        wrong |= bool(outcome.kinds) or not outcome.executions
    if wrong:
        print(f"findings are in {arguments.findings}; try one again with --replay FILE")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
