"""A schema as the BigQuery API writes it, a list of TableFieldSchema objects, to columns and back.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from dicom_bq import dictionary
from dicom_bq.column import (
    DROPPED_TAGS_KEY,
    FOREIGN_KEY,
    NULLABLE,
    OTHER_ELEMENTS_KEY,
    PRIVATE_KEY,
    RECORD,
    REPEATED,
    REQUIRED,
    SOURCE_KEY,
    Column,
    in_order,
    walk,
)
from dicom_bq.errors import SchemaError
from dicom_bq.mapping import JSON_VARIANT, NAME_COMPONENTS, NAME_GROUPS, OWN_COLUMNS, SOURCE, is_sequence, leaf_column

# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types: two names, one type.
_ALIASES = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "STRUCT": RECORD,
    "BOOL": "BOOLEAN",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
_MODES = frozenset((NULLABLE, REPEATED, REQUIRED))
_OWN_PROPERTIES = frozenset(("name", "type", "mode", "description", "fields"))
"""Those of a field that a column has under names of its own."""
_PRIVATE_NAME = re.compile(r"tag_([0-9a-f]{8})\Z")
_MOST_LEVELS = 100  # no destination holds as many; a bound for recursion on text from anywhere

Level: TypeAlias = Callable[[str], "Place | None"]
"""Finds a column of one level by its name in lower case."""
Place: TypeAlias = tuple[int, Level]
"""Its key, and the level below it."""


def places_of(names: Sequence[str], level: Level) -> list[Place]:
    """Keys of the columns of one level, restored from their names; BigQuery's names have no case.

    Args:
        names: Names in the table's order.
        level: ``level_of`` the table, or the level below a column, which its place gives.

    Returns:
        For each its key, and the level below it.
    """
    return [level(name.lower()) or (FOREIGN_KEY + position, _foreign_level) for position, name in enumerate(names)]


def _foreign_level(_: str) -> Place | None:
    return None


def level_of(names: Iterable[str]) -> Level:
    """The top level of the table that has columns of these names."""
    return _json_level if is_json_variant(names) else table_level


def is_json_variant(names: Iterable[str]) -> bool:
    """Whether a table that has columns of these names is of the JSON variant, and not flattened."""
    return {name.lower() for name in JSON_VARIANT} - {SOURCE.name.lower()} <= {name.lower() for name in names}


def _json_level(name: str) -> Place | None:
    """The top level of a table of the JSON variant, whose columns are not in the order of tags."""
    key = next((number for number, column in enumerate(JSON_VARIANT) if column.lower() == name), None)
    return None if key is None else (FOREIGN_KEY + key, _foreign_level)


def table_level(name: str) -> Place | None:
    """The top level of a table."""
    for key in (DROPPED_TAGS_KEY, SOURCE_KEY):
        if name == OWN_COLUMNS[key].name.lower():
            return key, _fixed_level(OWN_COLUMNS[key].fields)
    return _item_level(name)


@functools.cache
def _item_level(name: str) -> Place | None:
    if name == OWN_COLUMNS[OTHER_ELEMENTS_KEY].name.lower():
        return OTHER_ELEMENTS_KEY, _fixed_level(OWN_COLUMNS[OTHER_ELEMENTS_KEY].fields)
    private = _PRIVATE_NAME.match(name)
    if private:
        return PRIVATE_KEY + int(private[1], 16), _item_level
    entry = dictionary.by_keyword(_keywords_by_lower_case().get(name, ""))
    if entry is None:
        return None
    if is_sequence(entry.tag):
        return entry.tag, _item_level
    try:
        return entry.tag, _fixed_level(leaf_column(entry.tag).fields)
    except SchemaError:  # an element without a column, so the table's column is somebody else's
        return None


def _fixed_level(fields: tuple[Column, ...]) -> Level:
    """The level in a record whose sub-fields the mapping fixes, such as a person name's."""
    places = {column.name.lower(): (column.key, _fixed_level(column.fields)) for column in fields}
    return places.get


@functools.cache
def _keywords_by_lower_case() -> dict[str, str]:
    return {keyword.lower(): keyword for keyword in dictionary.keywords()}


