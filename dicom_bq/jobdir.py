"""The directory that a job keeps its state in, so that it goes on where it was, however it ended.

    journal         what is finished: parts of the files, the write; see dicom_bq.journal
    rows-S-N        rows of those parts, written by the S-th process that was at the job
    failures.jsonl  files that failed, and why; skipped.jsonl is the same of those that are no instance

The journal begins with the options that rows depend on. Two of its entries are about the write: ``announced`` comes
before the destination's last step, with a mark by which the destination knows that step if it was done; ``written``
after it. A job without its journal is no job, so taking that away is what ends one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypeAlias

from dicom_bq.chunks import Chunks
from dicom_bq.errors import DestinationError, shortages
from dicom_bq.jobfiles import FAILURES, JOURNAL, OURS, SKIPPED
from dicom_bq.journal import Journal, Place, sync_directory
from dicom_bq.outcomes import Outcomes
from dicom_bq.parts import Part, Summary
from dicom_bq.report_record import from_record, to_record
from dicom_bq.rowsfile import DamagedRowsError, SpillFile
from dicom_bq.scan.outcome import Failure, Skipped
from dicom_bq.sources.files import printable
from dicom_bq.spill import Spill

if TYPE_CHECKING:
    from dicom_bq.read_options import ReadOptions
    from dicom_bq.report import ExportReport
    from dicom_bq.schema import TableSchema

Tell: TypeAlias = Callable[[str], None]
"""Called with what a person should know, a sentence at a time."""
FORMAT = 3
"""Of the journal and of what is in it."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A write whose last step was begun.

    Attributes:
        command: What makes another run a repetition of the one that wrote.
        destination: URI.
        mark: By which the destination knows the write.
        record: The report.
        checksums: Of the files of failures and skips, which the record is without.
        written: Whether it is known to be done.
    """

    command: str
    destination: str
    mark: str
    record: dict[str, Any]
    checksums: tuple[int, int] = (0, 0)
    written: bool = False


class NamedSpill(Spill):
    """Files of rows that have names in a job directory."""

    def __init__(self, directory: Path, session: int) -> None:
        self._path, self._session, self._number = directory, session, 0
        super().__init__(str(directory))

    def _make(self) -> tuple[IO[bytes], SpillFile]:
        # No process writes to a file that another one has made: an orphan may not have noticed yet that it is one.
        name = f"rows-{self._session}-{self._number}"
        self._number += 1
        descriptor = os.open(self._path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "r+b", buffering=0), SpillFile(descriptor, name)

    def refusals(self) -> contextlib.AbstractContextManager[None]:
        """Turn an operating system's error into a DestinationError that says how to go on."""
        return _refusals(self._path)


