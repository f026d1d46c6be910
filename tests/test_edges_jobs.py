"""Edges of jobs that no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dicom_bq
from dicom_bq import dictionary, jobdir, jobrun, reading
from dicom_bq.chunks import Chunks
from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.bigquery_options import BigQueryOptions
from dicom_bq.errors import DestinationError
from dicom_bq.jobdir import Announced, JobDirectory
from dicom_bq.jobrun import Run, job_place, row_facts
from dicom_bq.journal import Journal
from dicom_bq.parts import Order, Part, Summary, Task
from dicom_bq.problems import Problems
from dicom_bq.report import ExportReport
from dicom_bq.scan.outcome import Failure
from dicom_bq.schema import TableSchema
from dicom_bq.selection import Selection
from dicom_bq.sources.filters import Filter
from dicom_bq.spill import Spill
from dicom_bq.tally import Tally
from tests.instances import instance

SCHEMA = TableSchema.from_bigquery([{"name": "Modality", "type": "STRING"}])


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is brought to disk, what the journal says, and what is taken away."""
    happened: list[str] = []

    def logged(owner: Any, name: str, told: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            happened.append(told(*arguments))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    def synced(descriptor: int) -> str:
        return f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}"

    logged(os, "fdatasync", synced)
    logged(os, "fsync", synced)
    logged(Journal, "append", lambda _, entry: f"say {min(entry.keys() & {'options', 'part', *MILESTONES})}")
    logged(Path, "unlink", lambda path, **_: f"remove {path.name}")
    return happened


MILESTONES = ("announced", "written", "settled")


def one_file(tmp_path: Path) -> Path:
    return instance(tmp_path / "archive", "1.1", Modality="CT")


# What is on disk before what


def test_everything_is_on_disk_before_the_journal_counts_on_it(tmp_path: Path, log: list[str]) -> None:
    """Or after a power cut it counts on rows, names and failures that are not there."""
    cut = one_file(tmp_path).with_name("cut.dcm")
    cut.write_bytes((tmp_path / "archive" / "1.1.dcm").read_bytes()[:-1])
    dicom_bq.export(
        tmp_path / "archive",
        tmp_path / "x.parquet",
        workers=1,
        job_dir=tmp_path / "job",
        deliver=lambda _: log.append("deliver"),
    )
    ours = ("say", "deliver", "sync rows", "sync journal", "sync failures", "sync job", "remove rows", "remove journal")
    assert [line for line in log if line.startswith(ours)] == [
        "sync job",
        "say options",
        "sync journal",
        "sync rows-1-0",
        "say part",
        "sync journal",
        "sync failures.jsonl",
        "sync job",
        "say announced",
        "sync journal",
        "say written",
        "sync journal",
        "deliver",
        "remove rows-1-0",
        "remove journal",
        "sync job",
    ]


@pytest.mark.parametrize(("lasting", "expected"), [(True, ["sync rows-1-0"]), (False, [])])
def test_a_worker_has_rows_on_disk_before_it_says_so(
    tmp_path: Path, log: list[str], lasting: bool, expected: list[str]
) -> None:
    file = one_file(tmp_path)
    with (tmp_path / "rows-1-0").open("w+b") as rows:
        task = Task(SCHEMA, {}, None, rows=True, lasting=lasting)
        found = reading.work(task, Order([str(file)], rows.fileno()))
    assert isinstance(found, Summary)
    assert found.tally.exported == 1
    assert log == expected


@pytest.mark.parametrize("here", [True, False])
def test_a_file_s_time_is_taken_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool) -> None:
    """Or a change while it is read is not noticed by the next run."""
    file, batch = one_file(tmp_path), reading.Reading.batch
    before = file.stat().st_mtime_ns

    def touched(*arguments: Any) -> Any:
        os.utime(file, ns=(0, 0))
        return batch(*arguments)

    monkeypatch.setattr(reading.Reading, "batch", touched)
    met: list[Summary] = []
    monkeypatch.setattr(Chunks, "note", lambda _self, _part, found, **_: met.append(found))
    if here:
        dicom_bq.export(file, tmp_path / "x.parquet", workers=1)
    else:
        with Spill() as spill:
            order = Order([str(file)], spill.own().descriptor)
            found = reading.work(Task(SCHEMA, {}, None, rows=True, lasting=True), order)
        assert isinstance(found, Summary)
        met.append(found)
    assert [time for _, time in met[0].stats] == [before]


