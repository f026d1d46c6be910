"""Edges of commands and of what they say that no other test stood on: found by changing the product a little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dicom_bq import cli, errors, export, job, views
from dicom_bq.cli import main
from dicom_bq.commands import operations, signals, streams
from dicom_bq.commands.bigquery import names_of
from dicom_bq.commands.talk import Talk
from dicom_bq.display import Display
from dicom_bq.operations.codes import Code
from dicom_bq.operations.process import Process
from dicom_bq.operations.record import Operation, status
from dicom_bq.operations.store import Store
from dicom_bq.problems import Problem, Problems, Reason
from dicom_bq.report import ExportReport, problem_lines
from dicom_bq.scan.outcome import Failure
from dicom_bq.schema import TableSchema
from tests.handmade import explicit_file, text
from tests.instances import instance

SCHEMA = TableSchema.from_bigquery([{"name": "Modality", "type": "STRING"}])


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


Run = Callable[..., Done]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Values are a patient's


@pytest.mark.parametrize("form", ["text", "json"])
def test_values_are_shown_to_who_asks_for_them_alone(run: Run, form: str) -> None:
    Path("a.dcm").write_bytes(explicit_file(text(0x00100020, "LO", "CANARY")))
    assert "CANARY" not in run("inspect", "a.dcm", "--format", form).out
    assert "CANARY" in run("inspect", "a.dcm", "--format", form, "--show-values").out


# operations


def keep(identifier: str, **facts: Any) -> None:
    given = {"created": "2024-01-01T00:00:00Z", "updated": "2024-01-01T00:00:00Z", "process": Process.here(), **facts}
    name = f"projects/local/locations/h/datasets/d/operations/{identifier}"
    one = Operation(**{"name": name, "method": "m", "destination": "x", "stoppable": False, "logs": "", **given})
    Store.of_user().add(one)


@pytest.mark.parametrize("stoppable", [True, False])
def test_only_a_process_that_is_there_for_the_export_is_ended(
    run: Run, monkeypatch: pytest.MonkeyPatch, stoppable: bool
) -> None:
    """Another program that exports finds the note, and goes on with what it is about."""
    asked: list[Process] = []
    monkeypatch.setattr(Process, "terminate", lambda one: asked.append(one))  # noqa: PLW0108 (a method has a self)
    monkeypatch.setattr(operations, "LONGEST_WAIT", 0.0)
    keep("1", stoppable=stoppable)
    done = run("operations", "cancel", "1")
    assert (done.code, done.err.endswith("/operations/1 has been asked to stop\n")) == (0, True)
    assert asked == [Process.here()] * stoppable
    assert Store.of_user().is_cancelled("1")


@pytest.mark.parametrize(("requested", "code", "said"), [(True, 0, "is cancelled"), (False, 1, "has ended already")])
def test_what_was_interrupted_was_not_cancelled(run: Run, requested: bool, code: int, said: str) -> None:
    error = status(Code.CANCELLED, "why")
    keep("1", ended="2024-01-01T00:00:00Z", error=error, cancel_requested=requested)
    done = run("operations", "cancel", "1")
    assert done.code == code
    assert said in done.err


def test_a_destination_forges_no_line_of_the_list(run: Run) -> None:
    keep("1", destination="x\n2  DONE")
    assert len(run("operations", "list").out.splitlines()) == 2


# Signals and streams


def test_what_was_ignored_stays_ignored() -> None:
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.Signals(Talk()):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_signal_has_begun_is_not_interrupted_by_the_next() -> None:
    with signals.Signals(Talk()) as watched:
        with pytest.raises(KeyboardInterrupt):
            watched._stop(signal.SIGINT, None)
        watched._stop(signal.SIGTERM, None)
        watched._stop(signal.SIGINT, None)
    assert watched.stopped == signal.SIGINT


def test_a_command_leaves_no_thread_and_no_file_open(run: Run) -> None:
    before = descriptors()
    run("--version")
    for thread in threading.enumerate():
        if thread.name == "dicom-bq signals":
            thread.join(5)
            assert not thread.is_alive()
    assert descriptors() <= before


def test_to_say_something_to_nobody_leaves_no_file_open(tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as said:
        before = descriptors()
        streams._silence(said.fileno())
        assert descriptors() <= before
        said.write("something")
    assert (tmp_path / "said").read_text() == ""


def test_a_stream_that_is_closed_is_closed_for_processes_that_are_started_too() -> None:
    """In place of it they would have the next file that they open."""
    program = (
        "import os, subprocess, sys; os.close(1)\n"
        "from dicom_bq.commands import streams; streams.settle()\n"
        "sys.exit(subprocess.run(['sh', '-c', 'test -e /proc/self/fd/1']).returncode)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0


# export


def test_a_remark_does_not_stand_behind_the_bar(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(Display, "clear", lambda _: happened.append("clear"))
    monkeypatch.setattr(Talk, "remark", lambda _, message, **__: happened.append(message[:21]))
    Path("a.dcm").write_bytes(explicit_file(text(0x00100020, "LO", "ID")))
    assert run("export", "a.dcm", "x.parquet", "--workers", "1").code == 0
    assert happened[:2] == ["clear", "The state of this job"]


def test_a_schema_from_stdin_is_nothing_for_the_background(run: Run) -> None:
    done = run("export", "archive", "x.parquet", "--schema", "-", "--async")
    assert done.code == 2
    assert "- is stdin, which an export in the background (--async) does not have" in done.err


def test_a_dry_run_counts_no_output(run: Run) -> None:
    instance(Path("archive"), "1.1", Modality="CT")
    for _ in range(2):
        plan = job.plan_export("archive", "archive/x.parquet", write_disposition="write-append", workers=1)
        assert plan.read.found == 1
        export("archive", "archive/x.parquet", write_disposition="write-append", workers=1)


# schema


def test_a_table_s_suffix_has_no_case(run: Run) -> None:
    instance(Path("archive"), "1.1", Modality="CT")
    export("archive", "x.parquet", workers=1)
    Path("x.parquet").rename("X.Parquet")
    assert run("schema", "diff", "-q", "X.Parquet", "archive") == (0, "", "")


def test_a_schema_from_a_pipe_is_read_once(run: Run) -> None:
    """As <(command) of a shell is one."""
    reading, writing = os.pipe()
    os.write(writing, SCHEMA.to_json().encode())
    os.close(writing)
    Path("s.json").write_text(SCHEMA.to_json())
    try:
        assert run("schema", "diff", f"/proc/self/fd/{reading}", "s.json") == (0, "", "")
    finally:
        os.close(reading)


# Exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError(reason=""), 2),
        (errors.SchemaError(reason=""), 2),
        (errors.SchemaConflictError(path="", first="", second=""), 2),
        (errors.SchemaLimitError(limit="", path="", found=1, allowed=0), 3),
        (errors.DestinationError(destination="", reason="", advice=""), 3),
        (errors.DestinationExistsError(destination="", rows=1), 3),
        (errors.DestinationConflictError(destination="", path="", first="", second=""), 3),
        (errors.MissingDependencyError(package="", extra=""), 3),
        (errors.NotDicomError(reason="", offset=0), 1),
        (errors.WorkerError(how="", ended=1), 70),
        (errors.InternalError(kind="", where=""), 70),
        (errors.OutOfMemoryError(), 71),
        (errors.CancelledError(operation=""), 143),
        (MemoryError(), 71),
        (ValueError("CANARY"), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_error_has_its_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._told(Talk(), error) == code
    assert "CANARY" not in capsys.readouterr().err


def test_a_filter_counts_the_rows_that_it_cannot_ask_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, ...]] = [("2", "3", "1.1"), (), ("2", "3", "1.2")]
    monkeypatch.setattr(views, "instances_where", lambda *_: iter(found))
    done = run("filter", "x.duckdb", "--where", "true")
    assert done.out == "/studies/2/series/3/instances/1.1\n/studies/2/series/3/instances/1.2\n"
    assert done.err == "1 without a Study Instance UID left out\n"
    del found[1]
    assert run("filter", "x.duckdb", "--where", "true").err == ""


def test_names_of_columns_may_have_blanks_between_them() -> None:
    assert names_of("a, b,c ") == ["a", "b", "c"]


# Reports


def report(failed: int, operation: str = "") -> ExportReport:
    return ExportReport(
        found=failed + 1,
        exported=1,
        failures=[Failure(f"{number}\n", "malformed", "why") for number in range(failed)],
        skipped=[],
        problems=Problems(),
        schema=SCHEMA,
        seconds=0.0,
        destination="x",
        disposition="WRITE_EMPTY",
        rows=1,
        operation=operation,
    )


@pytest.mark.parametrize(("failed", "left_out"), [(10, []), (11, ["  and 1 more"])])
def test_a_list_says_what_it_leaves_out_and_no_more(failed: int, left_out: list[str]) -> None:
    lines = report(failed, "operations/7").summary().splitlines()
    assert [line for line in lines if line.startswith("  and")] == left_out
    assert ("All of it is in the report (--report FILE.json)" in lines) == bool(left_out)
    assert any("operations describe 7" in line for line in lines) == bool(left_out)
    assert not any("operations describe" in line for line in report(failed).summary().splitlines())
    assert r"  0\n: why (malformed)" in lines


def test_a_report_says_how_far_its_job_came() -> None:
    told = report(2).progressed()
    assert (told.found, told.exported, told.failed, told.written, told.listed) == (3, 1, 2, 1, 3)
    assert told.listing_done
    assert [failure.uri for failure in told.failures] == ["0\n", "1\n"]


def test_problems_of_one_number_are_in_the_order_of_their_tags() -> None:
    found = Problems()
    for tag in ("(0010,0030)", "(0008,0020)", "(0010,0010)"):
        found.counts[Problem(Reason.EXCLUDED_VR, "", tag, "OB")] = 2
    lines = [line.split()[1] for line in list(problem_lines(found))[1:]]
    assert lines == ["(0008,0020)", "(0010,0010)", "(0010,0030)"]
