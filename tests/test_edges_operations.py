"""Edges of records of operations that no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_bq.errors import OperationWarning, UsageError
from dicom_bq.operations import detached, running
from dicom_bq.operations.codes import Code
from dicom_bq.operations.error_log import ENTRY, ErrorLog
from dicom_bq.operations.process import Process
from dicom_bq.operations.record import Operation, status
from dicom_bq.operations.running import OperationOptions, Running
from dicom_bq.operations.store import LOG, Store
from dicom_bq.progress import Progressed
from dicom_bq.scan.outcome import Failure


def operation(identifier: str = "1", **facts: Any) -> Operation:
    name = f"projects/local/locations/h/datasets/d/operations/{identifier}"
    given = {"created": "2024-01-01T00:00:00Z", "process": Process.here(), "destination": "x", **facts}
    return Operation(name=name, method="m", stoppable=False, logs="", updated="u", **given)


def progress(*failures: Failure, **facts: Any) -> Progressed:
    given = {"found": 3, "exported": 2, "failed": len(failures), "listed": 5, "listing_done": False, **facts}
    return Progressed(failures=failures, **given)


FAILED: dict[str, Any] = {"ended": "e", "error": status(Code.INTERNAL, "why")}


# The store


def test_records_are_for_their_user_alone(state_home: Path) -> None:
    Store.of_user().make()
    assert Store.of_user().directory.stat().st_mode & 0o777 == 0o700


def test_another_try_is_not_stopped_by_a_note_for_the_one_before(state_home: Path) -> None:
    kept = Store.of_user()
    kept.add(operation(**FAILED))
    kept.request_cancel("1")
    kept.add(operation())
    assert not kept.is_cancelled("1")
    assert kept.read("1").state == "PENDING"


@pytest.mark.parametrize("left", ["", "{}", "record"])
def test_an_old_record_is_forgotten_also_when_it_is_none_and_a_running_one_is_not(state_home: Path, left: str) -> None:
    """A power cut leaves an empty one: no export can stop at that for ever."""
    kept = Store.of_user()
    kept.make()
    kept.path("2").write_text(operation("2", ended="e").to_json() if left == "record" else left)
    kept.write(operation("3"))
    for old in ("2", "3"):
        os.utime(kept.path(old), ns=(0, 0))
    kept.add(operation())
    assert (kept.path("2").exists(), kept.path("3").exists()) == (False, True)


def test_a_record_that_another_process_forgets_meanwhile_stops_nobody(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, read = Store.of_user(), Store.read
    kept.make()
    kept.path("2").write_text(operation("2", ended="e").to_json())
    os.utime(kept.path("2"), ns=(0, 0))

    def late(store: Store, identifier: str) -> Operation:
        store.remove(identifier)
        return read(store, identifier)

    monkeypatch.setattr(Store, "read", late)
    kept.add(operation())
    assert kept.path("1").exists()


def test_a_child_that_takes_its_record_away_is_asked_for_its_exit_code(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, read = Store.of_user(), Store.read
    kept.add(operation())

    def late(store: Store, identifier: str) -> Operation:
        store.remove(identifier)
        return read(store, identifier)

    monkeypatch.setattr(Store, "read", late)
    with subprocess.Popen([sys.executable, "-c", "input(); raise SystemExit(2)"], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        ended = iter([None, 2])
        monkeypatch.setattr(child, "poll", lambda: next(ended))
        assert detached._begun(child, kept, "1") == 2
        child.stdin.write(b"\n")


@pytest.mark.parametrize("facts", [{}, {"ended": "e"}, {**FAILED, "destination": "elsewhere"}], ids=str)
def test_an_id_is_not_taken_twice(state_home: Path, facts: dict[str, Any]) -> None:
    kept = Store.of_user()
    kept.add(operation(**facts))
    before = kept.path("1").read_bytes()
    with pytest.raises(UsageError, match="there is an operation 1 already"):
        kept.add(operation())
    assert kept.path("1").read_bytes() == before
    assert [path.name for path in kept.directory.iterdir()] == ["1.json"]


def test_a_process_that_comes_to_its_end_while_it_is_looked_at_was_not_killed(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store.of_user()
    kept.add(operation(running=True))

    def ends(_: Process) -> bool:
        kept.end(operation(running=True, ended="e"))
        return True

    monkeypatch.setattr(Process, "has_ended", property(ends))
    assert kept.read("1").state == "DONE"


def test_what_was_killed_ended_when_it_last_gave_a_sign(state_home: Path) -> None:
    kept = Store.of_user()
    kept.add(operation(process=replace(Process.here(), started="before")))
    assert kept.read("1").ended == "u"


def test_old_records_that_cannot_be_removed_stop_no_export(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Store) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Store, "_forget_old", refuse)
    Store.of_user().add(operation())
    assert Store.of_user().read("1").state == "PENDING"


def test_the_newest_comes_first(state_home: Path) -> None:
    for identifier, year in (("1", 2024), ("2", 2026), ("3", 2025)):
        Store.of_user().add(operation(identifier, created=f"{year}-01-01T00:00:00Z"))
    assert [one.id for one in Store.of_user().all()] == ["2", "3", "1"]


# Processes


def test_a_process_is_asked_to_end_by_its_number_where_there_is_nothing_better(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(os, "kill", lambda *sending: sent.append(sending))
    here = Process.here()
    assert not replace(here, started="before").terminate()
    assert sent == []
    assert here.terminate()
    assert sent == [(here.pid, 15)]


def test_what_became_another_process_is_not_asked_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *sending: sent.append(sending))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert not replace(Process.here(), started="before").terminate()
    assert not replace(Process.here(), host="elsewhere").terminate()
    assert sent == []
    assert Process.here().terminate()
    assert len(sent) == 1
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


def test_a_process_from_before_the_machine_started_anew_has_ended() -> None:
    """Numbers and times since the start come again: in a container soon, and on a machine without a clock."""
    boot, _, since = Process.here().started.partition("/")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert replace(Process.here(), started=f"another/{since}").has_ended


# An export in the background


def test_what_a_running_export_has_said_is_not_lost_to_another_of_its_id(state_home: Path) -> None:
    store = Store.of_user()
    store.make()
    store.path("1", LOG).write_text("said")
    with pytest.raises(UsageError, match="there is an operation 1 already; choose another ID"):
        detached.start(["export", "a", "b", "--async"], "1")
    assert store.path("1", LOG).read_text() == "said"


class Ended:
    """Stands in for a process that has ended."""

    def __init__(self, code: int | None) -> None:
        self.code = self.returncode = code

    def poll(self) -> int | None:
        return self.code


@pytest.mark.parametrize(("code", "told"), [(0, None), (1, None), (2, 2), (3, 3), (-9, -9)])
def test_what_ends_before_it_runs_tells_its_exit_code(state_home: Path, code: int, told: int | None) -> None:
    """But for one that says that some files failed: it has done what it was to do."""
    ended: Any = Ended(code)
    assert detached._begun(ended, Store.of_user(), "1") == told


def test_what_is_said_of_no_operation_is_not_kept(state_home: Path) -> None:
    store = Store.of_user()
    store.add(operation("kept"))
    for identifier in ("kept", "refused"):
        store.path(identifier, LOG).write_text("said")
        assert detached.said(identifier) == "said"
    assert sorted(path.name for path in store.directory.iterdir()) == ["kept.json", "kept.log"]


def test_a_process_in_the_background_has_no_terminal(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what is typed there, nor modules that lie about where it was started."""
    started: list[tuple[list[str], dict[str, Any]]] = []

    def start(command: list[str], **options: Any) -> Ended:
        started.append((command, options))
        return Ended(0)

    monkeypatch.setattr(subprocess, "Popen", start)
    assert detached.start(["export", "a", "b", "--async"], "7") is None
    ((command, options),) = started
    assert command == [sys.executable, *["-P", "-m", "dicom_bq", "export", "--operation-id", "7", "a", "b"]]
    assert options["start_new_session"]
    assert options["stdin"] == subprocess.DEVNULL


