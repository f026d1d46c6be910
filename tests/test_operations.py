"""What is kept of an export: its record, its codes, its log, whatever the end."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dicom_bq
from dicom_bq import errors
from dicom_bq.destinations.bigquery_google import UnavailableError
from dicom_bq.errors import DestinationError, DestinationExistsError, UsageError
from dicom_bq.journal import Journal
from dicom_bq.operations import detached, running, store
from dicom_bq.operations.codes import Code, code_of_error, code_of_failure
from dicom_bq.operations.process import Process
from dicom_bq.operations.record import Operation, method_of, name_of
from dicom_bq.operations.running import OperationOptions, Running
from dicom_bq.operations.store import Store
from dicom_bq.progress import Progressed
from dicom_bq.scan.outcome import Failure
from tests.fake_bigquery import FakeBigQuery
from tests.instances import instance

EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three instances, of which one is cut off, and a link to nothing."""
    folder = tmp_path / "archive"
    for number in range(3):
        made = instance(folder, f"1.{number}", PatientName="Canary^Value", PatientID="CANARY")
    made.write_bytes(made.read_bytes()[:-3])
    (folder / "nowhere.dcm").symlink_to("nothing")
    return folder


def kept() -> list[dict[str, Any]]:
    """Every record there is, the newest first."""
    return [operation.to_dict() for operation in Store.of_user().all()]


# The record of an export


def test_an_export_leaves_a_record(archive: Path, tmp_path: Path, state_home: Path) -> None:
    report = dicom_bq.export(archive, tmp_path / "table.duckdb")
    (record,) = kept()
    assert report.operation == record["name"]
    assert re.fullmatch(r"projects/local/locations/[^/]+/datasets/table/operations/\d{19}", record["name"])
    metadata = record["metadata"]
    assert metadata["@type"] == "type.googleapis.com/google.cloud.healthcare.v1.OperationMetadata"
    assert metadata["apiMethodName"] == "dicom_bq.DicomService.ExportDicomData_duckdb"
    assert metadata["counter"] == {"success": "2", "failure": "2", "pending": "0"}
    assert "cancelRequested" not in metadata
    assert metadata["createTime"] < metadata["endTime"]
    assert record["done"] is True
    assert record["response"] == EMPTY
    assert "error" not in record
    assert record["dicomBq"]["state"] == "DONE"
    assert record["dicomBq"]["destination"] == f"{tmp_path / 'table.duckdb'}#dicom"
    assert json.loads(report.to_json())["operation"] == record["name"]


def test_a_counter_without_failures_has_none(archive: Path, tmp_path: Path) -> None:
    dicom_bq.export(archive / "1.0.dcm", tmp_path / "x.parquet")
    assert kept()[0]["metadata"]["counter"] == {"success": "1", "pending": "0"}


def test_the_log_of_failed_files(archive: Path, tmp_path: Path, state_home: Path) -> None:
    dicom_bq.export(archive, tmp_path / "x.parquet")
    url = kept()[0]["metadata"]["logsUrl"]
    log = Path(url.removeprefix("file://"))
    assert log.parent == state_home / "dicom-bq" / "operations"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    kind = "type.googleapis.com/google.cloud.healthcare.logging.ExportDicomLogEntry"
    assert all(entry.keys() == {"@type", "resourceName", "error"} and entry["@type"] == kind for entry in entries)
    found = {Path(entry["resourceName"]).name: entry["error"]["code"] for entry in entries}
    assert found == {"1.2.dcm": Code.DATA_LOSS, "nowhere.dcm": Code.NOT_FOUND}
    assert all("CANARY" not in file.read_text().upper() for file in log.parent.iterdir())


def test_another_place_for_the_log(archive: Path, tmp_path: Path) -> None:
    log = tmp_path / "archive" / "failed.jsonl"
    options = OperationOptions(error_log=log)
    report = dicom_bq.export(archive, tmp_path / "x.parquet", operation=options)
    assert (report.found, len(log.read_text().splitlines())) == (4, 2)
    assert kept()[0]["metadata"]["logsUrl"] == log.as_uri()
    again = dicom_bq.export(archive, tmp_path / "x.parquet", overwrite_table=True, operation=options)
    assert again.found == 4  # a log of ours is no source
    assert len(log.read_text().splitlines()) == 2
    dicom_bq.export(archive / "1.0.dcm", tmp_path / "y.parquet", operation=options)
    assert log.read_text() == ""