class JobDirectory:
    """The state of one job, while one process is at it.

    Args:
        path: Of the directory; made, and open to this user alone.
        options: What rows depend on, by name, as text.
        schema: Columns of all rows, None when each part has its own.
        reading: Options of reading.
        tell: Is told what an earlier run has left.

    Attributes:
        chunks: Finished parts.
        spill: Where rows are put.
        announced: The write whose last step was begun, None if there is none.

    Raises:
        DestinationError: Another process is at it, it cannot be written, or it holds what is not ours.
    """

    def __init__(
        self, path: Path, options: Mapping[str, str], schema: TableSchema | None, reading: ReadOptions, tell: Tell
    ) -> None:
        self.path = path
        self.announced: Announced | None = None
        self.tell = tell
        self._header = {"format": str(FORMAT), **options}
        self._is_known = False
        self._ended = False
        with contextlib.ExitStack() as stack, _refusals(path):
            _check(path)
            self._journal = stack.enter_context(Journal(path / JOURNAL))
            self.chunks = Chunks(self._journal, path, schema, reading)
            self._earlier = self._learn()
            self.spill = stack.enter_context(NamedSpill(path, 1 + max(map(_session, path.iterdir()))))
            sync_directory(path)
            self._stack = stack.pop_all()

    def _learn(self) -> dict[str, str]:
        """Read the journal; the options of the run that began it, none if there was none."""
        entries = self._journal.entries()
        self._begun, first = next(entries, (Place(0, 0), {}))
        same = first.get("options") == self._header
        for place, entry in entries:
            if "announced" in entry:
                self.announced = Announced(**entry["announced"])
            elif "written" in entry and self.announced:
                self.announced = replace(self.announced, written=True)
            elif "settled" in entry:
                self.announced = None
            elif same:
                self.chunks.learn(place, entry)
        options: dict[str, str] = first.get("options", {})
        return options

    def begin(self) -> None:
        """Make the directory this run's, once it is known what became of an earlier one's write.

        Raises:
            DestinationError: It cannot be written.
        """
        changed = [name for name, value in self._header.items() if self._earlier.get(name) != value]
        with _refusals(self.path):
            if self._earlier and not changed:
                if self.chunks.finished:
                    self.tell(f"{self.path}: taking up a run that has read {self.chunks.finished:,} files")
                    self._is_known = True
            else:
                if self._earlier:
                    self.tell(f"{self.path}: options changed: {', '.join(changed)}; all files are read again")
                self._journal.clear()
                self._begun = self._journal.append({"options": self._header})
            for name in {*os.listdir(self.path)} - {JOURNAL, self.spill.own().name, *self.chunks.rows}:  # noqa: PTH208
                _remove(self.path / name)

    def introduce(self) -> None:
        """Tell where the state is, unless that has been said."""
        if not self._is_known:
            self.tell(f"The state of this job is in {self.path}")

    def note(self, part: Part, summary: Summary, *, alone: bool = True) -> None:
        """Enter a finished part, whose rows are on disk: see ``Chunks.note``.

        Raises:
            DestinationError: The disk is full, or fails.
        """
        with _refusals(self.path):
            self.chunks.note(part, summary, alone=alone)

    def announce(self, command: str, mark: str, report: ExportReport) -> None:
        """Note on disk that the last step of a write is about to be done.

        Args:
            command: As of ``Announced``.
            mark: As of ``Announced``.
            report: What is to be reported if that step turns out to be done.

        Raises:
            DestinationError: The disk is full, or fails.
        """
        checksums = _kept(report.failures), _kept(report.skipped)
        self.announced = Announced(command, report.destination, mark, to_record(report), checksums)
        with _refusals(self.path):
            sync_directory(self.path)
            self._journal.append({"announced": asdict(self.announced)})

    def report(self, announced: Announced) -> ExportReport:
        """That of a write.

        Raises:
            DestinationError: What was kept of it is damaged; the write is as it is.
        """
        failures = Outcomes.load(Failure, self.path / FAILURES, announced.checksums[0])
        skipped = Outcomes.load(Skipped, self.path / SKIPPED, announced.checksums[1])
        if failures is None or skipped is None:
            raise DestinationError(
                destination=str(self.path),
                reason=f"an export to {announced.destination} was finished before it was interrupted, with all its "
                f"{announced.record['rows']:,} rows; which files failed or are no instance can be told no more, as "
                "what was kept of it is damaged",
                advice="Remove this directory; then the same command is a new export",
            )
        return from_record(announced.record, failures, skipped)

    def written(self) -> None:
        """Note that the write is done."""
        with _refusals(self.path):
            self._journal.append({"written": True})

    def settle(self) -> None:
        """Note that no write is under way."""
        self.announced = None
        with _refusals(self.path):
            self._journal.append({"settled": True})

    def end(self, *, keep: bool) -> None:
        """The job is finished: the same command is another one from now on."""
        self._ended = True
        if keep:
            self.settle()
            with contextlib.suppress(OSError):  # it is the longer, and good
                self._journal.rewrite([self._begun, *self.chunks.places()])
            self._sweep()
        else:
            self._remove()

    def _sweep(self) -> None:
        """Take away the files of rows that no part needs any more; not the last, so that no name comes twice."""
        needed = {self.spill.own().name, *self.chunks.rows}
        with _refusals(self.path):
            for rows in self.path.glob("rows-*"):
                if rows.name not in needed:
                    rows.unlink()

    def _remove(self) -> None:
        with _refusals(self.path):
            for rows in self.path.glob("rows-*"):  # what takes time, while the journal still knows of the write
                rows.unlink()
            self._journal.remove()
        with contextlib.suppress(OSError):  # it may be a link, or have a file system of its own
            for left in self.path.iterdir():
                _remove(left)
            self.path.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Keep what has been read if it can be of use; a note of the exception then says so."""
        with self._stack:
            finished = self.chunks.finished
            if self._ended:
                return
            if not finished and self.announced is None:
                self._remove()
            elif error is not None:
                error.add_note(f"Run the same command again to go on: {finished:,} files are read already")


def _check(path: Path) -> None:
    others = sorted(entry.name for entry in path.iterdir() if not OURS.fullmatch(entry.name)) if path.exists() else []
    if others:
        reason = f"this is no job directory: {printable(others[0])} is in it"
        raise DestinationError(destination=str(path), reason=reason, advice="Choose a new or an empty one")


def _kept(outcomes: Sequence[Failure] | Sequence[Skipped]) -> int:
    """Have failures or skips on disk; the checksum of their file."""
    if not isinstance(outcomes, Outcomes):
        return 0
    outcomes.sync()
    return outcomes.checksum


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _session(path: Path) -> int:
    match = OURS.fullmatch(path.name)
    return int(match[1] or 0) if match else 0


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        with shortages():
            yield
    except BlockingIOError as error:
        reason = "another process is at this job"
        advice = "Wait for it to end; or choose another output, or another --job-dir"
        raise DestinationError(destination=str(path), reason=reason, advice=advice) from error
    except DamagedRowsError as error:
        reason = "rows in this job directory are damaged"
        advice = (
            "Run the same command again, which reads their files again; if they are damaged once more, remove the "
            "directory, and choose another --job-dir"
        )
        raise DestinationError(destination=str(path), reason=reason, advice=advice) from error
    except OSError as error:
        raise DestinationError(
            destination=str(path),
            reason=f"the state of the job cannot be kept here: {error.strerror or type(error).__name__}",
            advice="Make room or change permissions and run the same command again, or choose another --job-dir",
        ) from error
