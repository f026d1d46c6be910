"""dicom-bq from a directory's paths to one zstd Parquet file, as `dicom-bq export` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders import Outcome, temporary_directory

TITLE = "**dicom-bq**, to zstd Parquet"
_target = Path()


def prepare(options: Mapping[str, object], name: str = "product.parquet") -> None:
    """Imports, and a place to write to."""
    import dicom_bq.job

    global _target  # noqa: PLW0603
    _target = temporary_directory() / name
    assert dicom_bq.job.export


def run(paths: Sequence[str]) -> Outcome:
    """The whole job, from the list of paths to the file under its final name."""
    import dicom_bq

    report = dicom_bq.export(list(paths), _target, write_disposition="WRITE_TRUNCATE")
    failed = len(report.failures) + len(report.skipped)
    return Outcome(report.rows, _target, {"failed": failed, "bytes": _target.stat().st_size})