def test_a_file_of_something_else_is_no_log(archive: Path, tmp_path: Path) -> None:
    dicom_bq.export(archive, tmp_path / "x.parquet")
    for place in (archive / "1.0.dcm", tmp_path / "x.parquet"):
        before = place.read_bytes()
        with pytest.raises(UsageError, match=r"(1\.0\.dcm|x\.parquet) is no error log: choose another file"):
            dicom_bq.export(archive, tmp_path / "x.parquet", operation=OperationOptions(error_log=place))
        assert place.read_bytes() == before


def test_a_log_stays_when_an_export_is_refused(archive: Path, tmp_path: Path) -> None:
    log, table = tmp_path / "failed.jsonl", tmp_path / "x.parquet"
    dicom_bq.export(archive, table, operation=OperationOptions(error_log=log))
    before = log.read_bytes()
    with pytest.raises(DestinationExistsError, match="the table has 2 rows already"):
        dicom_bq.export(archive, table, operation=OperationOptions(error_log=log))
    with (
        Journal(tmp_path / ".x.parquet.job" / "journal"),
        pytest.raises(DestinationError, match="another process is at this job"),
    ):
        dicom_bq.export(archive, table, overwrite_table=True, operation=OperationOptions(error_log=log))
    assert before.count(b"\n") == 2
    assert log.read_bytes() == before


def test_many_failures_are_in_the_log_that_the_summary_names(archive: Path, tmp_path: Path) -> None:
    for number in range(12):
        (archive / f"nowhere-{number}.dcm").symlink_to("nothing")
    report = dicom_bq.export(archive, tmp_path / "x.parquet")
    identifier = report.operation.rpartition("/")[2]
    assert report.summary().endswith(f"the log that dicom-bq operations describe {identifier} names (logsUrl)")
    assert len(Store.of_user().path(identifier, store.ERRORS).read_text().splitlines()) == 14


def test_no_failure_no_log(archive: Path, tmp_path: Path, state_home: Path) -> None:
    dicom_bq.export(archive / "1.0.dcm", tmp_path / "x.parquet")
    assert [path.suffix for path in (state_home / "dicom-bq" / "operations").iterdir()] == [".json"]


def test_no_file_could_be_read(archive: Path, tmp_path: Path) -> None:
    dicom_bq.export(archive / "1.2.dcm", tmp_path / "x.parquet")
    (record,) = kept()
    assert record["dicomBq"]["state"] == "FAILED"
    assert "response" not in record
    error = record["error"]
    assert (error["code"], error["message"]) == (
        Code.DATA_LOSS,
        "none of the 1 files that are instances can be read",
    )
    (sample,) = error["details"][0]["sampleErrors"]
    assert sample["resource"] == str(archive / "1.2.dcm")
    assert sample["error"].keys() == {"code", "message"}


def test_a_destination_that_refuses(archive: Path, tmp_path: Path) -> None:
    dicom_bq.export(archive, tmp_path / "x.parquet")
    with pytest.raises(errors.DestinationExistsError, match="has 2 rows already"):
        dicom_bq.export(archive, tmp_path / "x.parquet")
    record = kept()[0]
    assert (record["error"]["code"], record["done"]) == (Code.ALREADY_EXISTS, True)
    assert record["metadata"]["counter"] == {"success": "0", "pending": "0"}


