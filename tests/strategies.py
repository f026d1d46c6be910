"""Hypothesis strategies for DICOM data sets. `stored_elements` writes what they draw.

* `items()`: anything, nested, with character sets, private blocks, repeating groups, stored VRs that are not
  the dictionary's, and values that do not fit; `items(broken=False)`: only what a conforming writer writes.
* `deep_items()`: sequences nested up to 18 levels, around BigQuery's limit of 15 levels of RECORD.
* `disordered_items()`: elements in any order, some of them twice.
* `syntaxes()`: how to write it. `well_formed(vr)`: one value field of a VR; `misfits(vr)`: a doubtful one.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary

from .stored_elements import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PACKED,
    Item,
    Items,
    StoredElement,
    Syntax,
)


def syntaxes() -> st.SearchStrategy[Syntax]:
    """Every way to write the data elements, with defined and undefined lengths."""
    return st.builds(
        replace, st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED]), undefined_length=st.booleans()
    )


#: A Specific Character Set and letters that it has and ASCII has not.
REPERTOIRES = {
    "": "",
    "ISO_IR 100": "äéïøÜßÿ",
    "ISO_IR 144": "ЖяЩю",
    "ISO_IR 192": "äЖ漢가😀",
    "GB18030": "漢字\u2605äЖ\u8a95\u4e5c",  # trail bytes of some are a backslash or a circumflex
    "GBK": "漢字\u8a95",
    "ISO_IR 13": "ｱｲｳ",
    "\\ISO 2022 IR 87": "漢字山田",
    "ISO 2022 IR 6\\ISO 2022 IR 149": "가홍길",
    "ISO 2022 IR 100\\ISO 2022 IR 144": "éЖя",
}
ASCII = "abcXYZ 019.-_%:/\"'<"
UNAFFECTED = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})

_dates = st.dates(datetime.date(1, 1, 1)).map(lambda day: day.strftime("%Y").rjust(4, "0") + f"{day:%m%d}")
_times = st.builds(
    lambda moment, length: f"{moment:%H%M%S.%f}"[:length], st.times(), st.sampled_from([2, 4, 6, 8, 10, 13])
)
_date_times = st.builds(
    lambda day, moment, length, offset: (day + moment)[:length] + offset,
    _dates, st.times().map("{:%H%M%S.%f}".format), st.sampled_from([4, 6, 8, 10, 12, 14, 16, 21]),
    st.sampled_from(["", "", "+0000", "+0530", "-1200", "+1400"]),
)  # fmt: skip
_names = st.lists(
    st.lists(st.text("abcÄ -'", max_size=5), min_size=1, max_size=5).map("^".join), min_size=1, max_size=3
).map(lambda groups: "=".join(groups).rstrip("="))
_COMPONENTS: dict[str, st.SearchStrategy[str]] = {
    "AE": st.text("ABC 12", min_size=1, max_size=16),
    "AS": st.sampled_from(["018M", "045Y", "000D"]),
    "CS": st.text("ABC_ 12", min_size=1, max_size=16),
    "DA": _dates,
    "DS": st.one_of(st.floats(allow_nan=False, allow_infinity=False).map(repr), st.integers().map(str)),
    "DT": _date_times,
    "IS": st.integers(-(2**31), 2**31 - 1).map(str),
    "PN": _names,
    "TM": _times,
    "UI": st.lists(st.integers(0, 10**6).map(str), min_size=1, max_size=8).map(".".join),
    "UR": st.sampled_from(["https://example.org/a?b=1", "urn:oid:1.2.3"]),
}
_INTEGERS = {
    "AT": (0, 2**32 - 1), "SL": (-(2**31), 2**31 - 1), "SS": (-(2**15), 2**15 - 1),
    "SV": (-(2**63), 2**63 - 1), "UL": (0, 2**32 - 1), "US": (0, 2**16 - 1), "UV": (0, 2**64 - 1),
}  # fmt: skip
_WHOLE_TEXT = frozenset({"LT", "ST", "UR", "UT"})
TEXT_VRS = sorted({*_COMPONENTS, "LO", "LT", "SH", "ST", "UC", "UT"})
BYTE_VRS = ["OB", "OD", "OF", "OL", "OV", "OW", "UN"]
ALL_VRS = sorted([*TEXT_VRS, *PACKED, *BYTE_VRS, "SQ"])


def well_formed(vr: str, values: int = 1, letters: str = "") -> st.SearchStrategy[str | bytes | tuple[float, ...]]:
    """A value field of a VR other than SQ, with so many values, as a conforming writer writes it."""
    if vr in _INTEGERS:
        return st.lists(st.integers(*_INTEGERS[vr]), min_size=values, max_size=values).map(tuple)
    if vr in PACKED:
        floats = st.floats(width=32 if vr == "FL" else 64)
        return st.lists(floats, min_size=values, max_size=values).map(tuple)
    if vr in BYTE_VRS:
        unit = {"OD": 8, "OF": 4, "OL": 4, "OV": 8}.get(vr, 2)
        return st.integers(0, 2).flatmap(lambda units: st.binary(min_size=units * unit, max_size=units * unit))
    if vr in _WHOLE_TEXT - {"UR"}:
        return st.text(ASCII + letters + "\\\n", max_size=20)
    one = _COMPONENTS[vr] if vr in _COMPONENTS else st.text(ASCII + letters, max_size=12)
    if vr == "PN":
        one = one.map(lambda name: name.replace("Ä", letters[:1] or "A"))
    return st.lists(one, min_size=values, max_size=values).map("\\".join)


_ODD_TEXTS = st.sampled_from(
    [
        "", " ", "\\", "\\\\", " \\ ", "\0", "A\0B", "A\0", " lead", "trail  ", "a\\b\\c", "\ttab", "***",
        "00000000", "19990230", "1999.12.31", "1999-12-31", "1999.12-31", "19991231-", "1990/01/",
        "19990101 ", "0000", "24", "2359", "235960", "075454.", "075454.1234567", "07:54", "07:54:12.5",
        "0754.", "07:5412", "20200229235959.9999999", "20200229235959.", "2020-0500", "2020+1401",
        "20200101+0060", "2020-0000",
        "00010101+1400", "99991231235959-1200", "20200101120000.+0100", " 2020", "20200101 ", "0020\\0021",
        "1e5", "1E400", "1,5", "nan", "+7", "-0", "0x10", "7.0", "9" * 25, "1_000", ".5", "5.", "1",
        "^^^^", "=", "==", "===", "a^b^c^d^e^f", "A=B=C=D", "a^^ b =c",
    ]
)  # fmt: skip


def misfits(vr: str) -> st.SearchStrategy[str | bytes | tuple[float, ...]]:
    """A doubtful value field of a VR other than SQ: padding only, almost a date, some bytes."""
    if vr in TEXT_VRS:
        return st.one_of(_ODD_TEXTS, st.binary(max_size=9))
    return well_formed(vr) if vr in BYTE_VRS else st.binary(max_size=9)


@cache
def tags_of(vr: str) -> tuple[int, ...]:
    """Standard tags of a dictionary VR, without those that mean something for the reading of others."""
    special = {0x00080005, 0x00080201, 0x00280103, 0x7FE00010, 0x00020001, 0xFFFCFFFC}
    return tuple(
        tag
        for tag, line in sorted(DicomDictionary.items())
        if line[0] == vr and tag not in special and tag >> 16 not in {0, 2, 0xFFFE} and tag & 0xFFFF
    )


REPEATING = {
    0x60000010: "US", 0x60020010: "US", 0x60000050: "SS", 0x601E0022: "LO", 0x60040015: "IS",
    0x60003000: "OW", 0x50000005: "US", 0x50040030: "SH", 0x50002600: "SQ", 0x00203100: "CS",
    0x10000010: "US", 0x10100003: "US",
}  # fmt: skip
UNNAMED = (0x00420042, 0x00280020, 0x00180061, 0x7FE20001, 0x00090003, 0x00110000, 0x00080000, 0x00080001)
CREATORS = ("SIEMENS CSA HEADER", "GEMS_IDEN_01", "Philips Imaging DD 001", "ACME 1.0", "  ")
DICTIONARY_VRS = sorted({*ALL_VRS, "US or SS", "OB or OW", "US or OW", "US or SS or OW"} - {"UN"})


@st.composite
def elements(
    draw: st.DrawFn, letters: str, *, broken: bool, inner: Callable[[], st.SearchStrategy[Item]]
) -> StoredElement:
    """One standard, repeating or unnamed element; `inner` draws the items of a sequence."""
    kind = draw(st.sampled_from(["standard"] * 8 + ["repeating", "unnamed"]))
    if kind == "standard":
        dictionary_vr = draw(st.sampled_from(DICTIONARY_VRS))
        tag = draw(st.sampled_from(tags_of(dictionary_vr)))
    elif kind == "repeating":
        tag, dictionary_vr = draw(st.sampled_from(sorted(REPEATING.items())))
    else:
        tag, dictionary_vr = draw(st.sampled_from(UNNAMED)), draw(st.sampled_from(ALL_VRS))
    vr = dictionary_vr.split(" or ")[draw(st.integers(0, dictionary_vr.count(" or ")))]
    if broken and draw(st.integers(0, 5)) == 0:
        vr = "UN" if vr == "SQ" else draw(st.sampled_from(ALL_VRS))
    value = draw(_value(vr, letters, tag, broken=broken, inner=inner))
    if vr == "UN" and dictionary_vr == "SQ":
        value = draw(_value("SQ", letters, tag, broken=broken, inner=inner))
    return StoredElement(tag, vr, value)


def _value(
    vr: str, letters: str, tag: int, *, broken: bool, inner: Callable[[], st.SearchStrategy[Item]]
) -> st.SearchStrategy[str | bytes | tuple[float, ...] | Items]:
    if vr == "SQ":
        return st.lists(inner(), max_size=2).map(tuple).map(Items)
    one = tag in DicomDictionary and DicomDictionary[tag][1] == "1"
    letters = "" if vr in UNAFFECTED else letters
    counts = st.just(1) if one and not broken else st.sampled_from([1, 1, 2, 3])
    conforming = counts.flatmap(lambda values: well_formed(vr, values, letters))
    return st.one_of(conforming, conforming, misfits(vr)) if broken else conforming


@st.composite
def private_blocks(
    draw: st.DrawFn, letters: str, *, broken: bool, inner: Callable[[], st.SearchStrategy[Item]]
) -> list[StoredElement]:
    """A private creator and some elements of its block; now and then without the creator."""
    group = draw(st.sampled_from([0x0009, 0x0019, 0x0029, 0x2001, 0x7FE1]))
    block = draw(st.sampled_from([0x10, 0x10, 0x11, 0xFF]))
    block_elements = {}
    if not broken or draw(st.integers(0, 4)):
        creator = draw(st.sampled_from(CREATORS))
        block_elements[block] = StoredElement(group << 16 | block, "LO", creator)
    for low in draw(st.lists(st.sampled_from([0x00, 0x01, 0x02, 0x08, 0x10, 0x27, 0xE7]), unique=True, max_size=4)):
        vr = draw(st.sampled_from(ALL_VRS))
        tag = group << 16 | block << 8 | low
        value = draw(_value(vr, letters, tag, broken=broken, inner=inner))
        block_elements[tag] = StoredElement(tag, vr, value)
    return list(block_elements.values())


@st.composite
def items(draw: st.DrawFn, *, broken: bool = True, depth: int = 2, character_set: str | None = None) -> Item:
    """A data set of up to eight elements and two private blocks, in tag order, sequences `depth` deep.

    Args:
        broken: Also doubtful values, and stored VRs that are not the dictionary's.
        depth: How many levels of sequences there may be.
        character_set: The one of the enclosing item; None at the root.
    """
    special: list[StoredElement] = []
    if draw(st.integers(0, 2)) == 0 or (character_set is None and draw(st.booleans())):
        character_set = draw(st.sampled_from(sorted(REPERTOIRES)))
        special.append(StoredElement(0x00080005, "CS", character_set))
    if draw(st.integers(0, 2)) == 0:
        special.append(StoredElement(0x00280103, "US", (draw(st.integers(0, 1)),)))
    if draw(st.integers(0, 3)) == 0:
        special.append(StoredElement(0x00080201, "SH", draw(st.sampled_from(["+0100", "-0330", "+9999", "x"]))))
    inherited = character_set or ""
    inner = _inner_items(broken=broken, depth=depth - 1, character_set=inherited)
    letters = REPERTOIRES[inherited]
    drawn = draw(st.lists(elements(letters, broken=broken, inner=inner), max_size=8))
    for block in draw(st.lists(private_blocks(letters, broken=broken, inner=inner), max_size=2)):
        drawn += block
    by_tag = {element.tag: element for element in [*drawn, *special]}
    return tuple(by_tag[tag] for tag in sorted(by_tag))


def _inner_items(*, broken: bool, depth: int, character_set: str) -> Callable[[], st.SearchStrategy[Item]]:
    if depth < 0:
        return lambda: st.just(())
    return lambda: items(broken=broken, depth=depth, character_set=character_set)


@st.composite
def deep_items(draw: st.DrawFn) -> Item:
    """One sequence in another, 13 to 18 levels, and on every level what needs levels of its own."""
    item: Item = draw(st.sampled_from([(StoredElement(0x00080060, "CS", "MR"),), ()]))
    for _ in range(draw(st.integers(13, 18))):
        beside = draw(
            st.lists(
                st.sampled_from(
                    [
                        StoredElement(0x00100010, "PN", "A^B"),
                        StoredElement(0x00080020, "DA", "never"),
                        StoredElement(0x00090010, "LO", "ACME"),
                        StoredElement(0x60000010, "US", (7,)),
                        StoredElement(0x00080060, "CS", "CT"),
                        StoredElement(0x00420011, "OB", b"\1\2"),
                    ]
                ),
                unique=True,
                max_size=3,
            )
        )
        sequence = StoredElement(draw(st.sampled_from([0x0040A730, 0x00091010])), "SQ", Items((item,)))
        item = tuple(sorted([*beside, sequence], key=lambda element: element.tag))
    return item


@st.composite
def disordered_items(draw: st.DrawFn) -> Item:
    """Elements in any order, and some of them twice."""
    item = draw(items())
    data = [element for element in item if element.tag & 0xFFFF and element.tag != 0x00080005]
    again = [StoredElement(element.tag, "LO", "again") for element in data[:3]]
    return tuple(draw(st.permutations([*item, *again])))
