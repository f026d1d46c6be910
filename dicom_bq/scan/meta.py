"""File meta information (PS3.10 7.1), and how the data set after it is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dicom_bq import dictionary
from dicom_bq.elements import ROOT, UNDEFINED_LENGTH
from dicom_bq.errors import HeaderTooLargeError, NotDicomError, ScanError, TruncatedError
from dicom_bq.scan.bytesource import ByteSource
from dicom_bq.scan.rows import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Form, Rows
from dicom_bq.scan.tables import LONG, tables
from dicom_bq.scan.unstated import HEADER_BYTES, is_no_vr, may_follow

STEP = 8192
"""Bytes read past a long element, at least."""

IMPLICIT_UID = "1.2.840.10008.1.2"
BIG_ENDIAN_UID = "1.2.840.10008.1.2.2"
DEFLATED_UIDS = frozenset(
    {
        "1.2.840.10008.1.2.1.99",  # Deflated Explicit VR Little Endian
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
_DECLARED = {IMPLICIT_UID: IMPLICIT_LITTLE, BIG_ENDIAN_UID: EXPLICIT_BIG}
"""Every other transfer syntax is explicit little endian (PS3.5 A.4)."""
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
DIRECTORY_RECORD_SEQUENCE, DIRECTORY_GROUP = 0x00041220, 0x0004
META_SOP_CLASS, META_TRANSFER_SYNTAX = 0x00020002, 0x00020010
ITEM_GROUP = 0xFFFE
LENGTH_TO_END, GROUP_LENGTH_BYTES = 0x00080001, 4
"""Lengths are one UL, wherever they stand (PS3.5 7.2): small numbers at the start of a file may be anything else."""


def data_set_start(head: bytes) -> int:
    """Where the first element is: after preamble and prefix, or at 0 in a file without them.

    Args:
        head: The first bytes of the file.

    Raises:
        NotDicomError: Neither the prefix of PS3.10 7.1 nor a plausible first element is there.
    """
    if head[128:132] == b"DICM" and (starts_with_element(head[132:]) or not starts_with_element(head)):
        return 132  # else it is in a value of a file without a preamble
    if not head:
        raise NotDicomError(reason="the file is empty", offset=0)
    if starts_with_element(head):
        return 0
    raise NotDicomError(reason="no DICM prefix and no data element at the start", offset=0)


def starts_with_element(head: bytes) -> bool:
    """Whether bytes look like the beginning of a data set, in any encoding."""
    return any(_plausible(head, form) for form in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG))


def _plausible(head: bytes, form: Form) -> bool:
    """The first bytes are two elements that the dictionary knows, in order, with a VR where one belongs."""
    position, previous = 0, 0
    for _ in range(2):
        if position + 12 > len(head):
            return False
        tag, vr, start, length = _header(head, position, form)
        group, element = tag >> 16, tag & 0xFFFF
        known = tag in dictionary.vr_table() or (not element and 0 < group <= 0x7FE0)
        if not known or tag <= previous or vr is None:
            return False
        if not form.implicit and group == 0x0002:
            return True
        if length != GROUP_LENGTH_BYTES and (not element or tag == LENGTH_TO_END):
            return False
        position, previous = start + length, tag
    return True


def _header(head: bytes, position: int, form: Form) -> tuple[int, int | None, int, int]:
    """Tag, VR (0 in implicit VR, None for none that there is), where the value starts and its length (PS3.5 7.1)."""
    order: Literal["big", "little"] = "big" if form.big_endian else "little"
    group, element = (int.from_bytes(head[position + at : position + at + 2], order) for at in (0, 2))
    vr = 0 if form.implicit else tables().codes.get(head[position + 4 : position + 6])
    start = position + (12 if vr and vr & LONG else 8)
    size = 4 if form.implicit or start == position + 12 else 2
    return group << 16 | element, vr, start, int.from_bytes(head[start - size : start], order)


def _continues(head: bytes, form: Form) -> bool:
    """After the first element comes an item, one with a VR or, where there are none, a greater tag; or the end."""
    tag, vr, start, length = _header(head, 0, form)
    end = start if length == UNDEFINED_LENGTH else start + length
    if vr is None or end + 8 > len(head):
        return vr is not None and end == len(head)
    following, following_vr, _, _ = _header(head, end, form)
    if length == UNDEFINED_LENGTH:
        return following >> 16 == ITEM_GROUP
    return following > tag if form.implicit else following_vr is not None


@dataclass(frozen=True, slots=True)
class Meta:
    """What the file meta information says.

    Attributes:
        end: File position where the data set begins.
        head: Bytes of the file from 0, reaching at least to ``end``.
        transfer_syntax: UID, empty when missing.
        sop_class: UID, empty when missing.
    """

    end: int
    head: bytes
    transfer_syntax: str
    sop_class: str


def read_meta(source: ByteSource, head: bytes, position: int, rows: Rows, base: int, limit: int) -> Meta:
    """Append group 0002, always explicit little endian whatever follows (PS3.10 7.1).

    Args:
        source: The file.
        head: Its first bytes.
        position: Where the first element is.
        rows: Where the elements go.
        base: Arena offset of the file's first byte.
        limit: Bytes that a header may have.

    Raises:
        ScanError: It is not in explicit VR, or larger than that, or the file ends in it.
    """
    codes, found = tables().codes, dict[int, str]()
    while head[position : position + 2] == b"\x02\x00":
        code = codes.get(head[position + 4 : position + 6])
        if code is None:
            raise ScanError(reason="file meta information is not in explicit VR", offset=position)
        header = 12 if code & LONG else 8
        length_at = position + header - (4 if code & LONG else 2)
        length = int.from_bytes(head[length_at : position + header], "little")
        end = position + header + length
        if end + 8 > len(head):
            head = _longer(source, head, position, end, limit)
        tag = 0x00020000 | int.from_bytes(head[position + 2 : position + 4], "little")
        rows.append(ROOT, tag, code & ~LONG, base + position + header, length)
        if tag in (META_SOP_CLASS, META_TRANSFER_SYNTAX):
            found[tag] = head[position + header : end].decode("ascii", "replace").strip(" \0")
        position = end
    return Meta(position, head, found.get(META_TRANSFER_SYNTAX, ""), found.get(META_SOP_CLASS, ""))


def _longer(source: ByteSource, head: bytes, position: int, end: int, limit: int) -> bytes:
    """A head that reaches to the end of an element; twice as long at least, lest it be copied for every element."""
    if end > limit and source.reaches(end):
        raise HeaderTooLargeError(limit=limit, offset=position)
    if end <= limit:
        head += source.read(len(head), max(end + STEP - len(head), len(head)))
    if end > len(head):
        raise TruncatedError(offset=position)
    return head


def form_of(meta: Meta) -> tuple[Form, bool]:
    """How the data set is encoded: as its transfer syntax says (PS3.5 10), unless its first element shows otherwise.

    Returns:
        The form, and whether the transfer syntax says so.
    """
    declared = _DECLARED.get(meta.transfer_syntax, EXPLICIT_LITTLE)
    rest = meta.head[meta.end :]
    found = found_form(rest[:6], declared, bool(meta.transfer_syntax)) if len(rest) >= 6 and any(rest[:6]) else declared
    if found == declared or not meta.transfer_syntax:
        return found, True
    if found.implicit and declared == EXPLICIT_LITTLE and not _continues(rest, found) and _begins_unstated(rest):
        return declared, True
    if not found.implicit and (_continues(rest, declared) or not _continues(rest, found)):
        return declared, True  # a tag that the dictionary does not know may look like one that it does
    return found, False


def _begins_unstated(rest: bytes) -> bool:
    """The first element of an explicit data set does not say its VR, and another one follows it."""
    tag, _, start, length = _header(rest, 0, EXPLICIT_LITTLE)
    end = start + length
    return is_no_vr(rest[4:6]) and end + HEADER_BYTES <= len(rest) and may_follow(rest, end, tag, rest[4:6])


def found_form(first: bytes, declared: Form, is_declared: bool) -> Form:
    """What the first element's tag and VR look like; the dictionary tells little from big endian."""
    if first[4:6] not in tables().codes:
        return IMPLICIT_LITTLE
    if not declared.implicit and is_declared and _known(first, declared):
        return declared
    forms = (EXPLICIT_LITTLE, EXPLICIT_BIG)
    return next((form for form in forms if _known(first, form)), EXPLICIT_LITTLE if declared.implicit else declared)


def _known(first: bytes, form: Form) -> bool:
    """The tag at the start is in the dictionary when it is read this way."""
    order: Literal["big", "little"] = "big" if form.big_endian else "little"
    return int.from_bytes(first[:2], order) << 16 | int.from_bytes(first[2:4], order) in dictionary.vr_table()