def test_what_was_read_is_not_a_success_without_a_table(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicom_bq.destinations.parquet import ParquetFile

    def fail(*_: object) -> int:
        message = "CANARY"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(ParquetFile, "write", fail)
    with pytest.raises(ZeroDivisionError, match="CANARY"):
        dicom_bq.export(archive, tmp_path / "x.parquet")
    (record,) = kept()
    assert record["metadata"]["counter"] == {"success": "0", "failure": "2", "pending": "2"}
    assert record["error"]["code"] == Code.INTERNAL
    assert record["error"]["message"] == "a bug in dicom-bq: ZeroDivisionError"
    assert len(record["error"]["details"][0]["sampleErrors"]) == 2


def test_an_interrupted_export(archive: Path, tmp_path: Path) -> None:
    def interrupt(_: Progressed) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dicom_bq.export(archive, tmp_path / "x.parquet", progress=interrupt)
    (record,) = kept()
    assert (record["error"]["code"], record["dicomBq"]["state"]) == (Code.CANCELLED, "CANCELLED")


def test_misuse_and_dry_runs_are_no_operations(archive: Path, tmp_path: Path, state_home: Path) -> None:
    with pytest.raises(errors.UsageError, match="does not exist"):
        dicom_bq.export(tmp_path / "nowhere", tmp_path / "x.parquet")
    from dicom_bq.job import plan_export

    plan_export(archive, tmp_path / "x.parquet")
    assert list((state_home / "dicom-bq" / "operations").iterdir()) == []


def test_a_record_is_kept_up_to_date(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicom_bq import reading

    monkeypatch.setattr(reading, "BATCH_SIZE", 1)
    monkeypatch.setattr(running, "EVERY", 0.0)
    seen = []
    dicom_bq.export(archive, tmp_path / "x.parquet", progress=lambda _: seen.append(kept()[0]))
    assert {record["dicomBq"]["state"] for record in seen} == {"RUNNING"}
    assert all("done" not in record and "endTime" not in record["metadata"] for record in seen)
    counters = [record["metadata"]["counter"] for record in seen]
    assert counters[0]["success"] == "1"
    assert [int(counter["success"]) for counter in counters] == sorted(int(counter["success"]) for counter in counters)
    assert counters[-1] == {"success": "2", "failure": "2", "pending": "0"}


def test_records_are_written_about_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = [0.0], []
    monkeypatch.setattr(running.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Store, "write", lambda self, operation: written.append(operation.success))
    with Running(OperationOptions(), "x.parquet", "x.parquet") as now:
        for number in range(1, 41):
            clock[0] += 0.1
            now(Progressed(found=number, exported=number, listed=50))
    assert written[-1] == 40
    assert 3 <= len(written) - 1 <= 4


def test_a_directory_that_cannot_be_written(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.warns(errors.OperationWarning, match=r"Not a directory; no record .* Set XDG_STATE_HOME") as warned:
        report = dicom_bq.export(archive, tmp_path / "x.parquet")
    assert len(warned) == 1
    assert (report.exported, report.failed, report.operation) == (2, 2, "")


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home(archive: Path, tmp_path: Path) -> None:
    before = {*tmp_path.iterdir()}
    said = r"this user has no home directory; no record of this export is kept\. Set XDG_STATE_HOME"
    with pytest.warns(errors.OperationWarning, match=said) as warned:
        report = dicom_bq.export(archive, tmp_path / "x.parquet")
    assert len(warned) == 1
    assert (report.exported, report.failed, report.operation) == (2, 2, "")
    assert {*tmp_path.iterdir()} - before == {tmp_path / "x.parquet"}
    assert Store.of_user().all() == []
    with pytest.raises(errors.DestinationError, match=r"no record can be kept here: this user has no home directory\."):
        detached.start(["export", "--async", "a", "b"], "1")
    assert {*tmp_path.iterdir()} - before == {tmp_path / "x.parquet"}


def test_a_full_disk_under_the_records(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Store, "write", full)
    with pytest.warns(errors.OperationWarning, match="No space left on device; no record"):
        report = dicom_bq.export(archive, tmp_path / "x.parquet")
    assert report.exported == 2


def test_a_log_that_cannot_be_written(archive: Path, tmp_path: Path) -> None:
    options = OperationOptions(error_log="/dev/full")
    with pytest.warns(errors.OperationWarning, match="/dev/full: No space left on device; failed files are in no log"):
        report = dicom_bq.export(archive, tmp_path / "x.parquet", operation=options)
    assert (report.failed, kept()[0]["metadata"]["counter"]["failure"]) == (2, "2")


def test_an_id_of_one_s_own(archive: Path, tmp_path: Path) -> None:
    options = OperationOptions(id="nightly-2")
    dicom_bq.export(archive, tmp_path / "x.parquet", operation=options)
    assert kept()[0]["name"].endswith("/operations/nightly-2")
    with pytest.raises(errors.UsageError, match="there is an operation nightly-2 already"):
        dicom_bq.export(archive, tmp_path / "y.parquet", operation=options)
    with pytest.raises(errors.UsageError, match="an operation's ID has up to 63 letters"):
        dicom_bq.export(archive, tmp_path / "y.parquet", operation=OperationOptions(id="../x"))
    assert len(kept()) == 1


def test_the_operation_of_a_bigquery_table(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)
        dicom_bq.export(archive, "bq://p1.ds.t")
    (record,) = kept()
    assert record["name"].startswith("projects/p1/locations/-/datasets/ds/operations/")
    method = "google.cloud.healthcare.v1.dicom.DicomService.ExportDicomData_bq"
    assert record["metadata"]["apiMethodName"] == method
    assert record["dicomBq"]["destination"] == "bq://p1.ds.t"


@pytest.mark.parametrize(
    ("place", "location", "name", "method"),
    [
        ("bq://p.d.t", "eu", "projects/p/locations/eu/datasets/d", "ExportDicomData_bq"),
        ("bq://dom.ain:p.d.t", None, "projects/dom.ain:p/locations/-/datasets/d", "ExportDicomData_bq"),
        ("/a/b.DB", None, "projects/local/locations/host/datasets/b", "ExportDicomData_duckdb"),
        ("a b\udcff.parquet", None, "projects/local/locations/host/datasets/a_b_", "ExportDicomData_parquet"),
        ("a#b", None, "projects/local/locations/host/datasets/a_b", "ExportDicomData_parquet"),
        ("/", None, "projects/local/locations/host/datasets/-", "ExportDicomData_parquet"),
    ],
)
def test_names(place: str, location: str | None, name: str, method: str) -> None:
    assert name_of(place, "7", "host", location) == f"{name}/operations/7"
    assert method_of(place).endswith(f".{method}")


# Codes


def caused(cause: BaseException) -> errors.DestinationError:
    error = errors.DestinationError(destination="x", reason="r", advice="a")
    error.__cause__ = cause
    return error


class AnswerError(Exception):
    code = 403


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError(reason=""), 3),
        (errors.SchemaError(reason=""), 3),
        (errors.NotDicomError(reason="", offset=0), 3),
        (errors.TruncatedError(offset=0), 15),
        (errors.HeaderTooLargeError(limit=1, offset=0), 8),
        (errors.DestinationExistsError(destination="", rows=1), 6),
        (errors.DestinationConflictError(destination="", path="", first="", second=""), 9),
        (errors.MissingDependencyError(package="", extra=""), 9),
        (errors.CancelledError(operation=""), 1),
        (errors.FatalFileError(how="", ended=1), 13),
        (UnavailableError(destination="", reason="", advice=""), 14),
        (caused(ValueError()), 9),
        (caused(OSError(errno.ENOSPC, "")), 8),
        (caused(OSError(errno.EACCES, "")), 7),
        (caused(AnswerError()), 7),
        (KeyboardInterrupt(), 1),
        (SystemExit(143), 1),
        (MemoryError(), 8),
        (ZeroDivisionError(), 13),
        (OSError(errno.ENOENT, ""), 5),
        (OSError("no number"), 13),
    ],
)
def test_codes_of_errors(error: BaseException, code: int) -> None:
    assert code_of_error(error) == code


