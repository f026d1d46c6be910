"""What passes between the processes of a job: parts of the files to read, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicom_bq.read_options import ReadOptions
    from dicom_bq.rowsfile import Extent, RowsFile
    from dicom_bq.schema import TableSchema
    from dicom_bq.selection import Met, Selection
    from dicom_bq.sources.members import Member
    from dicom_bq.stats import Stat
    from dicom_bq.tally import Tally


@dataclass(frozen=True, slots=True)
class Task:
    """What all workers of a job are told at first.

    Attributes:
        schema: As for ``Reading``.
        options: As for ``Reading``.
        selection: As for ``Reading``, with nothing met yet.
        rows: Whether rows are wanted, not just what the files hold.
        lasting: Whether what is found has to outlast this job, however it ends.
        round_bytes: As for ``Reading``.
    """

    schema: TableSchema | None
    options: ReadOptions
    selection: Selection | None
    rows: bool
    lasting: bool = False
    round_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Files that a worker is to read as one batch.

    Attributes:
        uris: Which.
        descriptor: File for their rows.
        members: Where those are that are members of an archive, by URI.
    """

    uris: list[str]
    descriptor: int
    members: Mapping[str, Member] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a worker found in the files of an order.

    Attributes:
        tally: What was met.
        batches: Columns of the rows, and where the rows are.
        selected: What the selection has met.
        stats: The files as they were before they were read, if that has to outlast the job.
    """

    tally: Tally
    batches: list[tuple[TableSchema, Extent]] = field(default_factory=list)
    selected: Met | None = None
    stats: list[Stat] = field(default_factory=list)


Answer: TypeAlias = "Summary | OSError | None"
"""To an order: what the files hold; why the rows cannot be written; None after a bug, so that the files are read again
where it can be told."""


@dataclass(slots=True, eq=False)
class Part:
    """Files that are read as one batch.

    Attributes:
        uris: Which.
        unreadable: What listing them met besides that cannot be read: URI and reason.
        suspect: A worker has ended over it.
        file: Where the rows are, or a worker puts them; None when nobody has the part.
        summary: What a worker found.
        done: Whether a worker is done with it; without a summary it has to be read again.
        members: As for ``Order``.
        finished: Files of the spool that no later part needs.
    """

    uris: list[str]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    suspect: bool = False
    file: RowsFile | None = None
    summary: Summary | None = None
    done: bool = False
    members: Mapping[str, Member] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)

    def halves(self) -> tuple[Part, Part]:
        """The same files in two parts."""
        half = len(self.uris) // 2
        first = Part(self.uris[:half], self.unreadable, suspect=True, members=self.members)
        return first, Part(self.uris[half:], suspect=True, members=self.members, finished=self.finished)
