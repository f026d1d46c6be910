"""Which destination a user's text means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_bq.errors import UsageError
from dicom_bq.sources.names import has_scheme

if TYPE_CHECKING:
    from dicom_bq.destinations.base import Destination
    from dicom_bq.destinations.bigquery_options import BigQueryOptions


def resolve(
    destination: str | os.PathLike[str],
    *,
    table: str = "dicom",
    bigquery: BigQueryOptions | None = None,
    command: str = "",
    encoders: int = 1,
) -> Destination:
    """The destination a text means, by its scheme or suffix.

    Args:
        destination: ``bq://...`` a BigQuery table; ``x.duckdb`` or ``x.db`` a DuckDB file; ``x.parquet`` one
            Parquet file; anything else a directory of Parquet files.
        table: Name of the table in a DuckDB file.
        bigquery: How to load into a BigQuery table.
        command: What makes an export into BigQuery the same as one that was interrupted.
        encoders: Threads that encode Parquet files.

    Raises:
        UsageError: A BigQuery URI that names no table, an empty name, or BigQuery's options for something else.
    """
    text = os.fspath(destination)
    if text.startswith("bq://"):
        from dicom_bq.destinations.bigquery import BigQueryTable
        from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName

        return BigQueryTable(TableName.parse(text), bigquery or BigQueryOptions(), command)
    if bigquery is not None:
        raise UsageError(reason=f"{text} is no bq:// URI, and has none of the options of BigQuery")
    if has_scheme(text):
        raise UsageError(reason=f"{text}: of what is not a path, only BigQuery's bq:// can be exported to")
    path = Path(text)
    if not text or not Path(os.path.realpath(path)).name:
        raise UsageError(reason=f"{text!r} cannot be a table: name a file or a directory")
    if path.suffix.lower() in {".duckdb", ".db"}:
        from dicom_bq.destinations.duckdb import DuckDBTable

        if not table:
            raise UsageError(reason="the name of the table is empty")
        return DuckDBTable(path, table)
    from dicom_bq.destinations.parquet import ParquetDirectory, ParquetFile

    is_directory = os.path.isdir(path)  # noqa: PTH112 (a Path raises where the operating system refuses to look)
    is_file = path.suffix.lower() == ".parquet" and not is_directory
    return (ParquetFile if is_file else ParquetDirectory)(path, encoders)
