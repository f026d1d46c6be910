"""One run of an export in its job directory: what it finds there, the write, and the end."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dicom_bq.errors import DestinationError
from dicom_bq.report import ExportReport, ReadReport
from dicom_bq.state import state_directory

if TYPE_CHECKING:
    import pyarrow as pa

    from dicom_bq.destinations.base import Destination, WriteDisposition
    from dicom_bq.destinations.bigquery_options import BigQueryOptions
    from dicom_bq.jobdir import Announced, JobDirectory
    from dicom_bq.read_options import ReadOptions
    from dicom_bq.reading import Source
    from dicom_bq.schema import TableSchema
    from dicom_bq.selection import Selection


def unheard(_told: object) -> None:
    """What is told and nobody listens to."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        job: Its directory.
        target: Where rows go.
        disposition: How.
        command: What makes another run a repetition of this one.
        keep: Leave the directory when all is done.
        deliver: Called with the report before the job is forgotten; if that fails, another run delivers it.
        is_known: Another run of the same command has the same sources; not if it reads a list from a pipe.
    """

    job: JobDirectory
    target: Destination
    disposition: WriteDisposition
    command: str
    keep: bool
    deliver: Callable[[ExportReport], None] = unheard
    is_known: bool = True

    def earlier(self) -> ExportReport | None:
        """The report of an earlier run, if it had done everything but say so.

        Raises:
            DestinationError: That was another destination's, or cannot be known.
        """
        announced = self.job.announced
        if announced is None:
            return None
        if announced.destination != self.target.uri:
            raise DestinationError(
                destination=str(self.job.path),
                reason=f"an export to {announced.destination} was interrupted here when it was about to end",
                advice="Run that again first, or choose another --job-dir",
            )
        done = self.target.holds(announced.mark) or (announced.written and self.target.existing() is not None)
        if done and announced.command == self.command and not self.is_known:
            self._refuse(announced)
        if done and announced.command == self.command:
            try:
                report = self.job.report(announced)
            except DestinationError:
                self._acknowledge(announced)
                raise
            self.job.tell(f"{self.target.uri}: this export was finished before it was interrupted; nothing is done now")
            self._end(announced.mark, report)
            return report
        if done:
            self.job.tell(f"{self.target.uri}: an earlier export was finished before it was interrupted")
            self._acknowledge(announced)
        self.job.settle()
        return None

    def _acknowledge(self, announced: Announced) -> None:
        """Know by the job alone that a write is done: whoever takes the directory away leaves no trace elsewhere."""
        self.job.written()
        self.target.forget(announced.mark)

    def _refuse(self, announced: Announced) -> NoReturn:
        """Neither write rows a second time, nor say of others that they are written."""
        self._acknowledge(announced)
        rows = announced.record["rows"]
        raise DestinationError(
            destination=self.target.uri,
            reason="an export of a list from a pipe was interrupted here when it had written all its "
            f"{rows:,} rows, and whether this is the same list cannot be known; nothing is written now",
            advice=f"Remove {self.job.path}, and run this again if it is another list",
        )

    def write(
        self, schema: TableSchema, rows: Iterable[pa.RecordBatch], read: Callable[[], ReadReport]
    ) -> ExportReport:
        """Write the rows, and end the job.

        Args:
            schema: Of the rows.
            rows: All of them.
            read: What reading them has met, once they have all been taken.

        Raises:
            DestinationError: As ``Destination.write``.
        """
        mark = ""

        def announce(found: str, count: int) -> None:
            nonlocal mark
            mark = found
            for line in self.job.chunks.lines():
                self.job.tell(line)
            report = ExportReport.of(read(), self.target.uri, self.disposition.value, count)
            self.job.announce(self.command, mark, report)

        count = self.target.write(schema, rows, self.disposition, announce)
        report = ExportReport.of(read(), self.target.uri, self.disposition.value, count)
        self._end(mark, report)
        return report

    def _end(self, mark: str, report: ExportReport) -> None:
        self.job.written()
        self.deliver(report)
        self.target.forget(mark)
        self.job.end(keep=self.keep)


def job_place(
    destination: Source, asked: Source | None, table: str, bigquery: BigQueryOptions | None, command: str
) -> Path:
    """The directory of a job.

    Args:
        destination: As the user wrote it.
        asked: What the user asks for; None for the default.
        table: Name of the table in a DuckDB file.
        bigquery: Options of BigQuery.
        command: What else tells jobs with one BigQuery table from each other.

    Raises:
        DestinationError: There is no directory to make the output in, or none for this user's state.
    """
    from dicom_bq.destinations import files

    if asked is not None:
        return Path(asked)
    text = os.fspath(destination)
    if text.startswith("bq://"):
        directory = (bigquery and bigquery.state_directory) or state_directory() / "jobs"
        endpoint = (bigquery and bigquery.api_endpoint) or ""
        return Path(directory) / _digest([text, endpoint, command])
    files.check_parent(Path(text))
    return files.beside(Path(text), "job" if table == "dicom" else f"{_digest(table)[:8]}.job")


def row_facts(schema: TableSchema | None, options: ReadOptions, selection: Selection | None) -> dict[str, str]:
    """Everything that rows depend on besides the files, by the names that people know it by."""
    from dicom_bq import __version__, dictionary, read_options, reading

    filtered = selection.filter if selection else None
    read = {name: options.get(name, default) for name, default in read_options.DEFAULTS.items()}
    return {
        "version": __version__,
        "dictionary": dictionary.edition(),
        "schema": _digest(schema.to_bigquery()) if schema else "",
        "filter": _digest(sorted(filtered.lines)) if filtered else "",
        "deduplicate": str(bool(selection and selection.deduplicate)),
        "batch size": str(reading.BATCH_SIZE),
        **{name: str(value) for name, value in read.items()},
    }


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]
