"""Reading that goes wrong in the operating system: that file is a counted failure, all others are exported.

Faults are put into ``os`` by wrapping its functions, in this process and, as a line of code, in worker processes.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq import reading, workers
from dicom_bq.errors import DestinationError
from tests.handmade import PIXEL_DATA, explicit, explicit_file, text
from tests.tables import DESTINATIONS, leftovers, read

FILES = 12
WRONG = "05.dcm"
LARGE, DEFLATED = "02.dcm", "03.dcm"
Fault = Callable[..., Any]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Files whose Patient ID is their number; one is longer than what is read at first."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(FILES):
        filler = explicit(0x00104000, "LT", b"x" * 40_000) if f"{number:02}.dcm" == LARGE else b""
        pixels = explicit(PIXEL_DATA, "OW", bytes(20_000)) + text(0xFFFCFFFC, "LO", "after")
        patient = text(0x00100020, "LO", f"{number:02}")
        (folder / f"{number:02}.dcm").write_bytes(explicit_file(patient, filler, pixels))
    return folder


def name_of(descriptor: int) -> str:
    """Name of the file that a descriptor is of."""
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


def is_source(descriptor: int) -> bool:
    return name_of(descriptor).endswith(".dcm")


def exported(archive: Path, **options: Any) -> tuple[dicom_bq.ExportReport, list[str]]:
    """Export; the report, whose numbers add up, and the rows' Patient IDs."""
    out = archive.parent / "out.parquet"
    report = dicom_bq.export(archive, out, overwrite_table=True, **options)
    assert report.found == report.exported + report.failed + report.not_dicom + report.dicomdir
    assert report.rows == report.exported
    return report, pq.read_table(out)["PatientID"].to_pylist()


def all_but_one(archive: Path, reason: str, **options: Any) -> None:
    report, rows = exported(archive, **options)
    assert rows == [f"{number:02}" for number in range(FILES) if f"{number:02}.dcm" != WRONG]
    assert [(Path(one.uri).name, one.code, one.reason) for one in report.failures] == [(WRONG, "unreadable", reason)]


def failing(function: Fault, number: int, name: str = WRONG) -> Fault:
    """A function of ``os`` that fails for one file, which its first argument is the path or a descriptor of."""

    def fault(first: Any, *arguments: Any, **options: Any) -> Any:
        if (name_of(first) if isinstance(first, int) else Path(os.fsdecode(first)).name) == name:
            raise OSError(number, os.strerror(number))
        return function(first, *arguments, **options)

    return fault


