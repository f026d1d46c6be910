"""The named sets of files: which instances, in which shares, with how much Pixel Data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from benchmarks.corpus import special
from benchmarks.corpus.enhanced import enhanced
from benchmarks.corpus.kinds import MULTI_BYTE, PRIVATE_HEAVY, TYPICAL, Instance, Kind, series_of

KIB = 1024
Named = tuple[str, Instance]


@dataclass(frozen=True, slots=True)
class CorpusSet:
    """One set of files.

    Attributes:
        title: What a table calls it.
        instances: Yields (path without suffix, instance) in path order,
        from a random source and a number of files.
        files: How many files in full and quick mode.
        pixel_bytes: Size of Pixel Data.
        fragments: Fragments of encapsulated Pixel Data; 0 for native.
        rewrite: Changes the bytes of the file with this position; for files that are written oddly.
    """

    title: str
    instances: Callable[[Random, int], Iterator[Named]]
    files: tuple[int, int] = (4000, 400)
    pixel_bytes: int = 32 * KIB
    fragments: int = 0
    rewrite: Callable[[int, bytes], bytes] | None = None


def _mixed(shares: Mapping[Kind, float], *, explicit_only: bool = False) -> Callable[[Random, int], Iterator[Named]]:
    def instances(random: Random, files: int) -> Iterator[Named]:
        plan = _plan(_counts(shares, files), random)
        for number, (kind, length) in enumerate(plan):
            folder = f"{number % 10:02}/PAT{number // 3:04}/SE{number:04}_{kind.name}"
            for index, instance in enumerate(series_of(kind, random, length)):
                if instance.syntax.explicit or not explicit_only:
                    yield f"{folder}/IM{index:05}", instance

    return instances


def _counts(shares: Mapping[Kind, float], files: int) -> dict[Kind, int]:
    """Shares as whole numbers of files, the rounding taken by the first kind."""
    counts = {kind: round(share * files) for kind, share in shares.items()}
    first = next(iter(counts))
    counts[first] += files - sum(counts.values())
    return counts


def _plan(counts: Mapping[Kind, int], random: Random) -> list[tuple[Kind, int]]:
    """Series, each a kind and a length, in an order as a day's archive has them."""
    plan = []
    for kind, left in counts.items():
        while left > 0:
            length = min(left, random.randint(*kind.length))
            plan.append((kind, length))
            left -= length
    random.shuffle(plan)
    return plan


def _with_wide(random: Random, files: int) -> Iterator[Named]:
    """The typical mix in which one file in 250 has every leaf of a wide table."""
    for number, named in enumerate(_mixed(TYPICAL)(random, files)):
        yield (f"{named[0]}w", special.wide(random)) if number % 250 == 100 else named


def _frames(random: Random, files: int) -> Iterator[Named]:
    for number in range(files):
        yield f"enhanced/IM{number:05}", enhanced(random)


def _odd(position: int, content: bytes) -> bytes:
    """Every 50th file oddly written, in turns; deflation and byte order only where pydicom keeps every
    element."""
    if position % 50:
        return content
    return special.ODD[position // 50 % len(special.ODD)](content)


SETS: Mapping[str, CorpusSet] = {
    "typical": CorpusSet("typical mix, 32 KiB pixel data", _mixed(TYPICAL)),
    "headers": CorpusSet("typical mix, no pixel data", _mixed(TYPICAL), pixel_bytes=0),
    "large": CorpusSet("typical mix, 512 KiB pixel data", _mixed(TYPICAL), pixel_bytes=512 * KIB),
    "encapsulated": CorpusSet("explicit VR, encapsulated pixel data", _mixed(TYPICAL, explicit_only=True), fragments=4),
    "private": CorpusSet("600 private elements a file", _mixed(PRIVATE_HEAVY), files=(2000, 200)),
    "charsets": CorpusSet("Latin-1, UTF-8, ISO 2022 IR 87, GB18030", _mixed(MULTI_BYTE)),
    "wide": CorpusSet("typical mix, table of 1,600 leaves and more", _with_wide),
    "multiframe": CorpusSet("enhanced CT, 500 frames", _frames, files=(8, 2)),
    "many": CorpusSet("typical mix, no pixel data", _mixed(TYPICAL), pixel_bytes=0, files=(32_000, 2000)),
    "odd": CorpusSet("typical mix, 2 % oddly written or cut short", _mixed(TYPICAL), rewrite=_odd),
}
