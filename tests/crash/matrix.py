"""One run of the matrix: an export that is stopped, what is there then, and the same command again."""

from __future__ import annotations

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
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tests.fake_bigquery import FakeBigQuery
from tests.handmade import explicit, explicit_file, text

ROOT = Path(__file__).resolve().parent.parent.parent
DESTINATIONS = ("table.parquet", "parts", "table.duckdb", "bq://p1.ds.t")
DISPOSITIONS = ("write-empty", "write-append", "write-truncate")
SIGNALS = (signal.SIGKILL, signal.SIGINT)
WORKERS = (1, 2)
STOPS_WITHIN = 20.0
"""Seconds from SIGINT to the end; two on a machine that has nothing else to do."""
OLD_FILES = 50

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
    signal: signal.Signals
    workers: int

    def __str__(self) -> str:
        return f"{self.destination} {self.disposition} {self.signal.name} {self.workers} workers"


def cases() -> list[Case]:
    """All of them."""
    return [Case(*row) for row in _product(DESTINATIONS, DISPOSITIONS, SIGNALS, WORKERS)]


def _product(*columns: tuple) -> Iterator[tuple]:
    import itertools

    return itertools.product(*columns)


@dataclass
class Field:
    """Where the matrix is run: two archives, and a BigQuery.

    Attributes:
        folder: Everything is in it. files: Instances of the export that is stopped. fake: BigQuery.
        rng: For the moments. seconds: How long an undisturbed run takes, by case; measured once.
        outcomes: What was seen after the signal, counted.
    """

    folder: Path
    files: int
    fake: FakeBigQuery
    rng: random.Random
    seconds: dict[Case, float] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        make_archive(self.folder / "old", "old", OLD_FILES)
        make_archive(self.folder / "new", "new", self.files)

    def run(self, case: Case) -> None:
        """Stop one export and run it again.

        Raises:
            CrashError: The table is neither the old nor the new one, or not exactly the new one in the end.
        """
        if case not in self.seconds:
            self._prepare(case)
            self.seconds[case] = self._undisturbed(case)
        old = self._prepare(case)
        new = names("new", self.files) + (old if case.disposition == "write-append" else Rows())
        delay = self.rng.uniform(0.1, self.seconds[case] * 1.05)
        code, said, late = self._stopped(case, delay)
        there = self._rows(case)
        hold(there in (old, new), f"after {delay:.2f} s the table is neither the old nor the new one: {_size(there)}")
        hold(code != 0 or there == new, "it says that it is done, and is not")
        if code == 130:
            hold("Traceback" not in said, f"an interrupt is told as such: {said[-300:]}")
            hold(late < STOPS_WITHIN, f"it took {late:.1f} s to stop")
        done = there == new
        self.outcomes[f"{case.signal.name}: {'done' if done else 'not done'}"] += 1
        self._again(case, new, done=done, finished=code == 0)

    def _again(self, case: Case, new: Rows, *, done: bool, finished: bool) -> None:
        if finished:
            return
        process = self._start(case)
        said, _ = process.communicate(timeout=600)
        allowed = {0, 3} if done and case.disposition == "write-empty" else {0}
        hold(process.returncode in allowed, f"the same command again: exit code {process.returncode}: {said[-600:]}")
        there = self._rows(case)
        # A process that is killed between its commit and its end has done what it was asked for. Only where a
        # journal is kept is a second command known for the same; elsewhere it is one that adds the rows again.
        twice = new + names("new", self.files)
        appended_again = done and case.disposition == "write-append" and there == twice
        hold(there == new or appended_again, f"the same command again leaves other rows: {_size(there)}")
        if appended_again:
            self.outcomes["added again after a commit that was not told"] += 1
        left = sorted(path.name for path in self._place(case).parent.iterdir() if path != self._place(case))
        hold(not left, f"it leaves behind {left}")

    def _prepare(self, case: Case) -> Rows:
        """Make the table as it is before the export: absent, or with the rows of the old archive."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        for name in ("out", "state"):
            (self.folder / name).mkdir()
        if case.destination.startswith("bq:"):
            self.fake.catalog.tables.clear()
        if case.disposition == "write-empty":
            return Rows()
        before = Case(case.destination, "write-empty", case.signal, 1)
        process = self._start(before, self.folder / "old")
        said, _ = process.communicate(timeout=600)
        hold(process.returncode == 0, f"the table cannot be made: {said[-300:]}")
        return names("old", OLD_FILES)

    def _undisturbed(self, case: Case) -> float:
        started = time.monotonic()
        process = self._start(case)
        said, _ = process.communicate(timeout=600)
        hold(process.returncode == 0, f"undisturbed: exit code {process.returncode}: {said[-300:]}")
        return time.monotonic() - started

    def _stopped(self, case: Case, delay: float) -> tuple[int, str, float]:
        """Exit code, what was said, and how long it took to end after the signal."""
        process = self._start(case)
        try:
            said, _ = process.communicate(timeout=delay)
            return process.returncode, said, 0.0
        except subprocess.TimeoutExpired:
            process.send_signal(case.signal)
        signalled = time.monotonic()
        said, _ = process.communicate(timeout=600)
        return process.returncode, said, time.monotonic() - signalled

    def _start(self, case: Case, source: Path | None = None) -> subprocess.Popen[str]:
        arguments = ["export", str(source or self.folder / "new"), self._out(case)]
        arguments += ["--write-disposition", case.disposition, "--workers", str(case.workers)]
        environment = {"XDG_STATE_HOME": str(self.folder / "state"), "BIGQUERY_EMULATOR_HOST": self.fake.url}
        return subprocess.Popen(
            [sys.executable, "-m", "dicom_bq", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=os.environ | environment,
        )  # fmt: skip

    def _out(self, case: Case) -> str:
        return case.destination if case.destination.startswith("bq:") else str(self._place(case))

    def _place(self, case: Case) -> Path:
        return self.folder / "out" / ("bigquery" if case.destination.startswith("bq:") else case.destination)

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
    with duckdb.connect(place) as connection:
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'dicom'").fetchall():
            return Rows()
        return Rows(row for (row,) in connection.execute("SELECT PatientID FROM dicom").fetchall())


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
