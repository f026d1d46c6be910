"""What one export will do to a BigQuery table, as data: made before anything is changed, shown by ``--dry-run``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dicom_bq.column import REQUIRED
from dicom_bq.destinations.base import WriteDisposition, fillable
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
    same_columns,
    tagged,
)
from dicom_bq.errors import DestinationConflictError, UsageError
from dicom_bq.schema import TableSchema
from dicom_bq.typemaps.bigquery import table_description

_KEPT = {
    "timePartitioning": "timePartitioning",
    "rangePartitioning": "rangePartitioning",
    "encryptionConfiguration": "destinationEncryptionConfiguration",
}
"""What a table that is replaced keeps besides: its property, and the job's."""
_PARQUET = {
    "sourceFormat": "PARQUET",
    "parquetOptions": {"enableListInference": True},  # without it, every array is loaded empty
    "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
}
_JSON = {"sourceFormat": "NEWLINE_DELIMITED_JSON"}
# The first drops constraints and row access policies, the second leaves all but the rows as it is.
_REPLACE_TABLE, _REPLACE_ROWS = "WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"
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
    mode, fields = _mode(name, options, resource, before, ours, disposition)
    fields = tagged(fields, options.policy_tags)
    added, lost = changes(before, fields)
    files = loaded(fields, ours)
    shape = _shape(resource, fields, options, disposition)
    load = {
        **(_JSON if needs_json(files) else _PARQUET),
        "schema": {"fields": files},
        "writeDisposition": mode,
        "createDisposition": "CREATE_IF_NEEDED" if resource is None else "CREATE_NEVER",
        # Only a table's maker says what it is to be: the schema of rows that are added need not have the columns.
        **(shape if resource is None or mode == _REPLACE_TABLE else {}),
    }
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


def _mode(
    name: TableName,
    options: BigQueryOptions,
    resource: dict[str, Any] | None,
    before: Sequence[Field],
    ours: Sequence[Field],
    disposition: WriteDisposition,
) -> tuple[str, list[Field]]:
    """BigQuery's write disposition, and the table's fields after it, but for policy tags that are asked for."""
    if resource is None:
        _check_fillable(name.uri, ours)
        return disposition.value, list(ours)
    if disposition is not WriteDisposition.WRITE_TRUNCATE:
        check_required(name.uri, before, ours)
        return disposition.value, extended(before, ours)
    _check_fillable(name.uri, ours)
    fields = replaced(before, ours)
    unchanged = same_columns(before, tagged(fields, options.policy_tags)) and options.cluster_by is None
    return (_REPLACE_ROWS, list(before)) if unchanged else (_REPLACE_TABLE, fields)


def check_required(destination: str, before: Sequence[Field], ours: Sequence[Field]) -> None:
    """Raise DestinationConflictError, which names each, when a table needs columns that the rows lack."""
    advice = "Make it NULLABLE (ALTER TABLE ... ALTER COLUMN ... DROP NOT NULL), or use another table"
    own = TableSchema(fillable(TableSchema.from_bigquery(ours).columns)).to_bigquery()
    _refuse_required(destination, list(missing_required(before, own)), "absent", advice)


def _check_fillable(destination: str, ours: Sequence[Field]) -> None:
    """Raise DestinationConflictError for a new table's column that is REQUIRED, and that no instance has."""
    columns = TableSchema.from_bigquery(ours).walk()
    empty = [path for path, _, column in columns if column.mode == REQUIRED and not column.is_ours]
    _refuse_required(destination, empty, "empty in every row", "Make it NULLABLE in the schema, or leave it out")


def _refuse_required(destination: str, paths: Sequence[str], found: str, advice: str) -> None:
    if paths:
        raise DestinationConflictError(
            destination=destination,
            path=paths[0],
            first=REQUIRED,
            second=found,
            others="".join(f", so is {path}" for path in paths[1:]),
            advice=advice,
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
    kept = {name: resource[own] for own, name in _KEPT.items() if resource.get(own)}
    if asked and not _without_case(asked).items() <= _without_case(kept.get("timePartitioning", {})).items():
        raise UsageError(reason=f"partition by {options.partition_by}: the partitions of a table that exists stay")
    if by_time := partitioning(fields, kept.get("timePartitioning")):
        kept["timePartitioning"] = by_time
    clustered = resource.get("clustering", {}).get("fields", [])
    if disposition is WriteDisposition.WRITE_TRUNCATE:
        names = {item["name"].lower() for item in fields}
        own = [column for column in clustered if column.lower() in names]
        by = clustering(fields, own if options.cluster_by is None else options.cluster_by)
    elif options.cluster_by is None or _lower(options.cluster_by) == _lower(clustered):
        by = resource.get("clustering")
    else:
        raise UsageError(reason="cluster by: the clustering of a table stays, unless the table is replaced")
    return {**kept, **({"clustering": by} if by else {})}


def _without_case(partitions: dict[str, Any]) -> dict[str, Any]:
    """Partitions to compare: names of columns have no case."""
    return {key: value.lower() if key == "field" else value for key, value in partitions.items()}


def _lower(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]
