"""Hostile files that are large, deep or numerous; each is built when asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from tests.handmade import (
    DEFLATED,
    EXPLICIT,
    IDENTITY,
    ITEM,
    ITEM_END,
    PATIENT,
    SEQUENCE,
    SEQUENCE_END,
    UID_ELEMENT,
    UNDEFINED,
    deflated,
    explicit,
    explicit_file,
    implicit,
    implicit_file,
    item,
    meta,
    open_item,
    open_sequence,
    sequence,
    text,
)

LEVELS = 100_000
CLOSE = implicit(ITEM_END) + implicit(SEQUENCE_END)
OPEN_EXPLICIT = sequence(b"", UNDEFINED) + implicit(ITEM, b"", UNDEFINED)
OPEN_IMPLICIT = implicit(SEQUENCE, b"", UNDEFINED) + implicit(ITEM, b"", UNDEFINED)
NESTED = OPEN_EXPLICIT * LEVELS + UID_ELEMENT + CLOSE * LEVELS


def nested_defined() -> bytes:
    """Every length is that of what is inside: 20 bytes of headers a level."""
    inside = (len(UID_ELEMENT) + 20 * (LEVELS - level - 1) for level in range(LEVELS))
    openings = (sequence(b"", length + 8) + implicit(ITEM, b"", length) for length in inside)
    return explicit_file(*openings, UID_ELEMENT, PATIENT)


def nested_in_un() -> bytes:
    inside = item(OPEN_IMPLICIT * LEVELS + CLOSE * LEVELS)
    return explicit_file(explicit(SEQUENCE, "UN", inside, UNDEFINED), implicit(SEQUENCE_END), PATIENT)


def elements_private() -> bytes:
    """118 private blocks of 256 elements; elements ascend by tag, so all creators come first."""
    blocks = range(0x10, 0x10 + 118)
    creators = [text(0x00090000 | block, "LO", "MAKER") for block in blocks]
    elements = (text(0x00090000 | block << 8 | number, "SH", f"{number}") for block in blocks for number in range(256))
    return explicit_file(*creators, *elements)


def elements_unknown() -> bytes:
    return explicit_file(PATIENT, *(explicit(0x55560000 + n, "SH", b"x ") for n in range(1, 30_001)))


def sequence_of_2_megabytes() -> bytes:
    one = item(UID_ELEMENT + text(0x0020000E, "UI", "2.25." + "7" * 59))
    return explicit_file(sequence(one * (1_900_000 // len(one))), PATIENT)


def deflate_bomb_behind(first: bytes) -> bytes:
    """2 GiB of text in 2 MB: a fully flushed deflate block of 1 MiB, repeated, after ``first``."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(b"a" * (1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    head = zlib.compressobj(9, zlib.DEFLATED, -15)
    text_of_2_gib = explicit(0x0040A160, "UT", b"", 2047 << 20)
    start = head.compress(IDENTITY + first + text_of_2_gib) + head.flush(zlib.Z_FULL_FLUSH)
    return meta(DEFLATED) + start + block * 2047 + compressor.flush()


ROWS: dict[str, Callable[[], bytes]] = {
    "100,000 nested sequences, defined lengths": nested_defined,
    "100,000 nested sequences, undefined lengths": lambda: explicit_file(NESTED, PATIENT),
    "100,000 nested sequences, implicit VR": lambda: implicit_file(OPEN_IMPLICIT * LEVELS, CLOSE * LEVELS),
    "100,000 nested sequences, deflated": lambda: meta(DEFLATED) + deflated(IDENTITY + NESTED + PATIENT),
    "100,000 nested sequences in a UN element": nested_in_un,
    "30,000 private elements": elements_private,
    "30,000 elements that nobody knows": elements_unknown,
    "30,000 times the same element": lambda: explicit_file(text(0x00100020, "LO", "ID-1") * 30_000),
    "30,000 items": lambda: explicit_file(sequence(item(UID_ELEMENT) * 30_000), PATIENT),
    "30,000 items without elements": lambda: explicit_file(
        open_sequence(open_item(b"") * 15_000 + item(b"") * 15_000), PATIENT
    ),
    "1,000,000 zeros before an element": lambda: implicit_file(bytes(1_000_000), implicit(0x00100020, b"ID-1")),
    "1,000,000 zeros before an element, deflated": lambda: (
        meta(DEFLATED) + deflated(IDENTITY + explicit(0, "UL", b"") * 125_000 + PATIENT)
    ),
    "a sequence of 1.9 MB": sequence_of_2_megabytes,
    "a text of 2 MB": lambda: explicit_file(explicit(0x0040A160, "UT", "é".encode() * 1_000_000)),
    "a text of 100 kB stored as bytes": lambda: explicit_file(explicit(0x0040A160, "OB", b"t" * 100_000)),
    "1,000,000 empty values": lambda: implicit_file(implicit(0x00080008, b"\\" * 1_000_000)),
    "300,000 numbers": lambda: implicit_file(implicit(0x30060050, b"\\".join([b"-1.5"] * 300_000) + b" ")),
    "a name of 60,000 delimiters": lambda: explicit_file(explicit(0x00100010, "PN", b"^=" * 30_000)),
    "4,000 character sets": lambda: (
        meta(EXPLICIT) + explicit(0x00080005, "CS", b"\\".join([b"ISO 2022 IR 87"] * 4_000) + b" ") + IDENTITY + PATIENT
    ),
    "20,000 escape sequences": lambda: explicit_file(
        text(0x00080005, "CS", "\\ISO 2022 IR 87"), explicit(0x00104000, "LT", b"\x1b$B\x1b(B" * 10_000)
    ),
}
FAILURES: dict[str, Callable[[], bytes]] = {
    "a deflate bomb of 2 GiB": lambda: deflate_bomb_behind(b""),
    "a deflate bomb behind an unknown VR": lambda: deflate_bomb_behind(explicit(0x00100021, "??", b"text")),
}
EITHER: dict[str, Callable[[], bytes]] = {
    "100,000 nested sequences that nobody closes": lambda: explicit_file(OPEN_EXPLICIT * LEVELS),
}
