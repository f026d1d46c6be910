"""The DICOM data dictionary (PS3.6): tag to keyword, VR and VM. The only user of pydicom's tables.

pydicom takes a third of a second to import; these tables are imported alone, when the first tag is asked for.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import vr_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TAG_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class DictionaryEntry:
    """One row of PS3.6.

    Attributes:
        tag: ``group << 16 | element``. Of a repeating group the base tag: the lowest tag that the row covers
            and that has no row of its own.
        keyword: Keyword, such as ``PatientName``; the column's name.
        name: Name for people, such as ``Patient's Name``.
        vr: VR, or several as in "US or SS"; always a row of ``vr_rules``.
        vm: Value multiplicity, such as ``1``, ``2-n``.
        retired: The element is no longer in the standard; it keeps its keyword.
        repeater_mask: Bits of the tag that vary in a repeating group, 0 for every other element.
    """

    tag: int
    keyword: str
    name: str
    vr: str
    vm: str
    retired: bool
    repeater_mask: int = 0

    @property
    def repeated(self) -> bool:
        """The element's values make an array. For a repeating group that is the mode of its ``Value``."""
        return self.vm != "1" or self.vr == "SQ"

    @property
    def encoding(self) -> str | None:
        """Why the element is encoding and not data, None for data.

        Ask the row, not its tag: a repeating group's base tag may look like a group length, as (1000,0000)
        does for Escape Triplet (1000,xxx0).
        """
        return None if self.repeater_mask else vr_rules.load().not_data(self.tag)

    @property
    def is_grouped_sequence(self) -> bool:
        """A sequence of a repeating group, of which there is one, (50xx,2600); those of several groups would mix."""
        return self.vr == "SQ" and self.repeater_mask != 0

    def repeater_id(self, tag: int) -> str:
        """The half of ``tag`` that varies in this repeating group, as four upper-case hexadecimal digits."""
        return f"{tag >> 16 if self.repeater_mask >> 16 else tag & 0xFFFF:04X}"


@dataclass(frozen=True, slots=True)
class _Tables:
    exact: Mapping[int, DictionaryEntry]
    repeaters: tuple[tuple[int, Mapping[int, DictionaryEntry]], ...]
    keywords: Mapping[str, DictionaryEntry]
    vr: Mapping[int, str]


@lru_cache(maxsize=1 << 14)
def lookup(tag: int) -> DictionaryEntry | None:
    """The dictionary's row for a tag: its own, else that of the repeating group it belongs to.

    Returns:
        None for private tags, tags that no row covers, rows without a keyword (retired and left blank), and
        the item and delimitation tags, which are not data elements.
    """
    tables = _tables()
    entry = tables.exact.get(tag)
    # Odd groups are private (PS3.5 7.8): 6001 is not an overlay. More than 32 bits are no tag.
    if entry is not None or tag & 0x00010000 or tag > _TAG_BITS:
        return entry
    for kept, rows in tables.repeaters:
        entry = rows.get(tag & kept)
        if entry is not None:
            return entry
    return None


def by_keyword(keyword: str) -> DictionaryEntry | None:
    """The row with this keyword, as it is spelled in PS3.6, or None."""
    return _tables().keywords.get(keyword)


def keywords() -> Iterable[str]:
    """Every keyword, those of repeating groups last."""
    return _tables().keywords.keys()


def vr_table() -> Mapping[int, str]:
    """VR by tag, for every standard element that is no repeating group; for reading implicit VR.

    Rows without a keyword are in it: their values are readable although they have no column of their own.
    """
    return _tables().vr


@cache
def edition() -> str:
    """Which dictionary decides names, types and modes, such as ``pydicom 3.0.2, DICOM 2024c``."""
    version = _alone("_version")
    return f"pydicom {version.__version__}, DICOM {version.__dicom_version__}"


@lru_cache(maxsize=4096)
def private_vr(creator: str, tag: int) -> str | None:
    """VR of a private element by pydicom's private dictionary; of a private creator LO (PS3.5 7.8.1).

    Args:
        creator: Value of the private creator that reserves the element's block; empty for none.
        tag: The element's tag, in an odd group; the number of its block does not matter.

    Returns:
        None where that dictionary does not know the element, or gives what is not a VR.
    """
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    elements = _alone("_private_dict").private_dictionaries.get(creator, {})
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    # A few rows name the block too; others hold for any, or for any group with the same first byte.
    keys = (group + element, f"{group}xx{element[2:]}", f"{group[:2]}xxxx{element[2:]}")
    vr = next((elements[key][0] for key in keys if key in elements), None)
    return vr if vr in vr_rules.load().vr else None


_TAG = re.compile(r"(?:Tag_)?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\Z")


def parse_tag(text: str) -> int | None:
    """Read a tag as people write it.

    Args:
        text: ``00081140``, ``0008,1140``, ``(0008,1140)``, or as in a column's name ``Tag_00081140``.

    Returns:
        ``group << 16 | element``, or None when the text is no tag.
    """
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    match = _TAG.match(text)
    return int(match[1] + match[2], 16) if match else None


def _alone(name: str) -> ModuleType:
    """A module of pydicom that needs no other, without all that pydicom imports with any of its modules."""
    whole = f"pydicom.{name}"
    package = importlib.util.find_spec("pydicom")
    if whole in sys.modules or package is None:
        return importlib.import_module(whole)
    spec = importlib.machinery.PathFinder.find_spec(whole, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return importlib.import_module(whole)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Where pydicom finds it, should it be imported. Not before it is whole: other threads look there too, and rather
    # than wait for each other, those that come first each make one.
    sys.modules.setdefault(whole, module)
    return module


@cache
def _tables() -> _Tables:
    tables = _alone("_dicom_dict")
    known = vr_rules.load().vr
    # Item and delimitation tags have the VR "NONE": no rule, no data element.
    rows = {tag: row for tag, row in tables.DicomDictionary.items() if row[0] in known}
    exact = {tag: _entry(tag, row) for tag, row in rows.items() if row[4]}
    by_kept: dict[int, dict[int, DictionaryEntry]] = {}
    for pattern, row in tables.RepeatersDictionary.items():
        mask = int("".join("F" if digit == "x" else "0" for digit in pattern), 16)
        covered = int(pattern.replace("x", "0"), 16)
        by_kept.setdefault(mask ^ _TAG_BITS, {})[covered] = _entry(_base_tag(covered, mask, rows), row, mask)
    entries = [*exact.values(), *(entry for group in by_kept.values() for entry in group.values())]
    return _Tables(
        exact=exact,
        repeaters=tuple(by_kept.items()),
        keywords={entry.keyword: entry for entry in entries},
        vr={tag: row[0] for tag, row in rows.items()},
    )


def _entry(tag: int, row: tuple[str, str, str, str, str], mask: int = 0) -> DictionaryEntry:
    vr, vm, name, retired, keyword = row
    return DictionaryEntry(tag, keyword, name, vr, vm, bool(retired), mask)


def _base_tag(covered: int, mask: int, taken: Mapping[int, object]) -> int:
    """The lowest tag of a repeating group that no other row has.

    Nearly always the varying digits are 0. But (0028,0400) is Transform Label, and (0028,04x0) Rows For Nth
    Order Coefficients: two columns, which must not share a tag.
    """
    step = mask & -mask
    tag = covered
    while tag in taken:
        tag += step
    return tag