def is_never_a_column(name: str) -> bool:
    """Whether a data element has this name, in whatever case, and never has a column: PixelData, group lengths."""
    entry = dictionary.by_keyword(_keywords_by_lower_case().get(name.lower(), ""))
    return entry is not None and table_level(name.lower()) is None


def canonical_name(name: str) -> str | None:
    """The mapping's own spelling of a name, None for a name that it never gives."""
    name = name.lower()
    if _PRIVATE_NAME.match(name):
        return f"T{name[1:4]}{name[4:].upper()}"
    own = {column.name.lower(): column.name for _, _, column in walk(tuple(OWN_COLUMNS.values()))}
    fixed = {part.lower(): part for part in (*NAME_GROUPS, *NAME_COMPONENTS, "Id", "Value")}
    return _keywords_by_lower_case().get(name) or (own | fixed).get(name)


def columns_from_fields(fields: object) -> tuple[Column, ...]:
    """Columns of a table, from its BigQuery fields.

    Args:
        fields: List of TableFieldSchema objects. A type may have either of its names; no mode is NULLABLE.

    Raises:
        SchemaError: It is not such a list; says where.
    """
    names = [item.get("name") for item in fields if isinstance(item, Mapping)] if isinstance(fields, list) else []
    return _columns(fields, level_of(name for name in names if isinstance(name, str)), "", 1)


def _columns(fields: object, level: Level, parent: str, depth: int) -> tuple[Column, ...]:
    if not isinstance(fields, list) or depth > _MOST_LEVELS:
        where = parent or "the schema"
        raise SchemaError(reason=f"{where}: expected a list of fields, at most {_MOST_LEVELS} levels deep")
    checked = [_checked(item, f"{parent}[{position}]") for position, item in enumerate(fields)]
    places = places_of([item["name"] for item in checked], level)
    columns = []
    for item, (key, below) in zip(checked, places, strict=True):
        path = f"{parent}.{item['name']}" if parent else item["name"]
        nested = _columns(item["fields"], below, path, depth + 1)
        if bool(nested) != (item["type"] == RECORD):
            raise SchemaError(reason=f"{path}: a RECORD has fields, and nothing else has")
        properties = item["properties"]
        columns.append(Column(item["name"], item["type"], item["mode"], key, nested, item["description"], properties))
    return in_order(columns)


def _checked(item: object, where: str) -> dict[str, Any]:
    """One field with every key it may leave out, its type and mode in their usual spelling."""
    if not isinstance(item, Mapping):
        raise SchemaError(reason=f"{where}: expected an object with name and type")
    checked: dict[str, Any] = {
        "name": item.get("name"),
        "type": item.get("type"),
        "mode": item.get("mode") or NULLABLE,
        "description": item.get("description") or "",
    }
    for name, text in checked.items():
        if not isinstance(text, str) or (not text and name in {"name", "type"}):
            raise SchemaError(reason=f"{where}: {name} must be text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise SchemaError(reason=f"{where}: {name} {text!a} holds half a character, a lone surrogate")
    kind, mode = checked["type"].upper(), checked["mode"].upper()
    if mode not in _MODES:
        raise SchemaError(reason=f"{where}: mode must be one of {', '.join(sorted(_MODES))}")
    kinds = {"type": _ALIASES.get(kind, kind), "mode": mode}
    return checked | kinds | {"fields": item.get("fields") or [], "properties": _properties(item)}


def _properties(item: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a field says besides; as JSON, so that a column stays what it is."""
    names = sorted(name for name, value in item.items() if name not in _OWN_PROPERTIES and value is not None)
    return tuple((name, json.dumps(item[name], sort_keys=True)) for name in names)


def fields_from_columns(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """BigQuery fields of columns, the inverse of ``columns_from_fields``; every mode is written out."""
    return [_field(column) for column in columns]


def _field(column: Column) -> dict[str, Any]:
    written: dict[str, Any] = {"name": column.name, "type": column.type, "mode": column.mode}
    if column.description:
        written["description"] = column.description
    written |= {name: json.loads(text) for name, text in column.properties}
    if column.fields:
        written["fields"] = fields_from_columns(column.fields)
    return written