# The directory


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def directory(path: Path, tell: Callable[[str], None] = jobrun.unheard, **options: str) -> JobDirectory:
    return JobDirectory(path, options, SCHEMA, {}, tell)


def report(destination: str = "here") -> ExportReport:
    failure = Failure("x", "malformed", "why")
    return ExportReport(
        found=1,
        exported=0,
        failures=[failure],
        skipped=[],
        problems=Problems(),
        schema=SCHEMA,
        seconds=1.0,
        destination=destination,
        disposition="WRITE_EMPTY",
        rows=3,
    )


def test_a_directory_that_is_of_no_use_is_taken_away(tmp_path: Path) -> None:
    with directory(tmp_path / "job") as job:
        job.begin()
    assert not (tmp_path / "job").exists()


def test_a_write_that_was_begun_is_of_use_without_any_finished_part(tmp_path: Path) -> None:
    with directory(tmp_path / "job") as job:
        job.begin()
        job.announce("command", "mark", report())
    with directory(tmp_path / "job") as job:
        assert job.announced is not None
        assert (job.announced.mark, job.announced.written) == ("mark", False)
        job.written()
    with directory(tmp_path / "job") as job:
        assert job.announced is not None
        assert job.announced.written
        job.settle()
        assert job.announced is None
    assert not (tmp_path / "job").exists()


def test_a_write_that_is_settled_is_not_asked_for_again(tmp_path: Path) -> None:
    with directory(tmp_path / "job") as job:
        job.begin()
        job.announce("command", "mark", report())
        job.end(keep=True)
    with directory(tmp_path / "job") as job:
        assert job.announced is None


def test_rows_go_before_the_journal_that_knows_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[list[str]] = []
    remove = Journal.remove

    def looked(journal: Journal) -> None:
        left.append(names(journal.path.parent))
        remove(journal)

    monkeypatch.setattr(Journal, "remove", looked)
    with directory(tmp_path / "job") as job:
        job.begin()
        job.end(keep=False)
    assert left == [["journal"]]
    assert not (tmp_path / "job").exists()


def test_what_is_left_of_archives_and_reports_goes_with_the_job(tmp_path: Path) -> None:
    with directory(tmp_path / "job") as job:
        job.begin()
        (job.path / ".dicom-bq-x").mkdir()
        (job.path / ".dicom-bq-x" / "inflated").touch()
        (job.path / "failures.jsonl").touch()
        job.end(keep=False)
    assert not (tmp_path / "job").exists()


def test_a_run_takes_away_what_no_part_needs(tmp_path: Path) -> None:
    with directory(tmp_path / "job") as job:
        job.begin()
        job.announce("command", "mark", report())
        for name in ("rows-7-0", "failures.jsonl"):
            (job.path / name).touch()
    with directory(tmp_path / "job") as job:
        job.begin()
        assert names(job.path) == ["journal", "rows-8-0"]


def test_the_form_of_the_journal_is_one_of_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with directory(tmp_path / "job") as job:
        job.begin()
        job.announce("command", "mark", report())
    monkeypatch.setattr(jobdir, "FORMAT", jobdir.FORMAT + 1)
    with directory(tmp_path / "job", said.append) as job:
        job.begin()
    assert said == [f"{tmp_path}/job: options changed: format; all files are read again"]


def test_parts_of_a_run_with_other_options_are_not_taken(tmp_path: Path) -> None:
    for option, finished in (("a", 0), ("b", 0), ("b", 1)):
        with directory(tmp_path / "job", option=option) as job:
            assert job.chunks.finished == finished
            job.begin()
            part = Part([str(tmp_path)], file=job.spill.own())
            job.note(part, Summary(Tally(found=1), stats=[(1, 1)]))


# The end of a run


class Job:
    """Stands in for a job directory and for a destination, and says what is asked of them."""

    def __init__(self, announced: Announced | None, *, holds: bool, there: bool) -> None:
        self.announced, self._holds, self._there = announced, holds, there
        self.path, self.uri, self.asked = Path("job"), "here", list[str]()

    def holds(self, mark: str) -> bool:
        return self._holds

    def existing(self) -> object:
        return object() if self._there else None

    def report(self, _: Announced) -> ExportReport:
        return report()

    def tell(self, _: str) -> None: ...

    def written(self) -> None:
        self.asked.append("written")

    def forget(self, mark: str) -> None:
        self.asked.append(f"forget {mark}")

    def settle(self) -> None:
        self.asked.append("settle")

    def end(self, *, keep: bool) -> None:
        self.asked.append("end, keep" if keep else "end")


