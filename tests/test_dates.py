"""Dates and times that are read from their digits all at once: as if each were parsed by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_bq.columns import dates
from dicom_bq.columns.flat import Flat

PARSERS: dict[str, Callable[[str, int], dates.Parsed]] = {
    "DA": lambda text, _: dates.parse_date(text),
    "TM": lambda text, _: dates.parse_time(text),
    "DT": dates.parse_date_time,
}
PARTS = ["0000", "0001", "1900", "1970", "2023", "2024", "9999", "00", "01", "02", "12", "13", "23", "24", "28", "29"]
DIGITS = st.lists(st.sampled_from([*PARTS, "30", "31", "32", "59", "60"]), min_size=1, max_size=7).map("".join)
FRACTIONS = st.one_of(st.just(""), st.text("0123456789", max_size=8).map(".{}".format))
ENDS = st.sampled_from(["", "", "", "+0100", "-1200", "+1401", ".", " ", "x", "é"])
TEXTS = st.one_of(
    st.builds("{}{}{}".format, DIGITS, FRACTIONS, ENDS),
    st.builds("{0.year:04}{0:%m%d%H%M%S}{1}{2}".format, st.datetimes(), FRACTIONS, ENDS),
    st.builds("{0.year:04}{0:%m%d}".format, st.dates()),
    st.builds("{:%H%M%S}{}".format, st.times(), FRACTIONS),
)
ZONES = st.sampled_from([0, 0, 60, -720, 840])


def decode(kind: str, values: pa.StringArray, zones: list[int]) -> Flat:
    counts = np.ones(len(values), np.int64)
    if kind == "DT":
        return dates.decode_date_times(values, counts, np.array(zones, np.int64))
    return {"DA": dates.decode_dates, "TM": dates.decode_times}[kind](values, counts)


@pytest.mark.parametrize("kind", PARSERS)
@given(found=st.lists(st.tuples(TEXTS, ZONES), max_size=20))
def test_as_if_parsed_one_by_one(kind: str, found: list[tuple[str, int]]) -> None:
    texts, zones = [text for text, _ in found], [zone for _, zone in found]
    flat = decode(kind, pa.array(["", *texts], pa.string())[1:], zones)
    numbers = flat.values.cast(pa.int32() if kind == "DA" else pa.int64()).to_pylist()
    repaired = {int(at): reason for reason, ats in flat.repairs for at in ats}
    for at, (text, zone) in enumerate(found):
        parsed = PARSERS[kind](text, zone)
        assert bool(flat.reason[at] == 0) is (parsed is not None), text
        if parsed is not None:
            assert (numbers[at], repaired.get(at)) == parsed, text


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("DA", ["00010101", "20240229", "99991231"]),
        ("TM", ["000000", "235959.9", "235959.123456"]),
        ("DT", ["00010101000000", "20240229235959.5", "99991231235959.999999"]),
    ],
)
def test_what_nearly_all_are_is_not_parsed_one_by_one(
    kind: str, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [PARSERS[kind](text, 0) for text in texts]
    for name in ("parse_date", "parse_time", "parse_date_time"):
        monkeypatch.setattr(dates, name, None)
    flat = decode(kind, pa.array(texts, pa.string()), [0] * len(texts))
    numbers = flat.values.cast(pa.int32() if kind == "DA" else pa.int64()).to_pylist()
    assert [(number, None) for number in numbers] == expected


def test_an_instant_outside_the_calendar_does_not_fit() -> None:
    flat = decode("DT", pa.array(["00010101000000", "99991231235959.999999"]), [1, -1])
    assert [bool(reason) for reason in flat.reason] == [True, True]
    assert flat.repairs == ()
