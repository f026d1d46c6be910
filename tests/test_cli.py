"""The command line: arguments, streams, exit codes."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq import cli
from dicom_bq.cli import main
from dicom_bq.commands import signals
from dicom_bq.errors import UsageError
from dicom_bq.schema import TableSchema
from tests.handmade import explicit_file, text

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
PACKAGE = Path(dicom_bq.__file__).parent
PATIENT = text(0x00100020, "LO", "SECRET-ID")
BAD_DATE = explicit_file(PATIENT).replace(text(0x00080060, "CS", "OT"), text(0x00080020, "DA", "SECRETDA"))


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def run(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two instances and a web page, in ``archive`` of the current directory."""
    directory = tmp_path / "archive"
    directory.mkdir()
    (directory / "a.dcm").write_bytes(BAD_DATE)
    (directory / "b.dcm").write_bytes(explicit_file(PATIENT))
    (directory / "page.html").write_text("<html>")
    monkeypatch.chdir(tmp_path)
    return directory


Run = Callable[..., Done]


# In general


def test_no_command_is_a_usage_error(run: Run) -> None:
    done = run()
    assert done.code == 2
    assert "Usage: dicom-bq" in done.err
    assert done.out == ""


@pytest.mark.parametrize("arguments", [["--help"], ["export", "-h"], ["schema", "merge", "--help"]])
def test_help(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: dicom-bq")


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"dicom-bq {dicom_bq.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["expert"], "No such command 'expert'"),
        (["export", "archive"], "Missing argument"),
        (["export", "archive", "x.parquet", "--write-disposition", "append"], "'append' is not one of"),
        (["export", "archive", "x.parquet", "--overwrite-table", "--write-disposition", "write-empty"], "not both"),
        (["export", "nowhere", "x.parquet"], "nowhere does not exist"),
        (["export", "archive/*.txt", "x.parquet"], "no file matches archive/*.txt"),
        (["export", "archive/**/*", "x.parquet"], "** must be the only wildcard"),
        (["export", "archive", "x.parquet", "--schema", "nowhere.json"], "nowhere.json: No such file"),
        (["export", "archive", "x.parquet", "--schema", "latin-1.json"], "latin-1.json: is not UTF-8 text"),
        (["export", "archive", "x.parquet", "--schema", "archive/page.html"], "page.html: the schema is not JSON"),
        (["export", "archive", "x.parquet", "--report", "no/where.json"], "no/where.json: the directory does not"),
        (["export", "archive", "x.parquet", "--max-sequence-bytes", "0"], "0 is not in the range"),
        (["export", "archive", "x.duckdb", "--table", ""], "the name of the table is empty"),
        (["schema"], "Usage: dicom-bq schema [OPTIONS] SOURCE..."),
        (["schema", "--no-such-option"], "Usage: dicom-bq schema [OPTIONS] SOURCE..."),
        (["schema", "--keywords-from", "latin-1.json"], "latin-1.json: is not UTF-8 text"),
        (["schema", "--keywords-from", "empty.txt"], "empty.txt: there is no keyword in it"),
        (["schema", "-q"], "give files and directories, or keywords"),
        (["schema", "archive", "--keyword", "PatientID"], "one of the two"),
        (["schema", "--keyword", "PatientId"], "PatientID"),
        (
            ["schema", "--keyword", "PatientID", "--schema-type", "json"],
            "leave out the keywords, or --schema-type json",
        ),
        (["schema", "--keyword", "ReferencedImageSequence"], "ask for what is in it"),
        (["schema", "--keyword", "PixelData"], "never becomes a column"),
        (["schema", "merge"], "Missing argument"),
        (["schema", "diff", "a.json"], "Missing argument"),
        (["schema", "merge", "archive/page.html"], "not JSON"),
        (["inspect", "nowhere"], "'nowhere' does not exist"),
        (["rules", "PatientNam"], "did you mean PatientName"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_usage_errors(run: Run, arguments: list[str], message: str) -> None:
    Path("latin-1.json").write_bytes(b"\xe9")
    Path("empty.txt").write_text("# nothing\n")
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not Path("x.parquet").exists()


def test_a_bug_is_told_without_values(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "SECRET"
        raise ZeroDivisionError(message)

    monkeypatch.setattr("dicom_bq.job.export", fail)
    done = run("export", archive, "x.parquet")
    assert done.code == 70
    assert "a bug: ZeroDivisionError" in done.err
    assert "test_cli.py" in done.err
    assert "SECRET" not in done.err


class FullDisk(io.StringIO):
    """What is written to it is there, but cannot be brought to disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["schema", "archive", "-q"],
        ["schema", "--keyword", "PatientID"],
        ["schema", "diff", "-q", "archive/a.dcm", "archive/b.dcm"],
        ["rules"],
        ["filter", "x.duckdb", "--where", "TRUE"],
        ["export", "archive", "y.parquet", "--dry-run", "-q"],
    ],
)
def test_stdout_on_a_full_disk(
    run: Run, archive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    uid = text(0x0020000D, "UI", "1.2.345.6")
    (archive / "c.dcm").write_bytes(explicit_file(uid, text(0x0020000E, "UI", "1.2.345.7")))
    assert run("export", archive, "x.duckdb", "-q").code == 0
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", FullDisk())
        assert main(arguments) == 3
    message = (
        "dicom-bq: stdout: No space left on device, so what is there is not whole. Make room, and run the same again"
    )
    assert capsys.readouterr().err.splitlines() == [message]


def test_a_process_whose_stdout_is_on_a_full_disk() -> None:
    command = [sys.executable, "-m", "dicom_bq", "rules"]
    with Path("/dev/full").open("wb", buffering=0) as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 3
    assert done.stderr.startswith("dicom-bq: stdout: No space left on device")
    assert len(done.stderr.splitlines()) == 1


SHORTAGES = [
    MemoryError(),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    RuntimeError("can't start new thread"),
    ImportError("libarrow.so.2200: failed to map segment from shared object"),
    OSError("ZSTD compress failed: Allocation error : not enough memory"),
]


@pytest.mark.parametrize("error", SHORTAGES, ids=repr)
@pytest.mark.parametrize(
    "place",
    [
        "dicom_bq.job.export",
        "dicom_bq.scan.files.scan_files",
        "dicom_bq.rowsfile.SpillFile.append",
        "dicom_bq.listing.pickle.dumps",
        "dicom_bq.destinations.parquet_file._encode_band",
    ],
)
def test_too_little_memory_is_no_bug(
    run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise type(error)(*error.args)

    monkeypatch.setattr(place, fail)
    done = run("export", archive, "x.parquet", "-q")
    assert (done.code, done.out) == (71, "")
    assert done.err.startswith("dicom-bq: there is not enough memory. Give this process more")
    has_read = place.endswith("_encode_band")  # and then it is said how to go on with that
    assert done.err.count("\n") == 1 + has_read
    assert sorted(path.name for path in Path().iterdir()) == [*([".x.parquet.job"] if has_read else []), "archive"]


def test_a_package_that_finds_no_memory_is_not_missing(
    run: Run, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path/duckdb.py").write_text("raise ImportError('_duckdb.so: failed to map segment')")
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.delitem(sys.modules, "duckdb")
    done = run("export", archive, "x.duckdb")
    assert done.code == 71
    assert "there is not enough memory" in done.err


def test_python_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dicom_bq", "--help"], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.startswith("Usage: dicom-bq")


# export


@pytest.mark.parametrize("out", ["x.duckdb", "x.parquet", "x"])
def test_export(run: Run, archive: Path, out: str) -> None:
    done = run("export", archive, out)
    assert (done.code, done.out) == (0, "")
    begun, first, second, *rest = done.err.splitlines()
    assert begun == f"The state of this job is in {Path(f'.{out}.job').absolute()}"
    shown = "x.duckdb#dicom" if out == "x.duckdb" else out
    assert first == f"{shown}: 2 rows written, 9 columns (WRITE_EMPTY)"
    assert second.startswith("3 files found: 2 exported, 1 not DICOM, 0 DICOMDIR, 0 failed;")
    assert rest == [
        "Values that did not fit their column, kept in OtherElements:",
        "  1  (0008,0020)  StudyDate  value is not what its VR asks for",
    ]
    assert Path(out).exists()


def test_several_sources_and_a_table_name(run: Run, archive: Path) -> None:
    assert run("export", archive / "a.dcm", "archive/b*", "x.duckdb", "--table", "instances").code == 0
    with duckdb.connect("x.duckdb") as database:
        assert database.sql("SELECT count(*) FROM instances").fetchall() == [(2,)]


def test_some_failed(run: Run, archive: Path) -> None:
    (archive / "short.dcm").write_bytes(explicit_file(PATIENT)[:-3])
    done = run("export", archive, "x.parquet")
    assert done.code == 1
    assert "short.dcm: file ends inside the element at byte" in done.err
    assert pq.read_metadata("x.parquet").num_rows == 2


def test_quiet(run: Run, archive: Path) -> None:
    assert run("export", archive, "x.parquet", "--quiet") == (0, "", "")
    assert run("schema", archive, "-q").err == ""


def test_dispositions(run: Run, archive: Path) -> None:
    assert run("export", archive, "x.parquet").code == 0
    refused = run("export", archive, "x.parquet")
    assert refused.code == 3
    assert "x.parquet: the table has 2 rows already" in refused.err
    for option, rows in [
        (["--write-disposition", "write-append"], 4),
        (["--overwrite-table"], 2),
        (["--write-disposition", "write-truncate"], 2),
    ]:
        assert run("export", archive, "x.parquet", *option).code == 0
        assert pq.read_metadata("x.parquet").num_rows == rows


def test_destination_refuses(run: Run, archive: Path) -> None:
    done = run("export", archive, "no/where/x.parquet")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("dicom-bq: no/where/x.parquet: no directory")


def test_missing_package(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "dicom_bq.destinations.duckdb", raising=False)
    done = run("export", archive, "x.duckdb")
    assert done.code == 3
    assert "pip install 'dicom-bq[duckdb]'" in done.err


def test_schema_file(run: Run, archive: Path) -> None:
    Path("s.json").write_text(run("schema", "--keyword", "PatientID", "--keyword", "StudyDate").out)
    done = run("export", archive, "x.parquet", "--schema", "s.json")
    assert done.code == 0
    assert pq.read_table("x.parquet").column_names == ["StudyDate", "PatientID", "DroppedTags"]
    assert "Elements that the schema given has no column for:" in done.err


def test_schema_file_that_contradicts_the_dictionary(run: Run, archive: Path) -> None:
    Path("s.json").write_text('[{"name": "ImageType", "type": "STRING"}]')
    done = run("export", archive, "x.parquet", "--schema", "s.json")
    assert (done.code, done.out) == (2, "")
    assert "column ImageType is STRING NULLABLE in one schema and STRING REPEATED in the other" in done.err
    assert "correct the first" in done.err
    assert not Path("x.parquet").exists()


def test_schema_file_with_a_misspelt_column(run: Run, archive: Path) -> None:
    Path("s.json").write_text('[{"name": "PatientIDD", "type": "STRING"}, {"name": "StudyDate", "type": "DATE"}]')
    done = run("export", archive, "x.parquet", "--schema", "s.json")
    assert done.code == 0
    assert done.err.splitlines()[0] == "s.json: no data element is called PatientIDD; always empty here"
    assert run("export", archive, "x.parquet", "--schema", "s.json", "--overwrite-table", "-q").err == ""


def test_schema_file_with_an_element_that_never_becomes_a_column(run: Run, archive: Path) -> None:
    icon = {"name": "IconImageSequence", "type": "RECORD", "mode": "REPEATED"}
    texts = [{"name": name, "type": "STRING"} for name in ("StudyDat", "PatientID", "pixeldata", "CommandGroupLength")]
    Path("s.json").write_text(json.dumps([*texts, {**icon, "fields": [{"name": "PixelData", "type": "BYTES"}]}]))
    done = run("export", archive, "x.parquet", "--schema", "s.json")
    assert done.code == 0
    elements = "IconImageSequence.PixelData, pixeldata, CommandGroupLength (see dicom-bq rules KEYWORD)"
    assert done.err.splitlines()[:2] == [
        "s.json: no data element is called StudyDat; always empty here",
        f"s.json: data elements that never become columns are {elements}; always empty here",
    ]


def test_report_that_cannot_be_written(run: Run, archive: Path) -> None:
    done = run("export", archive, "x.parquet", "--report", "/dev/full", "-q")
    assert done.code == 1
    assert "/dev/full: No space left on device. Everything else is done" in done.err
    assert pq.read_table("x.parquet").num_rows == 2
    operations = json.loads(run("operations", "list", "--format", "json").out)
    assert "error" not in operations[0]
    done = run("export", archive, "x.parquet", "--report", "report.json")
    assert done.code == 0
    assert "this export was finished before it was interrupted; nothing is done now" in done.err
    assert json.loads(Path("report.json").read_text())["rows"] == 2
    assert not list(Path().glob(".x*"))


def test_report_file(run: Run, archive: Path) -> None:
    done = run("export", archive, "x.parquet", "--report", "report.json", "--quiet")
    assert done == (0, "", "")
    report = json.loads(Path("report.json").read_text())
    assert {name: report[name] for name in ("found", "exported", "not_dicom", "failed", "rows")} == {
        "found": 3,
        "exported": 2,
        "not_dicom": 1,
        "failed": 0,
        "rows": 2,
    }
    assert report["skipped"][0]["uri"].endswith("page.html")


def test_read_options(run: Run, archive: Path) -> None:
    done = run("export", "archive", "x.parquet", "--include-source-store", "--numeric-strings", "typed", "-q")
    assert done.code == 0
    assert pq.read_table("x.parquet")["SourceDicomStore"].to_pylist() == ["archive/a.dcm", "archive/b.dcm"]


def test_no_value_is_said(run: Run, archive: Path) -> None:
    (archive / "short.dcm").write_bytes(explicit_file(PATIENT)[:-3])
    done = run("export", archive, "x.parquet", "--report", "report.json")
    inspected = [run("inspect", file) for file in sorted(archive.iterdir())]
    said = "".join([done.err, Path("report.json").read_text(), *(one.out + one.err for one in inspected)])
    assert "PatientID" in said
    assert "SECRET" not in said


# Interruption: a child that waits in the middle of its work

CHILD = """
import sys, time
from dicom_bq import reading
from dicom_bq.cli import main

def add(*_):
    print("ready", flush=True)
    time.sleep(60)

reading.Tally.add = add
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("options", [[], ["--schema", "s.json"]], ids=["spilled", "direct"])
def test_signals_leave_nothing_behind(
    archive: Path, number: signal.Signals, code: int, word: str, options: list[str]
) -> None:
    Path("s.json").write_text(dicom_bq.schema_from_keywords(["PatientID"]).to_json())
    before = sorted(Path().rglob("*"))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, "export", archive, "x.parquet", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(archive.parent), "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(number)
    _, complaint = child.communicate(timeout=30)
    assert child.returncode == code
    assert word in complaint.decode()
    assert sorted(Path().rglob("*")) == before


def test_a_signal_when_the_command_has_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    leave = signals.Signals.__exit__
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def signalled(number: int) -> None:
        signal.raise_signal(signal.SIGINT)  # while the last things are put back
        set_wakeup_fd(number)

    def leaving(self: signals.Signals, *error: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signal, "set_wakeup_fd", signalled)
            leave(self, *error)

    set_wakeup_fd = signal.set_wakeup_fd
    monkeypatch.setattr(signals.Signals, "__exit__", leaving)
    try:
        assert run("rules", "PatientName").code == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_click_does_not_see(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def interrupted(_talk: object) -> Iterator[None]:
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_other_voices", interrupted)
    done = run("rules", "PatientName")
    assert done.code == 130
    assert done.err == "dicom-bq: interrupted; nothing is half written. Run the same command to begin again\n"


# Streams that are closed, or that nobody hears


def shell(line: str) -> Done:
    """What a line of a shell does; ``dicom-bq`` is this program."""
    program = f'dicom-bq() {{ "{sys.executable}" -m dicom_bq "$@"; }}; {line}'
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(["bash", "-c", program], check=False, capture_output=True, text=True, env=environment)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.usefixtures("archive")
def test_a_list_from_a_stdin_that_is_closed() -> None:
    for out in ("x.parquet", "x.duckdb"):
        done = shell(f"dicom-bq export - {out} <&-")
        assert done == (
            2,
            "",
            "dicom-bq: stdin is closed: redirect it (< FILE), or leave out the - that stands for it\n",
        )
    assert [path.name for path in Path().iterdir()] == ["archive"]


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    "arguments", ["schema --keywords-from -", "schema merge -", "export archive x.parquet --schema -"]
)
def test_other_files_from_a_stdin_that_is_closed(arguments: str) -> None:
    done = shell(f"dicom-bq {arguments} <&-")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("dicom-bq: stdin is closed: ")


def test_a_list_from_a_stdin_that_a_program_has_closed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="stdin is closed: give it a list to read"):
        dicom_bq.export("-", tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("arguments", ["rules", "--help", "rules --help", "schema archive", "operations list"])
def test_a_stdout_that_is_closed(arguments: str) -> None:
    done = shell(f"dicom-bq {arguments} -q >&-" if "schema" in arguments else f"dicom-bq {arguments} >&-")
    assert done == (2, "", "dicom-bq: stdout is closed: redirect it (> FILE), since the result is printed there\n")


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | true"])
@pytest.mark.parametrize("out", ["x.parquet", "x.duckdb"])
def test_an_export_that_nobody_hears(closed: str, out: str) -> None:
    done = shell(f"set -o pipefail; dicom-bq export archive {out} --workers 2 {closed}")
    assert done == (0, "", "")
    assert sorted(path.name for path in Path().iterdir()) == ["archive", out]


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "2>&1 | true"])
def test_errors_that_nobody_hears(closed: str) -> None:
    assert shell(f"set -o pipefail; dicom-bq export nowhere x.parquet {closed}") == (2, "", "")
    assert shell(f"set -o pipefail; dicom-bq export --no-such-option {closed}") == (2, "", "")


@pytest.mark.parametrize("arguments", ["rules", "rules --help", "--help", "operations list"])
def test_a_result_that_nobody_reads_to_its_end(arguments: str) -> None:
    line = f"set -o pipefail; (sleep 0.2; dicom-bq {arguments}) | true"
    assert shell(line) == (141, "", "")


def test_a_result_that_is_read_to_its_end_by_half() -> None:
    done = shell("set -o pipefail; dicom-bq rules | head -1")
    assert done.out.count("\n") == 1
    assert done.err == ""


# schema


def test_schema_of_files(run: Run, archive: Path) -> None:
    done = run("schema", archive)
    assert done.code == 0
    assert TableSchema.from_json(done.out) == dicom_bq.infer_schema(archive)
    assert "3 files found: 2 exported" in done.err


def test_schema_of_the_fixtures_is_what_an_export_makes(run: Run, tmp_path: Path) -> None:
    done = run("schema", FIXTURES / "dicom", "-q")
    assert done.code == 1  # one of the fixtures fails, and says so
    report = dicom_bq.export(FIXTURES / "dicom", tmp_path / "x.parquet")
    assert done.out == report.schema.to_json() + "\n"


def test_schema_of_keywords(run: Run, tmp_path: Path) -> None:
    (tmp_path / "keywords").write_text("# what is asked for\nPatientName\n\n00081140.00081155\n")
    one_by_one = ["--keyword", "PatientName", "--keyword", "ReferencedImageSequence.ReferencedSOPInstanceUID"]
    done = run("schema", "--keywords-from", tmp_path / "keywords")
    assert (done.code, done.err) == (0, "")
    assert done == run("schema", *one_by_one)
    assert [field["name"] for field in json.loads(done.out)] == [
        "ReferencedImageSequence",
        "PatientName",
        "DroppedTags",
    ]


def test_a_byte_order_mark_is_no_text(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = run("schema", "--keyword", "PatientID").out
    marked = codecs.BOM_UTF8 + schema.encode()
    Path("s.json").write_bytes(marked)
    Path("keywords").write_bytes(codecs.BOM_UTF8 + b"PatientID\n")
    assert run("schema", "--keywords-from", "keywords").out == schema
    assert run("schema", "merge", "s.json").out == schema
    assert run("export", archive, "x.parquet", "--schema", "s.json").code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(marked), encoding="utf-8"))
    assert run("schema", "diff", "-", "s.json") == (0, "", "")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("keywords").read_bytes()), encoding="utf-8"))
    assert run("schema", "--keywords-from", "-").out == schema


