"""The REST v2 calls: one small function each, and the table of routes. /docs/reference/rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fake_bigquery.rules import RefusedError, render_row

if TYPE_CHECKING:
    from tests.fake_bigquery.server import FakeBigQuery


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body or b"{}")

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; a dict becomes JSON."""

    body: dict[str, Any] | bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def create_dataset(fake: FakeBigQuery, request: Request, project: str) -> Answer:
    return Answer(fake.catalog.create_dataset(project, request.json))


def get_dataset(fake: FakeBigQuery, request: Request, project: str, dataset: str) -> Answer:
    return Answer(fake.catalog.dataset(project, dataset))


def list_datasets(fake: FakeBigQuery, request: Request, project: str) -> Answer:
    found = [resource for (owner, _), resource in fake.catalog.datasets.items() if owner == project]
    return Answer({"kind": "bigquery#datasetList", "datasets": found})


def delete_dataset(fake: FakeBigQuery, request: Request, project: str, dataset: str) -> Answer:
    fake.catalog.delete_dataset(project, dataset, contents=request.query.get("deleteContents") == "true")
    return Answer(b"", 204)


def create_table(fake: FakeBigQuery, request: Request, project: str, dataset: str) -> Answer:
    body = request.json
    return Answer(fake.catalog.create_table((project, dataset, body["tableReference"]["tableId"]), body).resource)


def get_table(fake: FakeBigQuery, request: Request, *path: str) -> Answer:
    return Answer(fake.catalog.table(path).resource)  # type: ignore[arg-type]


def patch_table(fake: FakeBigQuery, request: Request, *path: str) -> Answer:
    return Answer(fake.catalog.patch_table(path, request.json, request.header("If-Match")).resource)  # type: ignore[arg-type]


def delete_table(fake: FakeBigQuery, request: Request, *path: str) -> Answer:
    fake.catalog.table(path)  # type: ignore[arg-type]
    del fake.catalog.tables[path]  # type: ignore[arg-type]
    return Answer(b"", 204)


def list_tables(fake: FakeBigQuery, request: Request, project: str, dataset: str) -> Answer:
    fake.catalog.dataset(project, dataset)
    found = [table.resource for path, table in fake.catalog.tables.items() if path[:2] == (project, dataset)]
    return Answer({"kind": "bigquery#tableList", "tables": found, "totalItems": len(found)})


def list_rows(fake: FakeBigQuery, request: Request, *path: str) -> Answer:
    table = fake.catalog.table(path)  # type: ignore[arg-type]
    return Answer(_page(table.fields, table.rows, request.query))


def _page(fields: list[dict[str, Any]], rows: Any, query: dict[str, str]) -> dict[str, Any]:
    chosen = query.get("selectedFields", "").split(",") if query.get("selectedFields") else None
    fields = [column for column in fields if chosen is None or column["name"] in chosen]
    start = int(query.get("pageToken") or query.get("startIndex") or 0)
    page = rows.select([column["name"] for column in fields]).slice(start, int(query.get("maxResults", 1_000)))
    microseconds = query.get("formatOptions.useInt64Timestamp", "").lower() == "true"
    end = start + page.num_rows
    more = {"pageToken": str(end)} if end < rows.num_rows and page.num_rows else {}
    listed = [render_row(row, fields, microseconds=microseconds) for row in page.to_pylist()]
    return {"kind": "bigquery#tableDataList", "totalRows": str(rows.num_rows), "rows": listed, **more}


def insert_job(fake: FakeBigQuery, request: Request, project: str) -> Answer:
    return Answer(fake.jobs.insert(project, request.json))


def upload_job(fake: FakeBigQuery, request: Request, project: str) -> Answer:
    return _upload(fake, request, lambda metadata, path: fake.jobs.insert(project, metadata, path))


