"""Text to Unicode: pydicom decodes it, but for what pydicom gets wrong in code extensions (PS3.5 6.1.2.5).

Each of several values begins anew in the first character set, and what does not decode is U+FFFD, where pydicom goes
on, or takes the escape sequences for text.
"""

from __future__ import annotations

import re
import warnings
from contextlib import suppress

from pydicom.charset import convert_encodings, decode_bytes

from .tables import WHOLE

ESCAPE, UNKNOWN = b"\x1b", "\ufffd"
MARKS = {"\x1b", UNKNOWN}
#: PS3.3 tables C.12-3 and C.12-4, by Python's names.
DESIGNATED = {
    b"\x1b(B": "iso8859", b"\x1b(J": "shift_jis", b"\x1b)I": "shift_jis", b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2", b"\x1b-C": "iso8859_3", b"\x1b-D": "iso8859_4", b"\x1b-F": "iso_ir_126",
    b"\x1b-G": "iso_ir_127", b"\x1b-H": "iso_ir_138", b"\x1b-L": "iso_ir_144", b"\x1b-M": "iso_ir_148",
    b"\x1b-T": "iso_ir_166", b"\x1b-b": "iso8859_15", b"\x1b$)A": "iso_ir_58", b"\x1b$)C": "euc_kr",
    b"\x1b$B": "iso2022_jp", b"\x1b$(D": "iso2022_jp_2",
}  # fmt: skip
#: Newer than pydicom.
LATIN_9 = ("ISO_IR 203", "ISO 2022 IR 203")
#: Python's decoders of these want the designation, too.
JAPANESE = ("iso2022_jp", "iso2022_jp_2")


def encodings_of(terms: list[str]) -> list[str]:
    """Python's names for the terms of a Specific Character Set."""
    return convert_encodings(["iso8859_15" if term in LATIN_9 else term for term in terms])


def decode(data: bytes, encodings: list[str], vr: str) -> str:
    """The text of a value of a VR."""
    ends = b"^=" if vr == "PN" else b"\t\n\f\r"
    if ESCAPE not in data:
        return decode_bytes(data, encodings, set(ends))
    return "\\".join(_value(value, encodings, ends) for value in ([data] if vr in WHOLE else _split(data)))


def _split(data: bytes) -> list[bytes]:
    """The values of a text, byte by byte: in a set of two bytes a backslash is half of a character."""
    values, wide = [b""], False
    for at in range(len(data)):
        if data[at : at + 1] == ESCAPE:
            if data[at + 1 : at + 2] == b"(":
                wide = False
            elif data[at + 1 : at + 2] == b"$" and data[at + 2 : at + 3] not in (b")", b"-"):
                wide = True
        if data[at : at + 1] == b"\\" and not wide:
            values.append(b"")
        else:
            values[-1] += data[at : at + 1]
    return values


def _value(value: bytes, encodings: list[str], ends: bytes) -> str:
    """One value; pydicom only warns of what does not decode."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with suppress(UserWarning):
            return decode_bytes(value, encodings, set(ends))
    parts = [part for part in re.split(b"(?=\x1b)", value) if part]
    return "".join(_part(part, encodings, ends) for part in parts)


def _part(part: bytes, encodings: list[str], ends: bytes) -> str:
    """A part of a value that pydicom does not decode, which may begin with a designation."""
    found = re.match(rb"\x1b[\x20-\x2f]+[\x30-\x7e]", part)
    first = part.decode(encodings[0], errors="replace")
    if not found:
        return first.replace("\x1b", UNKNOWN)
    encoding, rest = DESIGNATED.get(found[0], ""), part[found.end() :]
    if encoding not in ("iso8859", *encodings):
        # Python's decoder of JIS X 0208 knows JIS C 6226, and Romaji
        read = [text for text in (part.decode(one, errors="replace") for one in encodings) if not set(text) & MARKS]
        return read[0] if read else UNKNOWN + _up_to_end(rest, "ascii", encodings, ends)
    if encoding in JAPANESE:
        return part.decode(encoding, errors="replace")
    return _up_to_end(rest, encoding, encodings, b"" if encoding == "iso_ir_58" else ends)


def _up_to_end(rest: bytes, encoding: str, encodings: list[str], ends: bytes) -> str:
    at = min((rest.index(end) for end in ends if end in rest), default=len(rest))
    return rest[:at].decode(encoding, errors="replace") + rest[at:].decode(encodings[0], errors="replace")