NUMBERS = [errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOENT, errno.ENOMEM, errno.ETIMEDOUT]


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_a_file_that_does_not_open(archive: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", failing(os.open, number))
    all_but_one(archive, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
@pytest.mark.parametrize("functions", [("preadv", "pread"), ("fstat",)], ids="-".join)
def test_a_file_that_does_not_read(
    archive: Path, number: int, functions: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in functions:
        monkeypatch.setattr(os, function, failing(getattr(os, function), number))
    all_but_one(archive, os.strerror(number))


def test_a_file_that_fails_once_is_read(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first way of reading fails; the second, which says why, does not."""
    monkeypatch.setattr(os, "preadv", failing(os.preadv, errno.EIO))
    report, rows = exported(archive)
    assert (report.failed, len(rows)) == (0, FILES)


def test_worker_processes(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import errno, os; from tests.test_faults import failing; "
        "os.preadv, os.pread = failing(os.preadv, errno.EIO), failing(os.pread, errno.EIO)"
    )
    monkeypatch.setattr("dicom_bq.reading.BATCH_SIZE", 3)
    monkeypatch.setattr(workers, "BOOTSTRAP", workers.BOOTSTRAP.replace("main(int", f"{code}; main(int"))
    for function in ("preadv", "pread"):
        monkeypatch.setattr(os, function, failing(getattr(os, function), errno.EIO))
    all_but_one(archive, os.strerror(errno.EIO), workers=3)


@pytest.mark.parametrize("most", [1, 7, 100, 4_096])
def test_short_reads_change_nothing(archive: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected = exported(archive)
    before = pq.read_table(archive.parent / "out.parquet")
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, most) if is_source(fd) else size, at))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [memoryview(buffers[0])[:most]], at))
    report, rows = exported(archive)
    assert (report.failed, rows) == (0, expected)
    assert pq.read_table(archive.parent / "out.parquet").equals(before)


# Rows that wait on disk and do not come back


@pytest.mark.parametrize("shorter", [False, True], ids=["EIO", "shorter"])
@pytest.mark.parametrize("schema_type", ["flattened", "json"])
@pytest.mark.parametrize("name", DESTINATIONS)
def test_rows_that_do_not_come_back(
    archive: Path, name: str, schema_type: str, shorter: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk that the job is on fails: it is named, the old table stays, and mended the export goes on."""
    out, pread = archive.parent / name, os.pread
    dicom_bq.export(archive / WRONG, out, schema_type=schema_type)
    before = read(out)

    def fault(descriptor: int, *arguments: Any) -> bytes:
        is_rows = name_of(descriptor).startswith("rows-")
        if is_rows and not shorter:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return b"" if is_rows else pread(descriptor, *arguments)

    monkeypatch.setattr(os, "pread", fault)
    reason = "a file was made shorter" if shorter else os.strerror(errno.EIO)
    with pytest.raises(DestinationError, match=rf"\.{name}\.job: the state of the job cannot be kept here: {reason}"):
        dicom_bq.export(archive, out, write_disposition="write-append", schema_type=schema_type)
    assert read(out) == before
    monkeypatch.setattr(os, "pread", pread)
    report = dicom_bq.export(archive, out, write_disposition="write-append", schema_type=schema_type)
    assert (report.rows, len(read(out)), leftovers(out)) == (FILES, FILES + 1, ["archive"])


@pytest.mark.parametrize(
    "call",
    [dicom_bq.to_arrow, lambda *args, **options: dicom_bq.scan(*args, **options).reader().read_all()],
    ids=["to_arrow", "scan"],
)
def test_rows_of_workers_that_do_not_come_back(
    archive: Path, call: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library says where rows waited, too, and not which system call failed."""
    monkeypatch.setattr(reading, "BATCH_SIZE", 2)
    monkeypatch.setattr(workers.Workers, "_for_here", lambda self: None)
    schema, pread = dicom_bq.infer_schema(archive), os.pread

    def fault(descriptor: int, *arguments: Any) -> bytes:
        if name_of(descriptor).endswith("(deleted)"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, *arguments)

    assert call(archive, schema, workers=2).num_rows == FILES
    monkeypatch.setattr(os, "pread", fault)
    with pytest.raises(DestinationError, match=os.strerror(errno.EIO)):
        call(archive, schema, workers=2)


# Files that change while they are read


def changing(archive: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], call: int = 1) -> None:
    """Change a file just before a read of it."""
    counts = {"calls": 0}
    path = archive / WRONG

    def wrapped(function: Fault) -> Fault:
        def changed(descriptor: int, *arguments: Any) -> Any:
            if name_of(descriptor).startswith(WRONG):
                counts["calls"] += 1
                if counts["calls"] == call:
                    change(path)
            return function(descriptor, *arguments)

        return changed

    for name in ("pread", "preadv"):
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))


CHANGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: os.truncate(path, 0),
    "cut in the header": lambda path: os.truncate(path, 250),
    "cut in the pixel data": lambda path: os.truncate(path, 9_000),
    "longer": lambda path: path.write_bytes(path.read_bytes() + bytes(9_000)),
    "other bytes": lambda path: path.write_bytes(b"\xff" * path.stat().st_size),
    "removed": Path.unlink,
    "replaced": lambda path: (path.unlink(), path.write_bytes(b"another file")),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_changes(archive: Path, name: str, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (archive / LARGE).unlink()
    changing(archive, monkeypatch, CHANGES[name], call)
    report, rows = exported(archive)
    others = [f"{number:02}" for number in range(FILES) if f"{number:02}.dcm" not in {WRONG, LARGE}]
    assert [row for row in rows if row != WRONG[:2]] == others
    assert report.found == FILES - 1


# Directories that vanish


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_directory_that_vanishes(archive: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = archive / "inner"
    shutil.copytree(archive, inner)
    scandir = os.scandir

    class Vanishing:
        def __init__(self, path: Any) -> None:
            self.path, self.entries = path, scandir(path)

        def __enter__(self) -> Vanishing:
            return self

        def __exit__(self, *_: object) -> None:
            self.entries.close()

        def close(self) -> None:
            self.entries.close()

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            for number, entry in enumerate(self.entries):
                mine = not isinstance(self.path, int) and Path(os.fsdecode(self.path)).name == "inner"
                if number == after and mine and inner.exists():
                    shutil.rmtree(inner, ignore_errors=True)
                yield entry

        def __next__(self) -> os.DirEntry[str]:
            return next(self.entries)

    monkeypatch.setattr(os, "scandir", Vanishing)
    report, rows = exported(archive)
    assert [row for row in rows if len(row or "") == 2][-FILES:] == [f"{number:02}" for number in range(FILES)]
    assert all(one.code == "unreadable" for one in report.failures)
    assert not inner.exists()


def test_a_directory_that_does_not_list(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (archive / "inner").mkdir()
    monkeypatch.setattr(os, "scandir", failing(os.scandir, errno.EIO, "inner"))
    report, rows = exported(archive)
    assert rows == [f"{number:02}" for number in range(FILES)]
    assert [(Path(one.uri).name, one.code, one.reason) for one in report.failures] == [
        ("inner", "unreadable", f"cannot list the directory: {os.strerror(errno.EIO)}")
    ]


def test_everything_is_gone(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are listed, and none can be opened any more."""
    opened = os.open

    def gone(path: Any, *arguments: Any, **options: Any) -> int:
        if os.fsdecode(path).endswith(".dcm"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", gone)
    report = dicom_bq.export(archive, archive.parent / "out.parquet")
    assert (report.found, report.failed, report.rows) == (FILES, FILES, 0)


@pytest.mark.parametrize("fails", ["write", "seek"])
def test_a_listing_that_cannot_be_kept(archive: Path, fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits on a disk that is full by now: that is no bug, and closing the file does not hide it."""

    class Full(io.BytesIO):
        def close(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Full, fails, full)
    monkeypatch.setattr("dicom_bq.listing.tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(DestinationError, match=r"cannot be kept here for the time being: No space left on device"):
        dicom_bq.export(archive, archive.parent / "out.parquet")
    assert leftovers(archive) == []
