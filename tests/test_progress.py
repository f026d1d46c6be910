"""How far a job is: what is told, and what is shown of it where."""

from __future__ import annotations

import doctest
import gzip
import io
import json
import os
import pickle
import pty
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_bq import display
from dicom_bq.display import NEW_LINE, Display, describe, duration, share_of
from dicom_bq.errors import UsageError
from dicom_bq.listing import Listing
from dicom_bq.parts import Part
from dicom_bq.progress import Progressed, Watched
from dicom_bq.scan.bytesource import FileSource
from dicom_bq.sources.members import ArchiveError, ArchiveLimits
from dicom_bq.sources.spool import Spool
from tests.instances import instance

ROOT = Path(__file__).resolve().parent.parent
READING = Progressed(found=3000, failed=2, listed=9000, listing_done=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def nothing(*_: object, **__: object) -> None:
    raise AssertionError


# On a terminal


def test_a_short_job_says_nothing(clock: list[float]) -> None:
    terminal = Terminal()
    shown = Display(terminal, nothing)
    shown(READING)
    clock[0] += 1.9
    shown.tick()
    shown.__exit__()
    assert terminal.getvalue() == ""


def test_a_long_job_writes_one_line_over_and_over(clock: list[float]) -> None:
    terminal = Terminal()
    shown = Display(terminal, nothing)
    clock[0] += 10
    shown(Progressed(found=2000, listed=5000))
    shown.tick()
    clock[0] += 0.1
    shown.tick()
    clock[0] += 0.9
    shown(READING)
    shown.tick()
    assert terminal.getvalue().split(NEW_LINE) == [
        "",
        "2,000 files, 200 files/s, 0 failed",
        "[########----------------]  33%  3,000 of 9,000 files, 273 files/s, 2 failed, 22"[:79],
    ]
    shown.__exit__()
    assert terminal.getvalue().endswith(NEW_LINE)


def test_a_bar_is_no_longer_than_a_line(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Display, "_columns", lambda self: 30)
    terminal = Terminal()
    shown = Display(terminal, nothing)
    shown(READING)
    clock[0] += 3
    shown.tick()
    assert terminal.getvalue() == f"{NEW_LINE}[########----------------]  3"


@pytest.mark.parametrize(
    ("now", "share"),
    [
        (Progressed(), None),
        (Progressed(found=10, listed=20), None),
        (Progressed(found=10, listed=20, listing_done=True), 0.5),
        (Progressed(found=20, exported=10, listed=20, listing_done=True, written=1), 0.1),
        (Progressed(found=20, listed=20, listing_done=True), None),
    ],
)
def test_share(now: Progressed, share: float | None) -> None:
    assert share_of(now) == share


def test_lines_for_people() -> None:
    assert doctest.testmod(display) == doctest.TestResults(failed=0, attempted=3)
    assert describe(READING, 10) == "3,000 of 9,000 files, 300 files/s, 2 failed, 20 s left"
    assert describe(Progressed(), 0) == "0 files, 0 files/s, 0 failed"
    read = Progressed(found=9, exported=8, failed=1, listed=9, listing_done=True, written=2)
    assert describe(read, 10) == "9 files read, 1 failed; writing: 2 of 8 rows"
    written = Progressed(found=9, exported=8, listed=9, listing_done=True, written=8)
    assert describe(written, 10) == "9 files read, 0 failed; finishing the table"
    assert [duration(seconds) for seconds in (59.9, 60, 3600)] == ["59 s", "1 min 00 s", "1 h 00 min"]


# Elsewhere


def test_a_line_a_minute(clock: list[float]) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    shown = Display(io.StringIO(), lambda line, **facts: said.append((line, facts)))
    shown(READING)
    for _ in range(125):
        clock[0] += 1
        shown.tick()
    assert [line for line, _ in said] == [
        "3,000 of 9,000 files, 50 files/s, 2 failed, 2 min 00 s left",
        "3,000 of 9,000 files, 25 files/s, 2 failed, 4 min 00 s left",
    ]
    assert said[0][1]["found"] == 3000
    assert said[0][1]["seconds"] == 60


def test_json_has_no_bar_on_a_terminal(clock: list[float]) -> None:
    terminal = Terminal()
    shown = Display(terminal, lambda *_, **__: None, bar=False)
    clock[0] += 100
    shown.tick()
    assert terminal.getvalue() == ""


def test_quiet_has_no_thread() -> None:
    before = threading.active_count()
    with Display(Terminal(), nothing, quiet=True):
        assert threading.active_count() == before


PROGRAM = """
import sys, time
from dicom_bq import display, reading
from dicom_bq.cli import main
display.FIRST_AFTER, display.LINE_EVERY, display.EVERY, reading.BATCH_SIZE = 0.05, 0.05, 0.02, 1
add = reading.Tally.add
def slow(*arguments):
    time.sleep(0.1)
    add(*arguments)
reading.Tally.add = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for number in range(6):
        made = instance(tmp_path / "archive", f"1.{number}", PatientName="Secret^Name")
    made.write_bytes(made.read_bytes()[:-3])
    return tmp_path / "archive"


def on_a_terminal(arguments: list[str], directory: Path) -> tuple[int, str]:
    """Exit code of a run whose stderr is a terminal, and what it writes there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=directory, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # Linux says so that the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    return process.wait(), seen.decode()


def test_a_bar_on_a_terminal(archive: Path) -> None:
    code, seen = on_a_terminal(["export", "archive", "x.parquet"], archive.parent)
    assert code == 1
    lines = seen.split(NEW_LINE)
    assert len(lines) > 3
    bar = r"\[#+-+\]  +\d+%  \d of 6 files, \d+ files/s, 0 failed, \d s left"
    assert any(re.fullmatch(bar, line) for line in lines)
    assert lines[-1].startswith("x.parquet: 5 rows written")
    assert "Secret" not in seen


def test_json_on_a_terminal_is_json(archive: Path) -> None:
    _, seen = on_a_terminal(["export", "archive", "x.parquet", "--log-format", "json"], archive.parent)
    entries = [json.loads(line) for line in seen.splitlines()]
    assert len(entries) > 2
    assert {entry["severity"] for entry in entries[:-1]} == {"INFO"}
    assert (entries[-1]["severity"], entries[-1]["exported"], entries[-1]["failed"]) == ("WARNING", 5, 1)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]) for entry in entries)
    assert entries[-2]["listed"] == 6


