"""TOML text to the frozen model.

Validation is strict, because every column of every table rests on these rows: an unknown key, a missing
one, a wrong type or a row that contradicts itself is a ``RuleError`` that names file, row and key.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vr_rules.model import Family, NotDataRule, RuleError, RuleSet, VRRule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VR_FILE = "vr.toml"
NOT_DATA_FILE = "not_data.toml"

_TYPE_KEYS = ("bigquery", "arrow", "duckdb")
_DECODED: Mapping[Family, tuple[str | None, ...]] = MappingProxyType(
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
        Family.OPAQUE: (None, None, None),
    }
)
"""What the decoder of each family makes, in the order of ``_TYPE_KEYS``: rows must agree with it."""

_TEXT_FAMILIES = frozenset((Family.TEXT, Family.PERSON_NAME, Family.DATE, Family.TIME, Family.DATE_TIME))
_TRIMS = frozenset(("both", "trailing", "nul", "none"))
_BINARY = re.compile(r"\|u1|<[iu][248]|<f[48]")
_CODE = re.compile(r"[A-Z]{2}( or [A-Z]{2})*")
_PATTERN = re.compile(r"[0-9A-Fx]{8}")
_SECTION = re.compile(r"PS3\.\d+ [A-Z0-9]+(\.\d+)*")

_VR_KEYS: dict[str, type] = {
    field.name: {"int": int, "bool": bool}.get(str(field.type), str) for field in fields(VRRule) if field.name != "code"
}
_VR_REQUIRED = frozenset(field.name for field in fields(VRRule) if field.default is MISSING) - {"code"}
_NOT_DATA_KEYS: dict[str, type] = {"reason": str, "section": str}


def _is_text(rule: VRRule) -> bool:
    return rule.family in _TEXT_FAMILIES


def _has_binary(rule: VRRule) -> bool:
    return rule.binary is not None


def _unit(rule: VRRule) -> int:
    """Bytes of one value by its dtype; an Attribute Tag is two numbers (PS3.5 6.2)."""
    numbers = 2 if rule.family is Family.ATTRIBUTE_TAG else 1
    return numbers * int(rule.binary[-1]) if rule.binary else 0


_CHECKS: tuple[tuple[str, str, Callable[[VRRule], bool]], ...] = (
    ("code", "must be two capital letters, or several joined by 'or'", lambda r: _matches(_CODE, r.code)),
    ("name", "must not be empty", lambda r: bool(r.name)),
    ("section", "must read like 'PS3.5 6.2'", lambda r: _matches(_SECTION, r.section)),
    ("binary", "no dtype that a VR has", lambda r: not _has_binary(r) or _matches(_BINARY, r.binary or "")),
    ("binary", "numbers need one", lambda r: _has_binary(r) or _is_text(r) or r.family is Family.SEQUENCE),
    ("binary", "text has none", lambda r: not (_has_binary(r) and _is_text(r))),
    ("binary", "sequences have none", lambda r: not (_has_binary(r) and r.family is Family.SEQUENCE)),
    ("unit", "does not match binary", lambda r: r.unit == _unit(r)),
    ("trim", "must be both, trailing, nul or none", lambda r: r.trim in _TRIMS),
    ("trim", "text is padded, and nothing else is", lambda r: _is_text(r) == (r.trim != "none")),
    ("splits", "only text is split at backslashes", lambda r: _is_text(r) or not r.splits),
    ("character_set", "only text has a character set", lambda r: _is_text(r) or not r.character_set),
)
"""Key, what to say, and what must hold."""


def parse_rules(vr_text: str, not_data_text: str) -> RuleSet:
    """Read and validate both tables.

    Args:
        vr_text: TOML text of ``vr.toml``.
        not_data_text: TOML text of ``not_data.toml``.

    Raises:
        RuleError: A row is not usable; the message names file, row and key.
    """
    vr = {code: _vr_rule(code, row) for code, row in _rows(VR_FILE, vr_text)}
    for rule in vr.values():
        _check_candidates(rule, vr)
    not_data = tuple(_not_data_rule(pattern, row) for pattern, row in _rows(NOT_DATA_FILE, not_data_text))
    return RuleSet(MappingProxyType(vr), not_data)


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None


def _rows(file: str, text: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(file, "", "", f"not TOML: {error}") from error
    for heading, row in table.items():
        if not isinstance(row, dict):
            raise RuleError(file, "", heading, "a key outside of any row")
    return list(table.items())


def _check_keys(file: str, heading: str, row: dict[str, Any], types: dict[str, type], required: frozenset[str]) -> None:
    for key, value in row.items():
        if key not in types:
            raise RuleError(file, heading, key, f"unknown key; known are {', '.join(sorted(types))}")
        # Exact types: isinstance would let true pass for the number 1.
        if type(value) is not types[key]:
            raise RuleError(file, heading, key, f"must be {types[key].__name__}, is {type(value).__name__}")
    for key in sorted(required - row.keys()):
        raise RuleError(file, heading, key, "missing key")


def _vr_rule(code: str, row: dict[str, Any]) -> VRRule:
    _check_keys(VR_FILE, code, row, _VR_KEYS, _VR_REQUIRED)
    if row["family"] not in Family.__members__:
        raise RuleError(VR_FILE, code, "family", f"must be one of {', '.join(Family)}")
    rule = VRRule(**{**row, "code": code, "family": Family(row["family"])})
    for key, reason, holds in _CHECKS:
        if not holds(rule):
            raise RuleError(VR_FILE, code, key, reason)
    for key, decoded in zip(_TYPE_KEYS, _DECODED[rule.family], strict=True):
        if getattr(rule, key) != decoded:
            raise RuleError(VR_FILE, code, key, f"the family's decoder makes {decoded or 'no column'}")
    return rule


def _check_candidates(rule: VRRule, vr: Mapping[str, VRRule]) -> None:
    """An "A or B" names rows that exist, is long only if each is, and opaque if one of them is."""
    for code in rule.candidates:
        if code not in vr:
            raise RuleError(VR_FILE, rule.code, "code", f"{code} has no row")
    if rule.long_length != all(vr[code].long_length for code in rule.candidates):
        raise RuleError(VR_FILE, rule.code, "long_length", "does not match the VRs it names")
    families = {vr[code].family for code in rule.candidates}
    if families != {rule.family} and not (Family.OPAQUE in families and rule.family is Family.OPAQUE):
        raise RuleError(VR_FILE, rule.code, "family", "does not match the VRs it names")


def _not_data_rule(pattern: str, row: dict[str, Any]) -> NotDataRule:
    _check_keys(NOT_DATA_FILE, pattern, row, _NOT_DATA_KEYS, frozenset(_NOT_DATA_KEYS))
    if not _matches(_PATTERN, pattern):
        raise RuleError(NOT_DATA_FILE, pattern, "", "must be eight upper-case hexadecimal digits, x for any")
    if not row["reason"]:
        raise RuleError(NOT_DATA_FILE, pattern, "reason", "must not be empty")
    if not _matches(_SECTION, row["section"]):
        raise RuleError(NOT_DATA_FILE, pattern, "section", "must read like 'PS3.5 6.2'")
    mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
    return NotDataRule(pattern, row["reason"], row["section"], mask, int(pattern.replace("x", "0"), 16))
