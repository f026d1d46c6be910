"""dicom-bq from a directory to a table in a DuckDB file, as `dicom-bq export` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders import Outcome, package, product_parquet

TITLE = "**dicom-bq**, to DuckDB"


def prepare(options: Mapping[str, object]) -> None:
    """As for Parquet, with another name for the file, which is what decides."""
    package("duckdb", "dicom-bq[duckdb]")
    product_parquet.prepare(options, "product.duckdb")


def run(paths: Sequence[str]) -> Outcome:
    """The whole job."""
    return product_parquet.run(paths)
