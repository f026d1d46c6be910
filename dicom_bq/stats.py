"""What tells whether a file is still the one that was read: its size, and when it was last changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from dicom_bq.sources.members import Member

Stat: TypeAlias = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""
GONE: Stat = (-1, 0)
"""Of what cannot be asked."""


def stats_of(uris: Iterable[str], members: Mapping[str, Member]) -> list[Stat]:
    """How files are now; of members of archives, where in the archive, and when that was changed."""
    return [_member(members[uri]) if uri in members else _stat(uri) for uri in uris]


def digest_of(uris: Sequence[str]) -> str:
    """What stands for a list of files. A path that is not absolute is another one in another directory."""
    relative = any(not uri.startswith("/") for uri in uris)
    names = [os.getcwd() if relative else "", *uris]  # noqa: PTH109 (no Path is wanted)
    return hashlib.sha256(os.fsencode("\0".join(names))).hexdigest()[:32]


def _stat(uri: str) -> Stat:
    try:
        found = os.stat(uri)  # noqa: PTH116 (a million of them: no Path object each)
    except (OSError, ValueError):
        return GONE
    return found.st_size, found.st_mtime_ns


def _member(member: Member) -> Stat:
    return member.offset + member.stored, member.modified
