"""One target in this process, until time is over: ``python -m tests.fuzz.guided TARGET SECONDS SEED WORK FINDINGS``.

With atheris the scalar walker's code is instrumented, and libFuzzer keeps inputs that reach new code. Each input is
walked at once, which is what is measured, and checked with the rest of its batch. Without atheris inputs are changed
without being guided.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

HANGS = 30
"""Seconds that a batch may take at most before the process is ended with a traceback."""
MEMORY = 1 << 30
"""Bytes of address space on top of what the process has when it begins."""
LEAK = 400 << 20
"""Bytes that libFuzzer may lose (each changed input, it seems) before the process makes room for a fresh one."""
LARGEST = 24_000
"""Bytes of an input."""


def main(target: str, seconds: str, seed: str, work: str, findings: str) -> None:
    """Fuzz."""
    with contextlib.suppress(ImportError):
        import atheris

        with atheris.instrument_imports(include=["dicom_bq.scan", "dicom_bq.columns"]):
            import dicom_bq.columns.build
            import dicom_bq.scan.files  # noqa: F401
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import Pool

    rng = random.Random(int(seed))
    begin = seeds()
    pool = Pool(target, Path(work), Path(findings), rng, _watch)
    for data in begin:
        pool.add(data)
    pool.flush()
    _bound_memory()
    run = _guided if "atheris" in sys.modules else _unguided
    run(pool.add, pool.flush, begin, rng, time.monotonic() + float(seconds), Path(work))


def _pages(column: int = 1) -> int:
    """Pages of memory that this process has; 1 for those resident, 0 for its whole address space."""
    return int(Path("/proc/self/statm").read_text().split()[column])


def _bound_memory() -> None:
    now = _pages(0) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _watch() -> None:
    faulthandler.dump_traceback_later(HANGS, exit=True, file=sys.__stderr__)


def _guided(
    add: Callable[[bytes], str],
    flush: Callable[[], None],
    begin: list[bytes],
    rng: random.Random,
    until: float,
    work: Path,
) -> None:
    import atheris

    from dicom_bq.scan.batch import Batch
    from dicom_bq.scan.outcome import ScanOptions
    from dicom_bq.scan.part10 import scan_file
    from tests.fuzz.mutate import mutate, mutate_bytes

    options = ScanOptions()

    def one(data: bytes) -> None:
        scan_file(add(data), Batch(), options)
        if time.monotonic() > until or _pages() > most:
            flush()
            _end()

    def change(data: bytes, most: int, number: int) -> bytes:
        own = random.Random(number)
        kind = own.randrange(8)
        if kind == 0:
            return bytes(atheris.Mutate(data, most))
        changed = mutate_bytes(data, own) if kind == 1 else mutate(data, own, begin)
        return changed[:most]

    most = _pages() + LEAK // resource.getpagesize()
    corpus = work / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(begin):
        (corpus / f"seed-{number:04}").write_bytes(data)
    flags = [
        f"-max_len={LARGEST}",
        f"-seed={rng.randrange(1, 1 << 31)}",
        "-timeout=100000",
        "-rss_limit_mb=0",
        "-reload=0",
    ]
    flags += ["-len_control=0", f"-artifact_prefix={work}/"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one, custom_mutator=change, internal_libfuzzer=True)
    atheris.Fuzz()


def _unguided(
    add: Callable[[bytes], str],
    flush: Callable[[], None],
    begin: list[bytes],
    rng: random.Random,
    until: float,
    _work: Path,
) -> None:
    from tests.fuzz.mutate import mutate, mutate_bytes

    while time.monotonic() < until:
        data = rng.choice(begin)
        add((mutate_bytes(data, rng) if not rng.randrange(6) else mutate(data, rng, begin))[:LARGEST])
    flush()
    _end()


def _end() -> NoReturn:
    """End at once: libFuzzer would take this for a crash if it were an exception."""
    faulthandler.cancel_dump_traceback_later()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
