"""dicom-bq from a directory to one zstd Parquet file, as `dicom-bq export` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import NotInstalledError, Outcome, temporary_directory

TITLE = "**dicom-bq**, to zstd Parquet"
KEYWORDS = ("workers",)  # options that are arguments of `export`
_target = Path()
_directory = ""
_keywords: dict[str, Any] = {}


def prepare(options: Mapping[str, object], name: str = "product.parquet") -> None:
    """Imports, the directory to read when it is to be all of it, and a place to write to."""
    from dicom_bq import memory
    from dicom_bq.read_options import ReadOptions

    global _directory, _keywords, _target  # noqa: PLW0603
    memory.settle()  # as the command does
    _keywords = {"workers": 1} | {keyword: options[keyword] for keyword in KEYWORDS if keyword in options}
    if absent := _keywords.keys() - ReadOptions.__annotations__.keys():
        message = f"this version of dicom-bq has no {', '.join(absent)}"
        raise NotInstalledError(message)
    _directory = str(options.get("directory", ""))
    _target = temporary_directory() / name


def run(paths: Sequence[str]) -> Outcome:
    """The whole job, from finding the files to the destination under its final name."""
    import dicom_bq

    report = dicom_bq.export(_directory or list(paths), _target, write_disposition="WRITE_TRUNCATE", **_keywords)
    failed = len(report.failures) + len(report.skipped)
    return Outcome(report.rows, _target, {"failed": failed, "bytes": _target.stat().st_size})
