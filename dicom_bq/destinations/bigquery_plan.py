"""What one export will do to a BigQuery table, as data: made before anything is changed, shown by ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName
from dicom_bq.destinations.bigquery_tables import (
    Field,
    changes,
    clustering,
    extended,
    loaded,
    missing_required,
    needs_json,
    partitioning,
    replaced,
    tagged,
)
from dicom_bq.errors import DestinationConflictError, UsageError
from dicom_bq.schema import TableSchema
from dicom_bq.typemaps.bigquery import table_description

_PARQUET = {
    "sourceFormat": "PARQUET",
    "parquetOptions": {"enableListInference": True},  # without it, every array is loaded empty
    "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
}
_JSON = {"sourceFormat": "NEWLINE_DELIMITED_JSON"}
_LABEL = {"dicom-bq": "export"}
"""Of every job, to find them in INFORMATION_SCHEMA.JOBS."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """One export into BigQuery, before it is done.

    Attributes:
        destination: URI of the table.
        job_project: Project that runs the job.
        location: Where.
        disposition: ``WRITE_APPEND`` and so on.
        rows: In the table now, None when there is no table.
        added: Columns that the table gets, as ``A.B``; all of them when it is new.
        lost: Columns that it has no more afterwards.
        fields: The table's, afterwards.
        loaded: Those that the files have, in their order.
        time_partitioning: Of the table; None when it has none by time.
        configuration: Of the load job, as the API has it, without the files.
    """

    destination: str
    job_project: str
    location: str
    disposition: str
    rows: int | None
    added: tuple[str, ...]
    lost: tuple[str, ...]
    fields: tuple[Field, ...]
    loaded: tuple[Field, ...]
    time_partitioning: dict[str, Any] | None
    configuration: dict[str, Any]

    @property
    def patches(self) -> bool:
        """Whether the table gets columns before the job runs."""
        return self.rows is not None and self.disposition != WriteDisposition.WRITE_TRUNCATE

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

    @property
    def job(self) -> dict[str, Any]:
        """The job's configuration without the schema, which is long."""
        load = {key: value for key, value in self.configuration["load"].items() if key != "schema"}
        return {**self.configuration, "load": load}


def make_plan(
    name: TableName,
    options: BigQueryOptions,
    location: str,
    resource: dict[str, Any] | None,
    schema: TableSchema,
    disposition: WriteDisposition,
) -> LoadPlan:
    """What an export of rows of this schema does.

    Args:
        name: The table.
        options: How.
        location: Of its dataset.
        resource: The table as it is; None when it is not.
        schema: Of the rows.
        disposition: What happens to rows that are there.

    Raises:
        DestinationConflictError: The table needs columns that the rows lack.
        UsageError: The options contradict the table or the schema.
    """
    ours = schema.to_bigquery()
    before: list[Field] = resource["schema"]["fields"] if resource and resource.get("schema") else []
    if resource is None or disposition is WriteDisposition.WRITE_TRUNCATE:
        fields = replaced(before, ours)
    else:
        check_required(name.uri, before, ours)
        fields = extended(before, ours)
    fields = tagged(fields, options.policy_tags)
    added, lost = changes(before, fields)
    files = loaded(fields, ours)
    load = {
        **(_JSON if needs_json(files) else _PARQUET),
        "schema": {"fields": files},
        "writeDisposition": disposition.value,
        "createDisposition": "CREATE_IF_NEEDED" if resource is None else "CREATE_NEVER",
    }
    shape = _shape(resource, fields, options, disposition)
    if resource is None or disposition is WriteDisposition.WRITE_TRUNCATE:
        load |= shape  # an append says nothing of it: its schema need not even have the columns
    if resource is None:
        properties = {"description": table_description(schema.edition), "labels": dict(options.labels)}
        load["destinationTableProperties"] = {key: value for key, value in properties.items() if value}
    return LoadPlan(
        destination=name.uri,
        job_project=options.job_project or name.project,
        location=location,
        disposition=disposition.value,
        rows=None if resource is None else int(resource.get("numRows", 0)),
        added=added,
        lost=lost,
        fields=tuple(fields),
        loaded=tuple(files),
        time_partitioning=shape.get("timePartitioning"),
        configuration={"load": load, "labels": {**_LABEL, **options.labels}},
    )


def check_required(destination: str, before: Sequence[Field], ours: Sequence[Field]) -> None:
    """Raise DestinationConflictError, which names each, when a table needs columns that the rows lack."""
    missing = list(missing_required(before, ours))
    if missing:
        raise DestinationConflictError(
            destination=destination,
            path=missing[0],
            first="REQUIRED",
            second="absent",
            others="".join(f", so is {path}" for path in missing[1:]),
            advice="Make it NULLABLE (ALTER TABLE ... ALTER COLUMN ... DROP NOT NULL), or use another table",
        )


def _shape(
    resource: dict[str, Any] | None,
    fields: Sequence[Field],
    options: BigQueryOptions,
    disposition: WriteDisposition,
) -> dict[str, Any]:
    """Clustering and partitioning of the table: one that is there keeps its own, a new one has what is asked for."""
    asked = options.time_partitioning
    if resource is None:
        shape = {"clustering": clustering(fields, options.cluster_by), "timePartitioning": partitioning(fields, asked)}
        return {key: value for key, value in shape.items() if value}
    kept = {key: resource[key] for key in ("timePartitioning", "rangePartitioning") if resource.get(key)}
    if asked and not asked.items() <= kept.get("timePartitioning", {}).items():
        raise UsageError(reason=f"partition by {options.partition_by}: the partitions of a table that exists stay")
    partitioning(fields, kept.get("timePartitioning"))
    clustered = resource.get("clustering", {}).get("fields", [])
    if disposition is WriteDisposition.WRITE_TRUNCATE:
        names = {item["name"] for item in fields}
        own = [column for column in clustered if column in names]
        by = clustering(fields, own if options.cluster_by is None else options.cluster_by)
    elif options.cluster_by is None or list(options.cluster_by) == clustered:
        by = resource.get("clustering")
    else:
        raise UsageError(reason="cluster by: the clustering of a table stays, unless the table is replaced")
    return {**kept, **({"clustering": by} if by else {})}
