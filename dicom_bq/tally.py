"""What reading has met: files counted, failures and problems listed. No value of a data element is in it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_bq.errors import InternalError, OutOfMemoryError, is_shortage
from dicom_bq.jobfiles import FAILURES, SKIPPED
from dicom_bq.problems import Problems

if TYPE_CHECKING:
    from dicom_bq.columns.build import BuiltBatch
    from dicom_bq.columns.jsonmodel import JsonRows
    from dicom_bq.outcomes import Outcomes
    from dicom_bq.scan.outcome import Failure, Scanned, Skipped


@dataclass(slots=True)
class Tally:
    """What has been met so far. Between two batches, ``found`` is the sum of all the others.

    Attributes:
        found: Files, datasets, and what cannot be read as either.
        exported: Those that are a row.
        failures: Those that should be and are not.
        skipped: Those that are no SOP instance, or one more of an instance.
        filtered: Those that the filter leaves out.
        problems: What was dropped, repaired or did not fit.
        bug: The first exception that is no file's fault.
    """

    found: int = 0
    exported: int = 0
    failures: list[Failure] | Outcomes[Failure] = field(default_factory=list)
    skipped: list[Skipped] | Outcomes[Skipped] = field(default_factory=list)
    filtered: int = 0
    problems: Problems = field(default_factory=Problems)
    bug: Exception | None = None

    @classmethod
    def of_many(cls, directory: Path | None = None) -> Tally:
        """One that stays small whatever it counts.

        Args:
            directory: For files of failures and of skips; None when nobody else is to read them.
        """
        from dicom_bq.outcomes import Outcomes
        from dicom_bq.scan.outcome import Failure, Skipped

        return cls(
            failures=Outcomes(Failure, directory and directory / FAILURES),
            skipped=Outcomes(Skipped, directory and directory / SKIPPED),
        )

    def add(self, found: int, scanned: Scanned, built: BuiltBatch | JsonRows | None) -> None:
        """Count a batch."""
        self.found += found
        self.failures.extend(scanned.failures)
        self.skipped.extend(scanned.skipped)
        self.filtered += found - len(scanned.uris) - len(scanned.failures) - len(scanned.skipped)
        if built is not None:
            self.exported += built.batch.num_rows
            self.problems.merge(built.problems)

    def merge(self, other: Tally) -> None:
        """Count what another tally has counted."""
        self.found += other.found
        self.exported += other.exported
        self.failures.extend(other.failures)
        self.skipped.extend(other.skipped)
        self.filtered += other.filtered
        self.problems.merge(other.problems)
        self.bug = self.bug or other.bug

    def unreadable(self, uri: str, reason: str) -> None:
        """Count something that a source holds and that is no readable file."""
        self._fail(uri, "unreadable", reason)

    def broken(self, uri: str, error: Exception) -> None:
        """Count a file that meets a bug. The exception's own text may quote the file, so only its place is kept."""
        if is_shortage(error):
            self.fatal(uri, OutOfMemoryError())
            return
        frame = traceback.extract_tb(error.__traceback__)[-1]
        bug = InternalError(kind=type(error).__name__, where=f"{Path(frame.filename).name}:{frame.lineno}")
        self.bug = self.bug or bug.with_traceback(error.__traceback__)
        self._fail(uri, "internal", str(bug))

    def fatal(self, uri: str, error: Exception) -> None:
        """Count a file that ends the process that reads it. The exception's text is told."""
        self.bug = self.bug or error
        self._fail(uri, "internal", str(error))

    def _fail(self, uri: str, code: str, reason: str) -> None:
        from dicom_bq.scan.outcome import Failure

        self.found += 1
        self.failures.append(Failure(uri, code, reason))
