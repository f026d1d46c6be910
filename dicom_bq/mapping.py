"""Which column a tag path gets: name, type and mode by the data dictionary alone, never by the values seen.

The result is the flattened schema of Cloud Healthcare API's export to BigQuery
(https://cloud.google.com/healthcare-api/docs/how-tos/dicom-bigquery-schema); the README has it in a page.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Literal, TypeAlias

import vr_rules
from dicom_bq import dictionary
from dicom_bq.column import (
    DROPPED_TAGS_KEY,
    NULLABLE,
    OTHER_ELEMENTS_KEY,
    PRIVATE_KEY,
    RECORD,
    REPEATED,
    SOURCE_KEY,
    Column,
    TagPath,
    in_order,
)
from dicom_bq.dictionary import DictionaryEntry
from dicom_bq.errors import SchemaError

NumericStrings: TypeAlias = Literal["text", "typed"]
"""DS and IS as the digits that were sent (STRING), or as numbers (FLOAT, INTEGER)."""

NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
"""Component groups of a person name, PS3.5 6.2.1.1."""
NAME_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")

_TYPED_NUMERIC_STRINGS = {"DS": "FLOAT", "IS": "INTEGER"}
_DEEPEST_PATH = 200  # far past any destination's limit, far below the interpreter's recursion limit
_Tree: TypeAlias = "dict[int, _Tree]"


def _record(name: str, mode: str, key: int, fields: Iterable[Column], description: str = "") -> Column:
    """A record whose sub-fields keep the order given: their keys are their positions."""
    placed = tuple(
        Column(sub.name, sub.type, sub.mode, position, sub.fields, sub.description)
        for position, sub in enumerate(fields)
    )
    return Column(name, RECORD, mode, key, placed, description)


def _text(name: str, mode: str = NULLABLE, key: int = 0, description: str = "") -> Column:
    return Column(name, "STRING", mode, key, (), description)


_PERSON_NAME_FIELDS = tuple(
    _record(group, NULLABLE, 0, (_text(component) for component in NAME_COMPONENTS)) for group in NAME_GROUPS
)

OTHER_ELEMENTS = _record(
    "OtherElements",
    REPEATED,
    OTHER_ELEMENTS_KEY,
    (_text("Tag"), _text("Data", REPEATED)),
    "Private data elements of this level, and values that do not fit their column, as text",
)
DROPPED_TAGS = _record(
    "DroppedTags",
    REPEATED,
    DROPPED_TAGS_KEY,
    (_text("TagName"), _text("TagReference")),
    "Data elements whose value is not in the row, such as pixel data",
)
SOURCE = _text("SourceDicomStore", key=SOURCE_KEY, description="URI that the instance was read from")

JSON_VARIANT = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SourceDicomStore",
    "Metadata",
    "StructuredStorageSize",
    "DroppedTags",
    "StorageClass",
    "LastUpdated",
    "BlobStorageSize",
    "Type",
)
"""Columns of a table of the JSON variant, in the Healthcare API's order; SourceDicomStore if it is asked for."""

OWN_COLUMNS = {column.key: column for column in (OTHER_ELEMENTS, DROPPED_TAGS, SOURCE)}


@functools.lru_cache(maxsize=1 << 14)
def is_sequence(key: int) -> bool:
    """Whether the column of a key holds items, whose elements are columns in it."""
    if key >= PRIVATE_KEY:
        return key < OTHER_ELEMENTS_KEY
    entry = dictionary.lookup(key)
    return entry is not None and entry.vr == "SQ"


def format_tag(tag: int, varying: int = 0) -> str:
    """A tag as PS3.6 prints it: ``(0010,0010)``, with x for hexadecimal digits that vary: ``(60xx,0010)``."""
    digits = "".join("x" if varying >> shift & 0xF else f"{tag >> shift & 0xF:X}" for shift in range(28, -1, -4))
    return f"({digits[:4]},{digits[4:]})"


def tag_name(tag: int) -> str:
    """Column name of a private or unknown data element: ``Tag_GGGGEEEE``."""
    return f"Tag_{tag:08X}"


def column_type(vr: str, numeric_strings: NumericStrings = "text") -> str | None:
    """BigQuery type of a VR, None when its elements have no column (they are listed in DroppedTags)."""
    if numeric_strings == "typed" and vr in _TYPED_NUMERIC_STRINGS:
        return _TYPED_NUMERIC_STRINGS[vr]
    rule = vr_rules.load().vr.get(vr)
    return rule.bigquery if rule else None


