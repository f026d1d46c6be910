"""DA, TM and DT to days and microseconds (PS3.5 6.2).

Nearly every date is ``YYYYMMDD``, every time ``HHMMSS`` with or without a fraction, and every date and time both of
them: those are read from their digits, all at once. What looks different goes through a pattern, once a distinct text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dicom_bq.columns.flat import Flat, per_element, reasons
from dicom_bq.problems import Reason

DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d)|\.(\d\d)\.(\d\d)|(-)(\d\d)-(\d\d))")
TIME = re.compile(r"(\d\d)(?:(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)|(?:(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?)(\.?)", re.ASCII)
DATE_TIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?)?)?)?(\.?)([+-]\d{4})?", re.ASCII
)
OFFSET = re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII)
EPOCH = datetime.date(1970, 1, 1).toordinal()
DAY = 86_400_000_000
"""Microseconds."""
FIRST_INSTANT = (datetime.date(1, 1, 1).toordinal() - EPOCH) * DAY
LAST_INSTANT = (datetime.date(9999, 12, 31).toordinal() - EPOCH + 1) * DAY - 1
EARLIEST_OFFSET, LATEST_OFFSET = -12 * 60, 14 * 60
"""Minutes; PS3.5 6.2, DT: -1200 to +1400."""

Parsed = tuple[int, Reason | None] | None
"""Days or microseconds, and what was repaired; None for what does not fit."""


@lru_cache(1 << 16)
def parse_date(text: str) -> Parsed:
    """Days since 1970-01-01 of a DA: ``YYYYMMDD``, the old ``YYYY.MM.DD``, and ``YYYY-MM-DD``, which is a repair."""
    match = DATE.fullmatch(text) if text.isascii() else None
    if not match:
        return None
    year, month, day, old_month, old_day, dash, dash_month, dash_day = match.groups()
    try:
        date = datetime.date(int(year), int(month or old_month or dash_month), int(day or old_day or dash_day))
    except ValueError:
        return None
    return date.toordinal() - EPOCH, Reason.REPAIRED_DATE if dash else None


def _clock(hour: str, minute: str | None, second: str | None, fraction: str | None) -> int | None:
    """Microseconds since midnight; None when a part is out of its range, a leap second included."""
    hours, minutes, seconds = int(hour), int(minute or 0), int(second or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])


def _repair(fraction: str | None, stop: str) -> Reason | None:
    if stop:
        return Reason.REPAIRED_TIME
    return Reason.REPAIRED_FRACTION if fraction and len(fraction) > 6 else None


@lru_cache(1 << 16)
def parse_time(text: str) -> Parsed:
    """Microseconds since midnight of a TM: ``HH[MM[SS[.F]]]`` or the old ``HH:MM[:SS[.F]]``."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    hour, old_minute, old_second, old_fraction, minute, second, fraction, stop = match.groups()
    if stop and (fraction or old_fraction):
        return None
    clock = _clock(hour, minute or old_minute, second or old_second, fraction or old_fraction)
    return None if clock is None else (clock, _repair(fraction or old_fraction, stop))


@lru_cache(1 << 12)
def parse_offset(text: str) -> int | None:
    """Minutes east of UTC of ``&ZZXX`` (PS3.3 C.12.1.1.8), None when it is not one."""
    match = OFFSET.fullmatch(text)
    if not match or int(match[3]) > 59:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    minutes = -minutes if match[1] == "-" else minutes
    return minutes if EARLIEST_OFFSET <= minutes <= LATEST_OFFSET else None


@lru_cache(1 << 16)
def parse_date_time(text: str, zone: int) -> Parsed:
    """Microseconds since 1970-01-01T00:00Z of a DT.

    Args:
        text: ``YYYY[MM[DD[HH[MM[SS[.F]]]]]][&ZZXX]``; parts left out are the first of their range.
        zone: Minutes east of UTC that hold when the text has no offset.
    """
    match = DATE_TIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, stop, offset = match.groups()
    minutes = parse_offset(offset) if offset else zone
    clock = _clock(hour or "0", minute, second, fraction)
    if minutes is None or clock is None or (stop and (fraction or not hour)):
        return None
    try:
        days = datetime.date(int(year), int(month or 1), int(day or 1)).toordinal() - EPOCH
    except ValueError:
        return None
    instant = days * DAY + clock - minutes * 60_000_000
    return (instant, _repair(fraction, stop)) if FIRST_INSTANT <= instant <= LAST_INSTANT else None


def _offsets(values: pa.StringArray) -> npt.NDArray[np.int32]:
    """Where each text begins, and the last one ends."""
    return np.frombuffer(values.buffers()[1], np.int32, len(values) + 1 + values.offset)[values.offset :]


