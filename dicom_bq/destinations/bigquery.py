"""A BigQuery table as a destination: one load job an export, so that all rows come in one step, or none.

The order of things in ``write`` is what makes it safe to kill at any point and to run again: rows to files, the
run's identity to disk, columns added to the table (which loses nothing, and can be done again), the job.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dicom_bq.destinations import bigquery_jobs, bigquery_runs, bigquery_tables
from dicom_bq.destinations.base import Announce, Capabilities, Existing, WriteDisposition, check_write
from dicom_bq.destinations.bigquery_client import Session
from dicom_bq.destinations.bigquery_files import PART_BYTES, Checks, Part, make_parts
from dicom_bq.destinations.bigquery_google import UnavailableError
from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName
from dicom_bq.destinations.bigquery_plan import LoadPlan, check_required, make_plan
from dicom_bq.destinations.bigquery_runs import Load, Run
from dicom_bq.destinations.bigquery_staging import Staging
from dicom_bq.errors import DestinationError, DestinationExistsError
from dicom_bq.schema import BIGQUERY_LIMITS, TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_PATCHES = 5
"""Times that a table may change under our hands before we give up."""


@dataclass(frozen=True)
class BigQueryTable:
    """A table of BigQuery; implements ``Destination``.

    Attributes:
        name: Its name.
        options: How to load.
        command: What makes a later export a repetition of this one, should this one be interrupted.
    """

    name: TableName
    options: BigQueryOptions = field(default_factory=BigQueryOptions)
    command: str = ""

    @property
    def uri(self) -> str:
        """``bq://PROJECT.DATASET.TABLE``."""
        return self.name.uri

    @property
    def sql(self) -> str:
        """The table's name in a query."""
        return self.name.sql

    @property
    def capabilities(self) -> Capabilities:
        """BigQuery's limits (https://cloud.google.com/bigquery/quotas)."""
        return Capabilities(limits=BIGQUERY_LIMITS, remote=True)

    @functools.cached_property
    def session(self) -> Session:
        """BigQuery."""
        return Session(self.name, self.options)

    def existing(self) -> Existing | None:
        """The table that is there, None when there is none."""
        resource = self._resource()
        return None if resource is None else _existing(resource)

    def check(self, disposition: WriteDisposition, schema: TableSchema | None) -> None:
        """As ``Destination.check`` says."""
        bigquery_tables.check_tag_names(self.options.policy_tags)
        if self.options.staging:
            Staging.of(self.session, self.options.staging, "").check()
        resource = self._resource()
        existing = None if resource is None else _existing(resource)
        try:
            check_write(self, existing, disposition, schema)
        except DestinationExistsError:
            # The rows may be those of this very run, interrupted after its job; write() then finds the job.
            if not self._interrupted_run_loaded(disposition):
                raise
        if schema is not None:
            self._plan(resource, schema, disposition)
        elif existing is not None and disposition is not WriteDisposition.WRITE_TRUNCATE:
            possible = existing.schema.expected().to_bigquery()
            check_required(self.uri, existing.schema.to_bigquery(), possible)

    def plan(self, schema: TableSchema, disposition: WriteDisposition) -> LoadPlan:
        """What ``write`` would do with rows of this schema; changes nothing.

        Raises:
            DestinationError: What ``check`` raises.
        """
        self.check(disposition, schema)
        return self._plan(self._resource(), schema, disposition)

    def write(
        self,
        schema: TableSchema,
        batches: Iterable[pa.RecordBatch],
        disposition: WriteDisposition,
        announce: Announce | None = None,
    ) -> int:
        """As ``Destination.write`` says: with one load job."""
        schema.check_limits(self.capabilities.limits)
        with bigquery_runs.take_up(self._journal(disposition), self.uri) as run:
            plan = self._plan(self._resource(), schema, disposition)
            check = Checks(self.uri, plan.time_partitioning)
            parts = make_parts(batches, plan.loaded, check, PART_BYTES if self.options.staging else None)
            with self._files(parts, run) as (source, content):
                job_id = bigquery_jobs.load_id(run.id, self.uri, disposition, content, plan.loaded)
                load = Load(job_id, content, check.rows)
                self._settle(run, load, disposition)
                run.announce(load)
                if announce:
                    announce(f"{disposition.value} {load.job}", load.rows)
                self._run(run, plan, schema, load, source)
        return load.rows

    def holds(self, mark: str) -> bool:
        """See ``Destination``; waits for a job that is running."""
        return bigquery_jobs.settled(self.session, mark.split()[1]) is not None

    def forget(self, mark: str) -> None:
        """See ``Destination``: the run."""
        disposition, job = mark.split()
        journal = self._journal(WriteDisposition(disposition))
        run = bigquery_runs.interrupted(journal)
        if run and any(load.job == job for load in run.loads):
            journal.unlink(missing_ok=True)

    def select(self, query: str) -> Iterator[tuple[object, ...]]:
        """Rows of a query in the dataset's location.

        Raises:
            DestinationError: BigQuery refuses it.
        """
        return self.session.query(query)

    def close(self) -> None:
        """Give connections back."""
        self.session.close()

    def _resource(self) -> dict[str, Any] | None:
        resource = self.session.resource()
        if resource is not None and resource.get("type", "TABLE") != "TABLE":
            raise DestinationError(
                destination=self.uri,
                reason=f"it is no table but a {resource['type'].lower().replace('_', ' ')}",
                advice="Use another name",
            )
        return resource

    def _plan(self, resource: dict[str, Any] | None, schema: TableSchema, disposition: WriteDisposition) -> LoadPlan:
        if resource is not None and disposition is not WriteDisposition.WRITE_TRUNCATE:
            # An empty table keeps its columns too, so it may not have others of their names.
            check_write(self, _existing(resource), WriteDisposition.WRITE_APPEND, schema)
        return make_plan(self.name, self.options, self.session.location, resource, schema, disposition)

    def _journal(self, disposition: WriteDisposition) -> Path:
        key = (self.uri, disposition.value, self.options.api_endpoint or "", self.command)
        return bigquery_runs.journal_path(self.options.state_directory, key)

    def _interrupted_run_loaded(self, disposition: WriteDisposition) -> bool:
        run = bigquery_runs.interrupted(self._journal(disposition))
        loads = run.loads if run else []
        return any(bigquery_jobs.settled(self.session, load.job) for load in loads)

    @contextmanager
    def _files(self, parts: Iterator[Part], run: Run) -> Iterator[tuple[IO[bytes] | Sequence[str], str]]:
        """The files of a job where it can read them, and a digest of them all."""
        if self.options.staging is None:
            part = next(parts)
            with part.file as file:
                yield file, part.digest
            return
        staging = Staging.of(self.session, self.options.staging, run.id)
        try:
            uris, uploaded = staging.put(parts)
            yield uris, hashlib.sha256("".join(part.digest for part in uploaded).encode()).hexdigest()
        except UnavailableError:
            raise  # a job may still be reading them; the run that is taken up removes them
        except DestinationError:
            staging.clear()
            raise
        staging.clear()

    def _settle(self, run: Run, load: Load, disposition: WriteDisposition) -> None:
        """See what became of other loads of an interrupted run; two must not both add their rows.

        Raises:
            DestinationError: One of them did.
        """
        for other in run.loads:
            job = None if other == load else bigquery_jobs.settled(self.session, other.job)
            if job and disposition is not WriteDisposition.WRITE_TRUNCATE:
                run.forget()
                raise DestinationError(
                    destination=self.uri,
                    reason=f"this export was interrupted after job {job.id} had written its {job.rows:,} rows, "
                    "and its files or the table have changed since then, so nothing was written now",
                    advice="Run it again to write all rows of the files as they are now",
                )

    def _run(
        self,
        run: Run,
        plan: LoadPlan,
        schema: TableSchema,
        load: Load,
        source: IO[bytes] | Sequence[str],
    ) -> None:
        """Add the columns, run the job, and forget the run unless its end is not known."""
        added: tuple[str, ...] = ()
        try:
            if plan.patches:
                added = self._add_columns(schema, WriteDisposition(plan.disposition))
            job = bigquery_jobs.complete(self.session, load.job, plan.configuration, source)
        except UnavailableError:
            raise
        except DestinationError as error:
            run.forget()
            if added:
                raise _with_columns(error, added) from error
            raise
        run.forget()
        if job.rows != load.rows:
            raise DestinationError(
                destination=self.uri,
                reason=f"job {job.id} loaded {job.rows:,} rows, and {load.rows:,} were written",
                advice="Look at the table before it is used",
            )

    def _add_columns(self, schema: TableSchema, disposition: WriteDisposition) -> tuple[str, ...]:
        """Patch the table to have every column, however often it changes in the meantime; those that it lacked."""
        for _ in range(_MOST_PATCHES):
            resource = self._resource()
            if resource is None:
                return ()  # the job says so
            plan = self._plan(resource, schema, disposition)
            if list(plan.fields) == resource.get("schema", {}).get("fields", []):
                return ()
            if plan.rows and disposition is WriteDisposition.WRITE_EMPTY:
                raise DestinationExistsError(destination=self.uri, rows=plan.rows)
            if self.session.patch(resource, plan.fields):
                return plan.added
        raise DestinationError(
            destination=self.uri,
            reason="the table's columns change all the time, so none could be added",
            advice="Stop what changes them, and run the same command again",
        )


def _with_columns(error: DestinationError, added: Sequence[str]) -> DestinationError:
    """An error of a load for which the table was given columns."""
    reason = f"{error.facts['reason']}; columns that were added to the table before stay: {', '.join(added)}"
    return DestinationError(**{**error.facts, "reason": reason})


def _existing(resource: dict[str, Any]) -> Existing:
    fields = resource.get("schema", {}).get("fields", [])
    return Existing(TableSchema.from_bigquery(fields), int(resource.get("numRows", 0)))