def test_options_of_keyword_schemas(run: Run) -> None:
    done = run("schema", "--keyword", "EchoTime", "--numeric-strings", "typed", "--include-source-store")
    fields = {field["name"]: field["type"] for field in json.loads(done.out)}
    assert fields == {"EchoTime": "FLOAT", "DroppedTags": "RECORD", "SourceDicomStore": "STRING"}


def test_keywords_from_stdin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"PatientID\n")))
    assert run("schema", "--keywords-from", "-") == run("schema", "--keyword", "PatientID")


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("arrow", "StudyDate: date32[day]"),
        ("duckdb", 'CREATE TABLE "instances"'),
        ("table", "StudyDate       DATE    NULLABLE  (0008,0020) Study Date, DA, VM 1"),
    ],
)
def test_formats(run: Run, form: str, line: str) -> None:
    done = run("schema", "--keyword", "StudyDate", "--format", form, "--table", "instances")
    assert (done.code, done.err) == (0, "")
    assert line in done.out


def test_duckdb_takes_its_format(run: Run, archive: Path) -> None:
    done = run("schema", archive, "--format", "duckdb")
    with duckdb.connect() as database:
        database.execute(done.out)
        assert len(database.sql("SELECT * FROM dicom").columns) == 9


def test_merge(run: Run, archive: Path) -> None:
    for name in ("a", "b"):
        Path(f"{name}.json").write_text(run("schema", archive / f"{name}.dcm").out)
    done = run("schema", "merge", "a.json", "b.json")
    assert (done.code, done.err) == (0, "")
    assert done == run("schema", "merge", "b.json", "a.json", "b.json")
    assert done.out == run("schema", archive).out


