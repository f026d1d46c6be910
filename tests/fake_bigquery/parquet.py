"""A Parquet file's own schema as BigQuery sees it, and its columns laid into a table's schema.

/docs/loading-data-cloud-storage-parquet: type conversions, the LIST logical type, multiple files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.fake_bigquery.rules import Field, RefusedError, arrow_field, refuse_unless

# (physical type, logical type) -> the types a schema may give such a column; the first is the one detected.
PARQUET_TYPES: dict[tuple[str, str], tuple[str, ...]] = {
    ("BOOLEAN", "NONE"): ("BOOLEAN",),
    ("INT32", "NONE"): ("INTEGER",),
    ("INT64", "NONE"): ("INTEGER",),
    ("INT32", "INT"): ("INTEGER",),
    ("INT64", "INT"): ("INTEGER",),
    ("FLOAT", "NONE"): ("FLOAT",),
    ("DOUBLE", "NONE"): ("FLOAT",),
    ("INT32", "DATE"): ("DATE",),
    ("INT64", "TIME"): ("TIME",),
    ("INT64", "TIMESTAMP"): ("TIMESTAMP", "DATETIME"),
    ("BYTE_ARRAY", "STRING"): ("STRING",),
    ("BYTE_ARRAY", "JSON"): ("STRING",),
    ("BYTE_ARRAY", "NONE"): ("BYTES",),
    ("FIXED_LEN_BYTE_ARRAY", "NONE"): ("BYTES",),
    ("FIXED_LEN_BYTE_ARRAY", "DECIMAL"): ("NUMERIC", "BIGNUMERIC"),
    ("INT32", "DECIMAL"): ("NUMERIC", "BIGNUMERIC"),
    ("INT64", "DECIMAL"): ("NUMERIC", "BIGNUMERIC"),
}


class ParquetPart:
    """One file of a load job; ``fields`` are its columns as BigQuery reads them from the footer."""

    def __init__(self, path: Path, *, list_inference: bool, decimal_targets: list[str]) -> None:
        self.path, self.list_inference, self.decimal_targets = path, list_inference, decimal_targets
        try:
            self.file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise RefusedError(reason="invalid", message="Error while reading data: not in Parquet format") from error
        schema = self.file.schema
        self._leaves = {schema.column(i).path: schema.column(i) for i in range(len(schema))}
        self.fields = [self._field(field, field.name) for field in self.file.schema_arrow]

    def _field(self, field: pa.Field, path: str) -> dict[str, Any]:
        mode = "NULLABLE" if field.nullable else "REQUIRED"
        if not pa.types.is_list(field.type) and not pa.types.is_large_list(field.type):
            return {"name": field.name, "mode": mode, **self._kind(field.type, path)}
        element = field.type.value_field
        group = f"{path}.list.element"
        inferred = self.list_inference and any(leaf == group or leaf.startswith(f"{group}.") for leaf in self._leaves)
        nested_list = pa.types.is_list(element.type)
        refuse_unless(not (inferred and nested_list), f"Field {path}: arrays of arrays are not supported")
        if inferred:
            return {"name": field.name, "mode": "REPEATED", **self._kind(element.type, group)}
        group = (
            next(leaf for leaf in self._leaves if leaf.startswith(f"{path}.")).removeprefix(f"{path}.").split(".")[1]
        )
        inner = self._field(pa.field(group, element.type), f"{path}.list.{group}")
        outer = {"name": "list", "type": "RECORD", "mode": "REPEATED", "fields": [inner]}
        return {
            "name": field.name,
            "type": "RECORD",
            "mode": mode,
            "fields": [outer],
            "unreadable_list": True,
        }

    def _kind(self, kind: pa.DataType, path: str) -> dict[str, Any]:
        if pa.types.is_struct(kind):
            children = [self._field(child, f"{path}.{child.name}") for child in kind]
            return {"type": "RECORD", "fields": children}
        leaf = self._leaves[path]
        types = PARQUET_TYPES.get((leaf.physical_type, leaf.logical_type.type))
        refuse_unless(
            types, f"Unsupported type in Parquet column {path}: {leaf.physical_type} {leaf.logical_type.type}"
        )
        if leaf.logical_type.type == "DECIMAL":
            types = _decimal_types(leaf, self.decimal_targets, path)
        refuse_unless(
            "nanoseconds" not in str(leaf.logical_type),
            f"Parquet column {path}: nanoseconds are not supported",
        )
        return {"type": types[0], "types": types}

    def rows(self, fields: list[Field]) -> pa.Table:
        """The file's rows in the schema ``fields``; columns that it lacks are NULL."""
        table = self.file.read().combine_chunks()
        columns = dict(zip(table.column_names, table.columns, strict=True))
        arrays = [self._column(field, columns.get(field["name"]), table.num_rows) for field in fields]
        return pa.Table.from_arrays(arrays, schema=pa.schema([arrow_field(field) for field in fields]))

    def _column(self, field: Field, column: pa.ChunkedArray | None, count: int) -> pa.Array:
        target = arrow_field(field)
        own = next((mine for mine in self.fields if mine["name"] == field["name"]), None)
        # The trap of #list_logical_type: a REPEATED column in the schema and list inference off load without
        # an error, and every array is empty.
        emptied = own is not None and own.get("unreadable_list") and field["mode"] == "REPEATED"
        if column is None or emptied:
            return fit(pa.nulls(count, target.type), target)
        whole = column.combine_chunks()
        array = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
        return fit(array, target)


