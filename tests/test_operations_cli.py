"""Exports as operations, from the command line: real processes that are watched, stopped, killed, left alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from dicom_bq.cli import main, stopped
from dicom_bq.commands import signals
from dicom_bq.operations import detached
from dicom_bq.operations.store import Store
from tests.instances import instance

ROOT = Path(__file__).resolve().parent.parent

SOON = 8.0
"""Seconds. The README promises two; on a busy machine that takes longer, and what is interrupted takes a minute."""
SLOW = """
import os, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs these tests may ignore it, and so would we
from dicom_bq import reading
from dicom_bq.operations import running
from dicom_bq.cli import main

def slow(place):
    print(place, flush=True)
    time.sleep(60)

running.EVERY, reading.BATCH_SIZE = 0.05, 1
add = reading.Tally.add
"""
"""Beginning of a program that waits somewhere."""
PLACES = {
    "listing": "reading.make_parts = lambda *_: (slow('here') for _ in (0,))",
    "reading": "reading.Tally.add = lambda *_: slow('here')",
    "writing": "import pyarrow.parquet as pq; pq.ParquetWriter.write_table = lambda *_, **__: slow('here')",
}
RUN = "\nsys.exit(main(sys.argv[1:]))"


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def run(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


Run = Callable[..., Done]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four instances, one of which is cut off, in the current directory."""
    for number in range(4):
        made = instance(tmp_path / "archive", f"1.{number}", PatientName="Canary^Value")
    made.write_bytes(made.read_bytes()[:-3])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "archive"


