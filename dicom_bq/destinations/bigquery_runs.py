"""The identity of a run, on disk from before its load starts until it is finished.

A run that was interrupted does not know whether its job ran. The same command finds the run's file, makes the
same job id of it, and so can only meet that job again, never start a second one. A finished run is forgotten:
the same command then is a new run.

The file is a journal: one JSON object a line, each on disk before what it announces is done. A line that was
cut off announces nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from dicom_bq.errors import DestinationError
from dicom_bq.state import state_directory


@dataclass(frozen=True, slots=True)
class Load:
    """A load that a run announced.

    Attributes:
        job: Job ID without the number of the attempt.
        content: Digest of the rows.
        rows: How many.
    """

    job: str
    content: str
    rows: int


@dataclass(slots=True)
class Run:
    """One run of an export into one table.

    Attributes:
        id: Of this run alone.
        loads: Announced so far; more than one when the rows changed between two attempts at the run.
    """

    id: str
    loads: list[Load] = field(default_factory=list)
    _journal: IO[str] | None = None
    _path: Path | None = None

    def announce(self, load: Load) -> None:
        """Note on disk that this load is about to start; noting it again does nothing."""
        if load not in self.loads:
            self.loads.append(load)
            self._note(asdict(load))

    def forget(self) -> None:
        """The run is finished: the same command is a new one from now on."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _note(self, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(entry) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())


def journal_path(directory: str | None, key: tuple[str, ...]) -> Path:
    """File of the run that a key identifies.

    Args:
        directory: None for ``$XDG_STATE_HOME/dicom-bq/runs`` (~/.local/state without the variable).
        key: Everything that makes two commands the same.

    Raises:
        DestinationError: There is no directory for this user's state.
    """
    folder = Path(directory) if directory else state_directory() / "runs"
    return folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:40]}.jsonl"


def interrupted(path: Path) -> Run | None:
    """The run that was interrupted, None when there is none."""
    try:
        return _read(path, path.read_text())
    except OSError:
        return None


@contextmanager
def take_up(path: Path, destination: str) -> Iterator[Run]:
    """The interrupted run of this file, or a new one; nobody else has it until the end.

    Raises:
        DestinationError: The directory cannot be written, or another process is at the same export.
    """
    try:
        journal = _locked(path)
    except BlockingIOError as error:
        raise DestinationError(
            destination=destination,
            reason="the same export is running in another process",
            advice="Wait for it to end",
        ) from error
    except OSError as error:
        raise DestinationError(
            destination=destination,
            reason=f"cannot keep the identity of this run in {path.parent}: {error.strerror}",
            advice="Set XDG_STATE_HOME to a directory that can be written",
        ) from error
    with journal:
        text = _whole_lines(journal.read())
        journal.truncate(len(text))  # else what is noted next would stand in a line that was cut off
        found = _read(path, text)
        run = found or Run(uuid.uuid4().hex)
        run._journal, run._path = journal, path
        if found is None:
            run._note({"run": run.id, "destination": destination})
            _sync(path.parent)
        try:
            yield run
        finally:
            if not run.loads:  # nothing was started that a later one could meet
                run.forget()


def _locked(path: Path) -> IO[str]:
    """The file, open and locked; it may have been removed by its last holder while this one waited for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                file.seek(0)
                return file
        except OSError:
            file.close()
            raise
        file.close()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, text: str) -> Run | None:
    first, *others = _whole_lines(text).splitlines() or [""]
    if not first:
        return None
    try:
        run = Run(str(json.loads(first)["run"]))
        run.loads = [Load(**json.loads(line)) for line in others]
    except (ValueError, TypeError, KeyError) as error:
        raise DestinationError(
            destination=str(path),
            reason="this is no journal of a run",
            advice="See in BigQuery's job history whether the rows were loaded, then remove it",
        ) from error
    return run


def _whole_lines(text: str) -> str:
    """The text without a last line that its writer was killed in. It is ASCII: a character is a byte."""
    return text[: text.rfind("\n") + 1]