def every_class(kind: type[errors.DicomBqError] = errors.DicomBqError) -> set[type[errors.DicomBqError]]:
    return {kind}.union(*map(every_class, kind.__subclasses__()))


def test_no_error_of_ours_is_taken_for_a_bug() -> None:
    for kind in every_class() - {errors.DicomBqError, errors.FatalFileError, errors.InternalError}:
        assert code_of_error(kind.__new__(kind)) is not Code.INTERNAL, kind


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("unreadable", "No such file or directory", 5),
        ("unreadable", "cannot list the directory: Permission denied", 7),
        ("unreadable", "Input/output error", 15),
        ("unreadable", "not a regular file", 9),
        ("malformed", "file ends inside the element at byte 7", 15),
        ("malformed", "header is larger than 5 bytes, seen at byte 7", 8),
        ("malformed", "an item outside of a sequence at byte 7", 3),
        ("internal", "a bug in dicom-bq: Input/output error", 13),
        ("new kind", "whatever", 2),
    ],
)
def test_codes_of_failures(code: str, reason: str, expected: int) -> None:
    assert code_of_failure(Failure("u", code, reason)) == expected


# Processes


def test_this_process_runs() -> None:
    here = Process.here()
    assert not here.has_ended
    assert replace(here, started="before").has_ended  # another one of this number
    assert not replace(here, host="elsewhere", pid=1, started="x").has_ended
    assert not replace(here, host="elsewhere").terminate()
    assert not replace(here, started="before").terminate()


