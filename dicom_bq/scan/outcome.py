"""What reading a batch of files comes to: a table, and a reason for every file that is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicom_bq.sources.members import ArchiveLimits, Member

if TYPE_CHECKING:
    from dicom_bq.elements import ElementTable


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """Bounds of reading.

    Attributes:
        max_header_bytes: A header, or an inflated data set, larger than this is a failure, not a memory problem.
        lockstep: Walk files together where they can be; False walks each by itself, for comparison.
        max_round_bytes: Read at first of files that are walked together; fewer of them take less memory, and longer.
        max_batch_bytes: Values of several files together.
        max_batch_elements: Data elements of several files together; each takes up to 0.5 KB on its way to a column.
        archives: What a member of an archive may inflate to.
    """

    max_header_bytes: int = 256 << 20
    lockstep: bool = True
    max_round_bytes: int = 8 << 20
    max_batch_bytes: int = 64 << 20
    max_batch_elements: int = 1_000_000
    archives: ArchiveLimits = field(default_factory=ArchiveLimits)


class BatchTooLargeError(Exception):
    """Several files are more than a batch should hold; fewer of them may not be."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that looks like DICOM and cannot be read.

    Attributes:
        uri: The file.
        code: ``unreadable`` (by the operating system), ``malformed``, or ``internal`` (it met a bug).
        reason: What is wrong, and where.
    """

    uri: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no SOP instance.

    Attributes:
        uri: The file.
        code: ``not_dicom``, ``dicomdir``, or why a selection leaves it out, such as ``duplicate``.
        reason: Why it is taken for one.
    """

    uri: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a batch of files gave.

    Attributes:
        table: The elements of all readable files.
        uris: One a SOP instance, in the table's order.
        failures: Files that cannot be read.
        skipped: Files that are not SOP instances.
        scalar: Number of files that were not walked in lock-step.
        members: Where those are that are members of an archive, by URI.
    """

    table: ElementTable
    uris: tuple[str, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    scalar: int = 0
    members: Mapping[str, Member] = field(default_factory=dict)
