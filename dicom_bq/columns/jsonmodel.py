"""The JSON schema variant: each instance's elements in one JSON column, as the DICOM JSON Model (PS3.18 Annex F).

The columns are those of the Healthcare API's ``SchemaJSON``. Bulk data is left out and listed in DroppedTags. Where
the Annex leaves a choice: text is UTF-8, and Specific Character Set says so; a decimal or integer string is a
number when no digit is lost by it, and text otherwise; a float that is no number is text; file meta information is
included.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import vr_rules
from dicom_bq.column import FOREIGN_KEY, NULLABLE, REPEATED, Column
from dicom_bq.columns.dropped import element_name, references
from dicom_bq.columns.paths import superseded
from dicom_bq.elements import ROOT, VR_CODES, ElementTable
from dicom_bq.mapping import JSON_VARIANT, format_tag
from dicom_bq.problems import Problem, Problems, Reason
from dicom_bq.schema import TableSchema
from dicom_bq.sources.members import UNKNOWN
from vr_rules import Family

if TYPE_CHECKING:
    from dicom_bq.sources.members import Member
    from vr_rules import VRRule

MOST_LEVELS = 150
"""Sequences inside each other. A level is three of JSON, of which BigQuery holds 500 (docs/reference/standard-sql/
data-types#json_type)."""
_SPECIFIC_CHARACTER_SET = 0x00080005
_UIDS = {"StudyInstanceUID": 0x0020000D, "SeriesInstanceUID": 0x0020000E, "SOPInstanceUID": 0x00080018}
_COLUMNS = (
    ("StudyInstanceUID", "STRING", NULLABLE, "(0020,000D) Study Instance UID"),
    ("SeriesInstanceUID", "STRING", NULLABLE, "(0020,000E) Series Instance UID"),
    ("SOPInstanceUID", "STRING", NULLABLE, "(0008,0018) SOP Instance UID"),
    ("SourceDicomStore", "STRING", NULLABLE, "URI that the instance was read from"),
    ("Metadata", "JSON", NULLABLE, "Data elements, as the DICOM JSON Model of PS3.18 Annex F, without bulk data"),
    ("StructuredStorageSize", "INTEGER", NULLABLE, "Bytes of Metadata"),
    ("DroppedTags", "STRING", REPEATED, "Data elements whose value is not in Metadata"),
    ("StorageClass", "STRING", NULLABLE, "Always NULL: a file has none"),
    ("LastUpdated", "TIMESTAMP", NULLABLE, "When the file was last modified"),
    ("BlobStorageSize", "INTEGER", NULLABLE, "Bytes of the file"),
    ("Type", "STRING", NULLABLE, "Always INSERT"),
)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII)  # an exponent that Decimal takes
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_TRIMS: dict[str, Callable[[str], str]] = {
    "both": lambda text: text.strip(" \0"),
    "trailing": lambda text: text.rstrip(" \0"),
    "nul": lambda text: text.rstrip(" \0"),
    "none": lambda text: text,
}


@dataclass(frozen=True, slots=True)
class JsonRows:
    """Rows of a batch in the JSON variant; the attributes are those of ``BuiltBatch``."""

    batch: pa.RecordBatch
    schema: TableSchema
    problems: Problems


def json_schema(*, include_source_store: bool = False) -> TableSchema:
    """The table of the JSON variant: always the same columns, in the Healthcare API's order."""
    from dicom_bq import dictionary

    columns = [
        Column(name, kind, mode, FOREIGN_KEY + JSON_VARIANT.index(name), (), description)
        for name, kind, mode, description in _COLUMNS
        if include_source_store or name != "SourceDicomStore"
    ]
    return TableSchema(tuple(columns), dictionary.edition())


