"""``dicom-bq filter``."""

from __future__ import annotations

from typing import Any

import click

from dicom_bq.commands.bigquery import CONNECTION_OPTIONS, bigquery_options, take_bigquery_options
from dicom_bq.commands.streams import to_stderr


@click.command("filter", short_help="Write a filter file from a query on an exported table.")
@click.argument("source", metavar="TABLE", type=click.UNPROCESSED)
@click.option("--where", required=True, metavar="SQL", help="Condition that the instances meet.")
@click.option("--table", default="dicom", show_default=True, metavar="NAME", help="Table in a DuckDB file.")
@bigquery_options(*CONNECTION_OPTIONS)
def filter_command(source: str, *, where: str, table: str, **options: Any) -> int:  # noqa: ANN401 (BigQuery's)
    """Write the instances that meet a condition to stdout, as a file for `dicom-bq export --filter`.

    TABLE is an exported table: a DuckDB file (x.duckdb) or bq://PROJECT.DATASET.TABLE. Rows without a Study
    Instance UID cannot be asked for by a filter; they are counted on stderr.

    \b
    Example:
      dicom-bq filter archive.duckdb --where "Modality = 'CT' AND StudyDate >= '2020-01-01'" > ct.txt
      dicom-bq export archive/ ct.parquet --filter ct.txt
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dicom_bq.destinations.bigquery import BigQueryTable
    from dicom_bq.destinations.duckdb import DuckDBTable
    from dicom_bq.destinations.resolve import resolve
    from dicom_bq.sources.filters import resource_path
    from dicom_bq.views import instances_where

    target = resolve(source, table=table, bigquery=take_bigquery_options(options))
    if not isinstance(target, BigQueryTable | DuckDBTable):
        message = f"{source} is neither a DuckDB file nor a BigQuery table"
        raise click.UsageError(message)
    left_out = 0
    for uids in instances_where(target, where):
        if uids:
            click.echo(resource_path(uids))
        left_out += not uids
    if left_out:
        to_stderr(f"{left_out:,} without a Study Instance UID left out")
    return 0
