"""Which rule of the mapping applies to a VR, a data element or a tag, and where the rule comes from.

The answers are made from the same tables as the columns themselves, so they cannot disagree with an export.
"""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import vr_rules
from dicom_bq import dictionary, mapping
from dicom_bq.column import PRIVATE_KEY, REPEATED, Column
from dicom_bq.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicom_bq.dictionary import DictionaryEntry
    from vr_rules import VRRule

_MAPPING = "https://cloud.google.com/healthcare-api/docs/how-tos/dicom-bigquery-schema"
_TEXT_WIDTH = 100
_TABLE_COLUMNS = ("subject", "name", "type", "arrow", "duckdb", "section")
_MODE_NOTE = "NULLABLE for VM 1, REPEATED for any other VM."
_REPEATER_NOTE = "Repeating group (PS3.5 7.6): one array entry each; Id is the half of the tag that varies."
_GROUPED_NOTE = (
    "No column: sequences of several groups could not be told apart in one. The element is listed in DroppedTags "
    "(project decision)."
)
_PRIVATE_NOTE = (
    "Where the stream gives no VR, or UN: that of pydicom's private dictionary for its private creator, "
    "else UN (project decision)."
)
_UNKNOWN_NOTE = (
    "No keyword in the dictionary: treated like a private element (project decision). "
    "Where the stream gives no VR: {vr}."
)


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule, as text.

    Attributes:
        subject: What the rule is about: a VR, or a tag such as ``(0010,0010)``.
        name: Its name in the standard.
        column: Column that holds the value; empty when there is none.
        vr: VR by the dictionary, or the VRs that the line is about.
        vm: Value multiplicity.
        type: BigQuery type of the column.
        mode: NULLABLE or REPEATED; empty where the VM of an element decides.
        arrow: Arrow type of one value.
        duckdb: DuckDB type of one value.
        section: Where the standard defines it.
        source: Which table says so, with its edition.
        notes: What else applies.
    """

    subject: str
    name: str = ""
    column: str = ""
    vr: str = ""
    vm: str = ""
    type: str = ""
    mode: str = ""
    arrow: str = ""
    duckdb: str = ""
    section: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()


_BLOCK_FIELDS = tuple(field.name for field in fields(RuleLine) if field.name != "notes")


def explain(subject: str | None = None) -> list[RuleLine]:
    """The rules that apply to a subject.

    Args:
        subject: A VR (``PN``, ``US or SS``), a keyword (``PatientName``), a tag (``0010,0010``, ``00431039``,
            ``(6002,0010)``), one of the mapping's own columns (``OtherElements``), or None for every VR.

    Returns:
        One line a rule; several where the VR in the stream decides, as for a private tag.

    Raises:
        UsageError: Nothing has that name; the fact ``suggestions`` holds keywords that are close.
    """
    rules = vr_rules.load().vr
    if subject is None:
        return [_vr_line(rule) for rule in rules.values()]
    subject = subject.strip()
    code = subject.upper().replace(" OR ", " or ")
    if code in rules:
        return [_vr_line(rules[code])]
    own = [column for column in mapping.OWN_COLUMNS.values() if column.name == subject]
    if own:
        return [_own_line(column) for column in own]
    entry = dictionary.by_keyword(subject)
    tag = entry.tag if entry else dictionary.parse_tag(subject)
    if tag is None:
        raise _unknown(subject)
    return _tag_lines(tag)


def render_text(lines: Sequence[RuleLine]) -> str:
    """Lines for people: a table when they are about VRs only, else one block a line."""
    if len(lines) > 1 and not any(line.column for line in lines):
        return _table([[name.upper() for name in _TABLE_COLUMNS], *map(_cells, lines)])
    return "\n".join(_block(line) for line in lines)


def to_dict(lines: Sequence[RuleLine]) -> dict[str, Any]:
    """Lines for programs: ``{"edition": ..., "rules": [...]}``, keys as in ``RuleLine``."""
    return {"edition": dictionary.edition(), "rules": [asdict(line) for line in lines]}


def _unknown(subject: str) -> UsageError:
    by_lower = {keyword.lower(): keyword for keyword in dictionary.keywords()}
    close = difflib.get_close_matches(subject.lower(), by_lower, n=3)
    suggestions = tuple(by_lower[keyword] for keyword in close)
    advice = f"did you mean {', '.join(suggestions)}?" if suggestions else "tags are written 0010,0010"
    return UsageError(reason=f"no VR, keyword or tag {subject!r}; {advice}", suggestions=suggestions)


_TRIM_NOTES = {
    "both": "Spaces before and after a value are padding.",
    "trailing": "Spaces after a value are padding, spaces before it are not.",
    "nul": "NUL after a value is padding.",
}


def _value_notes(rule: VRRule) -> tuple[str, ...]:
    """How the values of a VR are read, in the order of reading."""
    notes = (
        (rule.bigquery is None, "Excluded: no column; the element is listed in DroppedTags."),
        (rule.character_set, "Text in the character set that Specific Character Set (0008,0005) names."),
        (rule.splits, "A backslash separates values."),
        (rule.trim in _TRIM_NOTES, _TRIM_NOTES.get(rule.trim, "")),
        (bool(rule.note), rule.note),
    )
    return tuple(note for applies, note in notes if applies)


def _vr_line(rule: VRRule) -> RuleLine:
    return RuleLine(
        subject=rule.code,
        name=rule.name,
        vr=rule.code,
        type=rule.bigquery or "",
        mode=REPEATED if rule.code == "SQ" else "",
        arrow=rule.arrow or "",
        duckdb=rule.duckdb or "",
        section=rule.section,
        source=_MAPPING,
        notes=((_MODE_NOTE,) if rule.bigquery and rule.code != "SQ" else ()) + _value_notes(rule),
    )


def _own_line(column: Column) -> RuleLine:
    return RuleLine(
        subject=column.name,
        column=column.name,
        type=column.type,
        mode=column.mode,
        source=_MAPPING,
        notes=(f"{column.description}.", *_sub_fields(column)),
    )


def _tag_lines(tag: int) -> list[RuleLine]:
    entry = dictionary.lookup(tag)
    encoding = entry.encoding if entry else vr_rules.load().not_data(tag)
    if encoding:
        note = f"Not data, so neither a column nor listed as dropped: {encoding}."
        return [RuleLine(mapping.format_tag(tag), entry.name if entry else "", notes=(note,))]
    return [_entry_line(entry)] if entry else _nameless_lines(tag)


def _entry_line(entry: DictionaryEntry) -> RuleLine:
    rule = vr_rules.load().vr[entry.vr]
    column = _column(entry, rule)
    dropped, grouped = column is mapping.DROPPED_TAGS, entry.is_grouped_sequence
    notes = (
        *([f"Its TagName is {entry.keyword}."] if dropped else _sub_fields(column)),
        *([_REPEATER_NOTE] if entry.repeater_mask and not dropped else []),
        *(["Retired from the standard; keeps its keyword."] if entry.retired else []),
        *([_GROUPED_NOTE] if grouped else _value_notes(rule)),
    )
    return RuleLine(
        subject=mapping.format_tag(entry.tag, entry.repeater_mask),
        name=entry.name,
        column=column.name,
        vr=entry.vr,
        vm=entry.vm,
        type=column.type,
        mode=column.mode,
        arrow="" if dropped else rule.arrow or "",
        duckdb="" if dropped else rule.duckdb or "",
        section=rule.section,
        source=f"PS3.6 ({dictionary.edition()})",
        notes=notes,
    )


def _column(entry: DictionaryEntry, rule: VRRule) -> Column:
    """The column that holds the element, or says that its value was dropped."""
    if rule.bigquery is None or entry.is_grouped_sequence:
        return mapping.DROPPED_TAGS
    if entry.vr == "SQ":
        return Column(entry.keyword, rule.bigquery, REPEATED, entry.tag)
    return mapping.leaf_column(entry.tag)


def _sub_fields(column: Column) -> tuple[str, ...]:
    """One note that lists the sub-fields of a record that always has the same ones."""
    listed = ", ".join(f"{field.name} {field.kind}" for field in column.fields)
    return (f"Sub-fields: {listed}.",) if listed else ()


def _nameless_lines(tag: int) -> list[RuleLine]:
    """Tags without a keyword: private, in no dictionary, or retired and left blank by the standard."""
    name = mapping.tag_name(tag)
    text = f"Its values, as text, are Data of the entry with Tag {name}."
    if not tag & 0x00010000:
        unread = _UNKNOWN_NOTE.format(vr=dictionary.vr_table().get(tag, "UN"))
    elif 0x10 <= tag & 0xFFFF <= 0xFF:
        return [_nameless_line(tag, "LO", mapping.OTHER_ELEMENTS, "Private creator.", text)]
    else:
        unread = _PRIVATE_NOTE
    excluded = " ".join(code for code, rule in vr_rules.load().vr.items() if _is_excluded(rule))
    items = Column(name, "RECORD", REPEATED, PRIVATE_KEY + tag)
    return [
        _nameless_line(tag, "SQ", items, "Its items follow the same rules as the data set.", unread),
        _nameless_line(tag, excluded, mapping.DROPPED_TAGS, f"Its TagName is {name}.", unread),
        _nameless_line(tag, "any other", mapping.OTHER_ELEMENTS, text, unread),
    ]


def _is_excluded(rule: VRRule) -> bool:
    """A VR that a stream can hold, and no column can."""
    return rule.bigquery is None and rule.candidates == (rule.code,)


def _nameless_line(tag: int, vr: str, column: Column, *notes: str) -> RuleLine:
    return RuleLine(
        subject=mapping.format_tag(tag),
        column=column.name,
        vr=vr,
        type=column.type,
        mode=column.mode,
        section="PS3.5 7.8" if tag & 0x00010000 else "",
        source=_MAPPING,
        notes=notes,
    )


def _cells(line: RuleLine) -> list[str]:
    return [str(getattr(line, name)) or "-" for name in _TABLE_COLUMNS]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    aligned = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in aligned)


def _block(line: RuleLine) -> str:
    """One ``label value`` a line, notes wrapped, labels aligned."""
    facts = [(name, str(getattr(line, name))) for name in _BLOCK_FIELDS]
    facts += [("note", note) for note in line.notes]
    indent = " " * (max(map(len, (*_BLOCK_FIELDS, "note"))) + 2)
    return "".join(
        textwrap.fill(value, _TEXT_WIDTH, initial_indent=label.ljust(len(indent)), subsequent_indent=indent) + "\n"
        for label, value in facts
        if value
    )
