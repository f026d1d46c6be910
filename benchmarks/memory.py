"""Peak memory of a whole export, by the number of files: flat where rows are not kept, growing where they are.

The files are a thousand of the typical set, hard-linked again and again: a million takes no disk and a minute, and
every batch of them is like the first. And one that is cut off in its header, so that all fail.
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
from dicom_bq import memory

SIZES = (1_000, 10_000, 100_000)
STEPS = {
    False: (
        ("product_parquet", False, SIZES),
        ("product_parquet", True, SIZES),
        ("naive_parquet", False, (1_000, 8_000)),
    ),
    True: (("product_parquet", False, (1_000, 4_000)), ("product_parquet", True, (1_000, 4_000))),
}
"""Contender, whether all files fail, and numbers of files."""
FILES = 1_000
COPIES = 20
"""Of files that fail: there may be no more than 65,000 links to one."""
CUT_OFF = b"\x08\0\x60\0CS\x02\0MR" + b"\x10\0\x20\0LO\xff\0ab"
"""A data set that ends inside its second element."""
WITHIN = 1.10
"""Times the memory of the first number of files that the product may take for any other."""


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
    whole = settings.obtain("typical").paths[:FILES]
    broken = _cut(whole[:COPIES], settings.cache)
    results = []
    for contender, failing, sizes in STEPS[settings.quick]:
        found = []
        for files in sizes:
            with linked(broken if failing else whole, files, settings.cache) as root:
                found.append(_run(contender, root, files, failing=failing))
        results += _compared(found) if contender.startswith("product_") else found
    for path in broken:
        Path(path).unlink()
    return results


def _cut(files: tuple[str, ...], beside: Path) -> tuple[str, ...]:
    """Copies that end inside their headers."""
    broken = [beside / f"cut-off-{number}.dcm" for number in range(len(files))]
    for copy, file in zip(broken, files, strict=True):
        copy.write_bytes(Path(file).read_bytes()[:132] + CUT_OFF)
    return tuple(map(str, broken))


def _run(contender: str, root: Path, files: int, *, failing: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", contender, str(root), str(files)]
    environment = os.environ | memory.ENVIRONMENT  # as the command has it
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    title = load(contender).TITLE + (", all files failing" if failing else "")
    result = {"contender": contender, "title": title, "files": files, "problems": []}
    if done.returncode:
        return result | {"problems": [f"exit code {done.returncode}"]}
    answer = json.loads(done.stdout)
    if answer["rows"] != (0 if failing else files):
        result["problems"] = [f"{answer['rows']} rows of {files} files"]
    return result | answer


def _compared(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results, blamed for memory that grows with the number of files."""
    base = results[0].get("peak_kib", 0)
    for result in results:
        if result.get("peak_kib", 0) > WITHIN * base:
            result["problems"] = [*result["problems"], f"{result['peak_kib'] / base:.2f} times the memory of the first"]
    return results


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