# The log of failed files


def test_a_log_is_on_disk_when_it_was_written(tmp_path: Path) -> None:
    log = ErrorLog(tmp_path / "log")
    log.write([Failure("a", "malformed", "why"), Failure("b", "malformed", "why")])
    lines = (tmp_path / "log").read_text().splitlines()
    log.close()
    assert [json.loads(line)["resourceName"] for line in lines] == ["a", "b"]


def test_what_another_run_has_left_in_a_log_is_emptied_and_a_place_for_it_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ErrorLog(path).clear()
    assert not path.exists()
    path.write_text(json.dumps({"@type": ENTRY, "more": 1}))
    ErrorLog(path).check()
    ErrorLog(path).clear()
    assert path.read_text() == ""


def test_only_a_file_is_looked_into_for_a_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ErrorLog(tmp_path / "pipe").check()  # to read it would wait for ever
    ErrorLog(tmp_path / "pipe").clear()
    ErrorLog(tmp_path).check()


# A record that is kept


@pytest.fixture
def run(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(running, "EVERY", 1000.0)
    return Running(OperationOptions(id="1"), "x.parquet", "x.parquet")


def go(run: Running, *told: Progressed, error: BaseException | None = None) -> None:
    """An export that begins, comes so far, and ends."""
    with run:
        run.begin()
        for one in told:
            run(one)
        if error:
            raise error


def test_that_all_was_read_is_told_at_once(run: Running) -> None:
    """The next that is told may be the end: to write can be one long step."""
    with run:
        run.begin()
        run(progress(listed=3, listing_done=True))
        assert Store.of_user().read("1").success == 2


def test_pending_is_no_less_than_nothing(run: Running) -> None:
    go(run, progress(listed=1, listing_done=True))
    assert Store.of_user().read("1").pending == 0


def test_samples_are_ten_in_all(run: Running) -> None:
    some = progress(*(Failure(f"{number}", "malformed", "why") for number in range(7)))
    with pytest.raises(ValueError, match="gone"):
        go(run, some, some, error=ValueError("gone"))
    error = Store.of_user().read("1").error
    assert error is not None
    assert len(error["details"][0]["sampleErrors"]) == 10


def test_the_text_of_a_bug_is_not_kept(run: Running) -> None:
    with pytest.raises(ValueError, match="CANARY"):
        go(run, error=ValueError("CANARY"))
    assert "a bug in dicom-bq: ValueError" in Store.of_user().path("1").read_text()
    assert "CANARY" not in Store.of_user().path("1").read_text()


def refused(run: Running) -> None:
    """An export that is refused before it begins to read."""
    with run:
        Store.of_user().path("1", LOG).write_text("said")
        raise UsageError(reason="no")


def test_what_was_refused_before_it_ran_leaves_what_it_said_alone(run: Running) -> None:
    with pytest.raises(UsageError, match="no"):
        refused(run)
    assert [path.name for path in Store.of_user().directory.iterdir()] == ["1.log"]


def test_what_was_refused_while_it_ran_is_kept(run: Running) -> None:
    with pytest.raises(UsageError, match="no"):
        go(run, error=UsageError(reason="no"))
    assert Store.of_user().read("1").state == "FAILED"


def interrupted(run: Running) -> None:
    """An export that is interrupted when it has written its table."""
    with run:
        run.begin()
        run(progress(listed=3))
        run.written()
        raise KeyboardInterrupt


def test_what_fails_after_the_table_was_written_fails_no_export(run: Running) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(run)
    found = Store.of_user().read("1")
    assert (found.state, found.success) == ("DONE", 2)


def test_a_record_that_cannot_be_kept_is_told_of_once(run: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Store, "write", full)
    failed = progress(Failure("a", "malformed", "why"), listed=3, listing_done=True)
    with pytest.warns(OperationWarning, match="No space left on device; no record of this export") as warned:
        go(run, failed)
    assert len(warned) == 1
    assert run.name == ""
    assert not list(Store.of_user().directory.glob("*.jsonl"))  # nobody would find it


def test_records_are_written_when_it_is_time_and_not_for_each_batch(
    run: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Operation] = []
    monkeypatch.setattr(Store, "write", lambda _, one: written.append(one))
    run._next = 0.0
    with run:
        for _ in range(5):
            run(progress())
        assert len(written) == 1


def test_a_log_that_cannot_be_written_is_told_of_once(state_home: Path) -> None:
    run = Running(OperationOptions(id="1", error_log="/dev/full"), "x.parquet", "x.parquet")
    failed = progress(Failure("a", "malformed", "why"))
    with pytest.warns(
        OperationWarning, match="/dev/full: No space left on device; failed files are in no log"
    ) as warned:
        go(run, failed, failed)
    assert len(warned) == 1
    assert Store.of_user().read("1").state == "DONE"
