"""TableSchema: a set of tag paths as columns. Type and mode come from the path; merging is set union."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    TagPath,
    walk,
)
from dicom_bq.errors import SchemaConflictError, SchemaError
from dicom_bq.keywords import paths_from_keywords
from dicom_bq.mapping import (
    NAME_COMPONENTS,
    NAME_GROUPS,
    NumericStrings,
    columns_of,
    expected_columns,
    is_sequence,
)
from dicom_bq.schema_fields import columns_from_fields, fields_from_columns, is_json_variant
from dicom_bq.schema_limits import BIGQUERY_LIMITS, NO_LIMITS, Limits, check_limits
from dicom_bq.schema_merge import SchemaChange, diff_columns, merge_columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BIGQUERY_LIMITS",
    "DROPPED_TAGS_KEY",
    "FOREIGN_KEY",
    "NAME_COMPONENTS",
    "NAME_GROUPS",
    "NULLABLE",
    "OTHER_ELEMENTS_KEY",
    "PRIVATE_KEY",
    "RECORD",
    "REPEATED",
    "REQUIRED",
    "SOURCE_KEY",
    "Column",
    "Limits",
    "NumericStrings",
    "SchemaChange",
    "TableSchema",
    "TagPath",
    "schema_from_keywords",
]


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a table, and the edition of the dictionary that decided them.

    Immutable and hashable. Two schemas are equal when names, types, modes, order and nesting are.

    Attributes:
        columns: Top level, in order.
        edition: Such as ``pydicom 3.0.2, DICOM 2024c``; "" when unknown, several with "; " between them.
    """

    columns: tuple[Column, ...] = ()
    edition: str = field(default="", compare=False)

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[TagPath],
        *,
        include_source_store: bool = False,
        numeric_strings: NumericStrings = "text",
    ) -> TableSchema:
        """The schema that holds every tag path, and DroppedTags, which every table has.

        Args:
            paths: Tag paths; order and repetition do not matter.
            include_source_store: Add SourceDicomStore, the URI of the instance, as the last column.
            numeric_strings: "typed" makes DS a FLOAT and IS an INTEGER.

        Raises:
            SchemaError: A path ends in what has no column, or passes through what has no items.
        """
        own = [(DROPPED_TAGS_KEY,), (SOURCE_KEY,)] if include_source_store else [(DROPPED_TAGS_KEY,)]
        return cls(columns_of((*paths, *own), numeric_strings), dictionary.edition())

    @classmethod
    def from_bigquery(cls, fields: Sequence[Mapping[str, Any]]) -> TableSchema:
        """The schema of TableFieldSchema objects, of any table: unknown columns are kept, after DICOM's.

        Raises:
            SchemaError: They are not such objects; says where.
        """
        return cls(columns_from_fields(list(fields)))

    @classmethod
    def from_json(cls, text: str) -> TableSchema:
        """Read what ``to_json`` writes, or ``bq show --schema`` or ``bq show --format=prettyjson`` prints.

        Raises:
            SchemaError: The text is no JSON, or no schema; says where.
            SchemaLimitError: Two columns have names that differ in case alone, or not at all.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
            raise SchemaError(reason=f"the schema is not JSON{where}") from error
        for key in ("schema", "fields"):
            document = document.get(key, document) if isinstance(document, dict) else document
        columns = columns_from_fields(document)
        check_limits(columns, NO_LIMITS)  # of names that differ in case alone, some destination would keep one
        return cls(columns)

    @classmethod
    def from_arrow(cls, schema: pa.Schema) -> TableSchema:
        """The schema of a table, such as a Parquet file's; a type that BigQuery lacks keeps Arrow's name."""
        from dicom_bq.typemaps import arrow

        return cls(arrow.columns_of_arrow(schema), arrow.edition_of_arrow(schema))

    def paths(self) -> frozenset[TagPath]:
        """Tag paths of every DICOM column: what ``from_paths`` makes the same columns of."""
        return frozenset(_paths(self.columns, ()))

    def merge(self, *others: TableSchema) -> TableSchema:
        """Set union. Commutative, associative, idempotent; ``TableSchema()`` is the identity.

        Raises:
            SchemaConflictError: Two schemas have a column with different types or modes; names its path.
        """
        if not others:
            return self
        schemas = (self, *others)
        editions = {edition for schema in schemas for edition in schema.edition.split("; ") if edition}
        return TableSchema(merge_columns([schema.columns for schema in schemas]), "; ".join(sorted(editions)))

    def diff(self, other: TableSchema) -> tuple[SchemaChange, ...]:
        """What changes from this schema to the other, in column order; empty when nothing does."""
        return tuple(diff_columns(self.columns, other.columns))

    def conflicts(self, other: TableSchema) -> tuple[SchemaChange, ...]:
        """What makes ``merge`` raise: columns of both with another type, or with only one REPEATED."""
        return tuple(change for change in self.diff(other) if change.is_conflict)

    def expected(self, numeric_strings: NumericStrings = "text") -> TableSchema:
        """What the dictionary makes of the names in this schema; columns that it cannot know are left out."""
        return TableSchema(expected_columns(self.columns, numeric_strings), dictionary.edition())

    def completed(self, numeric_strings: NumericStrings = "text") -> TableSchema:
        """This schema as rows can be made for it: with all sub-fields of those records that always have the same.

        Args:
            numeric_strings: What DS and IS elements are read as.

        Raises:
            SchemaConflictError: The dictionary gives a column another type, or another mode than NULLABLE or
                REQUIRED: its values would not fit. Names the first such column.
        """
        expected = self.expected(numeric_strings)
        for change in self.conflicts(expected):
            first, second = change.kinds
            advice = (
                f"The second is the data dictionary's ({expected.edition}), with numeric strings as "
                f"{'numbers' if numeric_strings == 'typed' else 'text'}: correct the first, or leave the column out"
            )
            raise SchemaConflictError(path=change.path, first=first, second=second, advice=advice)
        return TableSchema(self.merge(expected).columns, self.edition)

    @property
    def is_json_variant(self) -> bool:
        """Whether it is that of a table with all elements in one JSON column."""
        return is_json_variant(column.name for column in self.columns)

    def unknown(self) -> tuple[str, ...]:
        """Paths (``A.B``) of the columns that the mapping never makes, so that no instance has a value for them."""
        return tuple(path for path, _, column in self.walk() if not column.is_ours)

    def walk(self) -> Iterator[tuple[str, int, Column]]:
        """Every column and sub-field with its path and RECORD level, parents first."""
        return walk(self.columns)

    def check_limits(self, limits: Limits = BIGQUERY_LIMITS) -> None:
        """Raise SchemaLimitError, which names limit and path, unless a table can have this schema."""
        check_limits(self.columns, limits)

    def to_bigquery(self) -> list[dict[str, Any]]:
        """TableFieldSchema objects for the BigQuery API."""
        return fields_from_columns(self.columns)

    def to_json(self) -> str:
        """Schema file for ``bq mk --schema``: same schema, same bytes."""
        return json.dumps(self.to_bigquery(), indent=2)

    def to_arrow(self) -> pa.Schema:
        """Arrow schema; its metadata names the dictionary's edition."""
        from dicom_bq.typemaps import arrow

        return arrow.arrow_schema(self.columns, self.edition)

    def to_duckdb(self, table: str = "dicom") -> str:
        """``CREATE TABLE`` statement for DuckDB."""
        from dicom_bq.typemaps import duckdb

        return duckdb.create_table(self.columns, table)

    def to_text(self) -> str:
        """Aligned lines for people: column, indented by level, type, mode, description."""
        rows = [("  " * path.count(".") + column.name, column) for path, _, column in self.walk()]
        name_width = max((len(name) for name, _ in rows), default=0)
        type_width = max((len(column.type) for _, column in rows), default=0)
        return "\n".join(
            f"{name:{name_width}}  {column.type:{type_width}}  {column.mode:8}  {column.description}".rstrip()
            for name, column in rows
        )


def _paths(columns: Iterable[Column], parent: TagPath) -> Iterator[TagPath]:
    for column in columns:
        if not column.is_ours or column.key in {DROPPED_TAGS_KEY, SOURCE_KEY}:
            continue
        path = (*parent, column.key)
        if column.key != OTHER_ELEMENTS_KEY and is_sequence(column.key):
            yield from _paths(column.fields, path)
        else:
            yield path


def schema_from_keywords(keywords: str | Iterable[str]) -> TableSchema:
    """The schema with the columns asked for, without any data.

    Args:
        keywords: Such as ``PatientName``, ``ReferencedImageSequence.ReferencedSOPInstanceUID``; tags do as
            well: ``00081140.00081155``. One of them needs no list.

    Raises:
        UsageError: A keyword is unknown, has no column, or is a sequence without what is in it.
    """
    return TableSchema.from_paths(paths_from_keywords([keywords] if isinstance(keywords, str) else keywords))