def _digits(
    values: pa.StringArray, width: int, point: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Digits of all values of ``width`` characters that are digits only, but for a full stop at ``point``.

    Returns:
        Digits, shape (n, width), 0 at the full stop; positions of those values.
    """
    offsets, data = _offsets(values), values.buffers()[2]
    at = np.flatnonzero(np.diff(offsets) == width)
    if not len(at) or data is None:
        return np.zeros((0, width), np.int64), np.zeros(0, np.int64)
    digits = np.frombuffer(data, np.uint8)[offsets[at].astype(np.int64)[:, None] + np.arange(width)] - np.uint8(48)
    stops = np.ones(len(at), np.bool_)
    if point is not None:
        stops = digits[:, point] == np.uint8(256 - 2)  # "." is two before "0"
        digits[:, point] = 0
    good = stops & (digits < 10).all(axis=1)
    return digits[good].astype(np.int64), at[good]


_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_TENTHS = 10 ** np.arange(5, -1, -1)
"""Microseconds of the digits of a fraction."""


Plain = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]
"""Numbers, and which of them are right."""


def _days(digits: npt.NDArray[np.int64]) -> Plain:
    """Days since 1970-01-01 of ``YYYYMMDD``, and which of them there are."""
    year = digits[:, :4] @ [1000, 100, 10, 1]
    month, day = digits[:, 4] * 10 + digits[:, 5], digits[:, 6] * 10 + digits[:, 7]
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good = (year > 0) & (month > 0) & (month < 13) & (day > 0) & (day <= _MONTH_DAYS[np.minimum(month, 12)] + leap)
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64) + day - 1, good


def _microseconds(digits: npt.NDArray[np.int64]) -> Plain:
    """Microseconds since midnight of ``HHMMSS`` and ``HHMMSS.F`` of up to six digits, and which of them there are."""
    hour, minute, second = (digits[:, first] * 10 + digits[:, first + 1] for first in (0, 2, 4))
    fraction = digits[:, 7:] @ _TENTHS[: max(digits.shape[1] - 7, 0)]
    clock = (hour * 3600 + minute * 60 + second) * 1_000_000 + fraction
    return clock, (hour < 24) & (minute < 60) & (second < 60)


def _plain_dates(values: pa.StringArray) -> Plain:
    """Days of every valid ``YYYYMMDD``, and where one is."""
    digits, at = _digits(values, 8)
    return _put(len(values), [(at, *_days(digits))])


def _plain_times(values: pa.StringArray) -> Plain:
    """Microseconds of every valid ``HHMMSS`` and ``HHMMSS.F`` of up to six digits, and where one is."""
    found = ((at, *_microseconds(digits)) for digits, at in _with_fractions(values, 6))
    return _put(len(values), found)


def _plain_date_times(values: pa.StringArray, zones: npt.NDArray[np.int64]) -> Plain:
    """Microseconds since 1970-01-01T00:00Z of every valid ``YYYYMMDDHHMMSS`` with or without a fraction, likewise."""
    found = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]]()
    for digits, at in _with_fractions(values, 14):
        (days, is_date), (clock, is_time) = _days(digits[:, :8]), _microseconds(digits[:, 8:])
        instant = days * DAY + clock - zones[at] * 60_000_000
        found.append((at, instant, is_date & is_time & (instant >= FIRST_INSTANT) & (instant <= LAST_INSTANT)))
    return _put(len(values), found)


def _with_fractions(
    values: pa.StringArray, width: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Digits, and positions, of values of so many digits, alone and with a full stop and one to six more."""
    most = width + 8
    present = np.bincount(np.minimum(np.diff(_offsets(values)), most), minlength=most)
    for size in (width, *range(width + 2, most)):
        if present[size]:
            yield _digits(values, size, width if size > width else None)


def _put(
    count: int, found: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]]
) -> Plain:
    """So many numbers, those that are right in their places."""
    result, done = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    for at, numbers, good in found:
        result[at[good]], done[at[good]] = numbers[good], True
    return result, done


def _decode(
    values: pa.StringArray, counts: npt.NDArray[np.int64], plain: Plain,
    parse: Callable[[int, str], Parsed], kind: pa.DataType,
) -> Flat:  # fmt: skip
    """Values that were plain, the others parsed one by one."""
    result, done = plain
    bad = np.zeros(len(values), np.bool_)
    repaired: dict[Reason, list[int]] = {}
    rest = np.flatnonzero(~done)
    for position, text in zip(rest.tolist(), values.take(pa.array(rest)).to_pylist(), strict=True):
        parsed = parse(position, text)
        if parsed is None:
            bad[position] = True
        else:
            result[position] = parsed[0]
            if parsed[1]:
                repaired.setdefault(parsed[1], []).append(position)
    reason = reasons(len(counts), (Reason.NOT_PARSEABLE, per_element(bad, counts)))
    element = np.repeat(np.arange(len(counts)), counts)
    repairs = tuple((why, np.unique(element[np.array(at)])) for why, at in repaired.items())
    numbers = pa.array(result.astype(np.int32) if kind == pa.date32() else result)
    return Flat(numbers.view(kind), counts, reason, repairs)


def decode_dates(values: pa.StringArray, counts: npt.NDArray[np.int64]) -> Flat:
    """DA to date32.

    Args:
        values: Trimmed components of all elements.
        counts: Components of each element.
    """
    return _decode(values, counts, _plain_dates(values), lambda _, text: parse_date(text), pa.date32())


def decode_times(values: pa.StringArray, counts: npt.NDArray[np.int64]) -> Flat:
    """TM to time64[us]; arguments as ``decode_dates``."""
    return _decode(values, counts, _plain_times(values), lambda _, text: parse_time(text), pa.time64("us"))


def decode_date_times(values: pa.StringArray, counts: npt.NDArray[np.int64], zones: npt.NDArray[np.int64]) -> Flat:
    """DT to timestamp[us, UTC].

    Args:
        values: Trimmed components of all elements.
        counts: Components of each element.
        zones: Minutes east of UTC of each component without an offset.
    """
    plain, kind = _plain_date_times(values, zones), pa.timestamp("us", tz="UTC")
    return _decode(values, counts, plain, lambda at, text: parse_date_time(text, int(zones[at])), kind)
