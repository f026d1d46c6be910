"""One dict a file from pydicom's decoded values: the mapping of the README, written the straightforward way."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

Row = dict[str, Any]
EXCLUDED = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
NOT_DATA = frozenset((0x00020000, 0x00020001, 0xFFFCFFFC))
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
GROUPS = {"Alphabetic": "alphabetic", "Ideographic": "ideographic", "Phonetic": "phonetic"}
LARGE_VALUE = 4096  # bytes; left in the file until asked for, as Pixel Data never is


def row(path: str) -> Row:
    """The row of one file.

    Raises:
        Exception: whatever pydicom raises for a file it cannot read.
    """
    import pydicom

    dataset = pydicom.dcmread(path, defer_size=LARGE_VALUE)
    dropped: list[Row] = []
    offset = _offset(str(dataset.get("TimezoneOffsetFromUTC", "")))
    made = _record(dataset.file_meta, "", dropped, offset) | _record(dataset, "", dropped, offset)
    return made | ({"DroppedTags": dropped} if dropped else {})


def _record(dataset: Dataset, prefix: str, dropped: list[Row], offset: timezone) -> Row:
    made: Row = {}
    others: list[Row] = []
    for tag in sorted(dataset.keys()):
        if tag in NOT_DATA or (tag.element == 0 and tag != 0x00080001):
            continue
        name, vr, multiple, repeater = _column(dataset, tag)
        if vr in EXCLUDED:
            if not _blank(dataset, tag):
                dropped.append({"TagName": name, "TagReference": prefix + name})
            continue
        element = dataset[tag]
        if element.is_empty:
            continue
        if vr == "SQ":
            items = _items(element, f"{prefix}{name}", dropped, offset)
            if any(items):
                made[name] = items
        elif name.startswith("Tag_"):
            others.append({"Tag": name, "Data": _texts(element)})
        else:
            try:
                value = _value(element, vr, multiple, offset)
            except (AttributeError, TypeError, ValueError):
                others.append({"Tag": f"Tag_{tag:08X}", "Data": _texts(element)})
                continue
            if value in (None, "", []):
                continue
            if repeater:
                made.setdefault(name, []).append({"Id": f"{tag.group:04X}", "Value": value})
            else:
                made[name] = value
    return made | ({"OtherElements": others} if others else {})


def _column(dataset: Dataset, tag: Any) -> tuple[str, str, bool, bool]:
    """Name, VR, whether an array, whether of a repeating group; by the dictionary (PS3.6)."""
    from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VM, dictionary_VR, repeater_has_tag

    repeater = not dictionary_has_tag(tag) and repeater_has_tag(tag)
    if tag.is_private or not (dictionary_has_tag(tag) or repeater):
        vr = dataset.get_item(tag).VR
        return f"Tag_{tag:08X}", "UN" if vr == "UN" and _unknown(dataset, tag) else vr or dataset[tag].VR, False, False
    vr = dictionary_VR(tag)
    vr = "OW" if vr in {"OB or OW", "US or OW", "US or SS or OW"} else vr
    return dictionary_keyword(tag), vr, dictionary_VM(tag) != "1", repeater


def _unknown(dataset: Dataset, tag: Any) -> bool:
    return bool(dataset[tag].VR == "UN")


def _blank(dataset: Dataset, tag: Any) -> bool:
    """No value, without reading one that was left in the file."""
    raw = dataset.get_item(tag)
    return getattr(raw, "length", None) == 0 or raw.value == b""


def _items(element: DataElement, path: str, dropped: list[Row], offset: timezone) -> list[Row]:
    return [_record(item, f"{path}[{number}].", dropped, offset) for number, item in enumerate(element.value)]


def _value(element: DataElement, vr: str, multiple: bool, offset: timezone) -> Any:
    """The value as its column has it; None where there is none."""
    values = _list(element)
    if not multiple and len(values) > 1:
        return "\\".join(map(str, values))
    made = [_one(value, vr, offset) for value in values]
    if multiple:
        return made
    return made[0] if made else None


def _list(element: DataElement) -> list[Any]:
    from pydicom.multival import MultiValue

    value = element.value
    return list(value) if isinstance(value, (MultiValue, list)) else [value]


def _one(value: Any, vr: str, offset: timezone) -> Any:
    if vr == "PN":
        return _person(value)
    if vr in {"DA", "TM", "DT"}:
        return {"DA": _date, "TM": _time, "DT": lambda text: _date_time(text, offset)}[vr](str(value).strip())
    if vr in {"FL", "FD", "AT", "SL", "SS", "UL", "US", "SV", "UV", "US or SS"}:
        return float(value) if vr in {"FL", "FD"} else int(value)
    text = str(value)
    return text.strip(" ") if vr in {"AE", "CS", "LO", "SH", "IS", "DS"} else text.rstrip(" \0")


def _person(value: Any) -> Row:
    """All 15 components, those that are absent as None."""
    made: Row = {}
    for name, attribute in GROUPS.items():
        parts = getattr(value, attribute).split("^")
        made[name] = dict.fromkeys(COMPONENTS) | {
            component: part.strip(" ") or None for component, part in zip(COMPONENTS, parts, strict=False)
        }
    return made


def _date(text: str) -> date:
    digits = text.replace(".", "").replace("-", "")
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))


def _time(text: str) -> time:
    whole, _, fraction = text.replace(":", "").partition(".")
    hour, minute, second = (int(whole[at : at + 2] or 0) for at in (0, 2, 4))
    return time(hour, minute, second, int(fraction.ljust(6, "0")[:6]) if fraction else 0)


def _date_time(text: str, offset: timezone) -> datetime:
    number, sign, zone = re.fullmatch(r"([0-9.]*)([+-]?)([0-9]*)", text).groups()  # type: ignore[union-attr]
    whole, _, fraction = number.partition(".")
    parts = [int(whole[start : start + 2]) for start in range(4, len(whole), 2)]
    month, day, hour, minute, second = parts + [1, 1, 0, 0, 0][len(parts) :]
    micro = int(fraction.ljust(6, "0")[:6] or 0)
    local = _offset(sign + zone) if sign else offset
    return datetime(int(whole[:4]), month, day, hour, minute, second, micro, tzinfo=local).astimezone(UTC)


def _offset(text: str) -> timezone:
    if len(text) < 5:
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _texts(element: DataElement) -> list[str]:
    """Values of a private element as text: numbers in their shortest form, AT as eight hexadecimal digits."""
    return list(_text_of(element))


def _text_of(element: DataElement) -> Iterator[str]:
    for value in _list(element):
        if element.VR == "AT":
            yield f"{int(value):08X}"
        elif element.VR == "FL":
            yield _shortest_single(value)
        elif isinstance(value, float) and element.VR == "FD":
            yield repr(value)
        else:
            yield str(value).strip(" \0")


def _shortest_single(value: float) -> str:
    """The fewest digits that give the same 32-bit number back."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", value):
            break
    return repr(float(text))
