"""BigQuery's REST v2 on 127.0.0.1, with faults on demand."""

from __future__ import annotations

import json
import re
import socket
import threading
import traceback
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fake_bigquery.api import ROUTES, Answer, Request
from tests.fake_bigquery.catalog import Catalog, Table
from tests.fake_bigquery.jobs import Jobs
from tests.fake_bigquery.rules import HTTP_STATUS, RefusedError
from tests.fake_bigquery.storage import Storage
from tests.fake_bigquery.uploads import Uploads


@dataclass
class Fault:
    """Something that goes wrong ``times`` times, then no more: a client that retries must get through.

    Attributes:
        method: HTTP method, or ``JOB`` for the inside of a job.
        path: Pattern searched in the request's path, or in the job's id.
        reason: An error reason of ``rules.HTTP_STATUS``, or ``drop`` to close the connection unanswered.
        when: ``before`` the request has its effect, or ``after``.
        times: How often; every fault is bounded, since clients retry for minutes.
        action: Called instead of answering with an error, e.g. to kill the client.
    """

    method: str
    path: str
    reason: str = "backendError"
    when: str = "before"
    times: int = 1
    action: Callable[[], None] | None = None

    def strikes(self, method: str, path: str, when: str) -> bool:
        if self.times < 1 or (method, when) != (self.method, self.when) or not re.search(self.path, path):
            return False
        self.times -= 1
        return True


class FakeBigQuery:
    """A running fake; use it as a context manager.

    Attributes:
        catalog: Datasets and tables. jobs: Jobs. storage: Buckets. faults: What still will go wrong.
        requests: Every request so far. bugs: Tracebacks of this fake's own errors; there should be none.
    """

    def __init__(self, directory: Path, *, project: str = "p1", faults: list[Fault] | None = None) -> None:
        self.project = project
        self.catalog = Catalog()
        self.storage = Storage(directory / "buckets")
        self.storage.root.mkdir(parents=True)
        self.uploads = Uploads(directory)
        self.faults = faults if faults is not None else []
        self.jobs = Jobs(self.catalog, self.storage.find, self._interrupt)
        self.requests: list[Request] = []
        self.bugs: list[str] = []
        self.lock = threading.RLock()
        self.server = Server(("127.0.0.1", 0), type("Handler", (Handler,), {"fake": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FakeBigQuery:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def create_dataset(self, name: str, location: str = "US") -> None:
        self.catalog.create_dataset(self.project, {"datasetReference": {"datasetId": name}, "location": location})

    def create_bucket(self, name: str) -> Path:
        (self.storage.root / name).mkdir()
        return self.storage.root / name

    def table(self, name: str) -> Table:
        """The table ``dataset.table`` of the fake's project."""
        dataset, table = name.split(".")
        return self.catalog.table((self.project, dataset, table))

    def rows(self, name: str) -> list[dict[str, Any]]:
        return self.table(name).rows.to_pylist()

    def load_configs(self) -> list[dict[str, Any]]:
        """The configuration of every load job so far, oldest first."""
        return [
            job.resource["configuration"]["load"]
            for job in self.jobs.by_id.values()
            if "load" in job.resource["configuration"]
        ]

    def fault(self, method: str, path: str, when: str) -> Fault | None:
        return next((fault for fault in self.faults if fault.strikes(method, path, when)), None)

    def _interrupt(self, job_id: str) -> None:
        if fault := self.fault("JOB", job_id, "before"):
            raise RefusedError(reason=fault.reason, message=f"A fault was asked for: {fault.reason}")

    def answer(self, request: Request) -> Answer:
        """Route one request; errors become BigQuery's error bodies."""
        self.requests.append(request)
        try:
            for method, pattern, call in ROUTES:
                match = re.fullmatch(pattern, request.path)
                if method == request.method and match:
                    return call(self, request, *map(urllib.parse.unquote, match.groups()))
            return error_answer("notFound", f"The fake has no {request.method} {request.path}")
        except RefusedError as error:
            return error_answer(error.reason, error.message)
        except Exception:
            # Never 500: a client would retry it for ten minutes.
            self.bugs.append(traceback.format_exc())
            return error_answer("invalid", self.bugs[-1])


def error_answer(reason: str, message: str) -> Answer:
    code = HTTP_STATUS[reason]
    errors = [{"reason": reason, "message": message, "domain": "global"}]
    return Answer({"error": {"code": code, "message": message, "errors": errors}}, code)


class Handler(BaseHTTPRequestHandler):
    """One connection; ``fake`` is set by ``type()`` for each running fake."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: two would wait 40 ms for a delayed acknowledgement
    fake: FakeBigQuery

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def _serve(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        fault = self.fake.fault(self.command, url.path, "before")
        if fault:
            self.rfile.read(length // 2 if fault.reason == "drop" else length)
            self._strike(fault)
            return
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(length)
        if len(body) < length:
            return  # the client died while sending
        with self.fake.lock:
            answer = self.fake.answer(Request(self.command, url.path, query, dict(self.headers.items()), body))
        if fault := self.fake.fault(self.command, url.path, "after"):
            self._strike(fault)
        else:
            self._send(answer)

    def _strike(self, fault: Fault) -> None:
        if fault.action:
            fault.action()
        if fault.reason == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._send(error_answer(fault.reason, f"A fault was asked for: {fault.reason}"))

    def _send(self, answer: Answer) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815


class Server(ThreadingHTTPServer):
    """A server that does not mind clients that die."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: tests kill clients on purpose."""
