"""An export into BigQuery that is killed anywhere, and run again: exactly its rows, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fake_bigquery import FakeBigQuery, Fault
from tests.instances import instance

DISPOSITIONS = ("write-empty", "write-append", "write-truncate")
POINTS = {
    "files are read": ("before", "reading.Reading._build"),
    "the journal is made": ("after", "destinations.bigquery_runs._sync"),
    "the file is written": ("after", "destinations.bigquery_files._write_part"),
    "the load is announced": ("after", "destinations.bigquery_runs.Run.announce"),
    "columns are added": ("after", "destinations.bigquery_client.Session.patch"),
    "the job is waited for": ("before", "destinations.bigquery_jobs.wait"),
    "the job is done": ("after", "destinations.bigquery_jobs.wait"),
    "the run is to be forgotten": ("before", "destinations.bigquery_runs.Run.forget"),
}
"""Where the process kills itself: before or after a function of ``dicom_bq`` does its work."""
REQUESTS = {
    "the upload has begun": Fault("POST", "/upload/", "drop", "after"),
    "half of the file is sent": Fault("PUT", "/session/", "drop"),
    "the rows are in, and nobody has said so": Fault("PUT", "/session/", "drop", "after"),
    "the job is asked about": Fault("GET", "/jobs/", "drop"),
}
"""At which request the process is killed by the server."""

# A process that has imported everything, and forks one for each command: a start takes 50 ms in place of a second.
NURSERY = """
import importlib.util, json, os, pkgutil, signal, sys
import google.cloud.bigquery, pyarrow.parquet, pydicom, dicom_bq
from dicom_bq.cli import main

for module in pkgutil.walk_packages(dicom_bq.__path__, "dicom_bq."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
dicom_bq.schema_from_keywords(["PatientName"]).to_bigquery()
dicom_bq.TableSchema.from_bigquery([{"name": "PatientName", "type": "STRING"}])

def kill_at(when, name):
    parts = name.split(".")
    module = next(".".join(parts[:n]) for n in range(len(parts), 0, -1) if is_module(".".join(parts[:n])))
    owner = importlib.import_module("dicom_bq." + module)
    for part in name.removeprefix(module + ".").split(".")[:-1]:
        owner = getattr(owner, part)
    original = getattr(owner, parts[-1])
    def killed(*arguments, **options):
        result = original(*arguments, **options) if when == "after" else None
        os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, parts[-1], killed)

def is_module(name):
    try:
        return importlib.util.find_spec("dicom_bq." + name) is not None
    except ModuleNotFoundError:
        return False

print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        output = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(order["environment"])
        if order["point"]:
            kill_at(*order["point"])
        os._exit(main(order["arguments"]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Nursery:
    """Runs command lines, each in a process of its own.

    Attributes:
        process: The one that forks. environment: Of the commands. log: What they write.
    """

    process: subprocess.Popen[str]
    environment: dict[str, str]
    log: Path

    def run(self, *arguments: str, point: tuple[str, str] | None = None, born: Callable[[int], None] = id) -> int:
        """The exit code of a command, or minus the signal that killed it; ``born`` is told its process ID."""
        order = {
            "arguments": arguments,
            "point": point,
            "environment": self.environment,
            "log": str(self.log),
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        born(int(self.process.stdout.readline()))
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


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
