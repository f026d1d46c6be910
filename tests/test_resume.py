"""Exports that end in the middle and are run again: as if nothing had happened, and no finished file is read twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dicom_bq
from dicom_bq.errors import DestinationError
from dicom_bq.journal import Journal
from dicom_bq.listing import make_parts
from dicom_bq.sources.spool import Spool
from dicom_bq.stats import digest_of
from tests.handmade import explicit_file, text
from tests.instances import instance
from tests.nursery import Nursery
from tests.tables import DESTINATIONS, read

FILES = 41
SMALL = "import dicom_bq.reading as reading; reading.BATCH_SIZE = 5"
APPEND = ("--write-disposition", "write-append", "--workers", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of which every part of five has other columns, repeated instances, and what is no row."""
    folder = tmp_path_factory.mktemp("made") / "archive"
    keywords = ("PatientID", "StudyID", "AccessionNumber", "SeriesDescription", "StationName")
    for number in range(FILES - 1):
        values = {keywords[number // 5 % len(keywords)]: str(number)}
        instance(folder, f"1.{number % 33}", **values).rename(folder / f"{number:02}.dcm")
    (folder / "12-bad.dcm").write_bytes(explicit_file(text(0x00080020, "DA", "yesterday ")))
    (folder / "07.txt").write_text("not DICOM")
    (folder / "31-short.dcm").write_bytes(explicit_file(text(0x00100020, "LO", "ID"))[:-3])
    (folder / "33-nowhere.dcm").symlink_to("nowhere")
    return folder


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "archive", symlinks=True))


@pytest.fixture
def nursery(forking: subprocess.Popen[str], tmp_path: Path) -> Nursery:
    return Nursery(forking, {"XDG_STATE_HOME": str(tmp_path / "state")}, tmp_path / "log", SMALL)


def told(report: Path) -> dict[str, Any]:
    found = json.loads(report.read_text())
    return {name: found[name] for name in found.keys() - {"seconds", "destination", "operation"}}


def spoil(files: list[Path]) -> None:
    """Change what is in files, and not what a directory says of them: who reads them again makes other rows."""
    for file in files:
        before = file.stat()
        file.write_bytes(bytes(before.st_size))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def contents(table: Path) -> object:
    """A table, to the byte where that can be asked for."""
    if table.suffix == ".duckdb":
        return read(table)
    files = sorted(table.rglob("*.parquet")) if table.is_dir() else [table]
    return [(file.name, file.read_bytes()) for file in files]


def files_in_order(archive: Path) -> list[Path]:
    return sorted(path for path in archive.iterdir() if not path.is_symlink())


def finished(job: Path, files: list[Path]) -> list[Path]:
    """The files of those parts that are in a job's journal."""
    with Journal(job / "journal") as journal:
        sizes = {entry["first"]: entry["files"] for _, entry in journal.entries() if "first" in entry}
    return [file for at, first in enumerate(files) for file in files[at : at + sizes.get(digest_of([str(first)]), 0)]]


def finished_files(log: Path) -> int:
    found = re.search(r"(\d+) files in \d+ finished chunks are taken from the interrupted run", log.read_text())
    return int(found[1]) if found else 0


def undisturbed(nursery: Nursery, archive: Path, name: str, *options: str) -> tuple[object, dict[str, Any]]:
    """Table and report of an export of the same files that nothing happens to, onto a table of one."""
    folder = archive.parent / "undisturbed"
    folder.mkdir()
    prepare(folder, name)
    assert nursery.run("export", str(archive), str(folder / name), *options, "--report", str(folder / "report")) == 1
    return contents(folder / name), told(folder / "report")


def prepare(folder: Path, name: str) -> None:
    first = instance(folder / "first", "2.1", PatientName="Doe^Jane")
    dicom_bq.export(first, folder / name)


BEFORE = {
    "the directory is made": ("after", "jobdir.JobDirectory._learn"),
    "nothing is read": ("after", "jobdir.JobDirectory.begin"),
    "rows are not on disk": ("before", "spill.SpillFile.sync", 3),
    "rows are on disk": ("after", "spill.SpillFile.sync", 3),
    "a part is finished": ("after", "chunks.Chunks.note", 4),
    "all parts are finished": ("after", "chunks.Chunks.note", 8),
    "the write begins": ("before", "jobrun.Run.write"),
    "the write is to be announced": ("before", "jobdir.JobDirectory.announce"),
    "the write is announced": ("after", "jobdir.JobDirectory.announce"),
}
AFTER = {
    "the write is done": ("before", "jobdir.JobDirectory.written"),
    "the write is known to be done": ("after", "jobdir.JobDirectory.written"),
    "the report is to be written": ("before", "commands.export._write"),
    "the report is written": ("after", "commands.export._write"),
    "the directory is to be removed": ("before", "jobdir.JobDirectory.end"),
    "the journal is to be removed": ("before", "journal.Journal.remove"),
}
FORGOTTEN = ("after", "journal.Journal.remove")


