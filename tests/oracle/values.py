"""Values: from text and numbers to what a column holds, one plain function a type."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import numpy as np

from .tables import BOTH, NAME_COMPONENTS, NAME_GROUPS, WHOLE


class Reason(StrEnum):
    """Why an element is not in its column."""

    EMPTY_COMPONENT = "a value is empty"
    EXCLUDED_VR = "excluded VR"
    MORE_THAN_ONE = "more than one value"
    NOT_PARSEABLE = "not parseable"
    OUT_OF_RANGE = "out of range"
    STORED_VR = "stored VR"
    TOO_DEEP = "too many levels of RECORD"
    UNEVEN_LENGTH = "not a whole number of values"


class DoesNotFit(Exception):  # noqa: N818 - an outcome, not an error
    """The value has no place in its column."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def trim(text: str, vr: str) -> str:
    """Takes the padding off one value (PS3.5 6.2). NULs are gone already."""
    return text.strip(" ") if vr in BOTH else text.rstrip(" ")


def split(text: str, vr: str) -> list[str]:
    """The values of a text, each without its padding."""
    return [trim(text, vr)] if vr in WHOLE else [trim(part, vr) for part in text.split("\\")]


def parse_date(text: str) -> date:
    """`YYYYMMDD`, the old `YYYY.MM.DD`, and `YYYY-MM-DD` as a repair."""
    found = re.fullmatch(r"([0-9]{4})([.-]?)([0-9]{2})\2([0-9]{2})", text)
    if not found:
        raise DoesNotFit(Reason.NOT_PARSEABLE)
    try:
        return date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        raise DoesNotFit(Reason.OUT_OF_RANGE) from None


_TIME = re.compile(r"([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]+))?)?)?")
_OLD_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?")


def parse_time(text: str) -> time:
    """`HH[MM[SS[.F]]]` and the old `HH:MM[:SS[.F]]`, repaired if they end in a full stop."""
    if text.count(".") == 1:
        text = text.removesuffix(".")
    found = _TIME.fullmatch(text) or _OLD_TIME.fullmatch(text)
    if not found:
        raise DoesNotFit(Reason.NOT_PARSEABLE)
    try:
        return time(int(found[1]), int(found[2] or 0), int(found[3] or 0), _microseconds(found[4]))
    except ValueError:
        raise DoesNotFit(Reason.OUT_OF_RANGE) from None


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "").ljust(6, "0")[:6])


_DATE_TIME = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]+))?)?)?)?)?)?"
    r"([+-][0-9]{4})?"
)


def parse_date_time(text: str, default_zone: timezone) -> datetime:
    """`YYYY[MM[DD[HH[MM[SS[.F]]]]]][&ZZXX]`, in UTC."""
    if text.count(".") == 1:  # a full stop after the time is repaired, none after a date
        text = re.sub(r"(?<=[0-9]{10})\.(?=$|[+-])", "", text)
    found = _DATE_TIME.fullmatch(text)
    if not found:
        raise DoesNotFit(Reason.NOT_PARSEABLE)
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    zone = parse_offset(offset) if offset else default_zone
    if zone is None:
        raise DoesNotFit(Reason.OUT_OF_RANGE)
    try:
        local = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0),
            _microseconds(fraction), zone,
        )  # fmt: skip
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DoesNotFit(Reason.OUT_OF_RANGE) from None


def parse_offset(text: str) -> timezone | None:
    """`&ZZXX` from -1200 to +1400 (PS3.5 6.2, DT); None for anything else."""
    if not re.fullmatch(r"[+-][0-9]{4}", text) or int(text[3:]) > 59 or not -1200 <= int(text) <= 1400:
        return None
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
    return timezone(offset if text[0] == "+" else -offset)


def parse_name(text: str) -> dict[str, dict[str, str]]:
    """A person name as groups of components, only those that are there."""
    if not text:
        raise DoesNotFit(Reason.EMPTY_COMPONENT)
    groups = [group.split("^") for group in text.split("=")]
    if len(groups) > len(NAME_GROUPS) or max(map(len, groups)) > len(NAME_COMPONENTS):
        raise DoesNotFit(Reason.NOT_PARSEABLE)
    stripped = [[part.strip(" ") for part in parts] for parts in groups]
    return {
        name: {key: part for key, part in zip(NAME_COMPONENTS, parts, strict=False) if part}
        for name, parts in zip(NAME_GROUPS, stripped, strict=False)
        if any(parts)
    }


def parse_integer(text: str) -> int:
    """A number written as IS is."""
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise DoesNotFit(Reason.NOT_PARSEABLE)
    if len(text) > 40:  # Python itself refuses to read thousands of digits
        raise DoesNotFit(Reason.OUT_OF_RANGE)
    return int(text)


def parse_float(text: str) -> float:
    """A number written as DS is."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([Ee][+-]?[0-9]+)?", text):
        raise DoesNotFit(Reason.NOT_PARSEABLE)
    if math.isinf(float(text)):
        raise DoesNotFit(Reason.OUT_OF_RANGE)
    return float(text)


def fit_integer(number: int) -> int:
    """A number for an INTEGER column."""
    if not -(2**63) <= number < 2**63:
        raise DoesNotFit(Reason.OUT_OF_RANGE)
    return number


def fit_float(number: float) -> float:
    """A number for a FLOAT column, which does not hold every integer of 64 bits."""
    if isinstance(number, int) and int(float(number)) != number:
        raise DoesNotFit(Reason.OUT_OF_RANGE)
    return float(number)


def fit_numeric(number: int) -> Decimal:
    """A number for the NUMERIC column of UV, which has 64 bits and no sign."""
    if not 0 <= number < 2**64:
        raise DoesNotFit(Reason.OUT_OF_RANGE)
    return Decimal(number)


def number_text(number: float, vr: str) -> str:
    """A number as OtherElements has it: the fewest digits that read back as the same number.

    Decimal notation for exponents from -6 to 9, as Arrow writes floats, scientific outside of it.
    """
    if vr == "AT":
        return f"{number:08X}"
    if vr not in {"FL", "FD"}:
        return str(number)
    if not np.isfinite(number):
        return str(float(number))
    shortest = np.float32(number) if vr == "FL" else np.float64(number)
    digits, _, exponent = np.format_float_scientific(shortest, unique=True, trim="-").partition("e")
    if -6 <= int(exponent) <= 9:
        return np.format_float_positional(shortest, unique=True, trim="-")
    return f"{digits}e{int(exponent):+d}"
