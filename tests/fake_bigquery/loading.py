"""Load jobs: read every file, check everything, then change the table in one step, or not at all.

/docs/reference/rest/v2/Job#JobConfigurationLoad
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tests.fake_bigquery import ndjson, rules
from tests.fake_bigquery.catalog import Catalog, Resource, TablePath, evolve, refit
from tests.fake_bigquery.parquet import ParquetPart, check_against_schema, public
from tests.fake_bigquery.rules import Field, refuse_unless

CREATE = ("CREATE_IF_NEEDED", "CREATE_NEVER")
UPDATES = ("ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")
# What a disposition does: rows of the table kept, schema of the table kept, schemaUpdateOptions allowed.
DISPOSITIONS = {
    "WRITE_APPEND": {"keeps rows": True, "keeps schema": True, "updates": True},
    "WRITE_EMPTY": {"keeps rows": True, "keeps schema": True, "updates": False},
    "WRITE_TRUNCATE": {"keeps rows": False, "keeps schema": False, "updates": False},
    "WRITE_TRUNCATE_DATA": {"keeps rows": False, "keeps schema": True, "updates": True},
}


@dataclass(frozen=True)
class Load:
    """One load job: its configuration, and its files with the index of the source URI that each came from."""

    config: dict[str, Any]
    files: list[tuple[Path, int]]

    @property
    def path(self) -> TablePath:
        table = self.config["destinationTable"]
        return table["projectId"], table["datasetId"], table["tableId"]

    @property
    def disposition(self) -> str:
        return self.config.get("writeDisposition", "WRITE_APPEND")


def check_config(config: dict[str, Any]) -> None:
    """What is refused when the job is sent, before it exists (HTTP 400)."""
    refuse_unless("destinationTable" in config, "Required parameter is missing: destinationTable", "required")
    disposition = config.get("writeDisposition", "WRITE_APPEND")
    refuse_unless(disposition in DISPOSITIONS, f"Invalid value for writeDisposition: {disposition}")
    create = config.get("createDisposition", "CREATE_IF_NEEDED")
    refuse_unless(create in CREATE, f"Invalid value for createDisposition: {create}")
    options = config.get("schemaUpdateOptions", [])
    refuse_unless(set(options) <= set(UPDATES), f"Invalid value for schemaUpdateOptions: {options}")
    allowed = DISPOSITIONS[disposition]["updates"]
    refuse_unless(
        allowed or not options,
        "Schema update options should only be specified with WRITE_APPEND disposition, "
        "or with WRITE_TRUNCATE disposition on a table partition",
    )
    refuse_unless(len(config.get("sourceUris", [])) <= rules.LIMITS["source URIs"], "Too many source URIs")
    refuse_unless(config.get("sourceFormat") in ("PARQUET", "NEWLINE_DELIMITED_JSON"), "Unsupported source format")
    fields = job_schema(config)
    rules.check_schema(fields or [])
    if fields:
        rules.check_table({**config, "schema": {"fields": fields}})


def job_schema(config: dict[str, Any]) -> list[Field] | None:
    return rules.canonical(config["schema"]["fields"]) if config.get("schema", {}).get("fields") else None


def run(catalog: Catalog, load: Load) -> int:
    """Do the load; returns the number of rows written. Nothing changes when it refuses."""
    dataset = catalog.dataset(*load.path[:2])
    table = catalog.tables.get(load.path)
    name = f"{load.path[0]}:{load.path[1]}.{load.path[2]}"
    create = load.config.get("createDisposition", "CREATE_IF_NEEDED") == "CREATE_IF_NEEDED"
    refuse_unless(table or create, f"Not found: Table {name}", "notFound")
    refuse_unless(not (table and table.resource["type"] == "VIEW"), f"{name} is a view")
    occupied = table is not None and table.rows.num_rows > 0 and load.disposition == "WRITE_EMPTY"
    refuse_unless(not occupied, f"Already Exists: Table {name}", "duplicate")
    given = job_schema(load.config)
    own, read = _open_files(load, given)
    source = given or own
    if table and DISPOSITIONS[load.disposition]["keeps schema"]:
        options = load.config.get("schemaUpdateOptions", [])
        fields = evolve(
            table.fields,
            source,
            load.path,
            adding="ALLOW_FIELD_ADDITION" in options or not table.fields,
            relaxing="ALLOW_FIELD_RELAXATION" in options,
            partial=True,
        )
    else:
        fields = source
    rules.check_schema(fields)
    new = read(fields)
    resource = _resource(load, table.resource if table else None, fields, dataset)
    _check_partitions(new, resource)
    if table is None:
        resource = catalog.create_table(load.path, resource).resource
    kept = table is not None and DISPOSITIONS[load.disposition]["keeps rows"]
    old = [refit(table.rows, new.schema)] if kept and table else []
    catalog.replace(load.path, resource, pa.concat_tables([*old, new]))
    return int(new.num_rows)


def _open_files(load: Load, given: list[Field] | None) -> tuple[list[Field], Any]:
    """The files' own fields, and a function that reads them all in a schema."""
    if load.config["sourceFormat"] == "NEWLINE_DELIMITED_JSON":
        refuse_unless(given, "NEWLINE_DELIMITED_JSON without a schema: autodetection is not part of this fake")
        ignore = bool(load.config.get("ignoreUnknownValues"))
        return given or [], lambda fields: pa.concat_tables(
            [ndjson.read_rows(path, fields, ignore_unknown=ignore) for path, _ in load.files]
        )
    options = load.config.get("parquetOptions", {})
    inference = options.get("enableListInference", options.get("enable_list_inference", False))  # bq sends the latter
    targets = load.config.get("decimalTargetTypes", ["NUMERIC"])
    parts = [ParquetPart(path, list_inference=inference, decimal_targets=targets) for path, _ in load.files]
    _check_parts(parts, [index for _, index in load.files])
    for part in parts:
        check_against_schema(part.fields, given if given is not None else part.fields)
    last = max(parts, key=lambda part: part.path.name)  # the alphabetically last file gives the schema
    if given is None:
        required = [field["name"] for field in last.fields if field["mode"] == "REQUIRED"]
        fields = [
            {**field, "mode": "NULLABLE"} if field["name"] in required else field for field in public(last.fields)
        ]
        return fields, lambda target: pa.concat_tables([part.rows(target) for part in parts])
    return public(last.fields), lambda target: pa.concat_tables([part.rows(target) for part in parts])


