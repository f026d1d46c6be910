"""What is measured: suites of measurements, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.corpus.sets import SETS

REFERENCE = "naive"  # the contender that is 1 in every ratio


@dataclass(frozen=True)
class Measurement:
    """One contender with its options on one set of files.

    Attributes:
        set: Name of the set of files.
        contender: File in `contenders/`.
        options: For its `prepare`; ``cold`` drops the files from the page cache before every run.
        shuffled: Whether the series are mixed.
        every: Takes one file in so many: the slowest need not see them all.
    """

    set: str
    contender: str
    options: Mapping[str, object] = field(default_factory=dict)
    shuffled: bool = False
    every: int = 1

    @property
    def label(self) -> str:
        """Contender and options, for people."""
        options = " ".join(f"{name}={value}" for name, value in self.options.items())
        order = "shuffled" if self.shuffled else ""
        return " ".join(filter(None, (self.contender, options, order)))


@dataclass(frozen=True)
class Suite:
    """Measurements that take turns, so that the machine's moods meet all of them alike."""

    title: str
    measurements: tuple[Measurement, ...]
    repeats: int = 5


def _every_set(contender: str, **more: object) -> tuple[Measurement, ...]:
    names = [name for name in SETS if name not in {"typical", "many"}]
    return tuple(Measurement(name, contender, **more) for name in names)  # type: ignore[arg-type]


def _options(
    contender: str, name: str, values: tuple[object, ...], files: str = "typical", **more: object
) -> tuple[Measurement, ...]:
    base = Measurement(files, contender)
    return tuple(replace(base, options={**more, name: value}) for value in values)


PEERS = (
    "floor_read", "product_batches", "product_parquet", "product_duckdb", "dicomsdl_open", "fastdicom_values",
    "dicomsdl_values", "gdcm_open", "dcmtk_dump", "pydicom_dcmread", "pydicom_values", "naive",
    "naive_parquet",
)  # fmt: skip
NAIVE_SETS = ("headers", "large", "encapsulated", "private", "charsets", "wide")
BATCHES, PARQUET = "product_batches", "product_parquet"

SUITES: Mapping[str, Suite] = {
    "peers": Suite("Beside others, same files", tuple(Measurement("typical", name) for name in PEERS)),
    "shapes": Suite(
        "Other files",
        (
            Measurement("typical", BATCHES),
            Measurement("typical", BATCHES, shuffled=True),
            Measurement("typical", "naive", every=10),
            *_every_set(BATCHES),
            *(Measurement(name, "naive", every=10) for name in NAIVE_SETS),
            Measurement("multiframe", "naive", every=4),
        ),
        repeats=3,
    ),
    "batch-size": Suite("Files a batch", _options(BATCHES, "batch_size", (100, 250, 500, 1000, 2000, 4000))),
    "processes": Suite("Processes", _options(PARQUET, "workers", (1, 2, 4), files="many")),
    "sinks": Suite(
        "Destinations",
        (
            Measurement("typical", BATCHES),
            Measurement("typical", PARQUET),
            Measurement("typical", "product_duckdb"),
            Measurement("typical", "naive_parquet", every=10),
        ),
        repeats=3,
    ),
    "cold": Suite(
        "Files not in the page cache",
        tuple(Measurement("typical", name, {"cold": True}) for name in ("floor_read", BATCHES, PARQUET)),
        repeats=3,
    ),
}
QUICK: Mapping[str, Suite] = {
    "peers": Suite(
        SUITES["peers"].title,
        tuple(Measurement("typical", name) for name in PEERS if name != "naive_parquet"),
        repeats=3,
    ),
    "shapes": Suite(
        SUITES["shapes"].title,
        (
            Measurement("typical", BATCHES, shuffled=True),
            *(Measurement(name, BATCHES) for name in ("charsets", "wide", "multiframe", "odd")),
            Measurement("multiframe", "naive", every=2),
        ),
        repeats=2,
    ),
}
