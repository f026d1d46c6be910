"""The members of a tar file (POSIX pax and ustar, GNU, and the old form), header by header."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from dicom_bq.scan.bytesource import ByteSource
from dicom_bq.sources.members import ArchiveError, Entry

BLOCK = 512
LARGEST_NOTE = 1 << 20
"""Bytes of a pax header, or a long name, that are read."""
_REGULAR, _NO_FILE = frozenset(b"0\x007"), frozenset(b"5VD")
_WITHOUT_CONTENT = frozenset(b"123456")
_REASONS = {
    **dict.fromkeys(b"12", "a link, which is not followed in an archive"),
    **dict.fromkeys(b"346", "not a regular file"),
    **dict.fromkeys(b"S", "a sparse file, which is not supported"),
}
_PAX, _LONG_NAME = frozenset(b"xX"), ord("L")
_NOTES = frozenset(b"xXgLK")
_SPARSE = ord("S")
_PAX_RECORD = re.compile(rb"(\d{1,7}) ")


def is_tar(head: bytes) -> bool:
    """Whether bytes begin as a tar does: with a header, or the zeros that end an archive."""
    return len(head) >= BLOCK and (not any(head) or _checks(head[:BLOCK]))


def tar_entries(source: ByteSource, size: int) -> Iterator[Entry]:
    """Members in the order of the archive; directories are none.

    Args:
        source: The archive.
        size: Its bytes.

    Raises:
        ArchiveError: The rest is damaged, or missing.
    """
    position = 0
    notes: dict[str, bytes] = {}
    while position + BLOCK <= size:
        block = source.read(position, BLOCK)
        if not any(block):
            return
        if not _checks(block):
            raise ArchiveError(reason=f"damaged: no header at byte {position}")
        kind, length, start = block[156], _number(block[124:136], position), position + BLOCK
        if kind in _NOTES:
            notes |= _note(kind, source, start, length)
            position = start + _padded(length)
            continue
        length = _number(notes.get("size", b""), position, 10) if "size" in notes else length
        start = _after_sparse_map(source, block, start)
        position = start + (0 if kind in _WITHOUT_CONTENT else _padded(length))
        if kind not in _NO_FILE:
            entry = _entry(block, kind, notes, start, length)
            if length or not entry.name.endswith("/"):  # as tar of the seventh edition wrote a directory
                yield entry
        notes = {}
    raise ArchiveError(reason="cut off: it ends without its end mark")


def _entry(block: bytes, kind: int, notes: dict[str, bytes], start: int, length: int) -> Entry:
    name = os.fsdecode(notes.get("path") or _name(block))
    reason = _REASONS.get(kind, "" if kind in _REGULAR else "of a kind that is not supported")
    if any(key.startswith("GNU.sparse.") for key in notes):
        reason = _REASONS[_SPARSE]
    if name.endswith("/") and not reason:
        reason = "a directory with content"
    return Entry(name, reason, start, length, length)


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _checks(block: bytes) -> bool:
    """Whether a header's checksum is right."""
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    digits = block[148:156].strip(b"\0 ")
    return digits.isdigit() and not set(digits) & set(b"89") and int(digits, 8) == total


def _number(field: bytes, position: int, base: int = 8) -> int:
    """A length: octal digits, or after a byte 0x80 the number itself (GNU)."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ")
    try:
        number = int(digits or b"0", base)
    except ValueError:
        number = -1
    if number < 0 or len(digits) > len("18446744073709551616"):
        raise ArchiveError(reason=f"damaged: no length in the header at byte {position}")
    return number


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _note(kind: int, source: ByteSource, start: int, length: int) -> dict[str, bytes]:
    """What a header that is about the next member says of it."""
    if length > LARGEST_NOTE:
        raise ArchiveError(reason=f"a name of {length} bytes at byte {start}")
    content = source.read(start, length)
    if len(content) < length:
        raise ArchiveError(reason="cut off: it ends inside a header")
    if kind == _LONG_NAME:
        return {"path": content.split(b"\0", 1)[0]}
    return dict(_pax(content, start)) if kind in _PAX else {}


def _pax(content: bytes, start: int) -> Iterator[tuple[str, bytes]]:
    """Records ``LENGTH KEY=VALUE``, each ending in a newline, the length that of the whole."""
    at = 0
    while at < len(content) and content[at]:
        match = _PAX_RECORD.match(content, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(content):
            raise ArchiveError(reason=f"damaged: a header at byte {start}")
        key, _, value = content[match.end() : end - 1].partition(b"=")
        yield key.decode("utf-8", "replace"), value
        at = end


def _after_sparse_map(source: ByteSource, block: bytes, start: int) -> int:
    """Where content begins: after the blocks that go on with the map of an old GNU sparse file."""
    more = block[156] == _SPARSE and block[482]
    while more:
        extension = source.read(start, BLOCK)
        if len(extension) < BLOCK:
            raise ArchiveError(reason="cut off: it ends inside a header")
        start, more = start + BLOCK, extension[504]
    return start
