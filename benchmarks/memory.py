"""Peak memory of a whole export, by the number of files: flat where rows are not kept, growing where they are.

The files are those of the typical set, hard-linked again and again, so that a million takes no disk and a minute.
Each export runs in a process of its own: ``python -m benchmarks.memory CONTENDER DIRECTORY FILES``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import load
from benchmarks.harness import ROOT, Settings
from benchmarks.worker import cpu_seconds, peak_kib

STEPS = {
    False: (("product_parquet", (4_000, 40_000, 200_000, 1_000_000)), ("naive_parquet", (2_000, 4_000, 8_000))),
    True: (("product_parquet", (400, 4_000)),),
}


@contextmanager
def linked(paths: tuple[str, ...], files: int, beside: Path) -> Iterator[Path]:
    """A directory of `files` files that are hard links to `paths`, over and over; gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="links.", dir=beside))
    try:
        for number in range(files):
            folder = root / f"{number // 1000:05}"
            if number % 1000 == 0:
                folder.mkdir()
            os.link(paths[number % len(paths)], folder / f"{number % 1000:03}.dcm")
        yield root
    finally:
        shutil.rmtree(root)


def measure(settings: Settings) -> list[dict[str, Any]]:
    """Peak memory, rows and time of each step."""
    paths = settings.obtain("typical").paths
    results = []
    for contender, sizes in STEPS[settings.quick]:
        for files in sizes:
            with linked(paths, files, settings.cache) as root:
                results.append(_run(contender, root, files))
    return results


def _run(contender: str, root: Path, files: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", contender, str(root), str(files)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    result = {"contender": contender, "title": load(contender).TITLE, "files": files, "problems": []}
    if done.returncode:
        return result | {"problems": [f"exit code {done.returncode}"]}
    answer = json.loads(done.stdout)
    if answer["rows"] != files:
        result["problems"] = [f"{answer['rows']} rows of {files} files"]
    return result | answer


def main(contender: str, directory: str, files: str) -> None:
    """One export; the product is given the directory, others the list of its files."""
    module = load(contender)
    module.prepare({"directory": directory})
    imports = peak_kib()
    paths = [] if contender.startswith("product_") else sorted(map(str, Path(directory).glob("*/*.dcm")))
    cpu, started = cpu_seconds(), time.perf_counter()
    outcome = module.run(paths)
    answer = {"seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu, "rows": outcome.rows}
    print(json.dumps(answer | {"imports_kib": imports, "peak_kib": peak_kib(), "asked": int(files)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