def build_json(
    table: ElementTable,
    sources: Sequence[tuple[str, Member | None]],
    *,
    names: Sequence[str] = (),
    max_sequence_bytes: int | None = None,
    include_source_store: bool = False,
) -> JsonRows:
    """Make the rows of a batch.

    Args:
        table: The batch.
        sources: File of each instance, "" for none, and where it is in an archive; for its size and time.
        names: The same as text, for SourceDicomStore.
        max_sequence_bytes: Larger sequences are dropped; None keeps all.
        include_source_store: Add SourceDicomStore.
    """
    writer = _Writer(table, max_sequence_bytes)
    metadata = writer.write()
    dropped = np.array(sorted(writer.dropped), np.int64)
    paths = references(table, dropped)[1].to_pylist()
    dropped_tags: list[list[str]] = [[] for _ in metadata]
    for row, path in zip(dropped.tolist(), paths, strict=True):
        dropped_tags[int(table.instance[row])].append(path)
    files = [_file_facts(*source) for source in sources]
    columns: dict[str, list[Any]] = {
        **{keyword: [uids.get(tag) for uids in writer.uids] for keyword, tag in _UIDS.items()},
        "SourceDicomStore": list(names),
        "Metadata": metadata,
        "StructuredStorageSize": [len(text.encode()) for text in metadata],
        "DroppedTags": dropped_tags,
        "StorageClass": [None] * len(metadata),
        "LastUpdated": [time for time, _ in files],
        "BlobStorageSize": [size for _, size in files],
        "Type": ["INSERT"] * len(metadata),
    }
    schema = json_schema(include_source_store=include_source_store)
    arrow = schema.to_arrow()
    batch = pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in arrow], schema=arrow)
    return JsonRows(batch, schema, _problems(table, writer))


class _Writer:
    """Elements of a batch as JSON text, from the innermost item outwards: nothing recurses.

    Attributes:
        dropped: Rows of elements that are left out, and why.
        noted: Rows of other elements that the report counts, and why.
        uids: Of each instance, by tag.
    """

    def __init__(self, table: ElementTable, max_sequence_bytes: int | None) -> None:
        self.table = table
        self.dropped: dict[int, Reason] = {}
        self.noted: list[tuple[int, Reason]] = []
        self.uids: list[dict[int, str]] = [{} for _ in range(table.instances)]
        self._superseded = set(superseded(table, np.arange(len(table))).tolist())
        self._most_bytes = max_sequence_bytes
        self._rules: list[VRRule | None] = [vr_rules.load().vr.get(code) for code in VR_CODES]
        self._not_data = vr_rules.load().not_data

    def write(self) -> list[str]:
        """One JSON object an instance."""
        table = self.table
        levels = self._levels()
        items_of: dict[int, list[int]] = {}
        for item, sequence in enumerate(table.item_sequence.tolist()):
            items_of.setdefault(sequence, []).append(item)
        inside: list[dict[int, str]] = [{} for _ in levels]
        outside: list[dict[int, str]] = [{} for _ in range(table.instances)]
        tags, items, instances = table.tag.tolist(), table.item.tolist(), table.instance.tolist()
        for row in range(len(tags) - 1, -1, -1):
            item, tag = items[row], tags[row]
            level = ROOT if item == ROOT else levels[item]
            home = outside[instances[row]] if item == ROOT else inside[item]
            if level is None or self._not_data(tag):
                continue
            if row in self._superseded:
                self.noted.append((row, Reason.DUPLICATE))
                continue
            contents = [inside[child] for child in items_of.get(row, ())]
            text = self._element(row, tag, contents)
            if text is not None:
                home[tag] = text
                if item == ROOT and tag in _UIDS.values():
                    first = json.loads(text).get("Value", [None])[0]
                    self.uids[instances[row]] |= {tag: first} if isinstance(first, str) else {}
        return [_object(parts) for parts in outside]

    def _levels(self) -> list[int | None]:
        """Level of each item, None where it is in a sequence that is dropped or superseded."""
        table = self.table
        levels: list[int | None] = []
        lengths, items = table.length, table.item
        for sequence in table.item_sequence.tolist():
            parent = int(items[sequence])
            above = 0 if parent == ROOT else levels[parent]
            above = None if sequence in self._superseded else above
            too_large = self._most_bytes is not None and int(lengths[sequence]) > self._most_bytes
            if above is not None and (too_large or above == MOST_LEVELS):
                self.dropped[sequence] = Reason.SEQUENCE_TOO_LARGE if too_large else Reason.TOO_DEEP_FOR_JSON
                above = None
            levels.append(None if above is None else above + 1)
        return levels

    def _element(self, row: int, tag: int, contents: list[dict[int, str]]) -> str | None:
        """``{"vr": ..., "Value": [...]}``, None for an element that is left out."""
        table = self.table
        if row in self.dropped:
            return None
        code = "SQ" if table.walked[row] else VR_CODES[int(table.vr[row])]
        rule = self._rules[int(table.vr[row])]
        if code == "SQ" and (table.walked[row] or not table.length[row]):
            return _attribute(code, [_object(parts) for parts in contents])
        if not table.length[row]:
            return _attribute(code or "UN", [])
        if rule is None or rule.family in {Family.OPAQUE, Family.SEQUENCE}:
            self.dropped[row] = Reason.EXCLUDED_VR
            return None
        if tag == _SPECIFIC_CHARACTER_SET:
            return _attribute(code, ['"ISO_IR 192"'])
        data = table.value(row)
        values = _values(data, rule)
        if values is None:
            self.dropped[row] = Reason.BAD_LENGTH
            return None
        if rule.binary is None and b"\0" in data.rstrip(b" \0"):
            self.noted.append((row, Reason.REPAIRED_NUL))
        return _attribute(code, values)


