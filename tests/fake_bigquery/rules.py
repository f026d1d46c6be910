"""What BigQuery allows, as tables; comments name the page under docs.cloud.google.com/bigquery."""

from __future__ import annotations

import base64
import datetime
import decimal
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

# /quotas#table_limits, /docs/nested-repeated, /docs/clustered-tables, /docs/labels-intro
LIMITS = {
    "columns": 10_000,
    "depth": 15,
    "name": 300,
    "description": 1_024,
    "table description": 16_384,
    "source URIs": 10_000,
    "clustering columns": 4,
    "partitions a job": 4_000,
    "policy tags a column": 1,
    "labels": 64,
    "JSON row bytes": 100_000_000,
}
# /docs/schemas#column_names
RESERVED_PREFIXES = (
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_SEQUENCE_NUMBER",
    "_CHANGE_TYPE",
    "_CHANGE_TIMESTAMP",
)
COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
POLICY_TAG = re.compile(r"projects/[^/]+/locations/([^/]+)/taxonomies/[^/]+/policyTags/[^/]+")
MODES = ("NULLABLE", "REQUIRED", "REPEATED")
# /docs/error-messages
HTTP_STATUS = {
    "invalid": 400,
    "invalidQuery": 400,
    "required": 400,
    "notImplemented": 501,
    "notFound": 404,
    "duplicate": 409,
    "conditionNotMet": 412,
    "rateLimitExceeded": 429,
    "quotaExceeded": 403,
    "accessDenied": 403,
    "resourceInUse": 400,
    "backendError": 503,
    "internalError": 500,
}


class RefusedError(Exception):
    """BigQuery says no: ``reason`` is one of /docs/error-messages."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)

    def to_api(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message}


def refuse_unless(condition: object, message: str, reason: str = "invalid") -> None:
    if not condition:
        raise RefusedError(reason=reason, message=message)


def _decimal_text(value: decimal.Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _float_text(value: float) -> str:
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), repr(value))


def _microseconds(value: datetime.datetime) -> str:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return str((value - epoch) // datetime.timedelta(microseconds=1))


@dataclass(frozen=True)
class StandardType:
    """One column type: how its values are kept, and how tabledata.list writes them."""

    arrow: pa.DataType
    render: Callable[[Any], str]
    clusters: bool = True
    partitions: bool = False


TYPES: dict[str, StandardType] = {
    "STRING": StandardType(pa.string(), str),
    "BYTES": StandardType(pa.binary(), lambda value: base64.b64encode(value).decode(), clusters=False),
    "INTEGER": StandardType(pa.int64(), str),
    "FLOAT": StandardType(pa.float64(), _float_text, clusters=False),
    "BOOLEAN": StandardType(pa.bool_(), lambda value: str(value).lower()),
    "NUMERIC": StandardType(pa.decimal128(38, 9), _decimal_text),
    "BIGNUMERIC": StandardType(pa.decimal256(76, 38), _decimal_text),
    "DATE": StandardType(pa.date32(), str, partitions=True),
    "TIME": StandardType(pa.time64("us"), lambda value: value.isoformat(), clusters=False),
    "DATETIME": StandardType(pa.timestamp("us"), lambda value: value.isoformat(), partitions=True),
    "TIMESTAMP": StandardType(pa.timestamp("us", "UTC"), _microseconds, partitions=True),
    "JSON": StandardType(pa.string(), str, clusters=False),
    "GEOGRAPHY": StandardType(pa.string(), str),
}
ALIASES = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
}

Field = dict[str, Any]


def canonical(fields: list[Field]) -> list[Field]:
    """Fields as the REST API writes them back: legacy type names, upper case, a mode, sub-fields."""
    return [_canonical_field(field) for field in fields]


def _canonical_field(field: Field) -> Field:
    refuse_unless("name" in field and "type" in field, "Field is missing its name or type", "required")
    kept = {key: value for key, value in field.items() if key in ("description", "policyTags") and value}
    kind = field["type"].upper()
    result = {
        "name": field["name"],
        "type": ALIASES.get(kind, kind),
        "mode": (field.get("mode") or "NULLABLE").upper(),
        **kept,
    }
    if result["type"] == "RECORD":
        result["fields"] = canonical(field.get("fields") or [])
    return result


def walk(fields: list[Field], path: str = "", depth: int = 1) -> Iterator[tuple[Field, str, int]]:
    """Every field with its path and its depth (a top-level column is at depth 1)."""
    for field in fields:
        here = f"{path}.{field['name']}" if path else field["name"]
        yield field, here, depth
        yield from walk(field.get("fields", []), here, depth + 1)


def check_schema(fields: list[Field]) -> None:
    """Refuse what no table may have. ``fields`` are canonical."""
    total = sum(1 for _ in walk(fields))
    refuse_unless(total <= LIMITS["columns"], f"Too many total leaf fields: {total}, limit {LIMITS['columns']}")
    _check_unique(fields, "")
    for field, path, depth in walk(fields):
        _check_field(field, path, depth)


def _check_unique(fields: list[Field], path: str) -> None:
    seen: set[str] = set()
    for field in fields:
        folded = field["name"].lower()
        refuse_unless(folded not in seen, f"Duplicate field names in schema: {path}{field['name']}")
        seen.add(folded)
        _check_unique(field.get("fields", []), f"{path}{field['name']}.")


def _check_field(field: Field, path: str, depth: int) -> None:
    name, kind = field["name"], field["type"]
    refuse_unless(
        COLUMN_NAME.fullmatch(name),
        f'Invalid field name "{name}". Fields must contain only letters, '
        "numbers, and underscores, and start with a letter or underscore",
    )
    refuse_unless(len(name) <= LIMITS["name"], f'Field name "{path}" is longer than {LIMITS["name"]} characters')
    refuse_unless(not name.upper().startswith(RESERVED_PREFIXES), f'Invalid field name "{name}": reserved prefix')
    refuse_unless(kind == "RECORD" or kind in TYPES, f"Invalid value for type: {kind} is not a valid value")
    refuse_unless(field["mode"] in MODES, f"Invalid value for mode: {field['mode']} is not a valid value")
    record = kind == "RECORD"
    refuse_unless(not record or field["fields"], f"Field {path} is type RECORD but has no schema")
    refuse_unless(
        not record or depth <= LIMITS["depth"], f"Field {path} is nested deeper than {LIMITS['depth']} levels"
    )
    description = field.get("description", "")
    refuse_unless(len(description) <= LIMITS["description"], f"Field {path}: the description is too long")
    _check_policy_tags(field, path)


def _check_policy_tags(field: Field, path: str) -> None:
    names = field.get("policyTags", {}).get("names", [])
    refuse_unless(not names or field["type"] != "RECORD", f"Field {path}: policy tags are for leaf fields only")
    refuse_unless(len(names) <= LIMITS["policy tags a column"], f"Field {path} has more than one policy tag")
    refuse_unless(all(POLICY_TAG.fullmatch(name) for name in names), f"Field {path}: not a policy tag resource name")


def check_table(resource: dict[str, Any]) -> None:
    """Refuse what a table's properties may not be: description, labels, partitioning and clustering."""
    refuse_unless(len(resource.get("description", "")) <= LIMITS["table description"], "Table description is too long")
    labels = resource.get("labels", {})
    refuse_unless(len(labels) <= LIMITS["labels"], "Too many labels")
    for key, value in labels.items():
        refuse_unless(LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value), f"Label {key}={value} is not valid")
    columns = {field["name"]: field for field in resource["schema"]["fields"]}
    _check_clustering(resource.get("clustering", {}).get("fields", []), columns)
    _check_partitioning(resource.get("timePartitioning"), columns)


