"""Many variants of a file at once: as the files of one batch, between good ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import checks
from tests.handmade import EXPLICIT, IMPLICIT, small_file

BATCH = 1000
"""Files in memory together, as in an export."""
NEIGHBOURS = 5


@dataclass
class Counts:
    """What became of variants: rows, and those that product and oracle both read."""

    variants: int = 0
    rows: int = 0
    compared: int = 0


def neighbours(folder: Path) -> list[checks.Good]:
    """Good files of two forms."""
    found = []
    for number in range(NEIGHBOURS):
        path = folder / f"good-{number}.dcm"
        path.write_bytes(small_file((EXPLICIT, IMPLICIT)[number % 2]))
        found.append(checks.good(str(path), {}))
    return found


def check(variants: Iterable[bytes], folder: Path, *, oracle_every: int) -> Counts:
    """Hold what must be true of variants, a thousand at a time; every so many are held against the oracle too."""
    good, counts = neighbours(folder), Counts()
    for batch in _batches(variants, BATCH):
        paths = []
        for number, data in enumerate(batch):
            paths.append(str(folder / f"{number:04}.dcm"))
            Path(paths[-1]).write_bytes(data)
        scanned = checks.walkers_agree(paths)
        rows = checks.rows_hold(paths, good)
        assert rows == len(scanned.uris) + len(good)
        first = -counts.variants % oracle_every
        counts.compared += sum(map(checks.oracle_agrees, paths[first::oracle_every]))
        counts.rows += len(scanned.uris)
        counts.variants += len(batch)
    return counts


def _batches(variants: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    variants = iter(variants)
    while batch := list(itertools.islice(variants, size)):
        yield batch
