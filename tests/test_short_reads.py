"""Reads that give fewer bytes than are asked for: of the files, of the rows and the journal on disk. Nothing changes.

A preloaded library makes every read short, those of Arrow, DuckDB and the worker processes too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dicom_bq.sources.runs import in_order
from tests.archives import make_tar, make_tar_gz, make_zip
from tests.handmade import DEFLATED, IMPLICIT, PIXEL_DATA, explicit, explicit_file, small_file, text
from tests.tables import read

FILES = 20
NEVER = 1_000
PROGRAM = """
import os, signal, sys
import dicom_bq.chunks as chunks, dicom_bq.outcomes as outcomes, dicom_bq.reading as reading
from dicom_bq.cli import main

reading.BATCH_SIZE, outcomes.MOST_IN_MEMORY = 5, 2
note, calls, last = chunks.Chunks.note, [], int(sys.argv[1])
def noted(*arguments, **options):
    note(*arguments, **options)
    calls.append(1)
    if len(calls) == last:
        os.kill(os.getpid(), signal.SIGKILL)
chunks.Chunks.note = noted
sys.exit(main(sys.argv[2:]))
"""
"""The command line, in parts of five files and with little in memory; it kills itself when so many are finished."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler here, so reads of the C library cannot be made short")
    built = tmp_path_factory.mktemp("library") / "short_reads.so"
    source = Path(__file__).with_name("short_reads.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind, and archives of every kind that hold them again."""
    folder = tmp_path_factory.mktemp("short") / "archive"
    folder.mkdir()
    contents = {"deflated.dcm": small_file(DEFLATED), "implicit.dcm": small_file(IMPLICIT)}
    for number in range(FILES):
        filler = explicit(0x00104000, "LT", b"x" * 40_000) if number % 5 == 2 else b""
        pixels = explicit(PIXEL_DATA, "OW", bytes(20_000)) + text(0xFFFCFFFC, "LO", "after")
        contents[f"{number:02}.dcm"] = explicit_file(text(0x00100020, "LO", f"{number:02}"), filler, pixels)
    contents |= {f"bad-{number}.dcm": contents["00.dcm"][: 200 + number] for number in range(7)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name, make in (("a.zip", make_zip), ("b.tar", make_tar), ("c.tar.gz", make_tar_gz)):
        (folder / name).write_bytes(make(contents))
    return folder


def exported(library: Path | None, folder: Path, most: int, *arguments: str, last: int = NEVER) -> int:
    """The exit code of a command whose reads of everything in a folder give so many bytes at most."""
    for name in ("tmp", "state"):
        (folder / name).mkdir(exist_ok=True)
    own = {"TMPDIR": str(folder / "tmp"), "XDG_STATE_HOME": str(folder / "state")}
    if library:
        own |= {"LD_PRELOAD": str(library), "SHORT_READS_UNDER": str(folder), "SHORT_READS": str(most)}
    command = [sys.executable, "-c", PROGRAM, str(last), "export", *arguments]
    done = subprocess.run(command, env=os.environ | own, check=False, capture_output=True, text=True)
    assert done.returncode in {1, -signal.SIGKILL}, done.stderr
    return done.returncode


def contents(table: Path) -> object:
    return read(table) if table.suffix == ".duckdb" else table.read_bytes()


def numbers(report: Path) -> dict[str, Any]:
    found = json.loads(report.read_text())
    return {name: value for name, value in found.items() if name not in {"seconds", "destination", "operation"}}


@pytest.mark.parametrize(("most", "workers"), [(7, "1"), (100, "2"), (4_096, "1")])
@pytest.mark.parametrize("name", ["x.parquet", "x.duckdb"])
def test_an_export_that_is_killed_and_goes_on(
    library: Path, archive: Path, tmp_path: Path, name: str, most: int, workers: str
) -> None:
    whole, short = tmp_path / "whole", tmp_path / "short"
    whole.mkdir()
    shutil.copytree(archive, short / "archive")
    command = (str(short / "archive"), "--workers", workers)
    assert exported(None, whole, 0, *command, str(whole / name), "--report", str(whole / "report")) == 1
    again = (*command, str(short / name), "--report", str(short / "report"))
    assert exported(library, short, most, *again, last=6) == -signal.SIGKILL
    assert exported(library, short, most, *again) == 1
    assert contents(short / name) == contents(whole / name)
    assert numbers(short / "report") == numbers(whole / "report")
    assert not list(short.glob(".*"))


def test_names_that_are_sorted_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, at: pread(descriptor, min(size, 5), at))
    names = [f"/archive/{number * 7_919 % 1_000:04}" for number in range(1_000)]
    assert list(in_order(names, run=64)) == sorted(names)
