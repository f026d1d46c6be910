"""What a load makes of a table's columns: pure functions over TableFieldSchema objects, as the API has them.

https://cloud.google.com/bigquery/docs/managing-table-schemas: columns and sub-fields can be added, always at the
end of their record, and REQUIRED ones not at all; types and modes stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from dicom_bq.column import NULLABLE, RECORD, REPEATED, REQUIRED
from dicom_bq.errors import UsageError
from dicom_bq.schema import NumericStrings, TableSchema
from dicom_bq.schema_fields import canonical_name

if TYPE_CHECKING:
    import pyarrow as pa

Field: TypeAlias = dict[str, Any]

CLUSTER_BY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""What most queries filter and join by, coarse to fine."""
_COMPARED_APART = frozenset(("name", "type", "mode", "description", "policyTags", "fields"))
_NOT_CLUSTERABLE = frozenset((RECORD, "FLOAT", "TIME", "JSON", "BYTES"))
_PARTITIONABLE = frozenset(("DATE", "TIMESTAMP", "DATETIME"))
_NOT_IN_PARQUET = frozenset(("JSON", "GEOGRAPHY", "INTERVAL", "RANGE", "FOREIGN"))
"""Types that no Parquet column is loaded into: docs/loading-data-cloud-storage-parquet#type_conversions."""


def walk_fields(fields: Sequence[Field], parent: str = "") -> Iterator[tuple[str, Field]]:
    """Every field with its path (``A.B``), parents first."""
    for item in fields:
        path = f"{parent}.{item['name']}" if parent else item["name"]
        yield path, item
        yield from walk_fields(item.get("fields", ()), path)


def extended(existing: Sequence[Field], ours: Sequence[Field]) -> list[Field]:
    """A table's fields with those of ours that it lacks, at the end of their level; the others as they are."""
    wanted = {item["name"].lower(): item for item in ours}
    result = []
    for item in existing:
        mine = wanted.pop(item["name"].lower(), None)
        if mine and "fields" in item:
            item = {**item, "fields": extended(item["fields"], mine.get("fields", ()))}
        result.append(item)
    return [*result, *wanted.values()]


def replaced(existing: Sequence[Field], ours: Sequence[Field]) -> list[Field]:
    """Our fields with the spelling, descriptions and policy tags that columns of the same name have.

    Partitions and clustering name columns as they are spelled. WRITE_TRUNCATE loses the others unless the job's
    schema has them:
    https://cloud.google.com/bigquery/docs/column-level-security-intro#limitations
    """
    known = {item["name"].lower(): item for item in existing}
    result = []
    for item in ours:
        old = known.get(item["name"].lower(), {})
        kept = {key: old[key] for key in ("name", "description", "policyTags") if old.get(key)}
        if old.get("type") == RECORD or item["type"] == RECORD:
            kept.pop("policyTags", None)
        if "fields" in item:
            kept["fields"] = replaced(old.get("fields", ()), item["fields"])
        result.append({**item, **kept})
    return result


def same_columns(existing: Sequence[Field], wanted: Sequence[Field]) -> bool:
    """Whether a table has the columns that are wanted and no others; whatever their order and descriptions.

    It may say more of them, such as a default, but nothing else.
    """
    has, wants = ({path.lower(): item for path, item in walk_fields(fields)} for fields in (existing, wanted))
    return has.keys() == wants.keys() and all(_is_as_wanted(has[path], wants[path]) for path in wants)


def _is_as_wanted(has: Field, wants: Field) -> bool:
    asked = {key: value for key, value in wants.items() if key not in _COMPARED_APART}
    return _comparable(has) == _comparable(wants) and asked.items() <= has.items()


def _comparable(item: Field) -> tuple[object, ...]:
    return item["type"], item.get("mode") or NULLABLE, item.get("policyTags") or {}


def tagged(fields: Sequence[Field], policy_tags: Mapping[str, str]) -> list[Field]:
    """Fields with the policy tags asked for, on every leaf of what is named."""
    return [_tagged(item, item["name"], policy_tags, None) for item in fields] if policy_tags else list(fields)


def _tagged(item: Field, path: str, tags: Mapping[str, str], inherited: str | None) -> Field:
    resource = tags.get(path) or tags.get(item["name"]) or inherited
    if item["type"] == RECORD:
        children = [_tagged(child, f"{path}.{child['name']}", tags, resource) for child in item["fields"]]
        return {**item, "fields": children}
    return {**item, "policyTags": {"names": [resource]}} if resource else item


def check_tag_names(policy_tags: Mapping[str, str]) -> None:
    """Raise UsageError when a policy tag is for a name that no column can ever have."""
    for path in policy_tags:
        name = path.rpartition(".")[2]
        if canonical_name(name) != name:
            raise UsageError(reason=f"policy tag of {path}: no column is ever called {name}")


