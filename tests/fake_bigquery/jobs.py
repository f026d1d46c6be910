"""Jobs: one id runs once; a job that fails is a good answer with an error in it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.fake_bigquery import loading, sql
from tests.fake_bigquery.catalog import Catalog, Resource
from tests.fake_bigquery.rules import JOB_ID, Field, RefusedError, refuse_unless

MULTI_REGIONS = ("US", "EU")


@dataclass
class Job:
    """One job: its resource, how often it still says RUNNING, and a query's result."""

    resource: Resource
    polls: int
    result: tuple[list[Field], pa.Table] | None = None

    def shown(self) -> Resource:
        """What a poll sees: RUNNING first, then DONE."""
        if self.polls > 0:
            self.polls -= 1
            return {**self.resource, "status": {"state": "RUNNING"}}
        return self.resource


@dataclass
class Jobs:
    """All jobs. ``interrupt`` may raise in the place of a job's work (a job that fails)."""

    catalog: Catalog
    find_files: Callable[[str], list[Path]]
    interrupt: Callable[[str], None]
    polls: int = 1
    by_id: dict[tuple[str, str], Job] = field(default_factory=dict)

    def insert(self, project: str, body: Resource, upload: Path | None = None) -> Resource:
        """Run a job; its id must be new."""
        reference = body.get("jobReference", {})
        job_id = reference.get("jobId") or f"job_{uuid.uuid4().hex}"
        refuse_unless(JOB_ID.fullmatch(job_id), f"Invalid job ID {job_id!r}")
        configuration = body["configuration"]
        if "load" in configuration:
            loading.check_config(configuration["load"])
        location = reference.get("location") or self._location(configuration)
        known = (project, job_id) in self.by_id
        refuse_unless(not known, f"Already Exists: Job {project}:{location}.{job_id}", "duplicate")
        resource = {
            "kind": "bigquery#job",
            "id": f"{project}:{location}.{job_id}",
            "configuration": configuration,
            "jobReference": {"projectId": project, "jobId": job_id, "location": location},
            "statistics": {"creationTime": "0", "startTime": "0", "endTime": "0"},
            "status": {"state": "DONE"},
        }
        job = self.by_id[project, job_id] = Job(resource, self.polls)
        try:
            self._work(job, location, upload)
        except RefusedError as error:
            resource["status"] |= {"errorResult": error.to_api(), "errors": [error.to_api()]}
        return job.shown()

    def _work(self, job: Job, location: str, upload: Path | None) -> None:
        configuration = job.resource["configuration"]
        self.interrupt(job.resource["id"])
        if "query" in configuration:
            job.resource["statistics"]["query"] = {"statementType": "SELECT"}
            job.result = sql.run_query(self.catalog, configuration["query"]["query"])
            return
        load = loading.Load(configuration["load"], self._files(configuration["load"], upload))
        home = self.catalog.dataset(*load.path[:2])["location"]
        same = location.upper() == home.upper()
        refuse_unless(same, f"Not found: Dataset {load.path[0]}:{load.path[1]} in location {location}", "notFound")
        rows = loading.run(self.catalog, load)
        job.resource["statistics"]["load"] = {
            "outputRows": str(rows),
            "inputFiles": str(len(load.files)),
            "outputBytes": "0",
            "badRecords": "0",
            "inputFileBytes": str(sum(path.stat().st_size for path, _ in load.files)),
        }

    def _files(self, config: dict[str, Any], upload: Path | None) -> list[tuple[Path, int]]:
        if upload is not None:
            return [(upload, 0)]
        found = [(path, i) for i, uri in enumerate(config["sourceUris"]) for path in self.find_files(uri)]
        refuse_unless(found, "Not found: no file matches the source URIs", "notFound")
        return found

    def _location(self, configuration: Resource) -> str:
        table = configuration.get("load", {}).get("destinationTable")
        dataset = self.catalog.datasets.get((table["projectId"], table["datasetId"])) if table else None
        return dataset["location"] if dataset else "US"

    def get(self, project: str, job_id: str, location: str | None) -> Job:
        """A job; its location must be said unless it is US or EU."""
        job = self.by_id.get((project, job_id))
        home = job.resource["jobReference"]["location"] if job else None
        seen = job and (home.upper() == location.upper() if location else home in MULTI_REGIONS)  # type: ignore[union-attr]
        refuse_unless(seen, f"Not found: Job {project}:{job_id}", "notFound")
        return job  # type: ignore[return-value]
