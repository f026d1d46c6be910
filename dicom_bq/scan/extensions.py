"""Code extensions of ISO 2022 (PS3.5 6.1.2.5): text that changes its character set at escape sequences.

As pydicom decodes them, where it does. It goes astray in two ways: it does not go back to the first character set at
the backslash between values, and what does not decode it takes for the first set, escape sequences and all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

ESCAPE = 0x1B
REPLACEMENT = "\ufffd"
G0_OR_BACKSLASH = re.compile(rb"\x1b(\$(?![)-])|\()|\\")
"""What designates G0, the set of bytes under 128: one of two bytes, or of one; or a backslash (PS3.3 C.12.1.1.2)."""
DESIGNATION = re.compile(rb"\x1b[ -/]+[0-~]")
PARTS = re.compile(rb"\x1b[^\x1b]*|[^\x1b]+")
LEFT_IN_TEXT = {"iso_ir_58": "\x1b$)A"}
"""Designations (PS3.3 tables C.12-3 and C.12-4) that the decoder of their own encoding leaves in the text."""
NEWER = {b"\x1b-b": "iso8859_15"}
"""Encodings by designation that pydicom does not know yet: Latin-9."""
NOT_DECLARED = "ascii"
"""Encoding of what follows a designation that is unknown, or of a set that Specific Character Set does not name."""


def decode_extended(raw: bytes, encodings: Sequence[str], delimiters: set[int], *, splits: bool) -> str:
    """Decode text with escape sequences; what does not decode becomes U+FFFD.

    Args:
        raw: The text.
        encodings: pydicom's names for the character sets that are declared, the first one first.
        delimiters: Bytes that end a code extension inside a value.
        splits: A backslash separates values, each of which begins in the first character set (PS3.5 6.1.2.5.3).
    """
    values = _values(raw) if splits else (raw,)
    return "\\".join(_decode(value, encodings, delimiters) for value in values)


def _values(raw: bytes) -> Iterator[bytes]:
    """The values of a text; where G0 is a set of two bytes, a backslash is half of a character."""
    start, two_bytes = 0, False
    for found in G0_OR_BACKSLASH.finditer(raw):
        if found[1]:
            two_bytes = found[1] == b"$"
        elif not two_bytes:
            yield raw[start : found.start()]
            start = found.end()
    yield raw[start:]


def _decode(value: bytes, encodings: Sequence[str], delimiters: set[int]) -> str:
    parts = (_decode_part(part, encodings, delimiters) for part in PARTS.findall(value))
    return without_designations("".join(parts), encodings)


def _decode_part(part: bytes, encodings: Sequence[str], delimiters: set[int]) -> str:
    """Decode what follows a designation, up to the next one, by what it designates."""
    from pydicom.charset import CODES_TO_ENCODINGS, default_encoding, handled_encodings

    designation = DESIGNATION.match(part)
    if not designation:
        return part.decode(encodings[0], "replace").replace("\x1b", REPLACEMENT)
    encoding, mark = CODES_TO_ENCODINGS.get(designation[0], NEWER.get(designation[0], "")), ""
    if encoding not in (*encodings, default_encoding):
        # Python's decoder of JIS X 0208 also knows JIS C 6226, and the Romaji that many go back to in place of ASCII.
        for declared in encodings:
            text = part.decode(declared, "replace")
            if "\x1b" not in text and REPLACEMENT not in text:
                return text
        encoding, mark = NOT_DECLARED, REPLACEMENT
    elif encoding in handled_encodings:  # they are decoded with their designation
        return part.decode(encoding, "replace")
    rest = part[designation.end() :]
    end = next((at for at, byte in enumerate(rest) if byte in delimiters), len(rest))
    return mark + rest[:end].decode(encoding, "replace") + rest[end:].decode(encodings[0], "replace")


def without_designations(text: str, encodings: Sequence[str]) -> str:
    """Text that pydicom has decoded, less the code extensions' designations that it leaves there."""
    for encoding in encodings if "\x1b" in text else ():
        text = text.replace(LEFT_IN_TEXT.get(encoding, ""), "")
    return text
