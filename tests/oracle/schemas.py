"""The schema that a set of column paths means, as BigQuery's JSON."""

from __future__ import annotations

from collections.abc import Iterable

from .tables import BIGQUERY_TYPE, NAME_COMPONENTS, NAME_GROUPS, entry_by_keyword

Field = dict[str, object]


def field(name: str, kind: str, mode: str = "NULLABLE", fields: list[Field] | None = None) -> Field:
    """One field of a schema; `fields` only where it is a RECORD."""
    return {"name": name, "type": kind, "mode": mode} | ({"fields": fields} if fields is not None else {})


def schema_of(paths: Iterable[tuple[str, ...]]) -> list[Field]:
    """The top-level columns for these paths, `DroppedTags` always the last."""
    dropped = [field("TagName", "STRING"), field("TagReference", "STRING")]
    return [*_level(set(paths)), field("DroppedTags", "RECORD", "REPEATED", dropped)]


def _level(paths: set[tuple[str, ...]]) -> list[Field]:
    names = sorted({path[0] for path in paths if path}, key=_order)
    return [_column(name, {path[1:] for path in paths if path[0] == name and path[1:]}) for name in names]


def _order(name: str) -> tuple[int, int]:
    """Standard elements by tag, then private sequences by tag, then OtherElements."""
    if name == "OtherElements":
        return 2, 0
    line = entry_by_keyword(name)
    return (0, line.base) if line else (1, int(name.removeprefix("Tag_"), 16))


def _column(name: str, inner: set[tuple[str, ...]]) -> Field:
    if name == "OtherElements":
        return field(name, "RECORD", "REPEATED", [field("Tag", "STRING"), field("Data", "STRING", "REPEATED")])
    line = entry_by_keyword(name)
    if line is None or line.vr == "SQ":
        return field(name, "RECORD", "REPEATED", _level(inner))
    value = field(
        "Value" if line.mask else name,
        BIGQUERY_TYPE[line.vr],
        "REPEATED" if line.repeated else "NULLABLE",
        _name_fields() if line.vr == "PN" else None,
    )
    return field(name, "RECORD", "REPEATED", [field("Id", "STRING"), value]) if line.mask else value


def _name_fields() -> list[Field]:
    return [
        field(group, "RECORD", "NULLABLE", [field(component, "STRING") for component in NAME_COMPONENTS])
        for group in NAME_GROUPS
    ]
