"""``dicom-bq view``."""

from __future__ import annotations

from typing import Any

import click

from dicom_bq.commands.bigquery import CONNECTION_OPTIONS, bigquery_options, names_of, take_bigquery_options
from dicom_bq.commands.streams import to_stderr


@click.command(short_help="Print or make a view of the latest row of each instance.")
@click.argument("table", metavar="bq://PROJECT.DATASET.TABLE")
@click.option("--create", is_flag=True, help="Make the view, beside the table.")
@click.option("--name", metavar="NAME", help="Name of the view. [default: the table's and View]")
@click.option(
    "--order-by",
    "order_by",
    metavar="COLUMNS",
    help="By which a row is later, with commas. [default: those there are of LastUpdated, InstanceCoercionDateTime, "
    "InstanceCreationDate, InstanceCreationTime]",
)
@bigquery_options(*CONNECTION_OPTIONS)
def view(table: str, *, create: bool, name: str | None, order_by: str | None, **options: Any) -> int:  # noqa: ANN401
    """Print a query of the latest row of each SOP Instance UID, for tables that are appended to.

    \b
    Examples:
      dicom-bq view bq://project.dataset.dicom
      dicom-bq view bq://project.dataset.dicom --create --name latest
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dataclasses import replace

    from dicom_bq.destinations.bigquery import BigQueryTable
    from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName
    from dicom_bq.errors import DestinationError
    from dicom_bq.views import latest_rows

    target = BigQueryTable(TableName.parse(table), take_bigquery_options(options) or BigQueryOptions())
    existing = target.existing()
    if existing is None:
        raise DestinationError(destination=target.uri, reason="there is no such table", advice="Export one first")
    query = latest_rows(target.sql, existing.schema, names_of(order_by) if order_by else ())
    if create:
        place = TableName.parse(replace(target.name, table=name or f"{target.name.table}View").uri)
        target.session.create_view(place, query, f"Latest row of each SOP instance in {target.name.table}")
        to_stderr(f"{place.uri} was made")
    click.echo(query)
    return 0
