"""The naive table, written as one zstd Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders import Outcome, naive, temporary_directory

TITLE = "naive, to zstd Parquet"
_directory = Path()


def prepare(options: Mapping[str, object]) -> None:
    """As `naive`, and a place to write to."""
    import pyarrow.parquet  # noqa: F401

    global _directory  # noqa: PLW0603
    _directory = temporary_directory()
    naive.prepare(options)


def run(paths: Sequence[str]) -> Outcome:
    """Makes the table and writes it."""
    import pyarrow.parquet as pq

    made = naive.table(paths)
    target = _directory / "naive.parquet"
    pq.write_table(made, target, compression="zstd")
    return Outcome(made.num_rows, target)
