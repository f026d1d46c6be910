"""Worker processes: what comes out does not depend on how many there are, nor on how one of them ends."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq import job, reading, workers
from dicom_bq.errors import DestinationError, UsageError, WorkerError
from dicom_bq.parts import Part, Task
from dicom_bq.progress import Progressed
from dicom_bq.rowsfile import NO_FILE, SpillFile
from tests.handmade import explicit_file, sequence, text
from tests.instances import instance
from tests.tables import leftovers

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "fixtures" / "dicom"
LISTEN = workers.Workers._listen


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[workers.Worker, Part]]:
    """What workers have been given. Parts are small, and none is done before the workers are there."""
    record: list[tuple[workers.Worker, Part]] = []
    give = workers.Worker.give

    def patient(self: workers.Workers, timeout: float | None) -> None:
        waiting = self._workers and not all(worker.ready for worker in self._workers)
        LISTEN(self, None if waiting else timeout)

    def recorded(self: workers.Worker, part: Part, file: SpillFile) -> None:
        record.append((self, part))
        give(self, part, file)

    monkeypatch.setattr(reading, "BATCH_SIZE", 5)
    monkeypatch.setattr(workers.Workers, "_listen", patient)
    monkeypatch.setattr(workers.Worker, "give", recorded)
    return record


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reads nothing itself."""
    monkeypatch.setattr(workers.Workers, "_for_here", lambda self: None)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A few parts of files: rows, duplicates in one part and in others, and everything that is no row."""
    folder = tmp_path / "archive"
    for number in range(18):
        uid = f"1.{100 + number % 12 if number != 3 else 102}"
        made = instance(folder, uid, PatientID=str(number), StudyInstanceUID=f"2.{number % 3}", SeriesInstanceUID="3")
        made.rename(folder / f"{number:02}.dcm")
    (folder / "04.txt").write_text("not DICOM")
    (folder / "07-short.dcm").write_bytes(explicit_file(text(0x00100020, "LO", "ID"))[:-3])
    (folder / "11-nowhere.dcm").symlink_to("nowhere")
    (folder / "zz-nowhere.dcm").symlink_to("nowhere")
    return folder


def told(report: dicom_bq.ReadReport) -> dict[str, Any]:
    return {key: value for key, value in report.to_dict().items() if key not in {"seconds", "destination", "operation"}}


def export_both(source: Path, tmp_path: Path, *, name: str = "table.parquet", count: int = 2, **options: Any) -> Path:
    """Export with and without workers; everything must be the same. Returns the table."""
    reports = []
    for folder, number in (("alone", 1), ("many", count)):
        (tmp_path / folder).mkdir()
        reports.append(dicom_bq.export(source, tmp_path / folder / name, workers=number, **options))
        assert leftovers(tmp_path / folder / name) == []
    assert told(reports[0]) == told(reports[1])
    alone, many = (
        [(file.name, file.read_bytes()) for file in sorted((tmp_path / folder).rglob("*.parquet")) if file.is_file()]
        for folder in ("alone", "many")
    )
    assert alone == many
    return tmp_path / "many" / name


def in_workers(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let workers run a line of code before they begin."""
    monkeypatch.setattr(workers, "BOOTSTRAP", workers.BOOTSTRAP.replace("main(int", f"{code}; main(int"))


