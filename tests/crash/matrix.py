"""One run of the matrix: an export that is stopped, what is there then, and the same command again."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from tests.crash.disks import LEAST_ROOM, ROOM, disk, resize, taken
from tests.crash.leftovers import PLACES, left_behind
from tests.fake_bigquery import FakeBigQuery
from tests.handmade import explicit, explicit_file, text

ROOT = Path(__file__).resolve().parent.parent.parent
DESTINATIONS = ("table.parquet", "parts", "table.duckdb", "bq://p1.ds.t")
DISPOSITIONS = ("write-empty", "write-append", "write-truncate")
SIGNALS = (signal.SIGKILL, signal.SIGINT)
FULL = "FULL"
"""Stopped by a file system that is full."""
WORKERS = (1, 2)
STOPS_WITHIN = 20.0
"""Seconds from SIGINT to the end; two on a machine that has nothing else to do."""
IMPORTING = "from dicom_bq.cli import main"
"""In what Python says when it is interrupted before the program has begun."""
INTERRUPTED = (130, -signal.SIGINT)
"""Exit codes; the other is Python's own, when it is at its end or was at an ``exec``. A shell calls both 130."""
OLD_FILES = 50
GO_ON = "Run the same command again"

Rows = Counter[str]


class CrashError(AssertionError):
    """Something that must hold after a crash does not."""


def hold(fact: object, message: str) -> None:
    """Assert with a message that names the law."""
    if not fact:
        raise CrashError(message)


@dataclass(frozen=True)
class Case:
    """What is exported, and how it is stopped."""

    destination: str
    disposition: str
    stop: signal.Signals | str
    workers: int

    def __str__(self) -> str:
        return f"{self.destination} {self.disposition} {self.what} {self.workers} workers"

    @property
    def what(self) -> str:
        """Stops it."""
        return self.stop.name if isinstance(self.stop, signal.Signals) else self.stop


def cases(*stops: signal.Signals | str) -> list[Case]:
    """All of them."""
    return [Case(*row) for row in itertools.product(DESTINATIONS, DISPOSITIONS, stops, WORKERS)]


@dataclass(frozen=True)
class Pace:
    """How an undisturbed run goes.

    Attributes:
        whole: Seconds it takes. ending: Of them those from its write's announcement to its oblivion.
        room: Bytes it takes on disk at most.
    """

    whole: float
    ending: float
    room: int


@dataclass(frozen=True)
class Stopped:
    """What became of a command.

    Attributes:
        code: Exit code. said: Output. late: Seconds from a signal to its end. full: Whether there was little room.
    """

    code: int
    said: str
    late: float = 0.0
    full: bool = False

    @property
    def early(self) -> bool:
        """Whether Python was interrupted at its own start, before a line of the program: it tells that as it likes."""
        return "KeyboardInterrupt" in self.said and f"{ROOT / 'dicom_bq'}/" not in self.said


