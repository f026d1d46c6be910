"""The frozen model of the rules, and the reading of TOML text into it.

Validation is strict, because every column of every table rests on these rows: an unknown key, a missing one, a
wrong type or a row that contradicts itself is a ``RuleError`` that names file, row and key.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class RuleError(ValueError):
    """A rule table cannot be used.

    Attributes:
        file: Name of the TOML file.
        row: Heading of the row in it, empty when the file as a whole is wrong.
        key: Key in that row, empty when the row as a whole is wrong.
        reason: What is wrong, and what was expected.
    """

    def __init__(self, file: str, row: str, key: str, reason: str) -> None:
        super().__init__(file, row, key, reason)
        self.file = file
        self.row = row
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        place = "".join((self.file, f" [{self.row}]" if self.row else "", f" {self.key}" if self.key else ""))
        return f"{place}: {self.reason}"


class Family(StrEnum):
    """VRs whose values are decoded alike."""

    TEXT = "TEXT"
    PERSON_NAME = "PERSON_NAME"
    DATE = "DATE"
    TIME = "TIME"
    DATE_TIME = "DATE_TIME"
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"
    NUMERIC = "NUMERIC"
    ATTRIBUTE_TAG = "ATTRIBUTE_TAG"
    SEQUENCE = "SEQUENCE"
    OPAQUE = "OPAQUE"
    """Excluded: the element becomes no column and is listed in ``DroppedTags``."""


@dataclass(frozen=True, slots=True)
class VRRule:
    """What one value representation becomes, and how its bytes are laid out (PS3.5 6.2).

    Attributes:
        code: Two letters as in the stream, or PS3.6's "A or B".
        name: Name in PS3.5 6.2.
        family: Decoder that reads the values.
        unit: Bytes of one value; 0 where values are text or items.
        long_length: Explicit VR writes two reserved bytes and a 32-bit length (PS3.5 7.1.2).
        trim: Padding that is no part of a value: ``both``, ``trailing``, ``nul`` or ``none``.
        splits: A backslash separates values (PS3.5 6.4).
        character_set: Encoded as Specific Character Set (0008,0005) says (PS3.5 6.1.2.3).
        section: Where the standard defines it.
        bigquery: Column type, by BigQuery's legacy name; None when excluded.
        arrow: The same as an Arrow type; None when excluded.
        duckdb: The same as a DuckDB type; None when excluded.
        binary: numpy dtype of one number, little endian; None for text and sequences. AT has two a value.
        note: What a reader would ask, and which part is this project's decision.
    """

    code: str
    name: str
    family: Family
    unit: int
    long_length: bool
    trim: str
    splits: bool
    character_set: bool
    section: str
    bigquery: str | None = None
    arrow: str | None = None
    duckdb: str | None = None
    binary: str | None = None
    note: str = ""

    @property
    def candidates(self) -> tuple[str, ...]:
        """The VRs that may be in the stream: several for PS3.6's "A or B", else the code alone."""
        return tuple(self.code.split(" or "))