def _attribute(code: str, values: list[str]) -> str:
    return f'{{"vr":"{code}","Value":[{",".join(values)}]}}' if values else f'{{"vr":"{code}"}}'


def _object(parts: dict[int, str]) -> str:
    """PS3.18 F.2.2: attributes in ascending order, named by eight upper-case hexadecimal digits."""
    return "{" + ",".join(f'"{tag:08X}":{parts[tag]}' for tag in sorted(parts)) + "}"


def _values(data: bytes, rule: VRRule) -> list[str] | None:
    """Values as JSON text; none for a blank element, None for one whose length is not its VR's."""
    if rule.binary is not None:
        return _numbers(data, rule)
    text = data.decode("utf-8", "replace")
    parts = [_TRIMS[rule.trim](part).replace("\0", "") for part in (text.split("\\") if rule.splits else [text])]
    if not any(parts):
        return []
    write = _TEXTS.get(rule.code, _text)
    return [write(part) if part else "null" for part in parts]  # PS3.18 F.2.5: an empty value of several is null


def _numbers(data: bytes, rule: VRRule) -> list[str] | None:
    if len(data) % rule.unit:
        return None
    numbers = np.frombuffer(data, rule.binary).tolist()
    if rule.family is Family.ATTRIBUTE_TAG:
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return [f'"{group:04X}{element:04X}"' for group, element in pairs]
    return [json.dumps(n) if math.isfinite(n) else f'"{_NOT_FINITE[str(n)]}"' for n in numbers]


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _integer_string(text: str) -> str:
    return str(int(text)) if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 else _text(text)


def _decimal_string(text: str) -> str:
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(number) or Decimal(repr(number)) != Decimal(text):
        return _text(text)
    return text if _JSON_NUMBER.fullmatch(text) else repr(number)


def _person_name(text: str) -> str:
    groups = text.split("=", len(_GROUPS) - 1)  # PS3.5 6.2.1.1; more than three are in the last
    return json.dumps({key: group for key, group in zip(_GROUPS, groups, strict=False) if group}, ensure_ascii=False)


_TEXTS: dict[str, Callable[[str], str]] = {"DS": _decimal_string, "IS": _integer_string, "PN": _person_name}


def _file_facts(source: str, member: Member | None) -> tuple[datetime | None, int | None]:
    """When a file, or the archive that it is in, was last modified, and its size as far as it is known."""
    if member:
        return _time(member.modified), None if member.size == UNKNOWN else member.size
    try:
        status = Path(source).stat() if source else None
    except OSError:  # it was there when it was read
        status = None
    if status is None:
        return None, None
    return _time(status.st_mtime_ns), status.st_size


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC)


def _problems(table: ElementTable, writer: _Writer) -> Problems:
    """Count what was dropped, what else is to be said of elements, and what the table's notes say."""
    notes = ((note.row, Reason(note.reason)) for note in table.notes)
    problems = Problems()
    for row, reason in (*writer.dropped.items(), *writer.noted, *notes):
        problems.add(Problem(reason, *_place(table, row)))
    return problems


def _place(table: ElementTable, row: int) -> tuple[str, str, str]:
    """Path, tag and VR of an element, as a ``Problem`` has them; none of what is noted of a file."""
    if row < 0:
        return "", "", ""
    tag = int(table.tag[row])
    keywords, item = [element_name(tag)], int(table.item[row])
    while item != ROOT:
        sequence = int(table.item_sequence[item])
        keywords.append(element_name(int(table.tag[sequence])))
        item = int(table.item[sequence])
    return ".".join(reversed(keywords)), format_tag(tag), VR_CODES[int(table.vr[row])]
