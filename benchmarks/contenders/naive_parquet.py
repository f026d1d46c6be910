"""The naive table, written as one zstd Parquet file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders import Outcome, naive

TITLE = "naive, to zstd Parquet"
_directory: str = ""


def prepare(options: Mapping[str, object]) -> None:
    """As `naive`, and a place to write to."""
    import pyarrow.parquet  # noqa: F401

    global _directory  # noqa: PLW0603
    _directory = tempfile.mkdtemp(prefix="dicom-bq-bench.")
    naive.prepare(options)


def run(paths: Sequence[str]) -> Outcome:
    """Makes the table and writes it."""
    import pyarrow.parquet as pq

    made = naive.table(paths)
    target = Path(_directory) / "naive.parquet"
    pq.write_table(made, target, compression="zstd")
    return Outcome(made.num_rows, target)
