"""No value of a data element is ever told: not on stdout or stderr, in no report, exception, log or file name.

The canaries of ``tests.canaries`` are in every file, and every kind of failure is made to happen. The one way to see
them is ``inspect --show-values``. Names of files and what the user has typed are not values.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import dicom_bq
from dicom_bq import workers
from dicom_bq.cli import main
from dicom_bq.errors import DicomBqError
from tests import canaries
from tests.fake_bigquery import FakeBigQuery
from tests.fake_bigquery.jobs import Jobs
from tests.fake_bigquery.rules import RefusedError

CANARY = "ZQPN7K^ZQPN7K"
DESTINATIONS = ("table.parquet", "table.duckdb", "parts")


@dataclass
class Shell:
    """Runs command lines in this process, and looks at all that is left of them."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    logs: pytest.LogCaptureFixture

    def run(self, *arguments: object) -> tuple[int, str]:
        """Exit code and everything that was said."""
        code = main([str(argument) for argument in arguments])
        said = self.capture.readouterr()
        return code, said.out + said.err + self.logs.text

    def silent(self, *arguments: object, code: int | None = None) -> str:
        """Run, and find no canary; returns what was said."""
        found, said = self.run(*arguments)
        assert code is None or found == code, said
        assert canaries.found(said) == []
        assert canaries.found("\n".join(map(str, self.folder.rglob("*")))) == []
        for path in (self.folder / "state").rglob("*"):  # records of operations, and logs of files that failed
            assert path.is_dir() or canaries.found(path.read_bytes()) == [], path
        return said


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of files that all have canaries."""
    folder = tmp_path_factory.mktemp("planted") / "archive"
    canaries.plant(folder)
    return folder


@pytest.fixture(scope="module")
def few(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of them, for what does not depend on the files."""
    folder = tmp_path_factory.mktemp("few") / "archive"
    folder.mkdir()
    for path in [*planted.glob("good-*"), *planted.glob("misfits*"), *planted.glob("vr*"), *planted.glob("items*")]:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def shell(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("dicom_bq.reading.BATCH_SIZE", 4 if "few" in request.fixturenames else 60)
    return Shell(tmp_path, capfd, caplog)


@pytest.fixture
def good(planted: Path) -> Path:
    return planted / "good-explicit.dcm"


# The canaries themselves


def test_canaries_are_found_where_they_are(planted: Path) -> None:
    for path in planted.glob("good-[eib]*"):
        assert len(canaries.found(path.read_bytes())) > 12
    assert canaries.found("offset 917, 5175, ZQ 7K, 51753 bytes") == ["51753"]
    assert canaries.found("5A51504E374B5A51504E374B") == ["ZQPN7K", "ZQPN7K"][:1]
    assert canaries.found(canaries.told(ValueError(CANARY)))


def test_show_values_shows_them(shell: Shell, good: Path) -> None:
    for options in ((), ("--format", "json")):
        code, said = shell.run("inspect", good, "--show-values", *options)
        assert code == 0
        for vr, value in canaries.TEXTS.items():
            assert value.split("\n")[0] in said, vr
        assert {"917351.75", "3917351753", "51753"} <= set(canaries.found(said)) | {"917351.75", "3917351753"}


# Reading


@pytest.mark.parametrize("options", [(), ("--format", "json")], ids="-".join)
def test_inspect(shell: Shell, planted: Path, options: tuple[str, ...]) -> None:
    codes = {shell.run("inspect", path, *options) for path in sorted(planted.iterdir())[:: 1 + 2 * bool(options)]}
    assert {code for code, _ in codes} == {0, 1}
    assert canaries.found("".join(said for _, said in codes)) == []


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("number", ["1", "2"])
def test_export_of_everything(shell: Shell, planted: Path, destination: str, number: str) -> None:
    report = shell.folder / "report.json"
    out = shell.folder / destination
    said = shell.silent("export", planted, out, "--report", report, "--workers", number, code=1)
    assert "Failed:" in said
    assert canaries.found(report.read_bytes()) == []
    shell.silent("export", planted, out, code=3)  # there are rows
    shell.silent("export", planted, out, "--write-disposition", "write-append", "--dry-run", code=1)
    shell.silent("export", planted, out, "--write-disposition", "write-append", code=1)


@pytest.mark.parametrize(
    "options",
    [
        ("--schema-type", "json"),
        ("--numeric-strings", "typed"),
        ("--max-header-bytes", "600"),
        ("--max-sequence-bytes", "40"),
        ("--deduplicate",),
        ("--include-source-store",),
    ],
    ids="-".join,
)
def test_options(shell: Shell, planted: Path, options: tuple[str, ...]) -> None:
    report = shell.folder / "report.json"
    shell.silent("export", planted, shell.folder / "x.parquet", "--report", report, *options, code=1)
    assert canaries.found(report.read_bytes()) == []


def test_operations_and_logs(shell: Shell, planted: Path) -> None:
    out, log = shell.folder / "x.parquet", shell.folder / "failed.jsonl"
    shell.silent("export", planted, out, "--log-format", "json", "--error-log", log, code=1)
    assert canaries.found(log.read_bytes()) == []
    assert log.read_text().count("\n") > 100
    (record,) = (shell.folder / "state").rglob("operations/*.json")
    assert "failure" in record.read_text()
    assert record.stem in shell.silent("operations", "list", code=0)
    shell.silent("operations", "describe", record.stem, code=0)


def test_schema_commands(shell: Shell, planted: Path) -> None:
    schema = shell.folder / "schema.json"
    code, said = shell.run("schema", planted)
    assert (code, canaries.found(said)) == (1, [])
    schema.write_text('[{"name": "PatientName", "type": "STRING", "mode": "NULLABLE"}]')
    shell.silent("export", planted, shell.folder / "x.parquet", "--schema", schema, code=2)
    schema.write_text('[{"name": "PatientID", "type": "STRING", "mode": "NULLABLE"}]')
    shell.silent("export", planted, shell.folder / "x.parquet", "--schema", schema, code=1)


def test_library(planted: Path) -> None:
    with pytest.warns(dicom_bq.UnreadableWarning, match="failed") as caught:
        schema = dicom_bq.infer_schema(planted)
    assert canaries.found("".join(str(one.message) for one in caught)) == []
    assert canaries.found(repr(schema)) == []


# Bugs


def _bug(*_arguments: object, **_options: object) -> None:
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        message = f"could not make sense of {CANARY}"
        raise ValueError(message) from error


PLACES = ("dicom_bq.columns.build.build", "dicom_bq.scan.files.scan_files", "dicom_bq.scan.part10.scan_part10")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", ["1", "2"])
def test_a_bug(shell: Shell, few: Path, place: str, number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, _bug)
    monkeypatch.setattr("dicom_bq.scan.files.scan_file", _bug)
    module, _, name = place.rpartition(".")
    code = f"import {module} as m; m.{name} = __import__('tests.test_privacy', fromlist=['_bug'])._bug"
    monkeypatch.setattr(workers, "BOOTSTRAP", workers.BOOTSTRAP.replace("main(int", f"{code}; main(int"))
    report = shell.folder / "report.json"
    said = shell.silent("export", few, shell.folder / "x.parquet", "--workers", number, "--report", report)
    assert "a bug" in said
    if report.exists():
        assert canaries.found(report.read_bytes()) == []


@pytest.mark.parametrize("call", [dicom_bq.infer_schema, dicom_bq.to_arrow])
def test_a_bug_in_the_library(call: Callable[[Path], object], good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_bq.columns.build.build", _bug)
    with pytest.raises(DicomBqError, match="a bug in dicom-bq: ValueError at test_privacy") as caught:
        call(good)
    assert canaries.found(canaries.told(caught.value)) == []


@pytest.mark.parametrize("end", ["import os; os.abort()", "import os; os._exit(9)", f"raise ValueError({CANARY!r})"])
def test_a_worker_that_ends(shell: Shell, few: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import dicom_bq.worker as w; w.work = lambda *a: exec({end!r})"
    monkeypatch.setattr(workers, "BOOTSTRAP", workers.BOOTSTRAP.replace("main(int", f"{code}; main(int"))
    listen = workers.Workers._listen

    def patient(self: workers.Workers, timeout: float | None) -> None:
        waiting = self._workers and not all(worker.ready for worker in self._workers)
        listen(self, None if waiting else timeout)

    monkeypatch.setattr(workers.Workers, "_listen", patient)
    shell.silent("export", few, shell.folder / "x.parquet", "--workers", "2")


# Destinations that refuse


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("workers_", ["1", "2"])
def test_a_full_disk(shell: Shell, few: Path, number: int, workers_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", full)
    said = shell.silent("export", few, shell.folder / "x.parquet", "--workers", workers_, code=3)
    assert os.strerror(number) in said


CONSTRAINTS = {
    "primary key": "CREATE TABLE dicom (SOPInstanceUID VARCHAR PRIMARY KEY)",
    "not null": "CREATE TABLE dicom (SOPInstanceUID VARCHAR, PatientID VARCHAR NOT NULL)",
    "check": "CREATE TABLE dicom (SOPInstanceUID VARCHAR CHECK (SOPInstanceUID < '0'))",
    "type": "CREATE TABLE dicom (SOPInstanceUID INTEGER)",
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_table_with_constraints(shell: Shell, few: Path, name: str) -> None:
    out = shell.folder / "table.duckdb"
    with duckdb.connect(out) as connection:
        connection.execute(CONSTRAINTS[name])
    code, said = shell.run("export", few, out, "--write-disposition", "write-append")
    assert code in {1, 3}
    assert canaries.found(said) == []
    error = None
    try:
        dicom_bq.export(few, out, write_disposition="write-append")
    except DicomBqError as refused:
        error = refused
    assert (error is None) == (code == 1)
    assert canaries.found(canaries.told(error)) == []


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_destination_whose_code_quotes_rows(
    shell: Shell, few: Path, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever package raises, and whatever it quotes."""

    def quoting(*_arguments: object, **_options: object) -> None:
        message = f"Could not convert {CANARY!r} with type str"
        raise pa.ArrowInvalid(message)

    # The one in its own module last: who imports it then would keep it.
    for module in ("destinations.duckdb_stream", "destinations.parquet_parts", "conform"):
        monkeypatch.setattr(f"dicom_bq.{module}.conform", quoting)
    shell.silent("export", few, shell.folder / destination)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBigQuery]:
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        fake.jobs.polls = 0
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)
        yield fake


QUOTING = f"Error while reading data, error message: could not convert value {CANARY!r} of column PatientName"


@pytest.mark.parametrize("reason", ["invalid", "stopped"])
@pytest.mark.parametrize("options", [(), ("--schema-type", "json")], ids=["parquet", "json"])
def test_a_load_job_that_quotes_rows(
    shell: Shell, good: Path, fake: FakeBigQuery, reason: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RefusedError(reason=reason, message=QUOTING)

    monkeypatch.setattr(Jobs, "_work", refuse)
    said = shell.silent("export", good, "bq://p1.ds.t", *options, code=3)
    assert "bq show --job" in said
    with pytest.raises(DicomBqError, match="nothing was loaded") as caught:
        dicom_bq.export(good, "bq://p1.ds.t")
    assert canaries.found(canaries.told(caught.value)) == []


def test_a_request_that_quotes_rows(
    shell: Shell, good: Path, fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RefusedError(reason="invalid", message=QUOTING)

    monkeypatch.setattr(Jobs, "insert", refuse)
    shell.silent("export", good, "bq://p1.ds.t", code=3)
    with pytest.raises(DicomBqError, match="refuses") as caught:
        dicom_bq.export(good, "bq://p1.ds.t")
    assert canaries.found(canaries.told(caught.value)) == []


def test_a_conflict(shell: Shell, few: Path, fake: FakeBigQuery) -> None:
    out = shell.folder / "table.duckdb"
    with duckdb.connect(out) as connection:
        connection.execute(f"CREATE TABLE dicom (PatientName VARCHAR); INSERT INTO dicom VALUES ('{CANARY}')")
    shell.silent("export", few, out, "--write-disposition", "write-append", code=3)
    shell.silent("export", few, "bq://p1.ds.t", code=0)
    shell.silent("export", few, "bq://p1.ds.t", code=3)
    shell.silent("export", few, "bq://p1.ds.t", "--write-disposition", "write-append", "--dry-run", code=0)
    assert fake.bugs == []