@dataclass(frozen=True, slots=True)
class NotDataRule:
    """Tags that carry the encoding, not data.

    Attributes:
        pattern: Eight upper-case hexadecimal digits, ``x`` for any digit.
        reason: What the element is for.
        section: Where the standard says so.
        mask: Bits of the tag that the pattern fixes.
        tag: Their values, so that ``number & mask == tag`` is the test.
    """

    pattern: str
    reason: str
    section: str
    mask: int
    tag: int


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules.

    Attributes:
        vr: Row by VR, the ambiguous ones ("US or SS") included.
        not_data_rules: The tags that are encoding only.
    """

    vr: Mapping[str, VRRule]
    not_data_rules: tuple[NotDataRule, ...]

    def not_data(self, tag: int) -> str | None:
        """Why an element is encoding and not data: neither a column nor a dropped element.

        Args:
            tag: ``group << 16 | element``.

        Returns:
            The reason with its section of the standard, or None for data.
        """
        for rule in self.not_data_rules:
            if tag & rule.mask == rule.tag:
                return f"{rule.reason} ({rule.section})"
        return None


TYPE_NAMES: Mapping[Family, tuple[str, str, str] | None] = MappingProxyType(
    {
        Family.TEXT: ("STRING", "string", "VARCHAR"),
        Family.PERSON_NAME: ("RECORD", "struct", "STRUCT"),
        Family.DATE: ("DATE", "date32", "DATE"),
        Family.TIME: ("TIME", "time64[us]", "TIME"),
        Family.DATE_TIME: ("TIMESTAMP", "timestamp[us, UTC]", "TIMESTAMP WITH TIME ZONE"),
        Family.INTEGER: ("INTEGER", "int64", "BIGINT"),
        Family.FLOAT: ("FLOAT", "float64", "DOUBLE"),
        Family.NUMERIC: ("NUMERIC", "decimal128(20, 0)", "DECIMAL(20, 0)"),
        Family.ATTRIBUTE_TAG: ("INTEGER", "int64", "BIGINT"),
        Family.SEQUENCE: ("RECORD", "list<struct>", "STRUCT[]"),
        Family.OPAQUE: None,
    }
)
"""What the decoder of each family makes, as BigQuery, Arrow and DuckDB type: rows must agree with it."""

_TEXT_FAMILIES = frozenset((Family.TEXT, Family.PERSON_NAME, Family.DATE, Family.TIME, Family.DATE_TIME))
_BINARY = re.compile(r"(?:\|u1|<[iu][248]|<f[48])\Z")
_CODE = re.compile(r"[A-Z]{2}(?: or [A-Z]{2})*\Z")
_PATTERN = re.compile(r"[0-9A-Fx]{8}\Z")
_SECTION = re.compile(r"PS3\.\d+ [A-Z0-9]+(?:\.\d+)*\Z")


def _unit(rule: VRRule) -> int:
    """Bytes of one value by its dtype; an Attribute Tag is two numbers (PS3.5 6.2)."""
    numbers = 2 if rule.family is Family.ATTRIBUTE_TAG else 1
    return numbers * int(rule.binary[-1]) if rule.binary else 0


def _typed(rule: VRRule, position: int) -> bool:
    types = TYPE_NAMES[rule.family]
    return (rule.bigquery, rule.arrow, rule.duckdb)[position] == (types[position] if types else None)


def _is_text(rule: VRRule) -> bool:
    return rule.family in _TEXT_FAMILIES


_CHECKS: tuple[tuple[str, Callable[[VRRule], bool], str], ...] = (
    ("code", lambda rule: bool(_CODE.match(rule.code)), "must be two capital letters, or several joined by 'or'"),
    ("name", lambda rule: bool(rule.name), "must not be empty"),
    ("section", lambda rule: bool(_SECTION.match(rule.section)), "must read like 'PS3.5 6.2'"),
    ("bigquery", lambda rule: _typed(rule, 0), "is not what the family's decoder makes"),
    ("arrow", lambda rule: _typed(rule, 1), "is not what the family's decoder makes"),
    ("duckdb", lambda rule: _typed(rule, 2), "is not what the family's decoder makes"),
    ("binary", lambda rule: rule.binary is None or bool(_BINARY.match(rule.binary)), "is not a dtype of PS3.5 6.2"),
    (
        "binary",
        lambda rule: (rule.binary is None) == (_is_text(rule) or rule.family is Family.SEQUENCE),
        "must be given for numbers and opaque values, and for nothing else",
    ),
    ("unit", lambda rule: rule.unit == _unit(rule), "does not match binary"),
    ("trim", lambda rule: rule.trim in {"both", "trailing", "nul", "none"}, "must be both, trailing, nul or none"),
    ("trim", lambda rule: (rule.trim != "none") == _is_text(rule), "text has padding, other values have none"),
    ("splits", lambda rule: _is_text(rule) or not rule.splits, "only text is split at backslashes"),
    ("character_set", lambda rule: _is_text(rule) or not rule.character_set, "only text has a character set"),
)
"""Key, what must hold, and what to say when it does not."""


def parse_rules(vr_text: str, not_data_text: str) -> RuleSet:
    """Read and validate both tables.

    Args:
        vr_text: TOML text of ``vr.toml``.
        not_data_text: TOML text of ``not_data.toml``.

    Raises:
        RuleError: A row is not usable; the message names file, row and key.
    """
    vr = {code: _vr_rule(code, row) for code, row in _rows("vr.toml", vr_text)}
    for rule in vr.values():
        _check_candidates(rule, vr)
    not_data = tuple(_not_data_rule(pattern, row) for pattern, row in _rows("not_data.toml", not_data_text))
    return RuleSet(MappingProxyType(vr), not_data)


def _rows(file: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(file, "", "", f"not TOML: {error}") from error
    for heading, row in table.items():
        if not isinstance(row, dict):
            raise RuleError(file, "", heading, "a key outside of any row")
    return list(table.items())


def _check_keys(file: str, heading: str, row: dict[str, Any], types: dict[str, type], required: set[str]) -> None:
    for key, value in row.items():
        if key not in types:
            raise RuleError(file, heading, key, f"unknown key; known are {', '.join(sorted(types))}")
        # bool is a subclass of int, so isinstance would let true pass for 1.
        if type(value) is not types[key]:
            raise RuleError(file, heading, key, f"must be {types[key].__name__}, is {type(value).__name__}")
    for key in sorted(required - row.keys()):
        raise RuleError(file, heading, key, "missing key")


_VR_TYPES: dict[str, type] = {
    field.name: {"int": int, "bool": bool}.get(str(field.type), str) for field in fields(VRRule) if field.name != "code"
}
_VR_REQUIRED = {field.name for field in fields(VRRule) if field.default is MISSING} - {"code"}
_NOT_DATA_TYPES: dict[str, type] = {"reason": str, "section": str}


def _vr_rule(code: str, row: dict[str, Any]) -> VRRule:
    _check_keys("vr.toml", code, row, _VR_TYPES, _VR_REQUIRED)
    if row["family"] not in Family.__members__:
        raise RuleError("vr.toml", code, "family", f"must be one of {', '.join(Family)}")
    rule = VRRule(**{**row, "code": code, "family": Family(row["family"])})
    for key, holds, reason in _CHECKS:
        if not holds(rule):
            raise RuleError("vr.toml", code, key, reason)
    return rule


def _check_candidates(rule: VRRule, vr: Mapping[str, VRRule]) -> None:
    """An "A or B" must name rows that exist, and be long only if each of them is."""
    for code in rule.candidates:
        if code not in vr:
            raise RuleError("vr.toml", rule.code, "code", f"{code} has no row")
    if rule.long_length != all(vr[code].long_length for code in rule.candidates):
        raise RuleError("vr.toml", rule.code, "long_length", "does not match the VRs it names")


def _not_data_rule(pattern: str, row: dict[str, Any]) -> NotDataRule:
    _check_keys("not_data.toml", pattern, row, _NOT_DATA_TYPES, set(_NOT_DATA_TYPES))
    if not _PATTERN.match(pattern):
        raise RuleError("not_data.toml", pattern, "", "must be eight upper-case hexadecimal digits, x for any")
    for key, holds in (("reason", bool(row["reason"])), ("section", bool(_SECTION.match(row["section"])))):
        if not holds:
            raise RuleError("not_data.toml", pattern, key, "must not be empty, a section reads like 'PS3.5 6.2'")
    mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
    return NotDataRule(pattern, row["reason"], row["section"], mask, int(pattern.replace("x", "0"), 16))
