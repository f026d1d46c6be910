"""The log of files that failed: a JSON object a line, as the Healthcare API's exports write to Cloud Logging.

https://github.com/googleapis/googleapis/blob/master/google/cloud/healthcare/logging/dicom.proto
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dicom_bq.errors import UsageError
from dicom_bq.operations.codes import code_of_failure
from dicom_bq.sources.files import as_text, printable

if TYPE_CHECKING:
    from dicom_bq.scan.outcome import Failure

ENTRY = "type.googleapis.com/google.cloud.healthcare.logging.ExportDicomLogEntry"
_BEGIN = json.dumps({"@type": ENTRY})[:-1].encode()


class ErrorLog:
    """A log that is there once there is something in it.

    Attributes:
        path: Where. What another run has left there is emptied, not removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def check(self) -> None:
        """Refuse a file of something else, before it is emptied.

        Raises:
            UsageError: It is no log of this kind.
        """
        with contextlib.suppress(OSError):  # met again when there is something to write
            if self.path.is_file() and self.path.stat().st_size:
                with self.path.open("rb") as file:
                    begin = file.read(len(_BEGIN))
                if begin != _BEGIN:
                    raise UsageError(reason=f"{printable(str(self.path))} is no error log: choose another file")

    def clear(self) -> None:
        """Take away what another run has left. Raises OSError."""
        if self.path.is_file():
            self.path.write_text("")

    def write(self, failures: Sequence[Failure]) -> None:
        """Add a line for each, on disk when this returns. Raises OSError."""
        if not failures:
            return
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        entries = ({"@type": ENTRY, **_entry(failure, "resourceName")} for failure in failures)
        self._file.writelines(json.dumps(entry) + "\n" for entry in entries)
        self._file.flush()

    def close(self) -> None:
        """Nothing more will be written."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()


def sample_of(failure: Failure) -> dict[str, Any]:
    """One of the ``sampleErrors`` of an operation."""
    return _entry(failure, "resource")


def _entry(failure: Failure, name: str) -> dict[str, Any]:
    error = {"code": int(code_of_failure(failure)), "message": failure.reason}
    return {name: as_text(failure.uri), "error": error}