def _check_parts(parts: list[ParquetPart], uris: list[int]) -> None:
    """Files of one job agree: modes everywhere, and positions too where one wildcard found them."""
    modes: dict[str, str] = {}
    for part in parts:
        for field, path, _ in rules.walk(part.fields):
            same = modes.setdefault(path, field["mode"]) == field["mode"]
            refuse_unless(same, f"Parquet column '{path}' has different modes in the files of this job")
    order: dict[int, list[str]] = {}
    for part, uri in zip(parts, uris, strict=True):
        names = [path for _, path, _ in rules.walk(part.fields)]
        same = order.setdefault(uri, names) == names
        refuse_unless(same, "Wildcards are not allowed when the column positions of the files differ")


def _resource(load: Load, old: Resource | None, fields: list[Field], dataset: Resource) -> Resource:
    """The table's resource after the load."""
    config = load.config
    new = {"schema": {"fields": fields}, "location": dataset["location"]}
    if old is None:
        properties = config.get("destinationTableProperties", {})
        shape = {key: config[key] for key in ("clustering", "timePartitioning") if key in config}
        resource = {**properties, **shape, **new}
    else:
        changed = [key for key, value in config.get("destinationTableProperties", {}).items() if old.get(key) != value]
        refuse_unless(not changed, f"destinationTableProperties differ from those of the table: {changed}")
        partitioning = config.get("timePartitioning", old.get("timePartitioning"))
        refuse_unless(partitioning == old.get("timePartitioning"), "Incompatible table partitioning specification")
        kept = DISPOSITIONS[load.disposition]["keeps schema"]
        clustering = config.get("clustering", old.get("clustering") if kept else None)
        refuse_unless(not kept or clustering == old.get("clustering"), "Incompatible table clustering specification")
        resource = {**old, **new, "clustering": clustering or {}}
        if not kept:
            resource.pop("tableConstraints", None)
    rules.check_table(resource)
    return resource


def _check_partitions(rows: pa.Table, resource: Resource) -> None:
    partitioning = resource.get("timePartitioning") or {}
    if "field" not in partitioning:
        return
    column = rows.column(partitioning["field"])
    count = len(pc.unique(pc.floor_temporal(column, unit=partitioning["type"].lower())))
    limit = rules.LIMITS["partitions a job"]
    refuse_unless(count <= limit, f"Too many partitions produced by query, allowed {limit}, query produces {count}")
