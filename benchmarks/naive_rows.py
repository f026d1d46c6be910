"""One dict a file from pydicom's decoded values: the README's mapping, written the straightforward way."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset
    from pydicom.tag import BaseTag

Row = dict[str, Any]
Decoded = Any  # whatever pydicom decodes a value to
EXCLUDED = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW"))
FLOATS, INTEGERS = frozenset(("FL", "FD")), frozenset(("AT", "SL", "SS", "UL", "US", "SV", "UV", "US or SS"))
TRIMMED_BOTH_SIDES = frozenset(("AE", "AS", "CS", "LO", "SH", "IS", "DS"))
NOT_DATA = frozenset((0x00020000, 0x00020001, 0xFFFCFFFC))
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
GROUPS = {"Alphabetic": "alphabetic", "Ideographic": "ideographic", "Phonetic": "phonetic"}
LARGE_VALUE = 4096  # bytes; left in the file until asked for, as Pixel Data never is


@dataclass(frozen=True, slots=True)
class Column:
    """What the dictionary says of an element (PS3.6)."""

    name: str
    vr: str
    multiple: bool = False
    repeater: bool = False


@dataclass(slots=True)
class FileRow:
    """What is collected over a whole file."""

    offset: timezone
    dropped: list[Row] = field(default_factory=list)

    def record(self, dataset: Dataset, prefix: str = "") -> Row:
        """One dict of the data set or of an item; `prefix` is where it stands."""
        made: Row = {}
        others: list[Row] = []
        for tag in sorted(dataset.keys()):
            if tag in NOT_DATA or (tag.element == 0 and tag != 0x00080001):
                continue
            column = _column(dataset, tag)
            if column.vr in EXCLUDED:
                self._drop(dataset, tag, column.name, prefix)
            elif not dataset[tag].is_empty:
                self._add(dataset[tag], column, prefix, made, others)
        return made | ({"OtherElements": others} if others else {})

    def _drop(self, dataset: Dataset, tag: BaseTag, name: str, prefix: str) -> None:
        raw = dataset.get_item(tag)
        if getattr(raw, "length", None) != 0 and raw.value != b"":
            self.dropped.append({"TagName": name, "TagReference": prefix + name})

    def _add(self, element: DataElement, column: Column, prefix: str, made: Row, others: list[Row]) -> None:
        if column.vr == "SQ":
            items = [
                self.record(item, f"{prefix}{column.name}[{number}].") for number, item in enumerate(element.value)
            ]
            if any(items):
                made[column.name] = items
            return
        try:
            private = column.name.startswith("Tag_")
            value = None if private else _value(element, column, self.offset)
        except (AttributeError, TypeError, ValueError):
            private = True
        if private:
            others.append({"Tag": f"Tag_{element.tag:08X}", "Data": [_text(one, element.VR) for one in _list(element)]})
        elif column.repeater:
            made.setdefault(column.name, []).append({"Id": f"{element.tag.group:04X}", "Value": value})
        elif value not in (None, "", []):
            made[column.name] = value


def row(path: str) -> Row:
    """The row of one file.

    Raises:
        Exception: whatever pydicom raises for a file it cannot read.
    """
    import pydicom

    dataset = pydicom.dcmread(path, defer_size=LARGE_VALUE)
    collected = FileRow(_offset(str(dataset.get("TimezoneOffsetFromUTC", ""))))
    made = collected.record(dataset.file_meta) | collected.record(dataset)
    return made | ({"DroppedTags": collected.dropped} if collected.dropped else {})


def _column(dataset: Dataset, tag: BaseTag) -> Column:
    from pydicom.datadict import (
        dictionary_has_tag,
        dictionary_keyword,
        dictionary_VM,
        dictionary_VR,
        repeater_has_tag,
    )

    known = dictionary_has_tag(tag)
    if not known and not repeater_has_tag(tag):
        stored = dataset.get_item(tag).VR
        return Column(f"Tag_{tag:08X}", stored if stored in EXCLUDED - {"UN"} else dataset[tag].VR)
    return Column(dictionary_keyword(tag), dictionary_VR(tag), dictionary_VM(tag) != "1", not known)


def _list(element: DataElement) -> list[Decoded]:
    from pydicom.multival import MultiValue

    value = element.value
    return list(value) if isinstance(value, (MultiValue, list)) else [value]


def _value(element: DataElement, column: Column, offset: timezone) -> Decoded:
    """The value as its column has it."""
    values = _list(element)
    if column.multiple:
        return [_one(value, column.vr, offset) for value in values]
    if len(values) > 1:
        return "\\".join(map(str, values))
    return _one(values[0], column.vr, offset)


def _one(value: Decoded, vr: str, offset: timezone) -> Decoded:
    if vr == "PN":
        return _person(value)
    if vr in FLOATS:
        return float(value)
    if vr in INTEGERS:
        return int(value)
    text = str(value)
    if vr == "DA":
        return _date(text.strip())
    if vr == "TM":
        return _time(text.strip())
    if vr == "DT":
        return _date_time(text.strip(), offset)
    return text.strip(" ") if vr in TRIMMED_BOTH_SIDES else text.rstrip(" \0")


def _person(value: Decoded) -> Row:
    """All 15 components, those that are absent as None."""
    made: Row = {}
    for name, attribute in GROUPS.items():
        parts = [part.strip(" ") or None for part in getattr(value, attribute).split("^")]
        made[name] = dict.fromkeys(COMPONENTS) | dict(zip(COMPONENTS, parts, strict=False))
    return made


def _date(text: str) -> date:
    digits = text.replace(".", "").replace("-", "")
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))


def _time(text: str) -> time:
    whole, _, fraction = text.replace(":", "").partition(".")
    hour, minute, second = (int(whole[at : at + 2] or 0) for at in (0, 2, 4))
    return time(hour, minute, second, int(fraction.ljust(6, "0")[:6]))


def _date_time(text: str, offset: timezone) -> datetime:
    number, zone = re.fullmatch(r"([0-9.]*)([+-][0-9]{4})?", text).groups()  # type: ignore[union-attr]
    whole, _, fraction = number.partition(".")
    parts = [int(whole[start : start + 2]) for start in range(4, len(whole), 2)]
    month, day, hour, minute, second = parts + [1, 1, 0, 0, 0][len(parts) :]
    micro = int(fraction.ljust(6, "0")[:6])
    local = _offset(zone) if zone else offset
    return datetime(int(whole[:4]), month, day, hour, minute, second, micro, tzinfo=local).astimezone(UTC)


def _offset(text: str) -> timezone:
    if len(text) < 5:
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _text(value: Decoded, vr: str) -> str:
    """One value as text: numbers in their shortest form, AT as eight hexadecimal digits."""
    if vr == "AT":
        return f"{int(value):08X}"
    if vr == "FL":
        value = _shortest(value)
    return (repr(float(value)) if vr in FLOATS else str(value).strip(" \0")).removesuffix(".0" if vr in FLOATS else "")


def _shortest(value: float) -> float:
    """The number of fewest digits that is the same in 32 bits."""
    single = struct.pack("<f", value)
    return next(
        (short for digits in range(1, 9) if struct.pack("<f", short := float(f"{value:.{digits}g}")) == single),
        value,
    )
