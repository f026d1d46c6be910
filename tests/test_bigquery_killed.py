"""An export into BigQuery that is killed anywhere, and run again: exactly its rows, once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_bigquery import FakeBigQuery, Fault
from tests.instances import instance
from tests.nursery import Nursery

DISPOSITIONS = ("write-empty", "write-append", "write-truncate")
POINTS = {
    "files are read": ("before", "reading.Reading._build"),
    "the journal is made": ("after", "destinations.bigquery_runs._sync"),
    "the file is written": ("after", "destinations.bigquery_files._write_part"),
    "the load is announced": ("after", "destinations.bigquery_runs.Run.announce"),
    "the job directory is told": ("after", "jobdir.JobDirectory.announce"),
    "columns are added": ("after", "destinations.bigquery_client.Session.patch"),
    "the job is waited for": ("before", "destinations.bigquery_jobs.wait"),
    "the job is done": ("after", "destinations.bigquery_jobs.wait"),
    "the run is to be forgotten": ("before", "destinations.bigquery_runs.Run.forget"),
    "the run is forgotten": ("after", "destinations.bigquery_runs.Run.forget"),
    "the write is noted": ("after", "jobdir.JobDirectory.written"),
    "the journal is to be removed": ("before", "journal.Journal.remove"),
}
"""Where the process kills itself: before or after a function of ``dicom_bq`` does its work."""
REQUESTS = {
    "the upload has begun": Fault("POST", "/upload/", "drop", "after"),
    "half of the file is sent": Fault("PUT", "/session/", "drop"),
    "the rows are in, and nobody has said so": Fault("PUT", "/session/", "drop", "after"),
    "the job is asked about": Fault("GET", "/jobs/", "drop"),
}
"""At which request the process is killed by the server."""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeBigQuery]:
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        fake.jobs.polls = 0
        yield fake
    assert fake.bugs == []


@pytest.fixture
def nursery(forking: subprocess.Popen[str], fake: FakeBigQuery, tmp_path: Path) -> Nursery:
    for name in ("temporary", "state"):
        (tmp_path / name).mkdir()
    environment = {
        "BIGQUERY_EMULATOR_HOST": fake.url,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TMPDIR": str(tmp_path / "temporary"),
    }
    return Nursery(forking, environment, tmp_path / "log")


def uids(fake: FakeBigQuery) -> list[str]:
    return sorted(row["SOPInstanceUID"] for row in fake.rows("ds.t"))


def check(
    nursery: Nursery, fake: FakeBigQuery, tmp_path: Path, disposition: str, interrupt: Callable[..., int]
) -> None:
    """Interrupt an export and run it again, and again."""
    instance(tmp_path / "first", "1.1")
    for number in range(3):
        instance(tmp_path / "second", f"1.2{number}", StudyDate="20200131", PatientName="Doe^Jane")
    before = [] if disposition == "write-empty" else ["1.1"]
    if before:
        assert nursery.run("export", str(tmp_path / "first"), "bq://p1.ds.t") == 0
    command = ("export", str(tmp_path / "second"), "bq://p1.ds.t", "--write-disposition", disposition)
    assert interrupt(*command) == -signal.SIGKILL
    assert nursery.run(*command) == 0, nursery.log.read_text()
    added = ["1.20", "1.21", "1.22"]
    kept = before if disposition == "write-append" else []
    assert uids(fake) == [*kept, *added]
    assert [path for path in (tmp_path / "state" / "dicom-bq" / "runs").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "temporary").iterdir()) == []
    assert nursery.run(*command) == (3 if disposition == "write-empty" else 0)
    assert uids(fake) == sorted([*kept, *added, *(added if disposition == "write-append" else [])])


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("point", POINTS)
def test_killed_by_itself(nursery: Nursery, fake: FakeBigQuery, tmp_path: Path, point: str, disposition: str) -> None:
    if point == "columns are added" and disposition != "write-append":
        pytest.skip("there are none to add")
    check(nursery, fake, tmp_path, disposition, lambda *command: nursery.run(*command, point=POINTS[point]))


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_killed_in_a_request(
    nursery: Nursery, fake: FakeBigQuery, tmp_path: Path, request_: str, disposition: str
) -> None:
    fake.jobs.polls = 1
    born, process = threading.Event(), []

    def tell(number: int) -> None:
        process.append(number)
        born.set()

    def kill() -> None:
        born.wait(10)
        os.kill(process[0], signal.SIGKILL)

    def interrupt(*command: str) -> int:
        fault = REQUESTS[request_]
        fake.faults.append(Fault(fault.method, fault.path, fault.reason, fault.when, action=kill))
        return nursery.run(*command, born=tell)

    check(nursery, fake, tmp_path, disposition, interrupt)