def test_a_process_that_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(Process.here(), pid=child.pid, started=_start_of(child.pid))
    assert not process.has_ended
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.has_ended  # though nobody has collected its exit code
    child.communicate()
    assert process.has_ended
    assert not process.terminate()


def _start_of(pid: int) -> str:
    from dicom_bq.operations.process import _started

    return _started(pid)


def test_termination() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = replace(Process.here(), pid=child.pid, started=_start_of(child.pid))
    assert process.terminate()
    assert child.wait(10) == -signal.SIGTERM
    child.communicate()


# The store


def operation(identifier: str = "1", **facts: Any) -> Operation:
    name = f"projects/local/locations/h/datasets/d/operations/{identifier}"
    given = {"created": "2024-01-01T00:00:00Z", "process": Process.here(), **facts}
    return Operation(name=name, method="m", destination="x", stoppable=False, logs="", updated="u", **given)


def test_records_can_be_read_again() -> None:
    for made in (
        operation(),
        operation(running=True, success=3, failure=2, pending=1),
        operation(running=True, ended="e", cancel_requested=True, error={"code": 1, "message": "m"}),
    ):
        assert Operation.from_json(made.to_json()) == made


def test_finding(state_home: Path) -> None:
    kept = Store.of_user()
    for identifier in ("123", "124", "5"):
        kept.add(operation(identifier))
    assert kept.find("123").id == "123"
    assert kept.find("projects/local/locations/h/datasets/d/operations/124").id == "124"
    with pytest.raises(errors.UsageError, match="2 operations begin with 12; say more"):
        kept.find("12")
    for unknown in ("7", "", "../5", "projects/other/operations/5", "projects/x/operations/"):
        with pytest.raises(errors.UsageError, match="there is no operation"):
            kept.find(unknown)
    kept.add(operation("12"))
    assert kept.find("12").id == "12"


def test_a_file_that_is_no_record(state_home: Path) -> None:
    kept = Store.of_user()
    kept.add(operation("1"))
    kept.path("2").write_text("[]")
    kept.path("3").write_text("{")
    assert [one.id for one in kept.all()] == ["1"]
    for identifier in ("2", "3"):
        with pytest.raises(errors.UsageError, match=rf"{identifier}\.json: this is no record of an operation"):
            kept.read(identifier)


def test_a_killed_process_is_noticed(state_home: Path) -> None:
    kept = Store.of_user()
    gone = replace(Process.here(), started="before")
    kept.add(operation(process=gone, running=True, success=5, failure=1, pending=2))
    found = kept.read("1")
    assert (found.state, found.success, found.failure, found.pending) == ("ABORTED", 0, 1, 7)
    assert found.error
    assert found.error["code"] == Code.ABORTED
    assert "run the same command again" in found.error["message"]
    assert found.to_dict()["done"] is True
    kept.request_cancel("1")
    assert kept.read("1").state == "CANCELLED"


def test_records_are_forgotten_after_thirty_days(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Store.of_user()
    gone = replace(Process.here(), started="before")
    for identifier, facts in {"done": {"ended": "e"}, "running": {}, "killed": {"process": gone}, "new": {}}.items():
        kept.add(operation(identifier, **facts))
        kept.path(identifier, store.ERRORS).touch()
    kept.path("lost", store.LOG).touch()
    before = time.time() - 31 * 24 * 3600
    for path in kept.directory.iterdir():
        if not path.name.startswith("new"):
            os.utime(path, (before, before))
    kept.add(operation("latest"))
    assert sorted(path.name for path in kept.directory.iterdir()) == [
        "latest.json",
        "new.errors.jsonl",
        "new.json",
        "running.errors.jsonl",
        "running.json",
    ]


def test_a_note_stops_an_export_in_a_program_of_somebody_else(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "EVERY", 0.0)
    kept = Store.of_user()

    def cancel(_: Progressed) -> None:
        kept.request_cancel("mine")

    with pytest.raises(errors.CancelledError, match="operation mine was cancelled; nothing is half written"):
        dicom_bq.export(archive, tmp_path / "x.parquet", progress=cancel, operation=OperationOptions(id="mine"))
    found = kept.read("mine")
    assert (found.state, found.cancel_requested) == ("CANCELLED", True)
    assert not found.stoppable
    assert not kept.path("mine", store.CANCEL).exists()
    assert not (tmp_path / "x.parquet").exists()


def test_a_home_without_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store.of_user().directory == tmp_path / ".local/state/dicom-bq/operations"