def ended(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


# The same, whatever the number


@pytest.mark.parametrize(("name", "count"), [("table.parquet", 2), ("parts", 3)])
def test_same_bytes_and_same_report(name: str, count: int, tmp_path: Path, given: list[Any]) -> None:
    table = export_both(TREE, tmp_path, name=name, count=count)
    assert pq.read_table(table).num_rows == 51
    assert len({worker for worker, _ in given}) == count - 1


def test_same_rows_in_duckdb(tmp_path: Path) -> None:
    for count in (1, 2):
        dicom_bq.export(TREE, tmp_path / f"{count}.duckdb", workers=count)
    tables = [duckdb.connect(tmp_path / f"{count}.duckdb").sql("FROM dicom").to_arrow_table() for count in (1, 2)]
    assert tables[0].schema == tables[1].schema
    assert str(tables[0].to_pylist()) == str(tables[1].to_pylist())  # as text, in which NaN is NaN


SCHEMA = dicom_bq.schema_from_keywords(
    ["PatientID", "StudyInstanceUID", "ReferencedImageSequence.ReferencedSOPClassUID"]
)


@pytest.mark.parametrize(
    "options",
    [
        {"schema": SCHEMA},
        {"schema": SCHEMA, "deduplicate": True},
        {"schema_type": "json"},
        {"numeric_strings": "typed", "include_source_store": True, "max_sequence_bytes": 200},
        {"max_header_bytes": 1000},
        {"deduplicate": True},
    ],
    ids="-".join,
)
def test_options_mean_the_same(options: dict[str, Any], tmp_path: Path, given: list[Any], nothing_here: None) -> None:
    assert pq.read_table(export_both(TREE, tmp_path, **options)).num_rows
    assert given


def test_selection_is_the_same(archive: Path, tmp_path: Path, given: list[Any]) -> None:
    filter_file = tmp_path / "filter.txt"
    filter_file.write_text("/studies/2.0\n/studies/2.1/series/3/instances/1.107\n/studies/9\n/studies/2.2\n")
    table = export_both(archive, tmp_path, deduplicate=True, filter_file=str(filter_file), count=3)
    # 3 repeats 2 and comes in one part with it; those from 12 repeat what is in earlier parts, but 15 does not.
    assert pq.read_table(table)["PatientID"].to_pylist() == ["0", "2", "5", "6", "7", "8", "9", "11", "15"]
    assert given


def test_duplicates_of_earlier_parts_leave_no_trace(archive: Path, tmp_path: Path) -> None:
    # The last file has a column and a problem that no other has; as a duplicate it contributes neither.
    uid = text(0x00080018, "UI", "1.100\0")
    (archive / "18.dcm").write_bytes(explicit_file(uid, text(0x00080020, "DA", "x"), sequence(b"")))
    table = export_both(archive, tmp_path, deduplicate=True)
    assert "StudyDate" not in pq.read_schema(table).names


def test_report_tells_everything_in_order(archive: Path, tmp_path: Path) -> None:
    export_both(archive, tmp_path)
    report = dicom_bq.export(archive, tmp_path / "x.parquet", workers=3)
    assert [Path(failure.uri).name for failure in report.failures] == [
        "07-short.dcm",
        "11-nowhere.dcm",
        "zz-nowhere.dcm",
    ]
    assert (report.found, report.exported, report.failed, report.not_dicom) == (22, 18, 3, 1)


def test_other_functions(archive: Path) -> None:
    with pytest.warns(dicom_bq.UnreadableWarning, match="3 of 22 failed"):
        assert dicom_bq.infer_schema(archive, workers=2) == job.survey(archive).schema
    with pytest.warns(dicom_bq.UnreadableWarning, match="3 of 22 failed"):
        table = dicom_bq.to_arrow(archive, SCHEMA, workers=2)
    streams = [dicom_bq.scan(archive, schema, workers=2) for schema in (None, SCHEMA)]
    for found in (table, *map(pa.table, streams)):
        assert found["PatientID"].to_pylist() == [str(number) for number in range(18)]
    assert all(stream.report and stream.report.found == 22 for stream in streams)
    plans = [job.plan_export(archive, "x.parquet", deduplicate=True, workers=count) for count in (1, 2)]
    assert told(plans[0].read) == told(plans[1].read)
    assert plans[1].read.duplicates == 6


def test_progress_is_told(archive: Path, tmp_path: Path) -> None:
    told: list[Progressed] = []
    report = dicom_bq.export(archive, tmp_path / "x.parquet", workers=2, progress=told.append)
    seen = [(now.found, now.failed, now.listed, now.written) for now in told]
    assert seen == sorted(seen)
    assert seen[-1] == (22, 3, 22, 18)
    assert tuple(failure for now in told for failure in now.failures) == report.failures


def test_few_files_need_no_worker(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "Worker", None)
    monkeypatch.setattr(reading, "BATCH_SIZE", 100)
    assert dicom_bq.export(archive, tmp_path / "x.parquet", workers=8).exported == 18


@pytest.mark.parametrize("count", [0, 65])
def test_number_out_of_bounds(count: int) -> None:
    with pytest.raises(UsageError, match="number of workers is 1 to 64"):
        dicom_bq.infer_schema(TREE, workers=count)


def test_a_program_without_a_main_guard(archive: Path, tmp_path: Path) -> None:
    program = (
        f"import dicom_bq, dicom_bq.reading as reading; reading.BATCH_SIZE = 2\n"
        f"print(dicom_bq.export({str(archive)!r}, {str(tmp_path / 'x.parquet')!r}, workers=2).rows)"
    )
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("18\n", "")


# Bounds


def test_files_are_few_and_closed(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def descriptors() -> set[str]:
        return {entry.name for entry in Path("/proc/self/fd").iterdir() if entry.exists()}

    monkeypatch.setattr(reading, "BATCH_SIZE", 1)
    gc.collect()
    before, seen = descriptors(), list[int]()
    for schema in (None, SCHEMA):
        destination = tmp_path / f"{schema is None}.parquet"
        dicom_bq.export(
            archive, destination, schema=schema, workers=2, progress=lambda *_: seen.append(len(descriptors()))
        )
    assert max(seen) - len(before) < 25
    assert descriptors() <= before  # what earlier tests have open may be closed meanwhile


def test_streamed_rows_are_forgotten(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    forget = workers.Workers._forget

    def measured(self: workers.Workers, part: Part) -> None:
        forget(self, part)
        sizes.append(sum(os.fstat(file.descriptor).st_size > 0 for file in self._free))

    monkeypatch.setattr(workers.Workers, "_forget", measured)
    assert pa.table(dicom_bq.scan(archive, SCHEMA, workers=2)).num_rows == 18
    assert sizes
    assert not any(sizes)


# Workers that end


@dataclass
class Hand:
    """Stands in for a worker."""

    parts: list[Part]
    ready: bool = True

    def give(self, part: Part, file: SpillFile) -> None:
        part.file = file
        self.parts.append(part)


@pytest.mark.parametrize(
    ("has", "suspect", "waiting", "given"),
    [
        (1, False, 1, 0),
        (1, False, 2, 1),
        (0, False, 1, 1),
        (0, False, 2, 1),
        (0, False, 3, 2),
        (1, True, 1, 1),
        (2, False, 2, 0),
    ],
)
def test_the_last_part_is_for_this_process(has: int, suspect: bool, waiting: int, given: int) -> None:
    pool = workers.Workers(Task(None, {}, None, rows=False), 2, None, reading.work)
    hand = Hand([Part([f"{number}"], file=NO_FILE) for number in range(has)])
    pool._workers = [hand]
    pool._parts = [*hand.parts, *(Part([f"{number}"], suspect=suspect) for number in range(has, has + waiting))]
    pool._give()
    assert len(hand.parts) - has == given


@pytest.mark.parametrize(("has", "waiting", "given"), [(0, 2, 0), (0, 3, 1), (0, 9, 1), (1, 9, 0)])
def test_one_part_waits_for_a_worker_that_starts(has: int, waiting: int, given: int) -> None:
    """If as many are left as this process can read meanwhile."""
    pool = workers.Workers(Task(None, {}, None, rows=False), 2, None, reading.work)
    hand = Hand([Part([f"{number}"], file=NO_FILE) for number in range(has)], ready=False)
    pool._workers = [hand]
    pool._parts = [*hand.parts, *(Part([f"{number}"]) for number in range(has, has + waiting))]
    pool._give()
    assert len(hand.parts) - has == given


def test_a_killed_worker_costs_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_here: None
) -> None:
    give, victims = workers.Worker.give, []

    def deadly(self: workers.Worker, part: Part, file: SpillFile) -> None:
        give(self, part, file)
        if len(victims) < 2 and not part.suspect:
            victims.append(self)
            self._process.send_signal(signal.SIGKILL if len(victims) == 1 else signal.SIGSEGV)

    monkeypatch.setattr(workers.Worker, "give", deadly)
    table = export_both(archive, tmp_path, count=3)
    assert pq.read_table(table)["PatientID"].to_pylist() == [str(number) for number in range(18)]
    assert len(victims) == 2


KILLER = """exec('''
import os, dicom_bq.reading as reading
original = reading.Reading.batch
def batch(self, uris, members):
    if any("13.dcm" in uri for uri in uris):
        os.abort()
    return original(self, uris, members)
reading.Reading.batch = batch
''')"""


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_a_file_that_ends_workers_is_one_failure(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nothing_here: None,
    schema: dicom_bq.TableSchema | None,
) -> None:
    in_workers(monkeypatch, KILLER)
    report = dicom_bq.export(archive, tmp_path / "x.parquet", schema=schema, workers=2)
    assert report.found == report.exported + report.failed + report.not_dicom == 22
    (failure,) = (failure for failure in report.failures if failure.code == "internal")
    assert Path(failure.uri).name == "13.dcm"
    assert failure.reason == "reading it ends the process, with signal 6 (Aborted)"
    rows = [str(number) for number in range(18) if number != 13]
    assert pq.read_table(tmp_path / "x.parquet")["PatientID"].to_pylist() == rows


def test_workers_that_never_begin(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_here: None
) -> None:
    monkeypatch.setattr(workers, "BOOTSTRAP", "raise SystemExit(9)")
    with pytest.raises(WorkerError, match=r"25 worker processes ended .* exit code 9\. Is there memory enough"):
        dicom_bq.export(archive, tmp_path / "x.parquet", workers=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]


FORGETFUL = """exec('''
import dicom_bq.worker as worker
received, recv = [], worker.Connection.recv
def forget(self):
    received.append(recv(self))
    if len(received) > 1:
        raise MemoryError
    return received[0]
worker.Connection.recv = forget
''')"""


def test_a_worker_without_memory_for_an_order_is_not_waited_for(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_here: None
) -> None:
    in_workers(monkeypatch, FORGETFUL)
    with pytest.raises(WorkerError, match=r"25 worker processes ended .* exit code 70\. Is there memory enough"):
        dicom_bq.export(archive, tmp_path / "x.parquet", workers=3)


def test_no_file_is_to_blame_for_workers_that_never_begin(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[Any]
) -> None:
    monkeypatch.setattr(workers.Workers, "_listen", LISTEN)
    monkeypatch.setattr(workers, "BOOTSTRAP", "import time; time.sleep(0.2); raise SystemExit(9)")
    report = dicom_bq.export(archive, tmp_path / "x.parquet", workers=2)
    assert report.exported == 18
    assert given
    assert not any(part.suspect for _, part in given)
    assert "internal" not in {failure.code for failure in report.failures}


def test_no_more_processes_to_be_had(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert dicom_bq.export(archive, tmp_path / "x.parquet", workers=3).exported == 18


def test_a_full_disk_in_a_worker(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_here: None
) -> None:
    in_workers(monkeypatch, "import os; os.pwrite = lambda *_: os.open('/dev/full/x', 0)")
    with pytest.raises(DestinationError, match=r"the state of the job cannot be kept here: Not a directory"):
        dicom_bq.export(archive, tmp_path / "x.parquet", workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]


def test_a_bug_in_a_worker_is_met_again_here(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_here: None
) -> None:
    in_workers(monkeypatch, "import dicom_bq.scan.files as files; files.scan_files = None")
    export_both(archive, tmp_path)


# Interruption: workers that never come to an end

CHILD = """
import sys
from dicom_bq import reading, workers
from dicom_bq.cli import main

def give(self, part, file, give=workers.Worker.give):
    give(self, part, file)
    print(self._process.pid, flush=True)

reading.BATCH_SIZE = 5
sleep = "import time, dicom_bq.reading as r; r.Reading.batch = lambda *_: time.sleep(60); "
workers.BOOTSTRAP = workers.BOOTSTRAP.replace("main(int", sleep + "main(int")
workers.Workers._for_here = lambda self: None
workers.Worker.give = give
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def stuck(archive: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """An export whose worker does not end, and the worker."""
    (archive.parent / "s.json").write_text(SCHEMA.to_json())
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, "export", "archive", "x.parquet", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=archive.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout
        yield process, int(process.stdout.readline())
        process.kill()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted; "),
        (signal.SIGTERM, 143, "terminated; "),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_signals_end_everything(
    stuck: tuple[subprocess.Popen[str], int], archive: Path, number: int, code: int, word: str
) -> None:
    process, worker = stuck
    assert not ended(worker)
    started = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == code
    while not ended(worker) and time.monotonic() < started + 10:
        time.sleep(0.01)
    assert time.monotonic() - started < 8  # two, as the README promises, but for a busy machine; else it is a minute
    assert process.stderr
    assert word in process.stderr.read()
    left = [".x.parquet.job"] if number == signal.SIGKILL else []  # for the next run
    assert sorted(path.name for path in archive.parent.iterdir()) == [*left, "archive", "s.json"]