@functools.cache
def leaf_column(key: int, numeric_strings: NumericStrings = "text") -> Column:
    """The column of a key that is not a sequence.

    Args:
        key: Tag of a standard data element (any tag of a repeating group), or a key of ``OWN_COLUMNS``.
        numeric_strings: Type of DS and IS.

    Raises:
        SchemaError: The key has no column: unknown, encoding only, or of an excluded VR.
    """
    if key in OWN_COLUMNS:
        return OWN_COLUMNS[key]
    entry = dictionary.lookup(key) if key < PRIVATE_KEY else None
    if entry is None:
        raise SchemaError(reason=f"no dictionary entry for tag {format_tag(key & 0xFFFFFFFF)}")
    encoding = entry.encoding
    kind = column_type(entry.vr, numeric_strings)
    if encoding or kind is None or entry.vr == "SQ":
        why = encoding or ("a sequence without what is in it" if kind else f"VR {entry.vr} is excluded")
        raise SchemaError(reason=f"{format_tag(key)} {entry.keyword} has no column: {why}")
    return _standard_column(entry, kind)


def _standard_column(entry: DictionaryEntry, kind: str) -> Column:
    mode = REPEATED if entry.repeated else NULLABLE
    fields = _PERSON_NAME_FIELDS if entry.vr == "PN" else ()
    description = describe(entry)
    if not entry.repeater_mask:
        return Column(entry.keyword, kind, mode, entry.tag, _positioned(fields), description)
    value = Column("Value", kind, mode, 1, _positioned(fields), description)
    return _record(entry.keyword, REPEATED, entry.tag, (_text("Id"), value), description)


def _positioned(fields: tuple[Column, ...]) -> tuple[Column, ...]:
    return _record("", NULLABLE, 0, fields).fields


def describe(entry: DictionaryEntry) -> str:
    """Description of a standard element's column: ``(0010,0010) Patient's Name, PN, VM 1``."""
    tag = format_tag(entry.tag, entry.repeater_mask)
    return f"{tag} {entry.name}, {entry.vr}, VM {entry.vm}" + (", retired" if entry.retired else "")


def sequence_column(key: int, fields: tuple[Column, ...]) -> Column:
    """The column of a sequence with these columns in it."""
    name, description = _sequence_name(key)
    return Column(name, RECORD, REPEATED, key, fields, description)


@functools.lru_cache(maxsize=4096)
def _sequence_name(key: int) -> tuple[str, str]:
    """Name and description of a sequence's column."""
    entry = dictionary.lookup(key) if key < PRIVATE_KEY else None
    if entry is not None:
        return entry.keyword, describe(entry)
    tag = key - PRIVATE_KEY
    return tag_name(tag), f"{format_tag(tag)} private, SQ"


def expected_columns(columns: Iterable[Column], numeric_strings: NumericStrings = "text") -> tuple[Column, ...]:
    """What the dictionary makes of columns of the same names: a table's that somebody else may have made.

    Columns that are not the mapping's are left out, and so are those called as a private sequence is, but of
    another type: only data can tell that they are one.
    """
    expected = []
    for column in columns:
        if not column.is_ours or (PRIVATE_KEY <= column.key < OTHER_ELEMENTS_KEY and column.type != RECORD):
            continue
        if column.key not in OWN_COLUMNS and is_sequence(column.key):
            expected.append(sequence_column(column.key, expected_columns(column.fields, numeric_strings)))
        else:
            expected.append(leaf_column(column.key, numeric_strings))
    return tuple(expected)


def columns_of(paths: Iterable[TagPath], numeric_strings: NumericStrings = "text") -> tuple[Column, ...]:
    """The columns that hold every path, each level in order.

    Args:
        paths: Tag paths, in any order, any number of times.
        numeric_strings: Type of DS and IS.

    Raises:
        SchemaError: A path ends in what has no column, or passes through what has no items.
    """
    tree: _Tree = {}
    for path in paths:
        if len(path) > _DEEPEST_PATH:
            raise SchemaError(reason=f"a tag path has {len(path)} levels, more than any table holds")
        level = tree
        for key in path:
            level = level.setdefault(key, {})
    return _level(tree, numeric_strings)


def _level(tree: _Tree, numeric_strings: NumericStrings) -> tuple[Column, ...]:
    columns: dict[int, Column] = {}
    for key, below in tree.items():
        if below and is_sequence(key):
            column = sequence_column(key, _level(below, numeric_strings))
        elif below:
            raise SchemaError(reason=f"{format_tag(key & 0xFFFFFFFF)} is not a sequence: nothing is in it")
        else:
            column = leaf_column(key, numeric_strings)
        columns[column.key] = column  # two groups of a repeating group share one column
    return in_order(tuple(columns.values()))