def test_a_schema_that_bigquery_cannot_have_is_an_error(run: Run, tmp_path: Path) -> None:
    deep = ".".join(["ContentSequence"] * 16 + ["Modality"])
    done = run("schema", "--keyword", deep)
    assert (done.code, done.out) == (3, "")
    assert f"levels of RECORD at {'.'.join(['ContentSequence'] * 16)}: 16, the limit is 15" in done.err
    assert run("schema", "--keyword", deep, "--format", "duckdb").code == 0
    assert run("schema", "--keyword", deep.partition(".")[2]).code == 0
    for name in ("a", "B"):
        column = {"name": name * 301, "type": "STRING", "mode": "NULLABLE"}
        (tmp_path / f"{name}.json").write_text(json.dumps([column]))
    merged = run("schema", "merge", tmp_path / "a.json", tmp_path / "B.json")
    assert merged.code == 3
    assert "characters of name at" in merged.err
    assert "301, the limit is 300" in merged.err


def test_merge_of_schemas_that_conflict(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"name": "StudyDate", "type": "STRING"}]')
    (tmp_path / "b.json").write_text('[{"name": "StudyDate", "type": "DATE"}]')
    done = run("schema", "merge", tmp_path / "a.json", tmp_path / "b.json")
    assert (done.code, done.out) == (2, "")
    assert "StudyDate is STRING NULLABLE in one schema and DATE NULLABLE" in done.err