def test_quiet_on_a_terminal(archive: Path) -> None:
    assert on_a_terminal(["export", "archive", "x.parquet", "--quiet"], archive.parent) == (1, "")


# What is told


def test_watchers_are_told_of_rows_too() -> None:
    import pyarrow as pa

    told: list[Progressed] = []
    watched = Watched(told.append)
    watched(Progressed(found=3, exported=3))
    batches = [pa.record_batch({"a": [1, 2]}), pa.record_batch({"a": [3]})]
    assert list(watched.rows(batches)) == batches
    watched(Progressed(found=4, exported=4))
    assert [(now.found, now.written) for now in told] == [(3, 0), (3, 2), (3, 3), (4, 3)]


# Listing


def parts(count: int, taken: list[int] | None = None) -> Iterator[Part]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield Part([f"{number}"], [("u", "r")] if number == 1 else [])


def test_a_listing_runs_ahead() -> None:
    taken: list[int] = []
    listing = Listing(parts(100, taken), Spool())
    run = listing.run()
    assert next(run).uris == ["0"]
    until = time.monotonic() + 10
    while not listing.done and time.monotonic() < until:
        time.sleep(0.001)
    assert (listing.listed, len(taken)) == (101, 100)
    rest = list(run)
    assert [part.uris for part in rest] == [[f"{number}"] for number in range(1, 100)]
    assert rest[0].unreadable == [("u", "r")]


def test_a_listing_tells_its_error_in_its_place() -> None:
    def failing() -> Iterator[Part]:
        yield from parts(2)
        message = "nothing matches"
        raise LookupError(message)

    seen: list[Part] = []
    with pytest.raises(LookupError, match="nothing matches"):
        seen.extend(Listing(failing(), Spool()).run())


def test_what_is_wrong_with_a_source_is_said_before_the_files_of_others_are_read() -> None:
    def failing() -> Iterator[Part]:
        yield from parts(3)
        raise UsageError(reason="no file matches b/*.dcm")

    seen: list[Part] = []
    listing = Listing(failing(), Spool())

    def read() -> None:
        for part in listing.run():
            seen.append(part)
            until = time.monotonic() + 10
            while not listing.done and time.monotonic() < until:
                time.sleep(0.001)

    with pytest.raises(UsageError, match=r"no file matches b/\*\.dcm"):
        read()
    assert len(seen) <= 1


def test_a_listing_that_is_not_wanted_any_more_stops() -> None:
    taken: list[int] = []
    go = threading.Event()

    def waiting() -> Iterator[Part]:
        yield from parts(1)
        go.wait(10)
        yield from parts(1000, taken)

    def runs() -> bool:
        return any(thread.name == "dicom-bq listing" for thread in threading.enumerate())

    run = Listing(waiting(), Spool()).run()
    next(run)
    run.close()
    go.set()
    until = time.monotonic() + 10
    while runs() and time.monotonic() < until:
        time.sleep(0.001)
    assert not runs()
    assert len(taken) <= 1


def test_a_listing_that_inflates_goes_step_by_step(tmp_path: Path) -> None:
    taken: list[int] = []
    listing = Listing(parts(9, taken), Spool(str(tmp_path)))
    for number, part in enumerate(listing.run()):
        time.sleep(0.01)
        assert part.uris == [f"{number}"]
        assert taken == list(range(number + 1))
    assert listing.done


def test_a_spool_that_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(100)))
    spool = Spool(str(tmp_path / "spool"))
    spool.stop()
    with (tmp_path / "a.gz").open("rb") as file, pytest.raises(ArchiveError, match="nobody wants to read it"):
        spool.inflate(FileSource(file.fileno()), ArchiveLimits())
    assert not (tmp_path / "spool").exists()


def test_a_listing_without_a_place_is_not_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    listing = Listing(parts(3), Spool())
    assert [part.uris for part in listing.run()] == [["0"], ["1"], ["2"]]
    assert (listing.listed, listing.done) == (4, True)


def test_parts_can_be_kept() -> None:
    part = Part(["a\udcff"], [("b", "c")])
    assert pickle.loads(pickle.dumps(part)).uris == part.uris  # noqa: S301 (our own)
