"""``python -m tests.crash``: many runs of the matrix; exit code 1 if one of them does not hold."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.disks import can_be_mounted
from tests.crash.matrix import FULL, SIGNALS, CrashError, cases, field_of


def stops(folder: Path) -> tuple[signal.Signals | str, ...]:
    """What can stop an export here."""
    if can_be_mounted(folder / "disk"):
        return (*SIGNALS, FULL)
    print("FULL: skipped: this user may not mount file systems", flush=True)
    return SIGNALS


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--files", type=int, default=3_000, help="of the export that is stopped (default: 3,000)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % (1 << 31), help="another one each time by default")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    broken = 0
    with tempfile.TemporaryDirectory() as folder, field_of(Path(folder), arguments.files, arguments.seed) as field:
        chosen = [case for case in cases(*stops(Path(folder))) if arguments.only in str(case)]
        order = [case for _ in range(arguments.runs // len(chosen) + 1) for case in chosen][: arguments.runs]
        for number, case in enumerate(order, 1):
            try:
                field.run(case)
            except CrashError as error:
                broken += 1
                print(f"run {number}: {case}: {error}", flush=True)
        for outcome, count in sorted(field.outcomes.items()):
            print(f"{count:>6}  {outcome}")
    print(f"{arguments.runs} runs, {broken} of them do not hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