def check_shape_names(cluster_by: Sequence[str], partition_by: str | None) -> None:
    """Raise UsageError for columns that a new table cannot have its shape by, whatever the files are."""
    asked = [("cluster", name) for name in cluster_by] + [("partition", name) for name in (partition_by,) if name]
    for purpose, name in asked:
        own = canonical_name(name)
        if own is None:
            raise UsageError(reason=f"{purpose} by {name}: no column is ever called so")
        named = TableSchema.from_bigquery([{"name": own, "type": "STRING"}])
        refused = []
        for numeric in get_args(NumericStrings):
            fields = _by_name(named.expected(numeric).to_bigquery())
            if name.lower() in fields:  # else only the files can tell
                refused.append(_refusal(fields[name.lower()], purpose, name))
        if refused and all(refused):
            raise UsageError(reason=refused[0] or "")


def changes(before: Sequence[Field], after: Sequence[Field]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths that are only in the second, and only in the first; of what is in such a record, the record alone."""
    old, new = ({path.lower(): path for path, _ in walk_fields(fields)} for fields in (before, after))
    return _outermost(new, old), _outermost(old, new)


def _outermost(mine: dict[str, str], other: dict[str, str]) -> tuple[str, ...]:
    only = [key for key in mine if key not in other]
    return tuple(mine[key] for key in only if "." not in key or key.rpartition(".")[0] in other)


def missing_required(existing: Sequence[Field], ours: Sequence[Field], parent: str = "") -> Iterator[str]:
    """Paths of REQUIRED columns of a table that our rows would leave NULL."""
    mine = {item["name"].lower(): item for item in ours}
    for item in existing:
        path = f"{parent}.{item['name']}" if parent else item["name"]
        own = mine.get(item["name"].lower())
        if own is None and item.get("mode") == REQUIRED:
            yield path
        elif own is not None and item["type"] == RECORD:
            yield from missing_required(item["fields"], own.get("fields", ()), path)


def needs_json(fields: Sequence[Field]) -> bool:
    """Whether files of these fields have to be newline-delimited JSON, since Parquet's are not loaded into JSON."""
    return any(item["type"] == "JSON" for item in fields)


def loaded(target: Sequence[Field], ours: Sequence[Field]) -> list[Field]:
    """The part of a table's fields that a file holds, in the table's order.

    At the top level the columns that we have, so that the others get their default; in records all that
    the file can hold.
    """
    names = {item["name"].lower() for item in ours}
    possible = list(target) if needs_json(ours) else _in_parquet(target)
    return [item for item in possible if item["name"].lower() in names]


def _in_parquet(fields: Sequence[Field]) -> list[Field]:
    inside = [{**item, "fields": _in_parquet(item["fields"])} if item["type"] == RECORD else item for item in fields]
    return [item for item in inside if item["type"] not in _NOT_IN_PARQUET and item.get("fields") != []]


def arrow_schema(fields: Sequence[Field]) -> pa.Schema:
    """Arrow schema of a file with these fields; what is REQUIRED is not nullable, as the file then has to say."""
    import pyarrow as pa

    return pa.schema([_arrow_field(item) for item in fields])


def _arrow_field(item: Field) -> pa.Field:
    import pyarrow as pa

    from dicom_bq.typemaps.arrow import ARROW_TYPES, FOREIGN_TYPES

    if item["type"] == RECORD:
        kind = pa.struct([_arrow_field(child) for child in item["fields"]])
    else:
        kind = (ARROW_TYPES | FOREIGN_TYPES)[item["type"]]
    if item.get("mode") == REPEATED:
        kind = pa.list_(kind)
    return pa.field(item["name"], kind, nullable=item.get("mode") != REQUIRED)


def clustering(fields: Sequence[Field], asked: Sequence[str] | None) -> dict[str, Any] | None:
    """``clustering`` of a new table; by default the UIDs that it has.

    Raises:
        UsageError: A column asked for is not there, or no table can be clustered by it.
    """
    known = _by_name(fields)
    if asked is None:
        names = [known[name.lower()]["name"] for name in CLUSTER_BY if name.lower() in known]
    else:
        names = [_usable(name, known, "cluster") for name in asked]
    return {"fields": names} if names else None


def partitioning(fields: Sequence[Field], asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """``timePartitioning`` of a new table.

    Raises:
        UsageError: The column asked for is not there, or is no date or timestamp.
    """
    if asked is None or "field" not in asked:  # by time of ingestion
        return asked
    return {**asked, "field": _usable(asked["field"], _by_name(fields), "partition")}


def _by_name(fields: Sequence[Field]) -> dict[str, Field]:
    """Fields by their names, which have no case."""
    return {item["name"].lower(): item for item in fields}


def _usable(name: str, known: Mapping[str, Field], purpose: str) -> str:
    """A column's name as the table has it."""
    item = known.get(name.lower())
    if item is None:
        raise UsageError(reason=f"{purpose} by {name}: no instance has a value for it, so there is no such column")
    if refusal := _refusal(item, purpose, name):
        raise UsageError(reason=refusal)
    own: str = item["name"]
    return own


def _refusal(item: Field, purpose: str, name: str) -> str | None:
    """Why no table can have its shape by a field."""
    kind, mode = item["type"], item.get("mode") or NULLABLE
    allowed = kind in _PARTITIONABLE if purpose == "partition" else kind not in _NOT_CLUSTERABLE
    if mode == REPEATED or not allowed:
        return f"{purpose} by {name}: BigQuery cannot {purpose} by a column {kind} {mode}"
    return None
