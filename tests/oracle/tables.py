"""What the oracle knows of DICOM: pydicom's dictionary, and a few tables written out by hand.

Nothing here comes from the package under test, so that a wrong row in `vr_rules` cannot be wrong twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.tag import BaseTag

MAXIMUM_RECORD_LEVELS = 15

#: PS3.5 6.2: which side of a text value is padding. UI is padded with NUL, in real files with spaces, too.
BOTH = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM")
TRAILING = ("LT", "ST", "UC", "UI", "UR", "UT")
TEXT = frozenset({*BOTH, *TRAILING})
#: PS3.5 6.2: a backslash is a character of these, not a separator.
WHOLE = frozenset({"LT", "ST", "UR", "UT"})

#: Bytes of one value of each binary VR that becomes a number.
NUMBER = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
FLOAT = frozenset({"FD", "FL"})
OPAQUE = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW", "OB_OW", "NONE"}
)

#: PS3.5 7.1.2: in explicit VR these have a length of four bytes, behind two that are reserved.
LONG_LENGTH = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})

BIGQUERY_TYPE = {
    **dict.fromkeys(TEXT, "STRING"),
    **dict.fromkeys(NUMBER, "INTEGER"),
    "DA": "DATE",
    "DT": "TIMESTAMP",
    "FD": "FLOAT",
    "FL": "FLOAT",
    "PN": "RECORD",
    "SQ": "RECORD",
    "TM": "TIME",
    "US or SS": "INTEGER",
    "UV": "NUMERIC",
}

NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
NAME_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


@dataclass(frozen=True)
class Entry:
    """One line of the DICOM dictionary. `mask` is empty unless the tag is one of a repeating group."""

    base: int
    vr: str
    vm: str
    keyword: str
    mask: str = ""

    @property
    def repeated(self) -> bool:
        return self.vr == "SQ" or self.vm != "1"

    def group_id(self, tag: int) -> str:
        """The half of `tag` that varies between the groups, four hexadecimal digits."""
        digits = f"{tag:08X}"
        return digits[:4] if "x" in self.mask[:4] else digits[4:]


@cache
def entry(tag: int) -> Entry | None:
    """The dictionary's line for a tag; None for a private tag and for one that no edition has named."""
    try:
        vr, vm, _, _, keyword = datadict.get_entry(tag)
    except KeyError:
        return None
    mask = "" if tag in DicomDictionary else datadict.mask_match(tag) or ""
    base = int(mask.replace("x", "0"), 16) if mask else tag
    return Entry(base, vr, vm, keyword, mask) if keyword else None


@cache
def entry_by_keyword(keyword: str) -> Entry | None:
    """The dictionary's line that has this keyword, repeating groups at their base tag."""
    for mask, (vr, vm, _, _, name) in RepeatersDictionary.items():
        if name == keyword:  # its base tag may be that of another element, such as (0028,0402)
            return Entry(int(mask.replace("x", "0"), 16), vr, vm, name, mask)
    tag = datadict.tag_for_keyword(keyword)
    return None if tag is None else entry(tag)


@cache
def nameless_vr(tag: int) -> str:
    """VR of the few tags that the dictionary knows without a keyword; "UN" of all other ones."""
    return DicomDictionary[tag][0] if tag in DicomDictionary else "UN"


def is_not_data(tag: int) -> bool:
    """True for what is encoding and not data: group lengths, the meta group's version, padding, items."""
    group_length = tag & 0xFFFF == 0
    return group_length or tag in {0x00020001, 0xFFFCFFFC} or tag >> 16 == 0xFFFE


def is_private_creator(tag: int) -> bool:
    """PS3.5 7.8.1: (gggg,0010-00FF) of an odd group."""
    return BaseTag(tag).is_private_creator


def private_vr(tag: int, creator: str) -> str:
    """VR of a private tag by its creator, "UN" where pydicom's private dictionary has no such line."""
    try:
        return datadict.private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"
