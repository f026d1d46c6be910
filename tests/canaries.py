"""Values that are unmistakable wherever they turn up, in files of every kind that can be had or got wrong."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from pydicom._dicom_dict import DicomDictionary

from tests import malformed
from tests.handmade import (
    EXPLICIT,
    PREFIX,
    deflated,
    explicit,
    implicit,
    item,
    open_item,
    open_sequence,
    sequence,
    text,
)
from tests.stored_elements import BIG_ENDIAN, DEFLATED, IMPLICIT, Items, StoredElement, Syntax, part10

MARK = "ZQ{vr}7K"
"""Part of every text; ``vr`` says which value has come out."""
TEXTS = {
    "AE": "ZQAE7K", "AS": "917Y", "CS": "ZQCS7K", "DA": "17530419", "DS": "73519.91753", "DT": "17530419031753.917351",
    "IS": "917351753", "LO": "ZQLO7K", "LT": "ZQLT7K\nZQLT7K", "PN": "ZQPN7K^ZQPN7K", "SH": "ZQSH7K", "ST": "ZQST7K",
    "TM": "031753.917351", "UC": "ZQUC7K", "UI": "1.2.917351753.42", "UR": "http://ZQUR7K/", "UT": "ZQUT7K",
}  # fmt: skip
NUMBERS = {
    "AT": (0x5317_5391,), "FD": (917351.75,), "FL": (917351.75,), "SL": (-1917351753,), "SS": (-31753,),
    "SV": (-917351753917351753,), "UL": (3917351753,), "US": (51753,), "UV": (9917351753917351753,),
}  # fmt: skip
BYTES = b"ZQOB7K\xc9\xb7ZQOB7K\xc9\xb7"
OPAQUE = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
_FOUND = re.compile(
    r"(?i)zq[a-z]{2}7k|917351|17530419|1753-04-19|03:17:53|031753|(?<!\d)917Y|(?<!\d)(?:51753|31753)(?!\d)|53175391|73519\.9"
)


def found(output: str | bytes) -> list[str]:
    """Canaries in some output, also in hexadecimal digits."""
    raw = output if isinstance(output, bytes) else output.encode("utf-8", "surrogateescape")
    turned = re.sub(rb"(?i)(?:[0-9a-f]{2}){8,}", lambda match: bytes.fromhex(match[0].decode()), raw)
    return sorted({match for each in (raw, turned) for match in _FOUND.findall(each.decode("latin-1"))})


def told(error: BaseException | None) -> str:
    """Everything that an exception says of itself and of those behind it, as it is shown and by ``repr``."""
    parts = []
    while error is not None:
        parts += [
            str(error),
            repr(error),
            repr(error.args),
            repr(vars(error)),
            "".join(traceback.format_exception(error)),
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(parts)


def tag_of(vr: str) -> int:
    """A standard tag of a VR, which is not the one of a UID that means something for reading."""
    return next(tag for tag, row in DicomDictionary.items() if row[0] == vr and tag >> 16 > 8 and tag & 0xFF)


def everything() -> tuple[StoredElement, ...]:
    """A canary in every VR, where it fits, at the root, in a sequence and in private elements."""
    values: dict[str, str | bytes | tuple[float, ...]] = {**TEXTS, **NUMBERS, **dict.fromkeys(OPAQUE, BYTES + BYTES)}
    plain = [StoredElement(tag_of(vr) if vr != "UN" else 0x00420042, vr, value) for vr, value in values.items()]
    inside = tuple(sorted(plain, key=lambda element: element.tag))
    private = [StoredElement(0x00290010, "LO", "ZQLO7K")]
    private += [StoredElement(0x00291001 + number, vr, value) for number, (vr, value) in enumerate(values.items())]
    nested = StoredElement(0x0040A730, "SQ", Items((inside, inside)))
    identity = (StoredElement(0x00080018, "UI", TEXTS["UI"]), StoredElement(0x00080005, "CS", "ISO_IR 192"))
    return tuple(sorted([*identity, *plain, nested, *private], key=lambda element: element.tag))


def misfits() -> bytes:
    """Canaries in every VR where they do not fit, and by VRs that are not the dictionary's."""
    elements = [explicit(tag_of(vr), vr, b"ZQ" + vr.encode() + b"7K\\bad \\ZQ" + vr.encode() + b"7K") for vr in TEXTS]
    elements += [explicit(tag_of(vr), vr, BYTES[:-1]) for vr in NUMBERS]
    elements += [
        explicit(tag_of(vr), "LO", TEXTS["LO"].encode()) for vr in ("DA", "TM", "DT", "US", "FD", "SQ", "AT", "UI")
    ]
    elements += [explicit(tag_of(vr), "OB", BYTES) for vr in ("LO", "DA", "PN", "US")]
    elements += [explicit(tag_of("LO"), "SQ", item(text(0x00100010, "PN", TEXTS["PN"])))]
    return (
        meta()
        + text(0x00080005, "CS", "ZQCS7K")
        + b"".join(elements)
        + explicit(0x00100010, "PN", b"ZQPN7K\xff\xfe^\x1b$B")
    )


