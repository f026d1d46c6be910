"""The calls to BigQuery that an export makes, on plain data."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from dicom_bq.destinations.bigquery_google import UnavailableError, bigquery_client, storage_client, translated
from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName
from dicom_bq.errors import DestinationError

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from google.cloud.storage import Client as StorageClient


@dataclass(frozen=True, slots=True)
class Job:
    """A load job as BigQuery tells it.

    Attributes:
        id: Job ID.
        done: Whether it has ended, well or not.
        rows: Rows loaded.
        reason: Reason of its failure, "" when it did not fail.
        message: BigQuery's sentence about it.
        started_here: False when a job of this id was there before.
    """

    id: str
    done: bool
    rows: int = 0
    reason: str = ""
    message: str = ""
    started_here: bool = True


class Session:
    """BigQuery as one table's destination sees it.

    Args:
        table: The table.
        options: Endpoint, projects and location.

    Every method raises DestinationError when BigQuery refuses, UnavailableError when it is not reached.
    """

    def __init__(self, table: TableName, options: BigQueryOptions) -> None:
        self.table_name = table
        self.options = options
        self.job_project = options.job_project or table.project

    @functools.cached_property
    def client(self) -> Client:
        """The client of BigQuery."""
        return bigquery_client(self.table_name.uri, self.job_project, self.options.api_endpoint)

    @functools.cached_property
    def storage(self) -> StorageClient:
        """The client of Cloud Storage, for staging."""
        return storage_client(self.table_name.uri, self.job_project, self.options.api_endpoint)

    def translated(self, *, rows: bool = False) -> AbstractContextManager[None]:
        """Google's exceptions as ours, about this table; with ``rows`` without its own words, which may quote some."""
        return translated(self.table_name.uri, rows=rows)

    @functools.cached_property
    def location(self) -> str:
        """Where the dataset is, and so where its jobs run.

        Raises:
            DestinationError: There is no such dataset, or it is somewhere else than the options say.
        """
        name, asked = self.table_name, self.options.location
        with self.translated():
            found = str(self.client.get_dataset(f"{name.project}.{name.dataset}").location)
        if asked and asked.lower() != found.lower():
            raise DestinationError(
                destination=name.uri,
                reason=f"the dataset is in {found}, not in {asked}",
                advice="Leave --location out, or correct it",
            )
        return found

    def resource(self) -> dict[str, Any] | None:
        """The table's resource, None when there is no such table."""
        location = self.location  # a dataset that is missing is an error

        from google.api_core.exceptions import NotFound

        with self.translated():
            try:
                found = self.client.get_table(self._reference()).to_api_repr()
            except NotFound:
                return None
        return {"location": location, **found}

    def patch(self, resource: dict[str, Any], fields: Sequence[dict[str, Any]]) -> bool:
        """Change a table's fields; False when it has changed since ``resource`` was read."""
        from google.api_core.exceptions import PreconditionFailed
        from google.cloud.bigquery import SchemaField, Table

        table = Table.from_api_repr(resource)
        table.schema = [SchemaField.from_api_repr(item) for item in fields]
        with self.translated():
            try:
                self.client.update_table(table, ["schema"])  # guarded by the resource's etag
            except PreconditionFailed:
                return False
        return True

    def load(self, job_id: str, configuration: dict[str, Any], source: IO[bytes] | Sequence[str]) -> Job:
        """Start a load job, or find the one of this id.

        Args:
            job_id: Ids are unique for ever, which is what makes starting a job twice safe.
            configuration: The job's.
            source: A file to upload, or gs:// URIs.
        """
        from google.api_core.exceptions import Conflict

        try:
            with self.translated(rows=True):
                try:
                    return _told(self._start(job_id, configuration, source))
                except Conflict:
                    started_here = False  # another process, or an attempt whose answer got lost
        except DestinationError:
            started_here = True  # perhaps: an error in the answer does not say that nothing was done
            if self.job(job_id) is None:
                raise
        found = self.job(job_id)
        if found is None:  # for a moment after a conflict: https://github.com/googleapis/python-bigquery/issues/2134
            raise UnavailableError(
                destination=self.table_name.uri,
                reason=f"job {job_id} exists and cannot be read",
                advice="Run the same command again",
            )
        return replace(found, started_here=started_here)

    def _start(self, job_id: str, configuration: dict[str, Any], source: IO[bytes] | Sequence[str]) -> Any:  # noqa: ANN401
        from google.cloud.bigquery import LoadJobConfig

        config = LoadJobConfig.from_api_repr(configuration)
        where: dict[str, Any] = {"job_id": job_id, "location": self.location, "project": self.job_project}
        where["job_config"] = config
        if isinstance(source, Sequence):
            return self.client.load_table_from_uri(source, self._reference(), **where)
        return self.client.load_table_from_file(source, self._reference(), rewind=True, **where)

    def job(self, job_id: str) -> Job | None:
        """A job by its id, None when there is none."""
        from google.api_core.exceptions import NotFound

        with self.translated():
            try:
                job = self.client.get_job(job_id, project=self.job_project, location=self.location)
            except NotFound:
                return None
        return _told(job, started_here=False)

    def query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a query."""
        with self.translated(rows=True):
            for row in self.client.query_and_wait(sql, location=self.location, project=self.job_project):
                yield row.values()

    def create_view(self, name: TableName, sql: str, description: str) -> None:
        """Make a view; an existing one of that name is not replaced."""
        from google.cloud.bigquery import Table

        view = Table(f"{name.project}.{name.dataset}.{name.table}")
        view.view_query = sql
        view.description = description
        with self.translated():
            self.client.create_table(view)

    def close(self) -> None:
        """Give connections back."""
        for name in ("client", "storage"):
            if name in vars(self):
                vars(self).pop(name).close()

    def _reference(self) -> Any:  # noqa: ANN401 (a TableReference)
        from google.cloud.bigquery import DatasetReference

        name = self.table_name
        return DatasetReference(name.project, name.dataset).table(name.table)


def _told(job: Any, *, started_here: bool = True) -> Job:  # noqa: ANN401 (a LoadJob)
    error = job.error_result or {}
    return Job(
        id=job.job_id,
        done=job.state == "DONE",
        rows=job.output_rows or 0,
        reason=error.get("reason", ""),
        message=error.get("message", ""),
        started_here=started_here,
    )