@dataclass
class Field:
    """Where the matrix is run: two archives, and a BigQuery.

    Attributes:
        folder: Everything is in it. files: Instances of the export that is stopped. fake: BigQuery.
        rng: For the moments. paces: Of undisturbed runs, by destination and workers; measured once.
        outcomes: What was seen after the signal, counted.
        olds: Tables of the fake as the old archive makes them, by destination; files are kept in ``folder``.
    """

    folder: Path
    files: int
    fake: FakeBigQuery
    rng: random.Random
    paces: dict[tuple[str, int], Pace] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    olds: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_archive(self.folder / "old", "old", OLD_FILES)
        make_archive(self.folder / "new", "new", self.files)

    def run(self, case: Case) -> None:
        """Stop one export and run it again.

        Raises:
            CrashError: The table is neither the old nor the new one, or not exactly the new one in the end; or
                something is left behind.
        """
        if (case.destination, case.workers) not in self.paces:
            self.paces[case.destination, case.workers] = self._undisturbed(case)
        with disk(self.folder / "disk", case.stop == FULL):
            self._run(case)

    def _run(self, case: Case) -> None:
        old = self._prepare(case)
        new = names("new", self.files) + (old if case.disposition == "write-append" else Rows())
        stopped = self._stopped(case)
        there = self._rows(case)
        hold(there in (old, new), f"the table is neither the old nor the new one: {_size(there)}")
        hold(stopped.code != 0 or there == new, "it says that it is done, and is not")
        # The journal is taken away when all is done, the report delivered too. Whoever is killed then has done what
        # was asked for, and nothing is there that could tell the same command from another one.
        forgotten = there == new and self._report() is not None and not self._journals()
        self._told_well(stopped, forgotten=forgotten)
        state = "forgotten" if forgotten else "not forgotten" if there == new else "not done"
        self.outcomes[f"{case.what}: {'ended by itself' if stopped.code == 0 else state}"] += 1
        if stopped.code != 0 and forgotten:
            self._as_another(case, new)
        elif stopped.code != 0:
            self._again(case, new)
        self._nothing_left(case)

    def _told_well(self, stopped: Stopped, *, forgotten: bool) -> None:
        codes = {0, 3} if stopped.full else {0, -signal.SIGKILL, *INTERRUPTED, *([1] if stopped.early else [])}
        hold(stopped.code in codes, f"exit code {stopped.code}: {stopped.said[-600:]}")
        if stopped.code == 3:
            hold("o space left on device" in stopped.said, f"it does not say that it is full: {stopped.said[-600:]}")
        if stopped.code in INTERRUPTED:
            told = "Traceback" not in stopped.said or IMPORTING in stopped.said or stopped.early
            hold(told, f"an interrupt is told as such: {stopped.said[-300:]}")
            hold(stopped.late < STOPS_WITHIN, f"it took {stopped.late:.1f} s to stop")
            hold(not (forgotten and GO_ON in stopped.said), "it says how to go on, and there is nothing to go on with")

    def _again(self, case: Case, new: Rows) -> None:
        """The same command goes on, or learns that all is done: exactly the new rows, and its report."""
        done = self._ended(self._start(case))
        hold(done.code == 0, f"the same command again: exit code {done.code}: {done.said[-600:]}")
        there, report = self._rows(case), self._report() or {}
        hold(there == new, f"the same command again leaves other rows: {_size(there)}, not {_size(new)}")
        told = [report.get(name) for name in ("rows", "exported", "found", "failed")]
        hold(told == [self.files] * 3 + [0], f"its report has other numbers: {told}")

    def _as_another(self, case: Case, new: Rows) -> None:
        """The same command is another one, after one that was finished and forgotten."""
        done = self._ended(self._start(case))
        code = 3 if case.disposition == "write-empty" else 0
        hold(done.code == code, f"the same command as another one: exit code {done.code}: {done.said[-600:]}")
        twice = new + (names("new", self.files) if case.disposition == "write-append" else Rows())
        there = self._rows(case)
        hold(there == twice, f"the same command as another one leaves other rows: {_size(there)}")

    def _nothing_left(self, case: Case) -> None:
        left = left_behind(self.folder / "disk", self._place(case).name)
        if case.destination.startswith("bq:"):
            left += [f"table {'.'.join(name)}" for name in self.fake.catalog.tables if name != ("p1", "ds", "t")]
        elif case.destination.endswith(".duckdb"):
            left += [f"table {name}" for name in _duckdb_tables(self._place(case)) if name != "dicom"]
        hold(not left, f"it leaves behind {left}")

    def _report(self) -> dict[str, Any] | None:
        """The report, None as long as it is not complete."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "report").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _journals(self) -> list[Path]:
        """Of jobs that are not finished: beside the output, or in the user's state."""
        disk = self.folder / "disk"
        return [*disk.glob("out/.*/journal"), *disk.glob("state/dicom-bq/jobs/*/journal")]

    def _prepare(self, case: Case) -> Rows:
        """Make the table as it is before the export: absent, or with the rows of the old archive."""
        for name in PLACES:
            shutil.rmtree(self.folder / "disk" / name, ignore_errors=True)
            (self.folder / "disk" / name).mkdir(parents=True)
        (self.folder / "report").unlink(missing_ok=True)
        if case.destination.startswith("bq:"):
            self.fake.catalog.tables.clear()
        if case.disposition == "write-empty":
            return Rows()
        self._make_old(case)
        return names("old", OLD_FILES)

    def _make_old(self, case: Case) -> None:
        """Export the old archive; what that left is copied from then on, which takes less than a program's start."""
        disk, kept = self.folder / "disk", self.folder / "kept" / case.destination.rpartition("/")[2]
        if case.destination in self.olds:
            shutil.copytree(kept, disk, dirs_exist_ok=True)
            self.fake.catalog.tables |= copy.deepcopy(self.olds[case.destination])
            return
        done = self._ended(self._start(replace(case, disposition="write-empty", workers=1), self.folder / "old"))
        hold(done.code == 0, f"the table cannot be made: {done.said[-300:]}")
        (self.folder / "report").unlink()
        shutil.copytree(disk, kept)
        self.olds[case.destination] = copy.deepcopy(self.fake.catalog.tables)

    def _undisturbed(self, case: Case) -> Pace:
        self._prepare(case)
        started = time.monotonic()
        process = self._start(case)
        room = self._until_announced(process)
        announced = time.monotonic()
        while process.poll() is None and self._journals():
            time.sleep(0.002)
        ending = time.monotonic() - announced
        done = self._ended(process)
        hold(done.code == 0, f"undisturbed: exit code {done.code}: {done.said[-300:]}")
        return Pace(time.monotonic() - started, ending, room)

    def _stopped(self, case: Case) -> Stopped:
        """Stop an export at any moment, or, every other time, at one after the announcement of its write."""
        pace = self.paces[case.destination, case.workers]
        if not isinstance(case.stop, signal.Signals):
            return self._without_room(case, pace.room)
        at_the_end = self.rng.random() < 0.5
        delay = self.rng.uniform(0, pace.ending * 1.2) if at_the_end else self.rng.uniform(0.1, pace.whole * 1.05)
        process = self._start(case)
        if at_the_end:
            self._until_announced(process)
        try:
            process.wait(delay)
            return self._ended(process)
        except subprocess.TimeoutExpired:
            process.send_signal(case.stop)
        return self._ended(process)

    def _without_room(self, case: Case, room: int) -> Stopped:
        disk = self.folder / "disk"
        resize(disk, taken(disk) + LEAST_ROOM + int(room * self.rng.random()))
        stopped = self._ended(self._start(case))
        resize(disk, ROOM)
        return replace(stopped, full=True)

    def _until_announced(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for it; the bytes that the run takes on disk until then."""
        room = 0
        while process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                room = max(room, taken(self.folder / "disk"))
                if any(b'"announced"' in journal.read_bytes() for journal in self._journals()):
                    break
            time.sleep(0.002)
        return room

    def _ended(self, process: subprocess.Popen[bytes]) -> Stopped:
        started = time.monotonic()
        code = process.wait(600)
        return Stopped(code, (self.folder / "said").read_text(), time.monotonic() - started)

    def _start(self, case: Case, source: Path | None = None) -> subprocess.Popen[bytes]:
        arguments = ["export", str(source or self.folder / "new"), self._out(case)]
        arguments += ["--write-disposition", case.disposition, "--workers", str(case.workers)]
        arguments += ["--report", str(self.folder / "report")]
        environment = {
            "XDG_STATE_HOME": str(self.folder / "disk/state"),
            "TMPDIR": str(self.folder / "disk/tmp"),
            "BIGQUERY_EMULATOR_HOST": self.fake.url,
        }
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "dicom_bq", *arguments],
                stdout=said, stderr=said, cwd=ROOT, env=os.environ | environment,
            )  # fmt: skip

    def _out(self, case: Case) -> str:
        return case.destination if case.destination.startswith("bq:") else str(self._place(case))

    def _place(self, case: Case) -> Path:
        return self.folder / "disk/out" / ("bigquery" if case.destination.startswith("bq:") else case.destination)

    def _rows(self, case: Case) -> Rows:
        """Patient IDs, as another program reads them; of BigQuery once what was sent has been worked on."""
        if case.destination.startswith("bq:"):
            return self._settled()
        place = self._place(case)
        if not place.exists():
            return Rows()
        if place.suffix == ".duckdb":
            return _duckdb_rows(place)
        files = place / "*.parquet" if place.is_dir() else place
        if place.is_dir() and not any(place.glob("*.parquet")):
            return Rows()
        return Rows(row for (row,) in duckdb.sql(f"SELECT PatientID FROM read_parquet('{files}')").fetchall())

    def _settled(self) -> Rows:
        """Rows of the fake's table when they have not changed for a moment."""
        before: Rows | None = None
        for _ in range(100):
            with self.fake.lock:
                known = ("p1", "ds", "t") in self.fake.catalog.tables
                rows = Rows(row["PatientID"] for row in self.fake.rows("ds.t")) if known else Rows()
            if rows == before:
                return rows
            before = rows
            time.sleep(0.1)
        raise CrashError(json.dumps("the fake does not settle"))


def _duckdb_rows(place: Path) -> Rows:
    """The table of a database; a file that is being made has none yet."""
    with _connected(place) as connection:
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'dicom'").fetchall():
            return Rows()
        return Rows(row for (row,) in connection.execute("SELECT PatientID FROM dicom").fetchall())


@contextlib.contextmanager
def _connected(place: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with duckdb.connect(place) as connection:
            yield connection
    except duckdb.Error as error:
        message = f"the database cannot be read: {error}"
        raise CrashError(message) from error


def _duckdb_tables(place: Path) -> list[str]:
    with _connected(place) as connection:
        return [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]


def _size(rows: Rows) -> str:
    return f"{rows.total()} rows, {len(rows)} of them different"


def names(archive: str, files: int) -> Rows:
    """Patient IDs of an archive's files."""
    return Rows(f"{archive}-{number:05}" for number in range(files))


def make_archive(folder: Path, name: str, files: int) -> None:
    """Small files, some of which have columns that others lack."""
    folder.mkdir()
    for number in range(files):
        extra = text(0x00080020, "DA", "20240131") if name == "new" and number % 3 == 0 else b""
        patient = text(0x00100020, "LO", f"{name}-{number:05}")
        frames = explicit(0x00081140, "SQ", b"") if number % 2 else b""
        (folder / f"{number:05}.dcm").write_bytes(explicit_file(extra, frames, patient))


@contextmanager
def field_of(folder: Path, files: int, seed: int) -> Iterator[Field]:
    """A field in an empty directory."""
    with FakeBigQuery(folder / "fake") as fake:
        fake.create_dataset("ds")
        fake.jobs.polls = 0
        yield Field(folder, files, fake, random.Random(seed))
        hold(not fake.bugs, f"the fake has bugs: {fake.bugs[:1]}")
