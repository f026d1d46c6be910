"""The operation of an export that runs: its record is kept up to date, whatever the end."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dicom_bq.errors import CancelledError, DicomBqError, OperationWarning, SchemaError, UsageError
from dicom_bq.operations.codes import Code, code_of_error, code_of_failure
from dicom_bq.operations.error_log import ErrorLog, sample_of
from dicom_bq.operations.process import Process
from dicom_bq.operations.record import CANCELLED_MESSAGE, Operation, method_of, name_of, status
from dicom_bq.operations.store import ERRORS, LOG, Store, checked_id, new_id, now
from dicom_bq.progress import Progressed

EVERY = 1.0
"""Seconds between two updates of a record."""
MOST_SAMPLES = 10
"""Failed files that a record tells of; the log has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationOptions:
    """How an export is kept as an operation.

    Attributes:
        id: Of the operation; None for a random number.
        error_log: File for the log of files that failed; None for one beside the record.
        own_process: The process is there for this export alone, and ends cleanly on SIGTERM.
    """

    id: str | None = None
    error_log: str | os.PathLike[str] | None = None
    own_process: bool = False


class Running:
    """Keeps the record of one export from ``with`` to the end of the block.

    A directory that cannot be written costs the record, not the export: there is a warning.

    Args:
        options: How.
        place: Where the table is: its URI in BigQuery, or the path.
        destination: Its URI.
        location: Of the BigQuery dataset, if it was given.

    Attributes:
        name: Of the operation; "" if it is not kept.
    """

    def __init__(self, options: OperationOptions, place: str, destination: str, location: str | None = None) -> None:
        self._store, process, created = Store.of_user(), Process.here(), now()
        identifier = checked_id(options.id) if options.id else new_id()
        chosen = options.error_log
        self._errors = ErrorLog(Path(chosen).absolute() if chosen else self._store.path(identifier, ERRORS))
        self._operation = Operation(
            name=name_of(place, identifier, process.host, location),
            method=method_of(place),
            destination=destination,
            process=process,
            stoppable=options.own_process,
            logs=self._errors.path.as_uri(),
            created=created,
            updated=created,
        )
        self.name = ""
        self._next = time.monotonic() + EVERY
        self._samples: list[dict[str, Any]] = []
        self._codes: Counter[Code] = Counter()
        self._logged, self._is_read = True, False

    @property
    def files(self) -> tuple[str, str]:
        """What is written here, and is no source."""
        return str(self._store.directory), str(self._errors.path)

    def __enter__(self) -> Self:
        self._errors.check()
        self.name = self._operation.name
        self._keep(self._store.add)
        return self

    def begin(self) -> None:
        """Everything that can be checked beforehand is, and no other process is at it: the log is this one's."""
        self._operation = replace(self._operation, running=True)
        self._keep(self._store.write)
        self._log(self._errors.clear)

    def written(self) -> None:
        """The table is what it is to be: whatever comes now, the export has not failed, and its record says so."""
        self._end(None)

    @property
    def is_running(self) -> bool:
        """Whether ``begin`` was called."""
        return self._operation.running

    def __call__(self, told: Progressed) -> None:
        """The export is so far.

        Raises:
            CancelledError: Somebody wants it to stop.
        """
        self._codes.update(map(code_of_failure, told.failures))
        self._samples += map(sample_of, told.failures[: MOST_SAMPLES - len(self._samples)])
        self._log(lambda: self._errors.write(told.failures))
        self._operation = replace(
            self._operation,
            success=told.exported,
            failure=told.failed,
            pending=max(0, told.listed - told.found),
        )
        if time.monotonic() >= self._next or told.is_read > self._is_read:
            self._is_read = told.is_read  # writing may be one long step
            self._keep(self._store.write)
            self._next = time.monotonic() + EVERY
            if self._is_cancelled():
                raise CancelledError(operation=self._operation.id)

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        if isinstance(error, UsageError | SchemaError) and not self._operation.running:
            self._errors.close()
            self._keep(lambda begun: self._store.remove(begun.id, but=LOG))
        elif not self._operation.ended:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._errors.close()
        if error or (self._operation.failure and not self._operation.success):
            self._fail(error)
        self._operation = replace(self._operation, ended=now(), cancel_requested=self._is_cancelled())
        self._keep(self._store.end)

    def _fail(self, error: BaseException | None) -> None:
        """All or nothing: no file is a row of a table that was not made."""
        failed = self._operation
        code = code_of_error(error) if error else self._codes.most_common(1)[0][0]
        message = _message(error) if error else f"none of the {failed.failure:,} files that are instances can be read"
        self._operation = replace(
            failed,
            success=0,
            pending=failed.pending + failed.success,
            error=status(code, message, self._samples),
        )

    def _is_cancelled(self) -> bool:
        return self._store.is_cancelled(self._operation.id)

    def _keep(self, write: Callable[[Operation], None]) -> None:
        """Write the record, as long as that can be done."""
        if not self.name:
            return
        self._operation = replace(self._operation, updated=now())
        try:
            write(self._operation)
        except OSError as error:
            self.name = ""
            _warn(f"{self._store.directory}: {error.strerror}; no record of this export is kept. Set XDG_STATE_HOME")

    def _log(self, write: Callable[[], None]) -> None:
        if not self._logged or (self._errors.path.parent == self._store.directory and not self.name):
            return
        try:
            write()
        except OSError as error:
            self._logged = False
            _warn(f"{self._errors.path}: {error.strerror}; failed files are in no log (use --report, or --error-log)")


def _message(error: BaseException) -> str:
    if isinstance(error, DicomBqError):
        return str(error)
    if isinstance(error, Exception):
        return f"a bug in dicom-bq: {type(error).__name__}"  # its own text may quote what it was working on
    return CANCELLED_MESSAGE


def _warn(message: str) -> None:
    warnings.warn(message, OperationWarning, stacklevel=2)