@pytest.mark.parametrize("name", DESTINATIONS)
def test_killed_before_the_write(nursery: Nursery, archive: Path, tmp_path: Path, name: str) -> None:
    table, report = undisturbed(nursery, archive, name, *APPEND)
    for number, (place, point) in enumerate(BEFORE.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        prepare(folder, name)
        old = contents(folder / name)
        command = ("export", str(archive), str(folder / name), *APPEND, "--report", str(folder / "report"))
        assert nursery.run(*command, point=point) == -signal.SIGKILL, place
        assert contents(folder / name) == old, place
        assert nursery.run(*command) == 1, nursery.log.read_text()
        assert contents(folder / name) == table, place
        assert told(folder / "report") == report, place
        assert sorted(path.name for path in folder.iterdir()) == sorted(["first", name, "report"]), place


@pytest.mark.parametrize("name", DESTINATIONS)
@pytest.mark.parametrize("disposition", ["write-append", "write-empty", "write-truncate"])
def test_killed_after_the_write(nursery: Nursery, archive: Path, tmp_path: Path, name: str, disposition: str) -> None:
    options = ("--write-disposition", disposition, "--workers", "1")
    for number, (place, point) in enumerate(AFTER.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        if disposition != "write-empty":
            prepare(folder, name)
        report = ("--report", str(folder / "report"))
        command = ("export", str(archive), str(folder / name), *options)
        assert nursery.run(*command, point=point) == -signal.SIGKILL, place
        table = contents(folder / name)
        assert nursery.run(*command, *report) == 1, nursery.log.read_text()
        assert "this export was finished before it was interrupted; nothing is done now" in nursery.log.read_text()
        assert contents(folder / name) == table, place
        assert len(read(folder / name)) == FILES + (disposition == "write-append"), place
        assert told(folder / "report")["rows"] == FILES
        assert sorted(path.name for path in folder.glob("[!f]*")) == sorted([name, "report"]), place
        # From then on the same command is another one.
        assert nursery.run(*command) == (3 if disposition == "write-empty" else 1)
        assert len(read(folder / name)) == (2 * FILES + 1 if disposition == "write-append" else FILES), place


COMMITTED = {
    "x.parquet": "files._sync = killing(files._sync)",
    "parts": "files._remove = killing(files._remove)",
    "x.duckdb": "shutil.rmtree = killing(shutil.rmtree)",
}


@pytest.mark.parametrize("name", COMMITTED)
def test_killed_at_the_end_of_the_write(nursery: Nursery, archive: Path, tmp_path: Path, name: str) -> None:
    """All is written, and what was needed for that is not yet taken away."""
    table, report = undisturbed(nursery, archive, name, *APPEND)
    prepare(tmp_path, name)
    command = ("export", str(archive), str(tmp_path / name), *APPEND, "--report", str(tmp_path / "report"))
    code = nursery.code
    nursery.code += f"""
import os, shutil, signal
from dicom_bq.destinations import files
from dicom_bq.jobdir import JobDirectory
def killing(function):
    def called(*arguments, **options):
        if announced:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return called
announced, announce = [], JobDirectory.announce
JobDirectory.announce = lambda *arguments: (announce(*arguments), announced.append(1))
{COMMITTED[name]}
"""
    assert nursery.run(*command) == -signal.SIGKILL
    assert contents(tmp_path / name) == table
    assert [path.name for path in tmp_path.glob(f".{name}.*") if path.suffix != ".job"]
    nursery.code = code
    assert nursery.run(*command) == 1
    assert "nothing is done now" in nursery.log.read_text()
    assert contents(tmp_path / name) == table
    assert told(tmp_path / "report") == report
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", DESTINATIONS)
def test_a_report_of_a_finished_write_is_that_write_s(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str
) -> None:
    _, report = undisturbed(nursery, archive, name, *APPEND)
    prepare(tmp_path, name)
    command = ("export", str(archive), str(tmp_path / name), *APPEND, "--report", str(tmp_path / "report"))
    assert nursery.run(*command, point=AFTER["the write is done"]) == -signal.SIGKILL
    spoil(files_in_order(archive))  # nothing is read
    assert nursery.run(*command) == 1
    assert told(tmp_path / "report") == report


@pytest.mark.parametrize("name", DESTINATIONS)
def test_it_is_said_that_all_is_done_before_the_job_is_forgotten(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str
) -> None:
    """Then the same command would append the same rows again."""
    prepare(tmp_path, name)
    command = ("export", str(archive), str(tmp_path / name), *APPEND, "--operation-id", "done")
    assert nursery.run(*command, point=AFTER["the directory is to be removed"]) == -signal.SIGKILL
    assert f"{FILES} rows written" in nursery.log.read_text()
    (record,) = (tmp_path / "state").rglob("done.json")
    operation = json.loads(record.read_text())
    assert operation["done"]
    assert operation["metadata"]["counter"]["success"] == str(FILES)
    assert nursery.run(*command[:-2]) == 1
    assert "nothing is done now" in nursery.log.read_text()
    assert len(read(tmp_path / name)) == FILES + 1


def test_a_job_without_its_journal_is_none(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    command = ("export", str(archive), str(tmp_path / "x.parquet"), "--overwrite-table")
    assert nursery.run(*command, point=FORGOTTEN) == -signal.SIGKILL
    assert (tmp_path / ".x.parquet.job").exists()
    assert nursery.run(*command) == 1
    assert finished_files(nursery.log) == 0
    assert not (tmp_path / ".x.parquet.job").exists()


OVERWRITE = ("--overwrite-table",)


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ((), "1"),
        ((), "2"),
        (("--deduplicate",), "1"),
        (("--deduplicate",), "2"),
        (("--schema-type", "json"), "1"),
        (("--schema", "s.json"), "2"),
        (("--numeric-strings", "typed", "--include-source-store"), "1"),
    ],
)
def test_finished_files_are_not_read_again(
    nursery: Nursery, archive: Path, tmp_path: Path, options: tuple[str, ...], workers: str
) -> None:
    schema = tmp_path / "s.json"
    schema.write_text(dicom_bq.schema_from_keywords(["PatientID", "SOPInstanceUID"]).to_json())
    options = tuple(str(schema) if one == "s.json" else one for one in (*OVERWRITE, *options))
    table, report = undisturbed(nursery, archive, "x.parquet", *options)
    command = ("export", str(archive), str(tmp_path / "x.parquet"), "--workers", workers, *options)
    assert nursery.run(*command, point=("after", "chunks.Chunks.note", 7)) == -signal.SIGKILL
    files = files_in_order(archive)
    done = finished(tmp_path / ".x.parquet.job", files)
    assert len(done) > 30
    spoil([file for file in files[:30] if file in done])  # those behind repeat instances, and may be read again
    assert nursery.run(*command, "--report", str(tmp_path / "report")) == 1, nursery.log.read_text()
    assert finished_files(nursery.log) == len(done)
    assert contents(tmp_path / "x.parquet") == table
    assert told(tmp_path / "report") == report


def interrupted(nursery: Nursery, archive: Path, *options: str, name: str = "x.parquet", parts: int = 6) -> list[str]:
    """An export that was killed after some parts; returns its command line."""
    command = ["export", str(archive), str(archive.parent / name), "--workers", "1", *options]
    assert nursery.run(*command, point=("after", "chunks.Chunks.note", parts)) == -signal.SIGKILL
    assert nursery.log.read_text().startswith("The state of this job is in /")
    return command


def test_a_changed_file_is_read_again_and_named(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    command = interrupted(nursery, archive)
    for number in (2, 3, 12):
        instance(tmp_path, "9", PatientID="changed").rename(archive / f"{number:02}.dcm")
    assert nursery.run(*command) == 1
    said = nursery.log.read_text()
    assert said.startswith(f"{tmp_path / '.x.parquet.job'}: taking up a run that has read 30 files\n")
    assert "The state of this job" not in said
    assert finished_files(nursery.log) == 20
    names = ", ".join(str(archive / f"{number:02}.dcm") for number in (2, 3, 12))
    assert f"changed since they were read, and read again with their chunks: {names}\n" in said
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    assert contents(tmp_path / "x.parquet") == table


def test_a_changed_file_among_others_that_are_gone_is_named(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    command = interrupted(nursery, archive)
    (archive / "03.dcm").unlink()
    os.utime(archive / "04.dcm", ns=(0, 0))
    instance(tmp_path, "9").rename(archive / "04-new.dcm")  # which is new, and not changed
    assert nursery.run(*command) == 1, nursery.log.read_text()
    log = nursery.log.read_text()
    assert f"changed since they were read, and read again with their chunks: {archive / '04.dcm'}\n" in log
    assert "chunks of 5 files are not what they were: files have come or gone" in log


def test_files_that_come_and_go(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    command = interrupted(nursery, archive)
    (archive / "13.dcm").unlink()
    instance(tmp_path, "9", PatientID="new").rename(archive / "98.dcm")
    assert nursery.run(*command) == 1
    assert finished_files(nursery.log) == 25
    assert "chunks of 5 files are not what they were: files have come or gone" in nursery.log.read_text()
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    assert contents(tmp_path / "x.parquet") == table


def parts(uris: list[str], done: dict[str, int]) -> list[list[str]]:
    return [part.uris for part in make_parts(iter([(uri, None) for uri in uris]), [], Spool(), 1000, done)]


def test_parts_are_made_again_whatever_comes_before_them() -> None:
    uris = [f"/archive/{number:06}.dcm" for number in range(9_500)]
    before = parts(uris, {})
    assert list(map(len, before)) == [1000] * 9 + [500]
    new = ["/a", *uris[:10], "/archive/000010x", *uris[10:2500], *uris[2501:]]
    after = parts(new, {digest_of(some[:1]): len(some) for some in before[:6]})
    assert [uri for some in after for uri in some] == new
    assert [some in after for some in before] == [False, True, False, True, True, True, True, True, True, True]
    assert max(map(len, after)) == 1000


def test_what_could_not_be_read_is_tried_again(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    code = (
        SMALL
        + f"""
import os, dicom_bq.scan.bytesource
opened = os.open
def refuse(path, *arguments, **options):
    if str(path).endswith("02.dcm") and not os.path.exists({str(target)!r}):
        raise PermissionError(13, "Permission denied")
    return opened(path, *arguments, **options)
os.open = refuse
"""
    )
    nursery.code = code
    command = interrupted(nursery, archive)
    target.touch()
    assert nursery.run(*command) == 1
    assert finished_files(nursery.log) == 25
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    assert contents(tmp_path / "x.parquet") == table


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_archives(nursery: Nursery, archive: Path, tmp_path: Path, kind: str) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, archive))
    table, report = undisturbed(nursery, packed, "x.parquet", *OVERWRITE)
    command = interrupted(nursery, packed, *OVERWRITE)
    assert nursery.run(*command, "--report", str(tmp_path / "report")) == 1
    assert finished_files(nursery.log) == 30
    assert contents(tmp_path / "x.parquet") == table
    assert told(tmp_path / "report") == report
    (tmp_path / "x.parquet").unlink()
    command = interrupted(nursery, packed, *OVERWRITE)
    os.utime(packed, ns=(1, 1))
    assert nursery.run(*command) == 1
    assert finished_files(nursery.log) == 0
    assert "changed since they were read" in nursery.log.read_text()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--numeric-strings", "typed"), "numeric_strings"),
        (("--deduplicate",), "deduplicate"),
        (("--include-source-store",), "include_source_store"),
        (("--max-sequence-bytes", "1000"), "max_sequence_bytes"),
        (("--schema-type", "json"), "schema, schema_type"),
    ],
)
def test_changed_options_begin_anew(
    nursery: Nursery, archive: Path, tmp_path: Path, options: tuple[str, ...], name: str
) -> None:
    command = interrupted(nursery, archive)
    assert nursery.run(*command, *options) == 1
    assert f"options changed: {name}; all files are read again" in nursery.log.read_text()
    assert finished_files(nursery.log) == 0
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE, *options)
    assert contents(tmp_path / "x.parquet") == table


