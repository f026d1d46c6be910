"""Files inside archives: how they are named, where their bytes are, and how much of them is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

from dicom_bq.errors import DicomBqError

SEPARATOR = "!/"
"""Between the URI of an archive and the name of a member: ``archive.zip!/CT1.dcm``."""

Method: TypeAlias = Literal["range", "stored", "deflated", "gzip"]
"""How a member is stored: as it is; behind the local header of a zip, as it is or deflated; as a gzip file."""

UNKNOWN = -1
"""Size of a member that only inflating it tells."""


class Kind(Enum):
    """Kinds of archives."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"
    GZ = "gz"


class Member(NamedTuple):
    """Where the bytes of a member are: all that a process needs to read it.

    Attributes:
        path: File that holds them: the archive, or what it was inflated to.
        offset: Of the first byte in that file; of a zip's member, of its local header.
        stored: Bytes there.
        size: Bytes of the member, ``UNKNOWN`` before it is inflated.
        method: How they are stored.
        modified: When the archive was, in nanoseconds since 1970; the file at ``path`` has the same time.
    """

    path: str
    offset: int
    stored: int
    size: int
    method: Method
    modified: int


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may cost; what is past it is a reported failure, and nothing else is lost by it.

    Deflate makes at most 1,032 bytes of one, so what is read is bounded by the size of the archive too, in which
    members may not overlap.

    Attributes:
        members: In one archive; the others are left out, which is one failure.
        inflated_bytes: Of all members of an archive; each that is past it fails.
        ratio: A member, or a whole ``.tar.gz``, may inflate to so many times its size ...
        ratio_from: ... or to so many bytes, which blank images may.
        name_bytes: Of a member's name.
    """

    members: int = 1_000_000
    inflated_bytes: int = 256 << 30
    ratio: int = 500
    ratio_from: int = 64 << 20
    name_bytes: int = 4096


class Entry(NamedTuple):
    """A member as the archive's directory has it.

    Attributes:
        name: As the archive has it; bytes that are not UTF-8 as ``os.fsdecode`` gives them.
        reason: Why it cannot be read, "" if it can.
        offset: As for ``Member``.
        stored: As for ``Member``.
        size: As for ``Member``.
        method: As for ``Member``.
    """

    name: str
    reason: str
    offset: int = 0
    stored: int = 0
    size: int = 0
    method: Method = "range"


class ArchiveError(DicomBqError):
    """The rest of an archive cannot be read; becomes a counted failure. Facts: ``reason``."""
