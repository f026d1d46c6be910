"""Where records of operations are: a directory, with a few files for each, by its ID."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.operations.codes import Code
from dicom_bq.operations.record import ABORTED_MESSAGE, CANCELLED_MESSAGE, Operation, status
from dicom_bq.state import PLACE, state_directory

DAYS_KEPT = 30
"""After its end, as the Healthcare API keeps operations."""

RECORD = ".json"
"""The record, replaced as a whole each time."""
ERRORS = ".errors.jsonl"
"""A line for each file that failed."""
LOG = ".log"
"""What a detached export says on stderr."""
CANCEL = ".cancel"
"""Somebody wants it to stop; the process that does it, and no other, writes that into the record."""

NOWHERE = Path("/", PLACE, "dicom-bq", "operations")
"""Is never made."""

KINDS = (ERRORS, LOG, CANCEL, RECORD)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def now() -> str:
    """The time, as the API writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id() -> str:
    """An ID such as the API gives."""
    return str(10**18 + secrets.randbelow(8 * 10**18))


def checked_id(identifier: str) -> str:
    """An ID that somebody chose.

    Raises:
        UsageError: It cannot be one.
    """
    if not _ID.fullmatch(identifier):
        raise UsageError(reason="an operation's ID has up to 63 letters, digits, - and _, the first a letter or digit")
    return identifier


@dataclass(frozen=True, slots=True)
class Store:
    """The operations in one directory.

    Attributes:
        directory: May not be there yet.
    """

    directory: Path

    @classmethod
    def of_user(cls) -> Store:
        """``operations`` in the user's state; ``NOWHERE`` for a user who has no home directory."""
        try:
            return cls(state_directory() / "operations")
        except DestinationError:
            return cls(NOWHERE)

    def make(self) -> None:
        """Make the directory. Raises OSError."""
        if self.directory == NOWHERE:
            raise FileNotFoundError(errno.ENOENT, "this user has no home directory")
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, identifier: str, kind: str = RECORD) -> Path:
        """A file of an operation."""
        return self.directory / f"{identifier}{kind}"

    def add(self, operation: Operation) -> None:
        """Keep a new record, and no longer those whose time is over.

        Raises:
            UsageError: There is an operation of this ID, and this is no other try of what it failed in.
            OSError: The directory cannot be written.
        """
        self.make()
        with contextlib.suppress(OSError):
            self._forget_old()
        temporary = self._written(operation)
        try:
            self.path(operation.id).hardlink_to(temporary)
        except FileExistsError:
            earlier = self.read(operation.id)
            if not earlier.ended or earlier.error is None or earlier.destination != operation.destination:
                raise UsageError(reason=f"there is an operation {operation.id} already; choose another ID") from None
            self.path(operation.id, CANCEL).unlink(missing_ok=True)
            temporary.replace(self.path(operation.id))
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, operation: Operation) -> None:
        """Replace a record. Raises OSError."""
        self._written(operation).replace(self.path(operation.id))

    def end(self, operation: Operation) -> None:
        """Replace a record by the last one. Raises OSError."""
        self.write(operation)
        self.path(operation.id, CANCEL).unlink(missing_ok=True)

    def read(self, identifier: str) -> Operation:
        """The operation as it is, also when its process was killed.

        Raises:
            UsageError: There is none, or no record of one.
        """
        try:
            operation = Operation.from_json(self.path(identifier).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(reason=f"there is no operation {identifier}; see dicom-bq operations list") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "this is no record of an operation; remove it"
            raise UsageError(reason=f"{self.path(identifier)}: {reason}") from error
        if operation.ended:
            return operation
        if self.is_cancelled(identifier):
            operation = replace(operation, cancel_requested=True)
        return self._aborted(operation) if operation.process.has_ended else operation

    def all(self) -> list[Operation]:
        """Every operation whose record can be read, the newest first."""
        found = []
        for identifier in self._ids():
            with contextlib.suppress(UsageError):
                found.append(self.read(identifier))
        return sorted(found, key=lambda operation: operation.created, reverse=True)

    def find(self, text: str) -> Operation:
        """The operation that a user means, by its name, its ID, or the beginning of the ID.

        Raises:
            UsageError: There is none, or more than one.
        """
        asked = text.rpartition("/")[2]
        matches = [identifier for identifier in self._ids() if identifier.startswith(asked)] if asked else []
        if asked in matches:
            matches = [asked]
        if len(matches) > 1:
            raise UsageError(reason=f"{len(matches)} operations begin with {asked}; say more of the ID")
        operation = self.read(matches[0] if matches else text)
        if "/" in text and operation.name != text:
            raise UsageError(reason=f"there is no operation {text}; {operation.id} is {operation.name}")
        return operation

    def request_cancel(self, identifier: str) -> None:
        """Leave a note for the process that does it. Raises OSError."""
        self.path(identifier, CANCEL).touch()

    def is_cancelled(self, identifier: str) -> bool:
        """Whether there is such a note."""
        return os.path.exists(self.path(identifier, CANCEL))  # noqa: PTH110 (never raises)

    def remove(self, identifier: str, but: str | None = None) -> None:
        """Forget an operation, all its files but one of a kind."""
        for kind in KINDS:
            if kind != but:
                self.path(identifier, kind).unlink(missing_ok=True)

    def _ids(self) -> Iterator[str]:
        return (path.stem for path in sorted(self.directory.glob(f"[!.]*{RECORD}")))

    def _written(self, operation: Operation) -> Path:
        temporary = self.directory / f".{operation.id}.{os.getpid()}.writing"
        temporary.write_text(operation.to_json() + "\n", encoding="utf-8")
        return temporary

    def _aborted(self, operation: Operation) -> Operation:
        """What it comes to when its process is gone: read again first, since it may have come to its end since."""
        latest = Operation.from_json(self.path(operation.id).read_text(encoding="utf-8"))
        if latest.ended:
            return latest
        error = (Code.CANCELLED, CANCELLED_MESSAGE) if operation.cancel_requested else (Code.ABORTED, ABORTED_MESSAGE)
        pending = latest.success + latest.pending
        return replace(operation, ended=latest.updated, success=0, pending=pending, error=status(*error))

    def _is_over(self, identifier: str) -> bool:
        """Whether nobody will write a record any more; one that is none, as a power cut leaves it, least of all."""
        try:
            return bool(self.read(identifier).ended)
        except UsageError:
            return True

    def _forget_old(self) -> None:
        oldest = time.time() - DAYS_KEPT * 24 * 3600
        for identifier in list(self._ids()):
            with contextlib.suppress(OSError):  # another process has forgotten it just now
                if self.path(identifier).stat().st_mtime < oldest and self._is_over(identifier):
                    self.remove(identifier)
        for file in self.directory.iterdir():  # of processes that were killed before there was a record
            identifier = file.name.partition(".")[0]
            if file.stat().st_mtime < oldest and not (identifier and self.path(identifier).exists()):
                file.unlink(missing_ok=True)