def test_a_changed_filter_begins_anew(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "filter"
    chosen.write_text("/studies/1\n")
    command = interrupted(nursery, archive, "--filter", str(chosen))
    chosen.write_text("/studies/2\n")
    nursery.run(*command)
    assert "options changed: filter; all files are read again" in nursery.log.read_text()


def test_what_rows_do_not_depend_on_may_change(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    command = interrupted(nursery, archive)
    assert nursery.run(*command, *OVERWRITE, "--workers", "2") == 1
    assert finished_files(nursery.log) == 30
    assert "options changed" not in nursery.log.read_text()
    assert nursery.run(*interrupted(nursery, archive, *OVERWRITE), "--quiet") == 1
    assert nursery.log.read_text() == ""


def test_keep(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    command = ["export", str(archive), str(tmp_path / "x.parquet"), *APPEND, "--job-dir", str(directory)]
    assert nursery.run(*command, "--keep") == 1
    assert (directory / "failures.jsonl").read_text().count("\n") == 2
    spoil(files_in_order(archive))
    assert nursery.run(*command) == 1  # another run, with the rows that are there
    assert len(read(tmp_path / "x.parquet")) == 2 * FILES
    assert not directory.exists()


PARTS = 9


def rows_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("rows-*"))


def lines_of(journal: Path) -> int:
    return journal.read_bytes().count(b"\n")


def test_what_is_kept_does_not_grow_without_end(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    command = ["export", str(archive), str(tmp_path / "x.parquet"), *OVERWRITE, "--job-dir", str(directory)]
    command += ["--keep", "--workers", "1"]
    for session in range(1, 5):
        instance(tmp_path, "9", PatientID=f"changed {session}").rename(archive / "02.dcm")
        assert nursery.run(*command) == 1, nursery.log.read_text()
        assert rows_files(directory) == sorted({"rows-1-0", f"rows-{session}-0"})
        assert lines_of(directory / "journal") == 1 + PARTS
    assert finished_files(nursery.log) == FILES - 3
    for file in files_in_order(archive):
        file.rename(file.with_stem(f"{file.stem} elsewhere"))
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert rows_files(directory) == ["rows-5-0"]
    spoil(files_in_order(archive))
    old = contents(tmp_path / "x.parquet")
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert contents(tmp_path / "x.parquet") == old
    assert rows_files(directory) == ["rows-5-0", "rows-6-0"]
    assert lines_of(directory / "journal") == 1 + PARTS


def test_a_kept_journal_that_has_no_room_to_be_shortened(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    command = ["export", str(archive), str(tmp_path / "x.parquet"), *OVERWRITE, "--job-dir", str(directory), "--keep"]
    code = nursery.code
    nursery.code += """
import errno
from dicom_bq import journal
def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")
journal.read = full
"""
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert lines_of(directory / "journal") == 1 + PARTS + len(("announced", "written", "settled"))
    nursery.code = code
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert finished_files(nursery.log) == FILES + 2
    assert lines_of(directory / "journal") == 1 + PARTS


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_when_a_kept_journal_is_shortened(nursery: Nursery, archive: Path, tmp_path: Path, when: str) -> None:
    table, report = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    command = ["export", str(archive), str(tmp_path / "x.parquet"), *OVERWRITE, "--job-dir", str(tmp_path / "kept")]
    command += ["--keep", "--report", str(tmp_path / "report")]
    assert nursery.run(*command, point=(when, "journal.Journal._become")) == -signal.SIGKILL
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert contents(tmp_path / "x.parquet") == table
    assert told(tmp_path / "report") == report
    assert finished_files(nursery.log) == FILES + 2
    assert sorted(path.name for path in (tmp_path / "kept").iterdir() if "rows" not in path.name) == [
        *("failures.jsonl", "journal", "skipped.jsonl")
    ]


def test_a_finished_write_that_is_delivered_again_keeps_its_rows(
    nursery: Nursery, archive: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "kept"
    command = ["export", str(archive), str(tmp_path / "x.parquet"), *OVERWRITE, "--job-dir", str(directory)]
    command += ["--keep", "--workers", "1"]
    assert nursery.run(*command, point=AFTER["the write is known to be done"]) == -signal.SIGKILL
    assert nursery.run(*command) == 1
    assert "nothing is done now" in nursery.log.read_text()
    assert rows_files(directory) == ["rows-1-0", "rows-2-0"]
    spoil(files_in_order(archive))
    assert nursery.run(*command) == 1
    assert finished_files(nursery.log) == FILES + 2


def test_the_directory_is_no_source_and_closed_to_others(nursery: Nursery, archive: Path) -> None:
    command = interrupted(nursery, archive, "--job-dir", str(archive / "job"))
    assert (archive / "job").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (archive / "job").iterdir()} == {0o600}
    assert nursery.run(*command, "--report", str(archive.parent / "report")) == 1
    assert told(archive.parent / "report")["found"] == FILES + 3


def test_the_directories_of_other_jobs_are_no_sources(nursery: Nursery, archive: Path) -> None:
    other = ["export", str(archive), str(archive / "other.parquet"), *OVERWRITE]
    assert nursery.run(*other, point=("after", "jobdir.JobDirectory.note", 3)) == -signal.SIGKILL
    job = archive / ".other.parquet.job"
    assert len(list(job.iterdir())) > 2
    command = ["export", str(archive), str(archive.parent / "x.parquet"), *OVERWRITE]
    command += ["--report", str(archive.parent / "report")]
    assert nursery.run(*command) == 1
    assert told(archive.parent / "report")["found"] == FILES + 3
    (job / "not-ours.dcm").write_bytes(b"")  # nothing of others is passed over
    assert nursery.run(*command) == 1
    assert told(archive.parent / "report")["found"] == FILES + 3 + len(list(job.iterdir()))
    (job / "not-ours.dcm").unlink()
    (job / "journal").write_bytes(b"12345678 {}\n")
    assert nursery.run(*command) == 1
    assert told(archive.parent / "report")["found"] == FILES + 3 + len(list(job.iterdir()))


def test_two_at_once(archive: Path, tmp_path: Path) -> None:
    table = tmp_path / "x.parquet"
    prepare(tmp_path, "x.parquet")
    old = contents(table)
    with Journal(tmp_path / ".x.parquet.job" / "journal"):
        with pytest.raises(DestinationError, match=r"\.x\.parquet\.job: another process is at this job\. Wait"):
            dicom_bq.export(archive, table, overwrite_table=True)
        with pytest.raises(DestinationError, match="another process is at this job"):
            dicom_bq.export(archive, tmp_path / "y.parquet", job_dir=tmp_path / ".x.parquet.job")
    assert contents(table) == old
    assert not (tmp_path / "y.parquet").exists()
    assert dicom_bq.export(archive, table, overwrite_table=True).rows == FILES


def test_a_directory_that_cannot_be_removed(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    """Such as one with a file system of its own. What is in it is gone, and the job is finished."""
    (tmp_path / "job").mkdir()
    (tmp_path / "link").symlink_to("job")
    command = ("export", str(archive), str(tmp_path / "x.parquet"), *APPEND, "--job-dir", str(tmp_path / "link"))
    assert nursery.run(*command) == 1
    assert "cannot be kept" not in nursery.log.read_text()
    assert not list((tmp_path / "job").iterdir())
    assert len(read(tmp_path / "x.parquet")) == FILES


def test_a_directory_of_other_things_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match=r"archive: this is no job directory: 00\.dcm is in it"):
        dicom_bq.export(archive, tmp_path / "x.parquet", job_dir=archive)
    assert len(list(archive.iterdir())) == FILES + 3


def test_a_write_of_another_destination_is_not_forgotten(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    job = ("--job-dir", str(tmp_path / "job"))
    command = ("export", str(archive), str(tmp_path / "x.duckdb"), *APPEND, *job)
    assert nursery.run(*command, point=AFTER["the write is done"]) == -signal.SIGKILL
    assert nursery.run("export", str(archive), str(tmp_path / "y.parquet"), *job) == 3
    assert "x.duckdb#dicom was interrupted here when it was about to end. Run that again" in nursery.log.read_text()
    assert nursery.run(*command) == 1
    assert len(read(tmp_path / "x.duckdb")) == FILES


@pytest.mark.parametrize("name", ["x.parquet", "x.duckdb"])
def test_another_command_after_one_that_was_finished(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str
) -> None:
    command = ("export", str(archive), str(tmp_path / name), "--workers", "1")
    assert nursery.run(*command, point=AFTER["the write is done"]) == -signal.SIGKILL
    assert nursery.run(*command, "--write-disposition", "write-append") == 1
    assert "an earlier export was finished before it was interrupted" in nursery.log.read_text()
    assert len(read(tmp_path / name)) == 2 * FILES
    assert sorted(path.name for path in tmp_path.glob("*x*")) == [name]


@pytest.mark.parametrize("place", ["the write is done", "the report is to be written"])
@pytest.mark.parametrize("name", DESTINATIONS)
def test_a_table_that_is_gone_is_written_again(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str, place: str
) -> None:
    command = ("export", str(archive), str(tmp_path / name), *APPEND)
    assert nursery.run(*command, point=AFTER[place]) == -signal.SIGKILL
    shutil.rmtree(tmp_path / name) if (tmp_path / name).is_dir() else (tmp_path / name).unlink()
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert "finished" not in nursery.log.read_text().replace("finished chunks", "")
    assert len(read(tmp_path / name)) == FILES


@pytest.mark.parametrize("place", ["the write is done", "the report is to be written"])
@pytest.mark.parametrize("name", DESTINATIONS)
def test_a_list_from_a_pipe_is_not_taken_for_another(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str, place: str
) -> None:
    """Nor for the same: rows would come twice, or not at all."""
    (tmp_path / "list").write_text(f"{archive}\n")
    command = ("export", "-", str(tmp_path / name), *APPEND)
    nursery.code += f"; import os; os.dup2(os.open({str(tmp_path / 'list')!r}, os.O_RDONLY), 0)"
    assert nursery.run(*command, point=AFTER[place]) == -signal.SIGKILL
    for _ in range(2):
        assert nursery.run(*command) == 3
        said = nursery.log.read_text()
        assert f"had written all its {FILES} rows, and whether this is the same list cannot be known" in said
        assert f"Remove {tmp_path / f'.{name}.job'}, and run this again if it is another list" in said
        assert len(read(tmp_path / name)) == FILES
    shutil.rmtree(tmp_path / f".{name}.job")
    assert nursery.run(*command) == 1
    assert len(read(tmp_path / name)) == 2 * FILES


def test_the_same_command_with_the_same_operation(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    command = interrupted(nursery, archive, "--operation-id", "nightly")
    assert nursery.run("export", str(archive), str(tmp_path / "y.parquet"), "--operation-id", "nightly") == 2
    assert "there is an operation nightly already; choose another ID" in nursery.log.read_text()
    assert nursery.run(*command) == 1
    assert finished_files(nursery.log) == 30
    (record,) = (tmp_path / "state").rglob("nightly.json")
    assert json.loads(record.read_text())["metadata"]["counter"]["success"] == str(FILES)
    assert nursery.run(*command, *OVERWRITE) == 2  # that one is done


def test_interruptions_say_how_to_go_on(nursery: Nursery, archive: Path) -> None:
    command = ["export", str(archive), str(archive.parent / "x.parquet"), "--workers", "1"]
    nursery.code += """
import dicom_bq.chunks as chunks, os, signal
note, calls = chunks.Chunks.note, []
def noted(*arguments, **options):
    note(*arguments, **options)
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), NUMBER)
chunks.Chunks.note = noted
"""
    again = nursery.code
    for number, word, code, files in ((2, "interrupted", 130, 15), (15, "terminated", 143, 30)):
        nursery.code = again.replace("NUMBER", str(number))
        assert nursery.run(*command) == code
        assert nursery.log.read_text().splitlines()[-1] == (
            f"dicom-bq: {word}; nothing is half written. "
            f"Run the same command again to go on: {files} files are read already"
        )


@pytest.mark.parametrize("name", ["x.parquet", "parts", "x.duckdb"])
def test_killed_at_random(nursery: Nursery, archive: Path, tmp_path: Path, name: str) -> None:
    table, report = undisturbed(nursery, archive, name, *APPEND)
    rng = random.Random(name)
    nursery.code += "; import time, dicom_bq.chunks as chunks; pause = chunks.Chunks.passed"
    nursery.code += "; chunks.Chunks.passed = lambda self, part: (time.sleep(0.01), pause(self, part))"
    prepare(tmp_path, name)
    command = ("export", str(archive), str(tmp_path / name), *APPEND, "--report", str(tmp_path / "report"))
    kills = 0
    while kills < 20:

        def kill(process: int, after: float) -> None:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):  # it was sooner
                os.kill(process, signal.SIGKILL)

        code = nursery.run(*command, born=lambda process: kill(process, rng.uniform(0.02, 0.3)))
        assert code in {-signal.SIGKILL, 1}, nursery.log.read_text()
        kills += code != 1
        # Killed when all was done and forgotten: the same command would be another one.
        late = code != 1 and (tmp_path / "report").exists() and not (tmp_path / f".{name}.job" / "journal").exists()
        if code == 1 or late or kills == 20:
            if code != 1 and not late:
                assert nursery.run(*command) == 1, nursery.log.read_text()
            assert contents(tmp_path / name) == table
            assert told(tmp_path / "report") == report
            assert late or not list(tmp_path.glob(".*"))
            for left in (tmp_path / name, tmp_path / "report"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            prepare(tmp_path, name)


# What was kept, and is damaged


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


@pytest.mark.parametrize("kept", [False, True])
def test_bits_that_flip_anywhere(nursery: Nursery, archive: Path, tmp_path: Path, kept: bool) -> None:
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    job, copy, rng = tmp_path / "job", tmp_path / "copy", random.Random(int(kept))
    command = interrupted(nursery, archive, *OVERWRITE, "--job-dir", str(job))
    if kept:
        assert nursery.run(*command, "--keep") == 1
    shutil.copytree(job, copy)
    files = [copy / "journal", *sorted(copy.glob("rows-*"))]
    damaged = 0
    for file in rng.choices(files, [file.stat().st_size for file in files], k=30):
        shutil.rmtree(job, ignore_errors=True)
        shutil.copytree(copy, job)
        flip(job / file.name, rng.randrange(8 * file.stat().st_size))
        assert nursery.run(*command) == 1, nursery.log.read_text()
        assert contents(tmp_path / "x.parquet") == table
        assert not job.exists()
        told = re.findall(r"^rows of \d files were damaged and are read again$", nursery.log.read_text(), re.MULTILINE)
        assert len(told) == file.name.startswith("rows")
        damaged += len(told)
    assert damaged > 10


@pytest.mark.parametrize("name", ["failures.jsonl", "skipped.jsonl"])
@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_what_is_kept_of_failures_and_is_damaged_is_not_reported(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str, damage: str
) -> None:
    command = ["export", str(archive), str(tmp_path / "x.duckdb"), *APPEND, "--report", str(tmp_path / "report")]
    assert nursery.run(*command, point=AFTER["the write is done"]) == -signal.SIGKILL
    file = tmp_path / ".x.duckdb.job" / name
    if damage == "flipped":
        flip(file, 8 * (file.stat().st_size // 2))
    elif damage == "short":
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    else:
        file.unlink()
    for _ in range(2):
        assert nursery.run(*command) == 3, nursery.log.read_text()
        told = f"with all its {FILES} rows; which files failed or are no instance can be told no more"
        assert told in nursery.log.read_text()
        assert not (tmp_path / "report").exists()
    assert len(read(tmp_path / "x.duckdb")) == FILES
    shutil.rmtree(tmp_path / ".x.duckdb.job")
    assert nursery.run(*command) == 1
    assert len(read(tmp_path / "x.duckdb")) == 2 * FILES


@pytest.mark.parametrize("cut", [0, 100])
def test_rows_that_are_cut_off(nursery: Nursery, archive: Path, tmp_path: Path, cut: int) -> None:
    command = interrupted(nursery, archive)
    os.truncate(tmp_path / ".x.parquet.job" / "rows-1-0", cut)
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert "rows of 30 files were damaged and are read again" in nursery.log.read_text()
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    assert contents(tmp_path / "x.parquet") == table


@pytest.mark.parametrize("name", DESTINATIONS)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_rows_that_are_damaged_after_they_were_taken(
    nursery: Nursery, archive: Path, tmp_path: Path, name: str, workers: str
) -> None:
    table, _ = undisturbed(nursery, archive, name, *APPEND)
    prepare(tmp_path, name)
    old = contents(tmp_path / name)
    command = [*interrupted(nursery, archive, *APPEND, name=name), "--workers", workers]
    code = nursery.code
    nursery.code += """
from pathlib import Path
from dicom_bq import jobrun
write = jobrun.Run.write
def damaging(run, *arguments):
    file = run.job.path / "rows-1-0"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return write(run, *arguments)
jobrun.Run.write = damaging
"""
    assert nursery.run(*command) == 3, nursery.log.read_text()
    assert f".{name}.job: rows in this job directory are damaged. Run the same command again" in nursery.log.read_text()
    assert contents(tmp_path / name) == old
    nursery.code = code
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert "rows of 5 files were damaged and are read again" in nursery.log.read_text()
    assert contents(tmp_path / name) == table


def test_a_journal_of_an_older_form_is_read_anew(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    code = nursery.code
    nursery.code += "; import dicom_bq.jobdir as jobdir; jobdir.FORMAT = 1"
    command = interrupted(nursery, archive)
    nursery.code = code
    assert nursery.run(*command) == 1, nursery.log.read_text()
    assert "options changed: format; all files are read again" in nursery.log.read_text()
    assert finished_files(nursery.log) == 0


# Disks that are full, or fail


@pytest.fixture
def bulky(tmp_path: Path) -> Path:
    """Files of which every part of five is 100 KB on disk, however it is compressed."""
    rng = random.Random(1)
    for number in range(25):
        value = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=30_000))
        (tmp_path / "bulky").mkdir(exist_ok=True)
        content = explicit_file(text(0x00100020, "LO", f"{number:02}"), text(0x0040A160, "UT", value))
        (tmp_path / "bulky" / f"{number:02}.dcm").write_bytes(content)
    return tmp_path / "bulky"


def identifiers(table: Path) -> list[str | None]:
    return [row["PatientID"] for row in read(table)]


NUMBERS = [f"{number:02}" for number in range(25)]
LIMITED = """
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if os.path.exists({full!r}):
    resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


def test_a_limit_is_met_and_lifted(nursery: Nursery, bulky: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    prepare(tmp_path, "x.parquet")
    old = contents(tmp_path / "x.parquet")
    full.touch()
    nursery.code += LIMITED.format(full=str(full), size=250_000)
    command = ("export", str(bulky), str(tmp_path / "x.parquet"), *APPEND)
    assert nursery.run(*command) == 3, nursery.log.read_text()
    said = nursery.log.read_text()
    assert "x.parquet.job: the state of the job cannot be kept here: File too large. Make room" in said
    assert said.splitlines()[-1] == "Run the same command again to go on: 10 files are read already"
    assert contents(tmp_path / "x.parquet") == old
    spoil(sorted(bulky.iterdir())[:10])
    full.unlink()
    assert nursery.run(*command) == 0, nursery.log.read_text()
    assert identifiers(tmp_path / "x.parquet") == [None, *NUMBERS]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 400 KB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # whatever a process that is about to end has open


@pytest.mark.parametrize("name", DESTINATIONS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_full_file_system(nursery: Nursery, bulky: Path, small: Path, name: str, elsewhere: bool) -> None:
    options = ("--job-dir", str(bulky.parent / "job"), *APPEND) if elsewhere else APPEND
    command = ("export", str(bulky), str(small / name), *options)
    assert nursery.run(*command) == 3
    said = nursery.log.read_text()
    assert "o space left on device" in said, said
    go_on = re.fullmatch(r"Run the same command again to go on: (\d+) files are read already", said.splitlines()[-1])
    assert go_on, said
    files = int(go_on[1])
    assert files == 25 if elsewhere else 10 <= files < 25
    assert not list(small.glob(f"{name}*"))
    subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
    spoil(sorted(bulky.iterdir())[:files])
    assert nursery.run(*command) == 0, nursery.log.read_text()
    assert identifiers(small / name) == NUMBERS
    assert [path.name for path in small.iterdir()] == [name]


def test_a_file_system_that_may_not_be_written(nursery: Nursery, archive: Path, small: Path) -> None:
    prepare(small, "x.parquet")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    command = ("export", str(archive), str(small / "x.parquet"), "--overwrite-table")
    assert nursery.run(*command) == 3
    assert nursery.log.read_text().endswith(
        "small may not be written. Change its permissions, or choose another path\n"
    )
    assert nursery.run(*command, "--job-dir", str(small / "job")) == 3
    assert "job: the state of the job cannot be kept here: Read-only file system. " in nursery.log.read_text()
    assert len(read(small / "x.parquet")) == 1


def test_a_disk_that_fails(nursery: Nursery, archive: Path, tmp_path: Path) -> None:
    nursery.code += """
import os
write, calls = os.pwrite, []
def fail(*arguments):
    calls.append(1)
    if len(calls) == 10 and not os.path.exists("MENDED"):
        raise OSError(5, "Input/output error")
    return write(*arguments)
os.pwrite = fail
""".replace("MENDED", str(tmp_path / "mended"))
    command = ("export", str(archive), str(tmp_path / "x.parquet"), "--workers", "1")
    assert nursery.run(*command) == 3
    assert (
        "x.parquet.job: the state of the job cannot be kept here: Input/output error. Make" in nursery.log.read_text()
    )
    (tmp_path / "mended").touch()
    assert nursery.run(*command) == 1
    table, _ = undisturbed(nursery, archive, "x.parquet", *OVERWRITE)
    assert contents(tmp_path / "x.parquet") == table
