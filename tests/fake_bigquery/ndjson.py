"""Newline-delimited JSON laid into a table's schema. /docs/loading-data-cloud-storage-json."""

from __future__ import annotations

import base64
import datetime
import decimal
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.fake_bigquery.rules import LIMITS, Field, RefusedError, arrow_schema, refuse_unless


def _integer(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or float(value) != number or not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _only(kind: type) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return parse


def _timestamp(value: Any) -> datetime.datetime:
    parsed = datetime.datetime.fromisoformat(str(value).replace(" UTC", "+00:00").replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)


PARSERS: dict[str, Callable[[Any], Any]] = {
    "STRING": lambda value: value if isinstance(value, str) else json.dumps(value),
    "BYTES": lambda value: base64.b64decode(value, validate=True),
    "INTEGER": _integer,
    "FLOAT": float,
    "BOOLEAN": _only(bool),
    "NUMERIC": lambda value: decimal.Decimal(str(value)),
    "BIGNUMERIC": lambda value: decimal.Decimal(str(value)),
    "DATE": datetime.date.fromisoformat,
    "TIME": datetime.time.fromisoformat,
    "DATETIME": datetime.datetime.fromisoformat,
    "TIMESTAMP": _timestamp,
    "JSON": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True),
    "GEOGRAPHY": str,
}


def read_rows(path: Path, fields: list[Field], *, ignore_unknown: bool) -> pa.Table:
    """The rows of one file in the schema ``fields``."""
    data = path.read_bytes()
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    rows = [
        _row(line, number, fields, ignore_unknown) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(fields))


def _row(line: bytes, number: int, fields: list[Field], ignore_unknown: bool) -> dict[str, Any]:
    refuse_unless(len(line) <= LIMITS["JSON row bytes"], f"Row {number} is larger than the maximum of 100 MB")
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RefusedError(
            reason="invalid", message=f"Error while reading data: JSON parsing error in row {number}"
        ) from error
    return _record(row, fields, f"row {number}: ", ignore_unknown)


def _record(row: Any, fields: list[Field], path: str, ignore_unknown: bool) -> dict[str, Any]:
    refuse_unless(isinstance(row, dict), f"{path}an object was expected")
    by_name = {key.lower(): value for key, value in row.items()}
    unknown = by_name.keys() - {field["name"].lower() for field in fields}
    refuse_unless(ignore_unknown or not unknown, f"{path}No such field: {', '.join(sorted(unknown))}")
    return {field["name"]: _value(by_name.get(field["name"].lower()), field, path, ignore_unknown) for field in fields}


def _value(value: Any, field: Field, path: str, ignore_unknown: bool) -> Any:
    here = f"{path}{field['name']}"
    if field["mode"] == "REPEATED":
        single = {**field, "mode": "REQUIRED"}
        refuse_unless(value is None or isinstance(value, list), f"{here}: an array was expected")
        return [_value(item, single, path, ignore_unknown) for item in value or []]
    refuse_unless(value is not None or field["mode"] != "REQUIRED", f"Missing required field: {here}")
    if value is None:
        return None
    if field["type"] == "RECORD":
        return _record(value, field["fields"], f"{here}.", ignore_unknown)
    try:
        return PARSERS[field["type"]](value)
    except (ValueError, TypeError, decimal.InvalidOperation) as error:
        raise RefusedError(
            reason="invalid", message=f"Could not convert value to {field['type']}. Field: {here}"
        ) from error