def start(place: str, *arguments: str) -> subprocess.Popen[str]:
    """An export that waits at a place, and has come to it."""
    program = SLOW + PLACES[place] + RUN
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "here\n"
    return process


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts exports, and ends those that a test has left."""
    processes = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        processes.append(start(*arguments))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def only() -> dict[str, Any]:
    (operation,) = Store.of_user().all()
    return operation.to_dict()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# list and describe


def test_nothing_to_list(run: Run) -> None:
    heading = "ID  STATE  CREATED  SECONDS  SUCCESS  FAILURE  PENDING  DESTINATION\n"
    assert run("operations", "list") == (0, heading, "")
    assert run("operations", "list", "--format", "json") == (0, "[]\n", "")


def test_list_and_describe(run: Run, archive: Path) -> None:
    assert run("export", archive, "a.parquet", "-q").code == 1
    assert run("export", archive, "a.parquet", "-q").code == 3
    assert run("export", archive, "b.duckdb", "-q", "--operation-id", "mine").code == 1
    lines = run("operations", "list").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "CREATED", "SECONDS", "SUCCESS", "FAILURE", "PENDING", "DESTINATION"]
    assert [re.sub(r"\S+Z +\d+", "TIME", line).split()[1:] for line in lines[1:]] == [
        ["DONE", "TIME", "3", "1", "0", "b.duckdb#dicom"],
        ["FAILED", "TIME", "0", "0", "0", "a.parquet"],
        ["DONE", "TIME", "3", "1", "0", "a.parquet"],
    ]
    listed = json.loads(run("operations", "list", "--format", "json", "--limit", "1").out)
    assert [operation["name"].rpartition("/")[2] for operation in listed] == ["mine"]
    for asked in ("mine", "mi", listed[0]["name"]):
        assert json.loads(run("operations", "describe", asked).out) == listed[0]


@pytest.mark.parametrize("command", ["describe", "cancel"])
def test_an_operation_that_is_not_there(run: Run, command: str) -> None:
    done = run("operations", command, "4711")
    assert (done.code, done.out) == (2, "")
    assert done.err == "dicom-bq: there is no operation 4711; see dicom-bq operations list\n"


def test_the_log_asked_for(run: Run, archive: Path) -> None:
    assert run("export", archive, "a.parquet", "-q", "--error-log", "failed.jsonl").code == 1
    (entry,) = map(json.loads, Path("failed.jsonl").read_text().splitlines())
    assert entry["resourceName"].endswith("1.3.dcm")
    done = run("export", archive, "b.parquet", "--error-log", "nowhere/failed.jsonl")
    assert done.code == 2
    assert "nowhere/failed.jsonl: the directory does not exist" in done.err


def test_state_that_cannot_be_written(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nothing")
    done = run("export", archive, "a.parquet", "-q")
    assert done.code == 1
    assert re.fullmatch(r"dicom-bq: /proc/nothing\S+: No such .*; no record .* Set XDG_STATE_HOME\n", done.err)
    done = run("export", archive, "b.parquet", "--async")
    assert done.code == 3
    assert "no record can be kept here" in done.err
    assert "export without --async" in done.err


# cancel


@pytest.mark.parametrize("place", PLACES)
def test_cancel(run: Run, archive: Path, started: Callable[..., subprocess.Popen[str]], place: str) -> None:
    process = started(place, "export", "archive", "x.parquet", "--workers", "1")
    record = only()
    assert record["dicomBq"]["state"] == "RUNNING"
    began = time.monotonic()
    done = run("operations", "cancel", record["name"])
    assert time.monotonic() - began < SOON
    assert done == (0, "", f"{record['name']} is cancelled\n")
    _, said = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "dicom-bq: terminated; nothing is half written. Run the same command" in said
    ended = only()
    assert ended["done"] is True
    assert ended["metadata"]["cancelRequested"] is True
    assert ended["error"]["code"] == 1
    assert ended["metadata"]["counter"]["success"] == "0"
    assert {path.name for path in archive.parent.iterdir()} <= {".x.parquet.job", "archive"}
    again = run("operations", "cancel", record["name"])
    assert again.code == 0
    assert run("operations", "list").out.splitlines()[1].split()[1] == "CANCELLED"


def test_cancel_what_has_ended(run: Run, archive: Path) -> None:
    run("export", archive, "x.parquet", "-q", "--operation-id", "done")
    done = run("operations", "cancel", "done")
    assert done.code == 1
    assert done.err.endswith("/operations/done has ended already: DONE\n")


def test_cancel_reaches_no_process_of_the_same_number(
    run: Run, archive: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("reading", "export", "archive", "x.parquet", "--operation-id", "old")
    path = Store.of_user().path("old")
    path.write_text(re.sub(r'"started": "[^"]*"', '"started": "before"', path.read_text()))
    done = run("operations", "cancel", "old")
    assert done.code == 1
    assert "has ended already: ABORTED" in done.err
    assert process.poll() is None


def test_an_export_that_was_killed(run: Run, archive: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("writing", "export", "archive", "x.parquet", "--workers", "1")
    until(lambda: only()["metadata"]["counter"]["success"] == "3")
    process.kill()
    process.communicate()
    record = json.loads(run("operations", "describe", only()["name"]).out)
    assert record["done"] is True
    assert record["error"]["code"] == 10
    assert "run the same command again" in record["error"]["message"]
    assert record["metadata"]["counter"] == {"success": "0", "failure": "1", "pending": "3"}
    assert run("operations", "list").out.splitlines()[1].split()[1] == "ABORTED"


# Signals


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(
    archive: Path, started: Callable[..., subprocess.Popen[str]], place: str, number: signal.Signals
) -> None:
    process = started(place, "export", "archive", "x.parquet", "--workers", "1", "--log-format", "json")
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert time.monotonic() - began < SOON
    assert process.returncode == 128 + number
    begun, entry = map(json.loads, said.splitlines())
    assert begun["message"] == f"The state of this job is in {archive.parent / '.x.parquet.job'}"
    assert entry["severity"] == "NOTICE"
    assert entry["message"].startswith(f"{signals.WORDS[number]}; nothing is half written. Run the same command")
    assert {path.name for path in archive.parent.iterdir()} <= {".x.parquet.job", "archive"}
    assert only()["dicomBq"]["state"] == "CANCELLED"


def test_a_call_that_does_not_come_back(archive: Path) -> None:
    """Python handles a signal when a call comes back. Here another thread gets it, so this call does not even end."""
    program = SLOW + (
        "import ctypes, signal, threading\n"
        "def hang(*_):\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "    print('here', flush=True)\n"
        "    ctypes.CDLL(None).sleep(60)\n"
        "reading.Tally.add = hang"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program + RUN, "export", "archive", "x.parquet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "here\n"
    time.sleep(0.3)  # it is in the call
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert 1 < time.monotonic() - began < SOON
    assert process.returncode == 130
    _, ended = said.splitlines()
    assert ended.startswith("dicom-bq: interrupted, and ended by force after two seconds. The table is as it was")
    assert only()["dicomBq"]["state"] == "ABORTED"


def test_a_list_that_does_not_come(archive: Path) -> None:
    """Nor does a thread that waits for stdin keep a process from ending."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dicom_bq", "export", "-", "x.parquet"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: any(operation.state == "RUNNING" for operation in Store.of_user().all()))
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert time.monotonic() - began < SOON
    _, said = process.communicate()
    _, ended = said.splitlines()
    assert ended == "dicom-bq: terminated; nothing is half written. Run the same command to begin again"


def test_how_to_go_on() -> None:
    assert stopped("interrupted", SystemExit()).endswith("half written. Run the same command to begin again")
    error = SystemExit()
    error.__cause__ = KeyboardInterrupt()
    error.__cause__.add_note("Run the same command again: 5 files are read already.")
    assert stopped("interrupted", error) == (
        "interrupted; nothing is half written. Run the same command again: 5 files are read already."
    )


# --async