def _check_clustering(names: list[str], columns: dict[str, Field]) -> None:
    refuse_unless(len(names) <= LIMITS["clustering columns"], "Too many clustering fields, the limit is 4")
    for name in names:
        refuse_unless(name in columns, f"The field specified for clustering cannot be found in the schema: {name}")
        field = columns[name]
        usable = field["mode"] != "REPEATED" and field["type"] in TYPES and TYPES[field["type"]].clusters
        refuse_unless(usable, f"Clustering is not supported on {field['mode']} {field['type']} field {name}")


def _check_partitioning(partitioning: dict[str, Any] | None, columns: dict[str, Field]) -> None:
    if not partitioning or "field" not in partitioning:
        return
    name = partitioning["field"]
    refuse_unless(partitioning.get("type") in ("HOUR", "DAY", "MONTH", "YEAR"), "Invalid timePartitioning.type")
    refuse_unless(name in columns, f"The field specified for partitioning cannot be found in the schema: {name}")
    field = columns[name]
    usable = field["mode"] != "REPEATED" and field["type"] in TYPES and TYPES[field["type"]].partitions
    refuse_unless(
        usable,
        f"The field specified for partitioning must be a top-level DATE, TIMESTAMP or DATETIME: {name}",
    )


def arrow_field(field: Field) -> pa.Field:
    """How the rows of a column are kept."""
    if field["type"] == "RECORD":
        kind: pa.DataType = pa.struct([arrow_field(child) for child in field["fields"]])
    else:
        kind = TYPES[field["type"]].arrow
    if field["mode"] == "REPEATED":
        kind = pa.list_(pa.field("element", kind))
    return pa.field(field["name"], kind)


def arrow_schema(fields: list[Field]) -> pa.Schema:
    return pa.schema([arrow_field(field) for field in fields])


def render_row(row: dict[str, Any], fields: list[Field], *, microseconds: bool = True) -> dict[str, Any]:
    """One row as tabledata.list writes it: ``{"f": [{"v": ...}]}``; TIMESTAMP in microseconds or seconds."""
    return {"f": [{"v": _render(row[field["name"]], field, microseconds)} for field in fields]}


def _render(value: Any, field: Field, microseconds: bool) -> Any:
    if field["mode"] == "REPEATED":
        single = {**field, "mode": "NULLABLE"}
        return [{"v": _render(item, single, microseconds)} for item in value or []]
    if value is None:
        return None
    if field["type"] == "RECORD":
        return render_row(value, field["fields"], microseconds=microseconds)
    if field["type"] == "TIMESTAMP" and not microseconds:
        return repr(value.timestamp())
    return TYPES[field["type"]].render(value)
