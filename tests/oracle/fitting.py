"""One standard element of a known dictionary VR: what its column holds, or why it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timezone
from typing import TypeVar

from .tables import BIGQUERY_TYPE, FLOAT, NUMBER
from .values import (
    DoesNotFit,
    Reason,
    fit_float,
    fit_integer,
    fit_numeric,
    parse_date,
    parse_date_time,
    parse_float,
    parse_integer,
    parse_name,
    parse_time,
    split,
    trim,
)

T = TypeVar("T")


def fit_text(text: str, vr: str, *, repeated: bool, zone: timezone) -> object:
    """The column value of text that is read as dictionary VR `vr`.

    Raises:
        DoesNotFit: A value does not parse, is missing, is out of range, or is one too many.
    """
    if BIGQUERY_TYPE[vr] == "STRING" and repeated:
        return split(text, vr)
    if BIGQUERY_TYPE[vr] == "STRING":
        return trim(text, vr)
    return _each(split(text, vr), _parser(vr, zone), repeated=repeated)


def fit_numbers(numbers: Sequence[float], stored_vr: str, vr: str, *, repeated: bool) -> object:
    """The column value of binary numbers that are read as dictionary VR `vr`.

    Raises:
        DoesNotFit: The column is not one of numbers, a value is out of its range, or is one too many.
    """
    fits: dict[str, Callable[..., object]] = {
        "FLOAT": fit_float,
        "INTEGER": fit_integer,
        "NUMERIC": fit_numeric,
    }
    if vr not in NUMBER or (stored_vr in FLOAT and vr not in FLOAT):
        raise DoesNotFit(Reason.STORED_VR)
    return _each(numbers, fits[BIGQUERY_TYPE[vr]], repeated=repeated)


def _each(values: Sequence[T], fit: Callable[[T], object], *, repeated: bool) -> object:
    if len(values) > 1 and not repeated:
        raise DoesNotFit(Reason.MORE_THAN_ONE)
    fitted = [fit(value) for value in values]
    return fitted if repeated else fitted[0]


def _parser(vr: str, zone: timezone) -> Callable[[str], object]:
    """How one value is parsed that is text in the stream and something else in the dictionary."""
    parsers: dict[str, Callable[[str], object]] = {
        "DATE": parse_date,
        "FLOAT": lambda text: parse_float(text.strip(" ")),
        "INTEGER": lambda text: fit_integer(parse_integer(text.strip(" "))),
        "NUMERIC": lambda text: fit_numeric(parse_integer(text.strip(" "))),
        "RECORD": parse_name,
        "TIME": parse_time,
        "TIMESTAMP": lambda text: parse_date_time(text, zone),
    }
    return parsers[BIGQUERY_TYPE[vr]]