def test_async(run: Run, archive: Path) -> None:
    began = run("export", "archive", "x.parquet", "--async", "--log-format", "json")
    assert (began.code, began.err) == (0, "")
    assert re.fullmatch(r"projects/local/locations/[^/]+/datasets/x/operations/\d+\n", began.out)
    until(lambda: "done" in only())
    record = only()
    assert record["name"] == began.out.strip()
    assert record["metadata"]["counter"] == {"success": "3", "failure": "1", "pending": "0"}
    assert pq.read_metadata("x.parquet").num_rows == 3
    store = Store.of_user()
    identifier = record["name"].rpartition("/")[2]
    until(lambda: "exported" in store.path(identifier, ".log").read_text())
    *_, last = store.path(identifier, ".log").read_text().splitlines()
    assert json.loads(last)["exported"] == 3
    assert all(b"canary" not in path.read_bytes().lower() for path in store.directory.iterdir())


def test_async_returns_while_it_runs(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = archive.parent / "python"
    wrapper.write_text(
        f"#!{sys.executable}\n"
        "import runpy, sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from dicom_bq import reading\n"
        "reading.Tally.add = lambda *_: time.sleep(60)\n"
        "sys.argv = sys.argv[3:]\n"
        "runpy.run_module('dicom_bq', run_name='__main__')\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr(detached.sys, "executable", str(wrapper))
    began = time.monotonic()
    done = run("export", "archive", "x.parquet", "--async", "--operation-id", "mine")
    assert done.code == 0
    assert time.monotonic() - began < 10
    record = only()
    assert record["dicomBq"]["state"] == "RUNNING"
    pid = record["dicomBq"]["process"]["pid"]
    assert os.getsid(pid) == pid  # a session of its own: no terminal can hang it up
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    assert run("operations", "cancel", "mine").code == 0
    assert only()["dicomBq"]["state"] == "CANCELLED"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere", "x.parquet"], 2, "nowhere does not exist"),
        (["archive", "nowhere/x.parquet"], 3, "no directory"),
        (["archive", "full.parquet"], 3, "the table has 3 rows already"),
        (["archive", "x.parquet", "--operation-id", "a b"], 2, "an operation's ID has"),
        (["archive", "x.parquet", "--operation-id", "first"], 2, "there is an operation first already"),
        (["archive", "x.parquet", "--dry-run"], 2, "give one of the two"),
        (["-", "x.parquet"], 2, "- is stdin"),
        (["archive", "x.parquet", "--workers", "0"], 2, "workers"),
    ],
)
def test_async_says_at_once_what_is_wrong(run: Run, archive: Path, arguments: list[str], code: int, said: str) -> None:
    run("export", "archive", "full.parquet", "-q", "--operation-id", "first")
    done = run("export", *arguments, "--async")
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    records = {path.name.partition(".")[0] for path in Store.of_user().directory.iterdir()}
    assert len(records) == (2 if code == 3 else 1)


def test_options_of_the_process() -> None:
    words = ["export", "--async", "a", "--", "--async", "b"]
    assert detached.without_option(words) == ["export", "a", "--", "--async", "b"]


# What is said in JSON


def test_files_are_not_each_other_s(run: Run, archive: Path) -> None:
    run("export", archive, "x.parquet", "-q")
    before = Path("x.parquet").read_bytes()
    for options, said in (
        (["--report", "./x.parquet"], "--report ./x.parquet is OUT too: choose another file"),
        (["--error-log", "x.parquet"], "--error-log x.parquet is OUT too"),
        (["--report", "a", "--error-log", "a"], "--error-log a is --report too"),
    ):
        done = run("export", archive, "x.parquet", "--overwrite-table", *options)
        assert done.code == 2
        assert said in done.err
    assert Path("x.parquet").read_bytes() == before


def test_json_on_stderr(run: Run, archive: Path) -> None:
    done = run("export", archive, "x.parquet", "--log-format", "json")
    begun, entry = map(json.loads, done.err.splitlines())
    assert begun["severity"] == "INFO"
    assert (entry["severity"], entry["found"], entry["failed"]) == ("WARNING", 4, 1)
    assert entry["message"].startswith("x.parquet: 3 rows written")
    for arguments, code, message in (
        (["export", archive, "x.parquet"], 3, "x.parquet: the table has 3 rows already"),
        (["export", archive, "x.parquet", "--nonsense"], 2, "No such option"),
        (["export", "nowhere", "x.parquet"], 2, "nowhere does not exist"),
    ):
        done = run(*arguments, "--log-format=json")
        (entry,) = map(json.loads, done.err.splitlines())
        assert (done.code, entry["severity"]) == (code, "ERROR")
        assert message in entry["message"]
    quiet = run("export", archive, "y.parquet", "--log-format", "json", "--quiet")
    assert (quiet.code, quiet.err) == (1, "")


def test_a_bug_in_json(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicom_bq import job

    def fail(*_: object, **__: object) -> None:
        message = "CANARY"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(job, "export", fail)
    done = run("export", archive, "x.parquet", "--log-format", "json")
    (entry,) = map(json.loads, done.err.splitlines())
    assert (done.code, entry["severity"]) == (70, "CRITICAL")
    assert "CANARY" not in done.err
