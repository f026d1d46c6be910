"""Edges of exports that are taken up which no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq import job, reading
from dicom_bq.operations.running import OperationOptions
from dicom_bq.operations.store import Store
from dicom_bq.progress import Progressed
from dicom_bq.report import ExportReport
from dicom_bq.scan import files
from tests.instances import instance


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three instances, each a part of its own, of which the last two are the same."""
    monkeypatch.setattr(reading, "BATCH_SIZE", 1)
    for number, uid in enumerate(("1.0", "1.1", "1.1")):
        made = instance(
            tmp_path / "archive", uid, StudyInstanceUID=f"2.{number}", InstanceNumber=number, EncapsulatedDocument=b"ab"
        )
        made.rename(made.with_name(f"{number}.dcm"))
    (tmp_path / "filter").write_text("/studies/2.0\n/studies/2.2\n/studies/2.9\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "archive"


def export(told: list[str] | None = None, *, workers: int = 1, **options: Any) -> tuple[ExportReport, pa.Table]:
    said: list[str] = [] if told is None else told
    report = dicom_bq.export("archive", "x.parquet", workers=workers, tell=said.append, **options)
    table = pq.read_table("x.parquet")
    Path("x.parquet").unlink()
    return report, table


def interrupt(**options: Any) -> None:
    """An export that has read all files, and is then interrupted."""

    def stop(told: Progressed) -> None:
        if told.found == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(progress=stop, **options)


@pytest.mark.parametrize(
    "options",
    [{"numeric_strings": "typed"}, {"filter_file": "filter"}, {"deduplicate": True}, {"include_source_store": True}],
    ids=str,
)
def test_what_was_read_is_as_if_it_were_read_now(options: dict[str, Any]) -> None:
    expected, table = export(**options)
    interrupt(**options)
    told: list[str] = []
    report, again = export(told, **options)
    assert "3 files in 3 finished chunks are taken from the interrupted run" in told
    assert again == table
    assert report.counts() == expected.counts()
    assert report.unmatched == expected.unmatched
    assert report.schema == expected.schema
    assert report.problems == expected.problems
    assert report.problems.counts


def test_a_repeated_instance_is_a_row_once_the_one_that_it_repeats_is_gone(archive: Path) -> None:
    interrupt(deduplicate=True)
    (archive / "1.dcm").unlink()
    report, table = export(deduplicate=True)
    assert (report.exported, report.duplicates) == (2, 0)
    assert table["StudyInstanceUID"].to_pylist() == ["2.0", "2.2"]


def test_what_met_a_bug_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be mended, or have been a lack of memory."""
    scan = files.scan_files

    def bug(uris: list[str], *arguments: Any) -> Any:
        if uris == ["archive/1.dcm"]:
            raise ZeroDivisionError
        return scan(uris, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(files, "scan_files", bug)
        interrupt()
    told: list[str] = []
    report, _ = export(told)
    assert "2 files in 2 finished chunks are taken from the interrupted run" in told
    assert (report.exported, report.failed) == (3, 0)


# After the write


def unheard(**options: Any) -> None:
    """An export that has written all, and is interrupted when it says so."""

    def stop(_: ExportReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(deliver=stop, **options)


def test_what_rows_do_not_depend_on_makes_no_other_export_of_one_that_is_written() -> None:
    unheard()
    told: list[str] = []
    report, table = export(told, workers=2)
    assert told == ["x.parquet: this export was finished before it was interrupted; nothing is done now"]
    assert (report.rows, table.num_rows) == (3, 3)


def test_the_record_and_the_log_of_an_export_that_an_earlier_run_has_written_are_whole(archive: Path) -> None:
    (archive / "3.dcm").write_bytes((archive / "0.dcm").read_bytes()[:-15])
    unheard()
    export(operation=OperationOptions(id="1", error_log="log"))
    record = Store.of_user().read("1")
    assert (record.state, record.success, record.failure, record.pending) == ("DONE", 3, 1, 0)
    (line,) = Path("log").read_text().splitlines()
    assert json.loads(line)["resourceName"] == "archive/3.dcm"


def test_the_same_words_in_another_directory_are_another_export(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = job._command(["archive"])
    assert job._command([archive]) == command
    monkeypatch.chdir(archive)
    assert job._command(["archive"]) != command


def test_where_the_state_is_is_said_once() -> None:
    told: list[str] = []
    interrupt()
    export(told)
    assert [line.partition(": ")[2] for line in told[:1]] == ["taking up a run that has read 3 files"]
    assert not any(line.startswith("The state of this job") for line in told)


def test_what_stands_beside_an_output_while_it_is_written_is_no_source(tmp_path: Path) -> None:
    names = {Path(path).name for path in job._outputs("x.duckdb")}
    assert names == {"x.duckdb", "x.duckdb.wal"} | {
        f".x.duckdb.{what}" for what in ("lock", "old", "ready", "spill", "writing")
    }
