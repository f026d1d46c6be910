"""Hostile DICOM byte strings, each with what may come of it: a row, a failure with a reason, or "not DICOM".

``CASES`` maps a name to its case; the large ones are built when asked for.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from tests import malformed_large
from tests.handmade import (
    BIG_BODY,
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IDENTITY,
    IMPLICIT,
    IMPLICIT_BODY,
    ITEM_END,
    JPEG_BASELINE,
    NAME,
    PATIENT,
    PATIENT_ID,
    PIXEL_DATA,
    PREFIX,
    SEQUENCE_END,
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

Expectation = Literal["row", "failed", "row or failed", "not dicom"]
ALMOST_4_GIB = 0xFFFFFFFE
VRS = "AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
FRAGMENTS = item(b"") + item(b"\xff\xd8\xff\xd9") + implicit(SEQUENCE_END)
COMPRESSED_PIXELS = explicit(PIXEL_DATA, "OB", FRAGMENTS, UNDEFINED)
ICON = explicit(0x00880200, "SQ", open_item(COMPRESSED_PIXELS), UNDEFINED) + implicit(SEQUENCE_END)
MODALITY = text(0x00080060, "CS", "MR")


class Malformed(NamedTuple):
    """What a case gives."""

    name: str
    data: bytes
    expectation: Expectation


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile file that is built on demand."""

    name: str
    expectation: Expectation
    build: Callable[[], bytes]

    def make(self) -> Malformed:
        return Malformed(self.name, self.build(), self.expectation)