def _decimal_types(leaf: Any, targets: list[str], path: str) -> tuple[str, ...]:
    precision, scale = leaf.precision, leaf.scale
    room = {"NUMERIC": (29, 9), "BIGNUMERIC": (38, 38), "STRING": (1_000, 1_000)}
    fitting = tuple(name for name in targets if precision - scale <= room[name][0] and scale <= room[name][1])
    refuse_unless(fitting, f"Parquet column {path}: DECIMAL({precision}, {scale}) does not fit {', '.join(targets)}")
    return fitting


def fit(array: pa.Array, target: pa.Field) -> pa.Array:
    """``array`` in the type of ``target``: sub-fields by name, missing ones NULL, NULL arrays empty."""
    if pa.types.is_list(target.type):
        return _fit_list(array, target)
    if pa.types.is_struct(target.type):
        return _fit_struct(array, target)
    return array.cast(target.type)


def _fit_list(array: pa.Array, target: pa.Field) -> pa.Array:
    element = target.type.value_field
    if pa.types.is_null(array.type):
        array = pa.nulls(len(array), pa.list_(pa.field("element", element.type)))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int32())
    values = array.flatten()
    refuse_unless(values.null_count == 0, f"Array specified for field {target.name} contains a NULL element")
    return pa.ListArray.from_arrays(offsets, fit(values, element), type=target.type)


def _fit_struct(array: pa.Array, target: pa.Field) -> pa.Array:
    if pa.types.is_null(array.type):
        array = pa.nulls(len(array), target.type)
    if pa.types.is_list(array.type):
        array = _as_groups(array, target)
    names = [field.name for field in array.type]
    own = dict(zip(names, array.flatten(), strict=True))
    children = [fit(own.get(child.name, pa.nulls(len(array))), child) for child in target.type]
    return pa.StructArray.from_arrays(children, fields=list(target.type), mask=array.is_null())


def _as_groups(array: pa.Array, target: pa.Field) -> pa.Array:
    """A list as the two groups that it is in the file: ``STRUCT<list ARRAY<STRUCT<element T>>>``."""
    element = target.type.field("list").type.value_type.field(0).name
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    groups = pa.StructArray.from_arrays([array.flatten()], [element])
    lists = pa.ListArray.from_arrays(pa.array([0, *lengths.cumsum().tolist()], pa.int32()), groups)
    return pa.StructArray.from_arrays([lists], ["list"], mask=array.is_null())


def check_against_schema(own: list[Field], schema: list[Field], path: str = "") -> None:
    """Refuse a file whose columns are not those of the job's schema (types, modes, unknown columns)."""
    targets = {field["name"].lower(): field for field in schema}
    for field in own:
        here = f"{path}{field['name']}"
        refuse_unless(field["name"].lower() in targets, f"No such field: {here} in the schema of the job")
        _check_column(field, targets[field["name"].lower()], here)
    present = {field["name"].lower() for field in own}
    for target in schema:
        missing = target["mode"] == "REQUIRED" and target["name"].lower() not in present
        refuse_unless(not missing, f"Required column '{path}{target['name']}' is missing in the Parquet file")


def _check_column(field: Field, target: Field, path: str) -> None:
    refuse_unless(target["type"] != "JSON", "Unsupported field type: JSON")
    if field.get("unreadable_list") and target["mode"] == "REPEATED":
        return
    strict = target["mode"] == "REQUIRED" and field["mode"] != "REQUIRED"
    refuse_unless(not strict, f"Parquet column '{path}' is OPTIONAL, and the target column is REQUIRED")
    repeated = (field["mode"] == "REPEATED") == (target["mode"] == "REPEATED")
    refuse_unless(repeated, f"Parquet column '{path}' has mode {field['mode']}, the target column {target['mode']}")
    fits = target["type"] in field.get("types", (field["type"],))
    message = f"Parquet column '{path}' has type {field['type']} which does not match the target {target['type']}"
    refuse_unless(fits, f"Error while reading data, error message: {message}")
    if target["type"] == "RECORD":
        check_against_schema(field["fields"], target["fields"], f"{path}.")


def public(fields: list[Field]) -> list[Field]:
    """Fields without what only this module knows: what a table made without a schema gets."""
    kept = ("name", "type", "mode")
    return [
        {key: field[key] for key in kept} | ({"fields": public(field["fields"])} if "fields" in field else {})
        for field in fields
    ]
