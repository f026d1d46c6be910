"""Values as a program holds them, to the bytes that a file would have of them."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dicom_bq.scan.extensions import without_designations

NUMBER_FORMATS: Mapping[str, str] = {
    "FD": "<d", "FL": "<f", "SL": "<i", "SS": "<h", "SV": "<q", "UL": "<I", "US": "<H", "UV": "<Q",
}  # fmt: skip


def encode(value: Any, vr: str, encodings: Sequence[str] = ()) -> tuple[bytes, str]:  # noqa: ANN401 (whatever a program assigned)
    """Bytes of a decoded value, and the VR they can be read by.

    Args:
        value: As pydicom holds it: one value, a sequence of values, or None.
        vr: The element's VR. A value that it cannot encode becomes text, which then fits its column or does not.
        encodings: Python encodings that pydicom decoded text by.
    """
    if value is None:
        return b"", vr
    if isinstance(value, bytes):
        return value, vr
    if hasattr(value, "tolist"):  # an array of numpy's, which pydicom can make of DS and IS
        value = value.tolist()
    many = isinstance(value, Sequence) and not isinstance(value, str)
    values = list(value) if many else [value]
    numeric = _ENCODERS.get(vr)
    if numeric is not None:
        try:
            return b"".join(numeric(one) for one in values), vr
        except (struct.error, TypeError, ValueError, OverflowError):
            vr = "LO"
    text = without_designations("\\".join(_text(one, vr) for one in values), encodings)
    return text.encode("utf-8", "replace"), vr


def _text(value: object, vr: str) -> str:
    """One value as text; pydicom's own classes of numbers, dates and times know how they were written."""
    original = getattr(value, "original_string", None)
    if isinstance(original, str):
        return original
    for kind, write in _TEXTS:
        if isinstance(value, kind):
            return write(value, vr)
    return str(value)


def _packer(pattern: str) -> Callable[[Any], bytes]:
    return lambda number: struct.pack(pattern, number)


def _pack_tag(value: Any) -> bytes:  # noqa: ANN401
    from pydicom.tag import Tag

    tag = Tag(value)
    return struct.pack("<HH", tag.group, tag.element)


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    **{vr: _packer(pattern) for vr, pattern in NUMBER_FORMATS.items()},
    "AT": _pack_tag,
}


def _date(value: datetime.date) -> str:
    return f"{value.year:04}{value:%m%d}"


def _time(value: datetime.time | datetime.datetime) -> str:
    return f"{value:%H%M%S.%f}" if value.microsecond else f"{value:%H%M%S}"


def _date_time(value: datetime.datetime, vr: str) -> str:
    """The part of a date and time that the VR holds."""
    if vr == "DA":
        return _date(value)
    return _time(value) if vr == "TM" else f"{_date(value)}{_time(value)}{value:%z}"


_TEXTS: Sequence[tuple[type, Callable[[Any, str], str]]] = (
    (type(None), lambda _, vr: ""),
    (datetime.datetime, _date_time),  # which is a date too
    (datetime.date, lambda value, vr: _date(value)),
    (datetime.time, lambda value, vr: _time(value)),
)
"""Python's own values, as PS3.5 6.2 wants DA, TM and DT."""
