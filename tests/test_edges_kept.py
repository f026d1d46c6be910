"""Edges of what jobs keep on disk that no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pytest

from dicom_bq.chunks import Chunks
from dicom_bq.errors import DestinationError
from dicom_bq.journal import Journal
from dicom_bq.parts import Part, Summary
from dicom_bq.rowsfile import DamagedRowsError, Extent, SpillFile, StoredFile
from dicom_bq.scan.outcome import Failure
from dicom_bq.schema import TableSchema
from dicom_bq.spill import Spill, SpilledBatch
from dicom_bq.stats import stats_of
from dicom_bq.tally import Tally

SCHEMA = TableSchema.from_bigquery([{"name": "Modality", "type": "STRING"}])
ROWS = pa.record_batch({"Modality": ["CT", "MR"]})


# The journal


def test_a_lock_of_a_journal_that_is_not_there_any_more_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "journal", fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        path.unlink()
        path.touch()  # by the next who is at the job
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with Journal(path) as journal:
        journal.append({"a": 1})
        assert path.stat().st_size
        with pytest.raises(BlockingIOError, match="unavailable"):
            Journal(path)


def test_a_directory_that_vanishes_before_it_has_a_journal_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def taken_away(path: Path, *arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        make(path, *arguments, **options)
        path.rmdir()

    monkeypatch.setattr(Path, "mkdir", taken_away)
    with Journal(tmp_path / "made" / "journal") as journal:
        journal.append({"a": 1})


def test_a_journal_is_for_its_user_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "made" / "journal"):
        modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "made", tmp_path / "made" / "journal")]
    assert modes == [0o700, 0o600]


def test_who_does_not_get_a_journal_keeps_no_file_open(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"):
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(BlockingIOError, match="unavailable"):
            Journal(tmp_path / "journal")
        assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_comes_after_a_damaged_entry_does_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        second, third = [journal.append({"number": number}) for number in range(3)][1:]
    with path.open("r+b") as file:
        file.seek(second.offset)
        file.write(b"?")
    with Journal(path) as journal:
        assert [entry for _, entry in journal.entries()] == [{"number": 0}]
        assert journal.append({"number": 7}).length == third.length  # else it would be damaged as well
    with Journal(path) as journal:
        assert [entry for _, entry in journal.entries()] == [{"number": 0}, {"number": 7}]


def test_an_entry_that_does_not_come_to_disk_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    with Journal(tmp_path / "journal") as journal:
        journal.append({"kept": 1})
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="broken"):
            journal.append({"lost": 1})
    with Journal(tmp_path / "journal") as journal:
        assert [entry for _, entry in journal.entries()] == [{"kept": 1}]


def test_a_journal_that_was_emptied_begins_at_its_beginning(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.append({"old": 1})
        journal.clear()
        place = journal.append({"new": 1})
        assert journal.read(place) == {"new": 1}
    with Journal(tmp_path / "journal") as journal:
        assert [entry for _, entry in journal.entries()] == [{"new": 1}]


# Files of rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[SpillFile]:
    with (tmp_path / "rows-1-0").open("w+b", buffering=0) as file:
        yield SpillFile(file.fileno(), "rows-1-0")


def test_rows_that_there_is_no_room_for_take_none(rows: SpillFile, monkeypatch: pytest.MonkeyPatch) -> None:
    first, write = rows.append(ROWS), os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        monkeypatch.setattr(os, "pwrite", full)
        return write(descriptor, data[: len(data) // 2], offset)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(OSError, match="No space left"):
        rows.append(ROWS)
    assert os.fstat(rows.descriptor).st_size == first.length


def test_rows_that_were_changed_are_not_given_to_anybody(rows: SpillFile, tmp_path: Path) -> None:
    """Arrow would take them for other values, or end the process."""
    extent, stored = rows.append(ROWS), StoredFile(tmp_path / "rows-1-0")
    assert rows.read(extent) == stored.read(extent) == ROWS
    assert stored.holds([extent])
    os.pwrite(rows.descriptor, b"??", extent.length // 2)
    for file in (rows, stored):
        with pytest.raises(DamagedRowsError, match="rows that were kept for the time being are damaged"):
            file.read(extent)
    assert not stored.holds([extent])


def test_rows_that_are_not_there_are_held_by_nothing(rows: SpillFile, tmp_path: Path) -> None:
    extent = rows.append(ROWS)
    assert not StoredFile(tmp_path / "rows-1-0").holds([extent, Extent(extent.length, 1, 1, 0)])
    assert not StoredFile(tmp_path / "other").holds([extent])
    assert StoredFile(tmp_path / "other").holds([])


def test_a_disk_that_fails_under_rows_is_a_refusal_that_names_the_place(tmp_path: Path) -> None:
    with Spill(str(tmp_path)) as spill:
        batch = SpilledBatch(SCHEMA, spill.own(), Extent(0, 1, 1, 0))
        with pytest.raises(DestinationError, match=f"{tmp_path}: rows cannot be kept here for the time being"):
            spill.rows(batch)


# Finished parts


Opened: TypeAlias = Callable[[], Chunks]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """What is finished, as one process after the other finds it."""
    with contextlib.ExitStack() as stack:

        def opened() -> Chunks:
            stack.close()
            journal = stack.enter_context(Journal(tmp_path / "journal"))
            found = Chunks(journal, tmp_path, SCHEMA, {})
            for place, entry in journal.entries():
                found.learn(place, entry)
            return found

        yield opened


def finished(chunks: Chunks, rows: SpillFile, *files: Path) -> Part:
    """A part that is in the journal."""
    for file in files:
        file.touch()
    part = Part([str(file) for file in files], file=rows)
    tally = Tally(found=len(files), exported=len(files))
    part.summary = Summary(tally, [(SCHEMA, rows.append(ROWS))], None, stats_of(part.uris, {}))
    chunks.note(part, part.summary)
    return part


def taken(chunks: Chunks, *parts: Part) -> list[bool]:
    """Of parts of the same files, which need not be read."""
    return [part.done for part in chunks.take(Part(part.uris) for part in parts)]


def test_a_finished_part_comes_back(opened: Opened, rows: SpillFile, tmp_path: Path) -> None:
    part = finished(opened(), rows, tmp_path / "a", tmp_path / "b")
    later = opened()
    assert later.finished == 2
    (again,) = later.take([Part(part.uris)])
    assert again.done
    assert again.summary == part.summary
    assert list(later.lines()) == ["2 files in 1 finished chunks are taken from the interrupted run"]


def test_a_part_without_its_rows_is_not_finished(opened: Opened, rows: SpillFile, tmp_path: Path) -> None:
    part = finished(opened(), rows, tmp_path / "a")
    (tmp_path / "rows-1-0").unlink()
    later = opened()
    assert later.finished == 0
    assert taken(later, part) == [False]
    assert list(later.lines()) == []


def test_a_part_whose_entry_cannot_be_read_is_not_finished(opened: Opened, rows: SpillFile, tmp_path: Path) -> None:
    part = finished(opened(), rows, tmp_path / "a")
    later = opened()
    os.truncate(tmp_path / "journal", 10)
    assert taken(later, part) == [False]


def test_what_no_part_of_this_run_is_about_needs_no_rows(opened: Opened, rows: SpillFile, tmp_path: Path) -> None:
    finished(opened(), rows, tmp_path / "a")
    later = opened()
    assert later.rows == {"rows-1-0"}
    assert taken(later) == []
    assert later.rows == set()
    assert list(later.lines()) == [
        "chunks of 1 files are not what they were: files have come or gone, so they are read again"
    ]


@pytest.mark.parametrize(
    ("parts", "said"),
    [(["abc"], r"0a\n, 0b\n, 0c\n"), (["ab", "ab"], r"0a\n, 0b\n, 1a\n and 1 more")],
)
def test_of_changed_files_some_are_named_and_all_counted(
    opened: Opened, rows: SpillFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    made = opened()
    written = [
        finished(made, rows, *(Path(f"{number}{letter}\n") for letter in letters))
        for number, letters in enumerate(parts)
    ]
    for part in written:
        for uri in part.uris:
            Path(uri).write_text("changed")
    later = opened()
    assert not any(taken(later, *written))
    assert list(later.lines()) == [f"changed since they were read, and read again with their chunks: {said}"]


@pytest.mark.parametrize(("code", "done"), [("malformed", True), ("unreadable", False)])
def test_what_could_not_be_read_may_be_readable_by_now(opened: Opened, tmp_path: Path, code: str, done: bool) -> None:
    part = Part([str(tmp_path / "a")])
    tally = Tally(found=1, failures=[Failure(part.uris[0], code, "why")])
    opened().note(part, Summary(tally, [], None, stats_of(part.uris, {})))
    assert taken(opened(), part) == [done]


def test_a_part_that_depends_on_earlier_ones_holds_after_those_alone(
    opened: Opened, rows: SpillFile, tmp_path: Path
) -> None:
    made = opened()
    first = finished(made, rows, tmp_path / "a")
    made.passed(first)
    second = finished(made, rows, tmp_path / "b")
    assert second.summary is not None
    made.note(second, second.summary, alone=False)
    assert taken(opened(), first, second) == [True, True]
    assert taken(opened(), second, first) == [False, True]
    assert taken(opened(), second) == [False]
