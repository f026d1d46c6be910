"""The identity of a run on disk: there before its load starts, gone when it is finished."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import dicom_bq
from dicom_bq.destinations.bigquery_jobs import load_id
from dicom_bq.destinations.bigquery_runs import Load, interrupted, journal_path, take_up
from dicom_bq.errors import DestinationError, OperationWarning
from tests.instances import instance

LOAD = Load("dicom_bq_1", "digest", 7)


def test_a_run_that_announced_a_load_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "x.jsonl"
    with take_up(path, "bq://p.d.t") as run:
        run.announce(LOAD)
        run.announce(LOAD)
    found = interrupted(path)
    assert found is not None
    assert (found.id, found.loads) == (run.id, [LOAD])
    with take_up(path, "bq://p.d.t") as again:
        assert (again.id, again.loads) == (run.id, [LOAD])
        again.announce(Load("dicom_bq_2", "other", 8))
    with take_up(path, "bq://p.d.t") as third:
        assert [load.rows for load in third.loads] == [7, 8]


def test_a_run_that_is_forgotten_or_announced_nothing_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with take_up(path, "bq://p.d.t") as run:
        run.announce(LOAD)
        run.forget()
    assert interrupted(path) is None
    with take_up(path, "bq://p.d.t") as other:
        assert other.id != run.id
        assert path.exists()
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 54))
def test_a_line_that_was_cut_off_announces_nothing(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.jsonl"
    with take_up(path, "bq://p.d.t") as run:
        run.announce(LOAD)
        run.announce(Load("dicom_bq_2", "other", 8))
    text = path.read_text()
    path.write_text(text[:-cut])
    found = interrupted(path)
    assert found is not None
    assert (found.id, found.loads) == (run.id, [LOAD])
    with take_up(path, "bq://p.d.t") as again:
        assert again.id == run.id
        again.announce(Load("dicom_bq_3", "third", 9))
    last = interrupted(path)
    assert last is not None
    assert last.loads[-1].job == "dicom_bq_3"


def test_what_is_no_journal_is_a_new_run(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"ru')
    assert interrupted(path) is None
    with take_up(path, "bq://p.d.t") as run:
        run.announce(LOAD)
    assert json.loads(path.read_text().splitlines()[0])["run"] == run.id


def test_a_damaged_journal_is_an_error_since_nobody_knows_what_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for text in ('{"run": "1"}\n{"jo\n', '{"run": "1"}\n{"job": "1"}\n', "[]\n", "{}\n"):
        path.write_text(text)
        with pytest.raises(DestinationError, match="no journal of a run"):
            interrupted(path)
        with pytest.raises(DestinationError, match="no journal of a run"), take_up(path, "bq://p.d.t"):
            pass


def test_a_run_belongs_to_one_process_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from dicom_bq.destinations.bigquery_runs import Load, take_up\n"
        f"with take_up(Path({str(path)!r}), 'bq://p.d.t') as run:\n"
        "    run.announce(Load('dicom_bq_1', 'digest', 7)); print(run.id, flush=True)\n"
        "    sys.stdin.read(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        identity = process.stdout.readline().strip()
        with pytest.raises(DestinationError, match="running in another process"), take_up(path, "bq://p.d.t"):
            pass
        process.communicate("")
    with take_up(path, "bq://p.d.t") as run:
        assert (run.id, run.loads) == (identity, [LOAD])


def test_the_file_is_named_by_what_makes_two_commands_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = journal_path(None, ("a", "b"))
    assert path.parent == tmp_path / "dicom-bq" / "runs"
    assert path == journal_path(None, ("a", "b"))
    assert path != journal_path(None, ("ab", ""))
    assert journal_path("/x", ("a", "b")) == Path("/x") / path.name
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert journal_path(None, ("a",)).parent == Path("/home/somebody/.local/state/dicom-bq/runs")


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home(tmp_path: Path) -> None:
    said = r"~/\.local/state: this user has no home directory\. Set XDG_STATE_HOME to a directory"
    with pytest.raises(DestinationError, match=said):
        journal_path(None, ("a",))
    with (
        pytest.warns(OperationWarning, match="no record of this export is kept"),
        pytest.raises(DestinationError, match=said),
    ):
        dicom_bq.export(instance(tmp_path, "1"), "bq://p1.ds.t")
    assert [path.name for path in tmp_path.iterdir()] == ["1.dcm"]


def test_a_load_is_identified_by_all_that_it_is() -> None:
    fields = [{"name": "a", "type": "STRING", "mode": "NULLABLE"}]
    one = ("run", "bq://p.d.t", "WRITE_APPEND", "digest", fields)
    others = [
        ("run2", *one[1:]),
        (one[0], "bq://p.d.u", *one[2:]),
        (*one[:2], "WRITE_EMPTY", *one[3:]),
        (*one[:3], "digest2", one[4]),
        (*one[:4], [{"name": "a", "type": "DATE", "mode": "NULLABLE"}]),
        (*one[:4], [{"name": "a", "type": "STRING", "mode": "REPEATED"}]),
    ]
    ids = {load_id(*arguments) for arguments in (one, *others)}  # type: ignore[arg-type]
    assert len(ids) == 7
    described = [{**fields[0], "description": "edited meanwhile"}]
    assert load_id(*one) == load_id(*one[:4], described)
    assert all(len(identity) == 73 for identity in ids)