def upload_object(fake: FakeBigQuery, request: Request, bucket: str) -> Answer:
    def finish(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
        name = request.query.get("name") or metadata["name"]
        return fake.storage.upload(bucket, name, path, request.query.get("ifGenerationMatch"))

    return _upload(fake, request, finish)


def _upload(fake: FakeBigQuery, request: Request, finish: Callable[[dict[str, Any], Path], dict[str, Any]]) -> Answer:
    if request.query["uploadType"] == "multipart":
        return Answer(fake.uploads.multipart(request.header("Content-Type") or "", request.body, finish))
    name = fake.uploads.start(request.json, finish)
    return Answer({}, 200, {"Location": f"{fake.url}/session/{name}"})


def put_chunk(fake: FakeBigQuery, request: Request, name: str) -> Answer:
    status, headers, answer = fake.uploads.put(name, request.header("Content-Range") or "", request.body)
    return Answer(answer, status, headers)


def get_job(fake: FakeBigQuery, request: Request, project: str, job: str) -> Answer:
    return Answer(fake.jobs.get(project, job, request.query.get("location")).shown())


def cancel_job(fake: FakeBigQuery, request: Request, project: str, job: str) -> Answer:
    return Answer(
        {
            "kind": "bigquery#jobCancelResponse",
            "job": fake.jobs.get(project, job, request.query.get("location")).shown(),
        }
    )


def list_jobs(fake: FakeBigQuery, request: Request, project: str) -> Answer:
    found = [{**job.resource, "state": "DONE"} for (owner, _), job in fake.jobs.by_id.items() if owner == project]
    return Answer({"kind": "bigquery#jobList", "jobs": found})


def run_query(fake: FakeBigQuery, request: Request, project: str) -> Answer:
    job = fake.jobs.insert(project, {"configuration": {"query": {"query": request.json["query"]}}})
    return _result(fake, project, job["jobReference"]["jobId"], {})


def query_results(fake: FakeBigQuery, request: Request, project: str, job: str) -> Answer:
    return _result(fake, project, job, request.query)


def _result(fake: FakeBigQuery, project: str, job_id: str, query: dict[str, str]) -> Answer:
    job = fake.jobs.by_id[project, job_id]
    job.polls = 0
    if job.result is None:
        error = job.resource["status"]["errorResult"]
        raise RefusedError(reason=error["reason"], message=error["message"])
    fields, rows = job.result
    page = _page(fields, rows, query)
    return Answer(
        {
            **page,
            "kind": "bigquery#queryResponse",
            "jobComplete": True,
            "schema": {"fields": fields},
            "jobReference": job.resource["jobReference"],
        }
    )


def discovery(fake: FakeBigQuery, request: Request) -> Answer:
    """The service's description that the ``bq`` command asks for first; it ships with the Cloud SDK."""
    program = shutil.which("bq")
    if program is None:
        raise RefusedError(reason="notFound", message="no Cloud SDK here")
    folder = Path(program).resolve().parent.parent / "platform/bq/discovery_next"
    document = json.loads((folder / "bigquery.json").read_text())
    root = f"{fake.url}/"
    return Answer({**document, "rootUrl": root, "baseUrl": f"{root}bigquery/v2/", "mtlsRootUrl": root})


def get_bucket(fake: FakeBigQuery, request: Request, bucket: str) -> Answer:
    return Answer(fake.storage.get_bucket(bucket))


def get_object(fake: FakeBigQuery, request: Request, bucket: str, name: str) -> Answer:
    media = request.query.get("alt") == "media"
    return Answer(fake.storage.read(bucket, name) if media else fake.storage.get(bucket, name))


def list_objects(fake: FakeBigQuery, request: Request, bucket: str) -> Answer:
    return Answer(fake.storage.list(bucket, request.query.get("prefix", "")))


def delete_object(fake: FakeBigQuery, request: Request, bucket: str, name: str) -> Answer:
    fake.storage.delete(bucket, name)
    return Answer(b"", 204)


PROJECT = r"/bigquery/v2/projects/([^/]+)"
DATASET = rf"{PROJECT}/datasets/([^/]+)"
TABLE = rf"{DATASET}/tables/([^/]+)"
BUCKET = r"/storage/v1/b/([^/]+)"
ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("POST", rf"{PROJECT}/datasets", create_dataset),
    ("GET", rf"{PROJECT}/datasets", list_datasets),
    ("GET", DATASET, get_dataset),
    ("DELETE", DATASET, delete_dataset),
    ("POST", rf"{DATASET}/tables", create_table),
    ("GET", rf"{DATASET}/tables", list_tables),
    ("GET", TABLE, get_table),
    ("PATCH", TABLE, patch_table),
    ("DELETE", TABLE, delete_table),
    ("GET", rf"{TABLE}/data", list_rows),
    ("POST", rf"{PROJECT}/jobs", insert_job),
    ("GET", rf"{PROJECT}/jobs", list_jobs),
    ("GET", rf"{PROJECT}/jobs/([^/]+)", get_job),
    ("POST", rf"{PROJECT}/jobs/([^/]+)/cancel", cancel_job),
    ("POST", rf"{PROJECT}/queries", run_query),
    ("GET", rf"{PROJECT}/queries/([^/]+)", query_results),
    ("POST", rf"(?:/resumable)?/upload{PROJECT}/jobs", upload_job),
    ("POST", rf"(?:/resumable)?/upload{BUCKET}/o", upload_object),
    ("PUT", r"/session/([^/]+)", put_chunk),
    ("GET", r"/\$discovery/rest", discovery),
    ("GET", BUCKET, get_bucket),
    ("GET", rf"{BUCKET}/o", list_objects),
    ("GET", rf"(?:/download)?{BUCKET}/o/([^/]+)", get_object),
    ("DELETE", rf"{BUCKET}/o/([^/]+)", delete_object),
)