def earlier(job: Job, *, is_known: bool = True) -> ExportReport | None:
    one: Any = job
    run = Run(one, one, WriteDisposition.WRITE_EMPTY, "c", False, lambda _: job.asked.append("deliver"), is_known)
    return run.earlier()


DELIVERED = ["written", "deliver", "forget m", "end"]
"""The report comes before all that would make another run of the command a new one."""


@pytest.mark.parametrize(
    ("command", "written", "holds", "there", "asked"),
    [
        ("c", False, True, True, DELIVERED),
        ("c", True, False, True, DELIVERED),
        ("c", True, False, False, ["settle"]),
        ("c", False, False, True, ["settle"]),
        ("other", False, True, True, ["written", "forget m", "settle"]),
        ("other", False, False, True, ["settle"]),
    ],
)
def test_what_becomes_of_an_earlier_run_s_write(
    command: str, written: bool, holds: bool, there: bool, asked: list[str]
) -> None:
    job = Job(Announced(command, "here", "m", {"rows": 3}, written=written), holds=holds, there=there)
    assert (earlier(job) is not None) == (asked is DELIVERED)
    assert job.asked == asked


def test_without_an_earlier_write_nothing_is_asked() -> None:
    job = Job(None, holds=True, there=True)
    assert earlier(job) is None
    assert job.asked == []


def test_a_list_that_cannot_be_known_again_is_refused_each_time() -> None:
    job = Job(Announced("c", "here", "m", {"rows": 3}), holds=True, there=True)
    with pytest.raises(DestinationError, match="written all its 3 rows, and whether this is the same list"):
        earlier(job, is_known=False)
    assert job.asked == ["written", "forget m"]


def test_another_command_is_not_refused_for_a_list() -> None:
    job = Job(Announced("other", "here", "m", {"rows": 3}), holds=True, there=True)
    assert earlier(job, is_known=False) is None
    assert job.asked == ["written", "forget m", "settle"]


def test_a_write_elsewhere_is_left_alone() -> None:
    job = Job(Announced("c", "elsewhere", "m", {"rows": 3}), holds=True, there=True)
    with pytest.raises(DestinationError, match="an export to elsewhere was interrupted here"):
        earlier(job)
    assert job.asked == []


# What tells jobs apart


def test_a_job_s_place_is_its_own(tmp_path: Path) -> None:
    table = tmp_path / "x.duckdb"
    assert job_place(table, None, "dicom", None, "") == tmp_path / ".x.duckdb.job"
    assert job_place(table, None, "a", None, "") != job_place(table, None, "b", None, "")
    other = BigQueryOptions(api_endpoint="http://localhost:1")
    places = {
        job_place(text, None, "dicom", options, command)
        for text in ("bq://p.d.t", "bq://p.d.u")
        for options in (None, other)
        for command in ("a", "b")
    }
    assert len(places) == 8


def test_a_place_in_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="nowhere"):
        job_place(tmp_path / "nowhere" / "x.parquet", None, "dicom", None, "")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"version": "0"}, {"version"}),
        ({"edition": "0"}, {"dictionary"}),
        ({"size": 7}, {"batch size"}),
        ({"schema": None}, {"schema"}),
        ({"filter": "/studies/1"}, {"filter"}),
        ({"deduplicate": True}, {"deduplicate"}),
        ({"numeric_strings": "typed"}, {"numeric_strings"}),
    ],
    ids=str,
)
def test_whatever_rows_depend_on_is_a_fact(
    changed: dict[str, Any], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = changed.copy()
    plain = row_facts(SCHEMA, {}, None)
    edition = given.pop("edition", dictionary.edition())
    monkeypatch.setattr(dictionary, "edition", lambda: edition)
    monkeypatch.setattr(dicom_bq, "__version__", given.pop("version", dicom_bq.__version__))
    monkeypatch.setattr(reading, "BATCH_SIZE", given.pop("size", reading.BATCH_SIZE))
    schema, lines = given.pop("schema", SCHEMA), given.pop("filter", "")
    selection = Selection(Filter.parse(lines) if lines else None, given.pop("deduplicate", False))
    facts = row_facts(schema, given, selection)
    assert {name for name in facts if facts[name] != plain[name]} == expected