# A length of 4 GiB in a file of 300 bytes: no reader may allocate what a file merely claims.
LIARS: dict[str, bytes] = {
    "text of 4 GiB": explicit_file(explicit(0x0040A160, "UT", b"short", ALMOST_4_GIB)),
    "bytes of 4 GiB": explicit_file(explicit(0x00420011, "OB", b"short", ALMOST_4_GIB)),
    "implicit VR text of 4 GiB": implicit_file(implicit(0x0040A160, b"short", ALMOST_4_GIB)),
    "sequence of 4 GiB": explicit_file(sequence(item(PATIENT), ALMOST_4_GIB)),
    "item of 4 GiB": explicit_file(open_sequence(item(PATIENT, ALMOST_4_GIB))),
    "number stored as bytes of 4 GiB": explicit_file(explicit(0x00280010, "OB", b"\x08\0", ALMOST_4_GIB)),
    "text stored as bytes of 4 GiB": explicit_file(explicit(0x00104000, "OW", b"text", ALMOST_4_GIB)),
    "private text stored as UN of 4 GiB": explicit_file(
        text(0x00430010, "LO", "GEMS_PARM_01"), explicit(0x00431027, "UN", b"text", ALMOST_4_GIB)
    ),
    "group length stored as bytes of 4 GiB": explicit_file(explicit(0x00100000, "OB", b"\0\0", ALMOST_4_GIB)),
    "meta element of 4 GiB": PREFIX + explicit(0x00020001, "OB", b"\0\1", ALMOST_4_GIB) + IDENTITY,
    "deflated text of 4 GiB": meta(DEFLATED) + deflated(IDENTITY + explicit(0x0040A160, "UT", b"short", ALMOST_4_GIB)),
}
# Readable in more than one way, or only in part: a row or a failure, never a crash, never silence.
EITHER: dict[str, bytes] = {
    "16-bit length past the end": explicit_file(explicit(0x00100010, "PN", b"Odd^File", 0xFFFF)),
    "sequence never closed": explicit_file(sequence(open_item(PATIENT), UNDEFINED)),
    "item never closed": explicit_file(sequence(item(PATIENT, UNDEFINED), UNDEFINED)),
    "UN with items in explicit VR": explicit_file(
        explicit(0x00081140, "UN", open_item(explicit(0x00081155, "UI", b"1.2.3\0")), UNDEFINED),
        implicit(SEQUENCE_END),
        PATIENT,
    ),
    "UN never closed": explicit_file(explicit(0x00291010, "UN", item(implicit(0x00100010, b"A^")), UNDEFINED)),
    "text of undefined length": explicit_file(
        explicit(0x0040A160, "UT", b"text", UNDEFINED), implicit(SEQUENCE_END), PATIENT
    ),
    "item past its sequence": explicit_file(sequence(item(MODALITY, 64), 18), PATIENT),
    "element past its item": explicit_file(sequence(item(explicit(0x00080060, "CS", b"MR", 20))), PATIENT),
    "sequence shorter than an item header": explicit_file(sequence(b"\xfe\xff\0\xe0"), PATIENT),
    "sequence end closes an item": explicit_file(
        sequence(item(PATIENT, UNDEFINED) + implicit(SEQUENCE_END), UNDEFINED), PATIENT
    ),
    "item end closes a sequence": explicit_file(sequence(item(PATIENT) + implicit(ITEM_END), UNDEFINED), PATIENT),
    "delimiters at the root": explicit_file(implicit(ITEM_END), implicit(SEQUENCE_END), item(b""), PATIENT),
    "delimiter with a length": explicit_file(
        sequence(open_item(PATIENT) + implicit(SEQUENCE_END, b"junk"), UNDEFINED), PATIENT
    ),
    "elements instead of items": explicit_file(sequence(PATIENT), text(0x00180015, "CS", "CHEST")),
    "unknown VR codes": explicit_file(
        *(explicit(0x00100021 + n, vr, b"text") for n, vr in enumerate((b"ZZ", b"\0\0", b"  ", b"lo", b"\xff\xff"))),
        text(0x00104000, "LT", "after"),
    ),
    "meta in implicit VR": PREFIX + implicit(0x00020010, EXPLICIT.encode() + b"\0") + IDENTITY,
    "not deflated under the deflated UID": meta(DEFLATED) + IDENTITY + PATIENT,
    "deflated and cut": meta(DEFLATED) + deflated(IDENTITY + PATIENT * 50)[:60],
    "prefix only": PREFIX,
    "meta only": meta(EXPLICIT),
    "random bytes after meta": meta(EXPLICIT) + random.Random(3).randbytes(4_000),
}
ROWS: dict[str, bytes] = {
    "pixel data of 4 GiB": explicit_file(PATIENT, explicit(PIXEL_DATA, "OW", b"short ", ALMOST_4_GIB)),
    "odd lengths": explicit_file(
        explicit(0x00080070, "LO", b"odd"), sequence(item(explicit(0x00080060, "CS", b"M"))), PATIENT
    ),
    "signalling NaN": explicit_file(
        explicit(0x00720076, "FL", b"m\0\x80\x7f"),
        explicit(0x00431038, "FL", b"m\0\x80\x7f"),
        explicit(0x00720074, "FD", b"\1\0\0\0\0\0\xf0\x7f"),
        PATIENT,
    ),
    "nothing has a value": meta(EXPLICIT)
    + explicit(0x00080018, "UI")
    + b"".join(explicit(0x00720050 + number, vr) for number, vr in enumerate(VRS.split()))
    + explicit(PIXEL_DATA, "OW"),
    "meta without group length": meta(EXPLICIT, group_length=False) + IDENTITY + PATIENT,
    "meta group length too small": meta(EXPLICIT, wrong_by=-20) + IDENTITY + PATIENT,
    "meta group length too large": meta(EXPLICIT, wrong_by=1000) + IDENTITY + PATIENT,
    "no transfer syntax, explicit": meta(None) + IDENTITY + PATIENT,
    "no transfer syntax, implicit": meta(None) + IMPLICIT_BODY,
    "no meta after the prefix": PREFIX + IDENTITY + PATIENT,
    "private transfer syntax": meta("1.2.826.0.1.3680043.99.1") + IDENTITY + PATIENT,
    "explicit under the implicit UID": meta(IMPLICIT) + IDENTITY + PATIENT,
    "implicit under the explicit UID": meta(EXPLICIT) + IMPLICIT_BODY,
    "little endian under the big endian UID": meta(BIG_ENDIAN) + IDENTITY + PATIENT,
    "ACR-NEMA": implicit(0x00080000, struct.pack("<L", 24)) + implicit(0x00080001, b"\0\1\0\0") + IMPLICIT_BODY,
    "big endian without meta": BIG_BODY,
    "explicit without meta": IDENTITY + PATIENT,
    "no preamble, and the prefix in a value": IDENTITY
    + explicit(0x00081030, "LO", (b"x" * (120 - len(IDENTITY)) + b"DICMED"))
    + PATIENT,
    "the same elements twice": explicit_file(
        sequence(item(MODALITY)), PATIENT, sequence(item(MODALITY)), NAME, text(0x00100020, "LO", "ID-2")
    ),
    "descending tags": meta(EXPLICIT) + PATIENT_ID + NAME + IDENTITY + text(0x00080005, "CS", "ISO_IR 100"),
    "elements after pixel data": explicit_file(
        explicit(PIXEL_DATA, "OW", bytes(64)), explicit(0xFFFCFFFC, "OB", bytes(16)), PATIENT
    ),
    "encapsulated pixel data in an icon": explicit_file(ICON, PATIENT),
    "junk after encapsulated pixel data": meta(JPEG_BASELINE) + IDENTITY + COMPRESSED_PIXELS + b"junk, not read",
    "zeros at the end": explicit_file(PATIENT, bytes(512)),
}
NOT_DICOM: dict[str, bytes] = {
    "empty file": b"",
    "131 zeros": bytes(131),
    "132 zeros": bytes(132),
    "random bytes": random.Random(2).randbytes(4_000),
    "a JPEG file": bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9") * 20,
    "gzip of a DICOM file": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + deflated(explicit_file(PATIENT)) + bytes(8),
    "plain text": b"PatientID,StudyDate\n1,20240101\n" * 20,
    # Small numbers that are tags by chance, as icons and Fortran modules begin with.
    "an icon of six images": struct.pack("<3H", 0, 1, 6) + struct.pack("<4B2H2L", 0, 0, 0, 0, 1, 32, 8045, 102) * 6,
    "records that begin with a type and a length": b"".join(
        struct.pack("<HHL", group, 0 if group > 8 else 1, 748) + bytes(748) for group in range(8, 40, 4)
    ),
}


def _cases() -> dict[str, Case]:
    eager: tuple[tuple[Expectation, dict[str, bytes]], ...] = (
        ("row or failed", LIARS),
        ("row or failed", EITHER),
        ("row", ROWS),
        ("not dicom", NOT_DICOM),
    )
    lazy: tuple[tuple[Expectation, dict[str, Callable[[], bytes]]], ...] = (
        ("row", malformed_large.ROWS),
        ("failed", malformed_large.FAILURES),
        ("row or failed", malformed_large.EITHER),
    )
    cases = [Case(name, kind, partial(bytes, data)) for kind, table in eager for name, data in table.items()]
    cases += [Case(name, kind, build) for kind, table in lazy for name, build in table.items()]
    return {one.name: one for one in cases}


CASES = _cases()