def meta(syntax: str | None = EXPLICIT) -> bytes:
    """File meta information with canaries in what is free text there."""
    elements = [
        text(0x00020003, "UI", TEXTS["UI"]),
        text(0x00020013, "SH", TEXTS["SH"]),
        text(0x00020016, "AE", TEXTS["AE"]),
    ]
    elements += [text(0x00020017, "AE", TEXTS["AE"]), explicit(0x00020102, "OB", BYTES)]
    if syntax is not None:
        elements.insert(1, text(0x00020010, "UI", syntax))
    return PREFIX + b"".join(elements)


def _broken() -> dict[str, bytes]:
    """Files that fail, with canaries before, in and behind the place where they do."""
    name, wrong = text(0x00100010, "PN", TEXTS["PN"]), b"ZQ"
    whole = part10(everything())
    cuts = [match.start() + 3 for match in re.finditer(rb"ZQ|1753|9173", whole)]
    files = {f"cut-{at}": whole[:at] for at in cuts}
    files |= {
        "vr": meta() + name + explicit(0x00100021, wrong, b"ZQLO7K") + name,
        "length": meta() + name + explicit(0x00100021, "LO", b"ZQLO7K", 0xFFF0),
        "delimiter": meta() + name + open_sequence(open_item(name) + implicit(0x5A515A51, b"ZQLO7K")),
        "items": meta() + sequence(name) + name,
        "deflated": meta("1.2.840.10008.1.2.1.99\0") + deflated(name)[:-4] + b"ZQLO7K",
        "meta": PREFIX + implicit(0x00020010, b"ZQUI7K") + name,
        "syntax": meta("1.2.917351753.42\0") + b"\xff\xff" + name,
        "text": b"ZQLO7K,ZQPN7K\n" * 40,
        "directory": PREFIX + text(0x00020002, "UI", "1.2.840.10008.1.3.10") + name,
        "zero": b"",
    }
    return files


def _hostile() -> dict[str, bytes]:
    """What the malformed cases have of a patient's, turned into canaries of the same length."""
    tables = (malformed.LIARS, malformed.EITHER, malformed.ROWS)
    return {
        f"hostile-{number}": data.replace(b"Odd^File", b"ZQPN7K^K")
        .replace(b"ID-1", b"917Y")
        .replace(b"short", b"917Y ")
        for number, data in enumerate(data for table in tables for data in table.values())
    }


def plant(folder: Path) -> list[Path]:
    """Write all files; names say nothing."""
    good: dict[str, Syntax] = {"explicit": Syntax(), "implicit": IMPLICIT, "big": BIG_ENDIAN, "deflated": DEFLATED}
    files = {f"good-{name}": part10(everything(), syntax) for name, syntax in good.items()}
    files |= {"misfits": misfits(), **_broken(), **_hostile()}
    files["unknown-syntax"] = meta("1.2.917351753.42") + part10(everything())[len(part10(())) :]
    files["large"] = meta() + text(0x00104000, "LT", "ZQLT7K" * 5_000)
    folder.mkdir()
    for name, data in files.items():
        (folder / f"{name}.dcm").write_bytes(data)
    return sorted(folder.iterdir())
