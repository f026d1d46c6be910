"""A few runs of the crash matrix; ``python -m tests.crash --runs 100`` makes many."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from dicom_bq.operations.running import OperationOptions, Running
from tests.crash.disks import can_be_mounted
from tests.crash.leftovers import left_behind
from tests.crash.matrix import DESTINATIONS, DISPOSITIONS, FULL, SIGNALS, Case, CrashError, Field, Stopped, field_of


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with field_of(tmp_path_factory.mktemp("crash"), files=300, seed=5) as field:
        yield field


@pytest.mark.slow
@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("number", range(3))
def test_a_stopped_export_is_done_or_not_and_can_be_run_again(field: Field, destination: str, number: int) -> None:
    for signal in SIGNALS:
        field.run(Case(destination, DISPOSITIONS[number], signal, 1 + number % 2))


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("destination", DESTINATIONS)
def test_an_export_without_room_changes_nothing_and_can_be_run_again(
    field: Field, destination: str, disposition: str
) -> None:
    if not can_be_mounted(field.folder / "disk"):
        pytest.skip("file systems cannot be mounted here")
    field.run(Case(destination, disposition, FULL, 2))


KILLED = Case("table.parquet", "write-append", SIGNALS[0], 1)


def test_the_matrix_notices_a_second_append(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was done, but not reported, although nothing is there any more that knows of it."""

    def finished(field: Field, case: Case) -> Stopped:
        field._ended(field._start(case))
        (field.folder / "report").unlink()
        return Stopped(-SIGNALS[0], "")

    monkeypatch.setattr(Field, "_stopped", finished)
    with pytest.raises(CrashError, match=r"leaves other rows: 650 rows, 350 of them different, not 350 rows"):
        field.run(KILLED)


@pytest.mark.parametrize(
    "name",
    ["out/.table.parquet.lock", "out/.table.parquet.writing", "out/.x.job", "tmp/x", "state/dicom-bq/jobs/x"],
)
def test_the_matrix_notices_what_is_left_behind(name: str, field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    def untidy(field: Field, case: Case) -> Stopped:
        stopped = field._ended(field._start(case))
        (field.folder / "disk" / name).parent.mkdir(exist_ok=True)
        (field.folder / "disk" / name).touch()
        return stopped

    monkeypatch.setattr(Field, "_stopped", untidy)
    with pytest.raises(CrashError, match=rf"leaves behind \['{name}'\]"):
        field.run(KILLED)


def test_the_matrix_notices_processes_and_operations(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.crash.leftovers.ENDS_WITHIN", 0.1)
    monkeypatch.setenv("XDG_STATE_HOME", str(field.folder / "disk/state"))
    field._prepare(KILLED)
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE),
        Running(OperationOptions(), "", ""),
    ):
        left = left_behind(field.folder / "disk", "table.parquet")
    assert [one.split()[0] for one in left] == ["operation", "process"]


def test_the_matrix_notices_what_is_wrong(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that has lost rows is neither the old nor the new one."""
    monkeypatch.setattr(Field, "_rows", lambda *_: Counter({"old-00001": 1}))
    with pytest.raises(AssertionError, match="neither the old nor the new one"):
        field.run(KILLED)