def test_merge_reads_stdin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = run("schema", "--keyword", "PatientID").out
    monkeypatch.setattr("sys.stdin", io.StringIO(schema))
    assert run("schema", "merge", "-").out == schema


def test_diff(run: Run, tmp_path: Path) -> None:
    for name, keywords in {"a": ["PatientID", "StudyDate"], "b": ["PatientID", "StudyTime"]}.items():
        (tmp_path / name).write_text(dicom_bq.schema_from_keywords(keywords).to_json())
    done = run("schema", "diff", tmp_path / "a", tmp_path / "b")
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines() == [
        "removed StudyDate: DATE NULLABLE -> absent",
        "added StudyTime: absent -> TIME NULLABLE",
    ]
    assert run("schema", "diff", tmp_path / "a", tmp_path / "a") == (0, "", "")


def test_diff_of_everything_that_has_a_schema(run: Run, archive: Path) -> None:
    Path("s.json").write_text(run("schema", "archive/b.dcm").out)
    Path("list").write_text("archive/b.dcm\n")
    for out in ("parts", "x.parquet"):
        assert run("export", "archive/b.dcm", out).code == 0
    bare = Path("bare")
    bare.write_bytes((archive / "b.dcm").read_bytes()[132:])
    places = ["archive/b.dcm", "bare", "archive/b*", "@list", "parts", "./parts/", "x.parquet", "s.json"]
    for place in places:
        done = run("schema", "diff", "-q", place, "s.json")
        assert done == (0, "", ""), place
    with zipfile.ZipFile("a.zip", "w") as file:
        file.write("archive/b.dcm")
    for place in ("a.zip", "a.zip!/archive/b.dcm", "a.zip!/**"):
        assert run("schema", "diff", "-q", "s.json", place) == (0, "", "")
    assert run("schema", "diff", "s.json", "archive").out.startswith("added OtherElements: absent -> ")
    (Path("parts") / "notes.txt").touch()
    assert "removed PatientID" in run("schema", "diff", "s.json", "parts").out


