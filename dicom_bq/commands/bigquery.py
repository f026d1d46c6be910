"""Options of ``dicom-bq export`` that are BigQuery's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dicom_bq.destinations.bigquery_options import BigQueryOptions

Command = TypeVar("Command", bound=Callable[..., Any])

CONNECTION_OPTIONS = (
    click.option("--location", metavar="LOCATION", help="Where the job runs. [default: where the dataset is]"),
    click.option(
        "--api-endpoint",
        metavar="URL",
        help="Server to talk to without credentials, such as an emulator. [default: $BIGQUERY_EMULATOR_HOST, else "
        "Google's, with application-default credentials]",
    ),
    click.option("--job-project", metavar="PROJECT", help="Project that runs the job. [default: the table's]"),
)
LOAD_OPTIONS = (
    *CONNECTION_OPTIONS,
    click.option(
        "--staging",
        metavar="gs://BUCKET/PREFIX",
        help="Put the files there for the load, and remove them afterwards. [default: one file is uploaded]",
    ),
    click.option(
        "--partition-by",
        metavar="UNIT:COLUMN",
        help="Partitions of a new table, such as month:StudyDate. [default: none]",
    ),
    click.option(
        "--cluster-by",
        metavar="COLUMNS",
        help="At most four, with commas. [default: StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID]",
    ),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of a new table, and of the job."),
    click.option(
        "--policy-tag",
        "policy_tags",
        multiple=True,
        metavar="KEYWORD=RESOURCE",
        help="Policy tag of a column (at every level; A.B for one), of all that is in it if it is a RECORD.",
    ),
)


def bigquery_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Add options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def take_bigquery_options(arguments: dict[str, Any]) -> BigQueryOptions | None:
    """Remove BigQuery's options from a command's arguments; None when none was given.

    Raises:
        UsageError: One cannot be.
    """
    from dicom_bq.destinations.bigquery_options import BigQueryOptions, pairs

    names = (
        "location",
        "api_endpoint",
        "job_project",
        "staging",
        "partition_by",
        "cluster_by",
        "labels",
        "policy_tags",
    )
    given = {name: value for name in names if (value := arguments.pop(name, None))}
    for name, option in {"labels": "--label", "policy_tags": "--policy-tag"}.items():
        if name in given:
            given[name] = pairs(given[name], option)
    if "cluster_by" in given:
        given["cluster_by"] = names_of(given["cluster_by"])
    return BigQueryOptions(**given) if given else None


def names_of(text: str) -> list[str]:
    """Names of columns with commas between them, and blanks if somebody likes."""
    return [name.strip() for name in text.split(",")]
