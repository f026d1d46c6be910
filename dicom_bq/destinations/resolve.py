"""Which destination a user's text means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dicom_bq.destinations.base import Destination


def resolve(destination: str | os.PathLike[str], *, table: str = "dicom", **options: Any) -> Destination:  # noqa: ANN401
    """The destination a text means, by its scheme or suffix.

    Args:
        destination: ``bq://...`` a BigQuery table; ``x.duckdb`` or ``x.db`` a DuckDB file; ``x.parquet`` one
            Parquet file; anything else a directory of Parquet files.
        table: Name of the table in a DuckDB file.
        options: What the BigQuery destination takes besides.
    """
    text = os.fspath(destination)
    if text.startswith("bq://"):
        from dicom_bq.destinations import bigquery

        return bigquery.resolve(text, **options)
    path = Path(text)
    if path.suffix.lower() in {".duckdb", ".db"}:
        from dicom_bq.destinations.duckdb import DuckDBTable

        return DuckDBTable(path, table)
    from dicom_bq.destinations.parquet import ParquetDirectory, ParquetFile

    is_file = path.suffix.lower() == ".parquet" and not path.is_dir()
    return ParquetFile(path) if is_file else ParquetDirectory(path)