def test_diff_says_what_failed(run: Run, archive: Path) -> None:
    (archive / "a.dcm").write_bytes(explicit_file(PATIENT)[:-3])
    Path("s.json").write_text(run("schema", "archive", "-q").out)
    done = run("schema", "diff", "s.json", "archive")
    assert (done.code, done.out) == (1, "")
    assert "3 files found: 1 exported, 1 not DICOM, 0 DICOMDIR, 1 failed" in done.err
    assert "a.dcm: file ends inside the element" in done.err
    assert run("schema", "diff", "s.json", "archive/b.dcm").code == 0


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere*", "no file matches nowhere*"),
        ("@nowhere", "nowhere"),
        ("empty", "no files"),
        ("archive/page.html", "the schema is not JSON"),
        ("n" * 300, "File name too long"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_diff_of_what_has_no_schema(run: Run, place: str, message: str) -> None:
    Path("empty").mkdir()
    done = run("schema", "diff", place, place)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_directory_with_the_name_of_a_subcommand(run: Run, archive: Path) -> None:
    archive.rename("merge")
    assert TableSchema.from_json(run("schema", "./merge").out) == dicom_bq.infer_schema("merge")


# inspect and rules


def test_inspect(run: Run, archive: Path) -> None:
    done = run("inspect", archive / "b.dcm")
    assert (done.code, done.err) == (0, "")
    assert "(0010,0020)  PatientID " in done.out
    assert "SECRET-ID" in run("inspect", archive / "b.dcm", "--show-values").out
    shown = json.loads(run("inspect", archive / "b.dcm", "--format", "json").out)
    assert shown["elements"][-1]["column"] == "PatientID"


def test_inspect_a_file_that_cannot_be_exported(run: Run, archive: Path) -> None:
    done = run("inspect", archive / "page.html")
    assert (done.code, done.err) == (1, "")
    assert "(not_dicom)" in done.out


def test_rules(run: Run) -> None:
    assert "RECORD" in run("rules", "PatientName").out
    assert json.loads(run("rules", "PN", "--format", "json").out)["rules"][0]["subject"] == "PN"
    assert len(run("rules").out.splitlines()) > 30
