"""Datasets and tables: create, get, list, patch under an etag, delete. /docs/reference/rest/v2/tables."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tests.fake_bigquery import rules
from tests.fake_bigquery.parquet import fit
from tests.fake_bigquery.rules import Field, RefusedError, refuse_unless

Resource = dict[str, Any]
TablePath = tuple[str, str, str]  # project, dataset, table
SETTABLE = (
    "description",
    "tableConstraints",
    "encryptionConfiguration",
    "friendlyName",
    "labels",
    "clustering",
    "timePartitioning",
    "view",
    "expirationTime",
)


@dataclass
class Table:
    """One table: its resource as the REST API shows it, and its rows."""

    resource: Resource
    rows: pa.Table

    @property
    def fields(self) -> list[Field]:
        return self.resource["schema"]["fields"]


@dataclass
class Catalog:
    """All datasets and tables of all projects."""

    datasets: dict[tuple[str, str], Resource] = dataclasses.field(default_factory=dict)
    tables: dict[TablePath, Table] = dataclasses.field(default_factory=dict)
    etags: Any = dataclasses.field(default_factory=lambda: itertools.count(1))

    def create_dataset(self, project: str, body: Resource) -> Resource:
        name = body["datasetReference"]["datasetId"]
        refuse_unless((project, name) not in self.datasets, f"Already Exists: Dataset {project}:{name}", "duplicate")
        reference = {"projectId": project, "datasetId": name}
        resource = {
            "location": "US",
            **body,
            "kind": "bigquery#dataset",
            "id": f"{project}:{name}",
            "datasetReference": reference,
            "etag": self._etag(),
        }
        self.datasets[project, name] = resource
        return resource

    def dataset(self, project: str, name: str) -> Resource:
        found = self.datasets.get((project, name))
        refuse_unless(found, f"Not found: Dataset {project}:{name}", "notFound")
        return found  # type: ignore[return-value]

    def delete_dataset(self, project: str, name: str, *, contents: bool) -> None:
        self.dataset(project, name)
        inside = [path for path in self.tables if path[:2] == (project, name)]
        refuse_unless(contents or not inside, f"Dataset {project}:{name} is still in use", "resourceInUse")
        for path in inside:
            del self.tables[path]
        del self.datasets[project, name]

    def table(self, path: TablePath) -> Table:
        self.dataset(*path[:2])
        refuse_unless(path in self.tables, f"Not found: Table {path[0]}:{path[1]}.{path[2]}", "notFound")
        return self.tables[path]

    def create_table(self, path: TablePath, body: Resource) -> Table:
        dataset = self.dataset(*path[:2])
        refuse_unless(path not in self.tables, f"Already Exists: Table {path[0]}:{path[1]}.{path[2]}", "duplicate")
        fields = rules.canonical(body.get("schema", {}).get("fields", []))
        rules.check_schema(fields)
        resource = {key: body[key] for key in SETTABLE if body.get(key)} | {
            "kind": "bigquery#table",
            "id": f"{path[0]}:{path[1]}.{path[2]}",
            "schema": {"fields": fields},
            "tableReference": dict(zip(("projectId", "datasetId", "tableId"), path, strict=True)),
            "type": "VIEW" if "view" in body else "TABLE",
            "location": dataset["location"],
            "creationTime": "0",
        }
        rules.check_table(resource)
        self.tables[path] = Table(resource, rules.arrow_schema(fields).empty_table())
        return self.touch(path)

    def patch_table(self, path: TablePath, body: Resource, if_match: str | None) -> Table:
        table = self.table(path)
        stale = if_match not in (None, "*", table.resource["etag"])
        refuse_unless(not stale, "Precondition Failed: the etag does not match", "conditionNotMet")
        resource = {**table.resource, **{key: body[key] for key in SETTABLE if key in body}}
        if body.get("schema"):
            wanted = rules.canonical(body["schema"]["fields"])
            fields = evolve(table.fields, wanted, path, adding=True)
            rules.check_schema(fields)
            resource["schema"] = {"fields": fields}
        rules.check_table(resource)
        self.replace(path, resource, table.rows)
        return self.touch(path)

    def replace(self, path: TablePath, resource: Resource, rows: pa.Table) -> None:
        """Put ``rows`` under ``resource`` in one step, refitted when columns were added."""
        target = rules.arrow_schema(resource["schema"]["fields"])
        self.tables[path] = Table(resource, refit(rows, target))
        self.touch(path)

    def touch(self, path: TablePath) -> Table:
        table = self.tables[path]
        table.resource = {
            **table.resource,
            "etag": self._etag(),
            "numRows": str(table.rows.num_rows),
            "numBytes": str(table.rows.nbytes),
        }
        return table

    def _etag(self) -> str:
        return f"etag-{next(self.etags)}"


def refit(rows: pa.Table, target: pa.Schema) -> pa.Table:
    columns = {name: rows.column(name) for name in rows.column_names}
    arrays = []
    for column in target:
        chunks = columns[column.name].chunks if column.name in columns else [pa.nulls(rows.num_rows)]
        arrays.append(pa.chunked_array([fit(chunk, column) for chunk in chunks], type=column.type))
    return pa.Table.from_arrays(arrays, schema=target)


def evolve(
    old: list[Field],
    new: list[Field],
    path: TablePath,
    *,
    adding: bool,
    relaxing: bool = True,
    partial: bool = False,
    parent: str = "",
) -> list[Field]:
    """``old`` changed to ``new``: added fields go to the end of their RECORD (/docs/managing-table-schemas).

    Args:
        old: The table's fields.
        new: The fields asked for.
        path: The table, for messages.
        adding: New fields are allowed (a patch, or ALLOW_FIELD_ADDITION).
        relaxing: REQUIRED may become NULLABLE.
        partial: Fields of ``old`` may be missing in ``new`` (a load job's schema); their properties stay.
        parent: Where in the schema, for messages.
    """
    mismatch = f"Provided Schema does not match Table {path[0]}:{path[1]}.{path[2]}."
    wanted = {field["name"].lower(): field for field in new}
    result = []
    for field in old:
        other = wanted.pop(field["name"].lower(), None)
        here = f"{parent}{field['name']}"
        if other is None:
            refuse_unless(partial and field["mode"] != "REQUIRED", f"{mismatch} Field {here} is missing in new schema")
            result.append(field)
            continue
        _check_change(field, other, f"{mismatch} Field {here} has changed", relaxing)
        merged = {**field, "mode": other["mode"]} if partial else {**other, "name": field["name"]}
        if field["type"] == "RECORD":
            merged["fields"] = evolve(
                field["fields"],
                other["fields"],
                path,
                adding=adding,
                relaxing=relaxing,
                partial=partial,
                parent=f"{here}.",
            )
        result.append(merged)
    for field in wanted.values():
        refuse_unless(adding, f"{mismatch} Cannot add fields (field: {parent}{field['name']})")
        refuse_unless(field["mode"] != "REQUIRED", f"{mismatch} Cannot add required fields ({parent}{field['name']})")
    return result + list(wanted.values())


def _check_change(old: Field, new: Field, text: str, relaxing: bool) -> None:
    refuse_unless(old["type"] == new["type"], f"{text} type from {old['type']} to {new['type']}")
    relaxed = relaxing and (old["mode"], new["mode"]) == ("REQUIRED", "NULLABLE")
    if old["mode"] != new["mode"] and not relaxed:
        raise RefusedError(reason="invalid", message=f"{text} mode from {old['mode']} to {new['mode']}")
