"""Worker processes: what comes out does not depend on how many there are, nor on one that ends before its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq import reading

SMALL_PARTS = """
import sys
import dicom_bq.reading as reading
from dicom_bq.cli import main
reading.BATCH_SIZE = 2
sys.exit(main(sys.argv[1:]))
"""
FIXTURES = Path(__file__).parent.parent / "fixtures" / "dicom"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few files a part that several workers have something to do."""
    monkeypatch.setattr(reading, "BATCH_SIZE", 7)


def told(report: dicom_bq.ExportReport) -> dict[str, object]:
    document = json.loads(report.to_json())
    return {key: value for key, value in document.items() if key not in {"seconds", "destination"}}


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", ["table.parquet", "parts"])
def test_the_same_bytes_and_the_same_report(workers: int, name: str, tmp_path: Path) -> None:
    for folder, count in (("alone", 1), ("many", workers)):
        (tmp_path / folder).mkdir()
        report = dicom_bq.export(FIXTURES, tmp_path / folder / name, workers=count)
        (tmp_path / f"{folder}.json").write_text(json.dumps(told(report)))
    assert (tmp_path / "alone.json").read_bytes() == (tmp_path / "many.json").read_bytes()
    files = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.parquet"))
    files = [file for file in files if (tmp_path / "alone" / file).is_file()]
    assert files
    for file in files:
        assert (tmp_path / "alone" / file).read_bytes() == (tmp_path / "many" / file).read_bytes()


def test_options_reach_the_workers(tmp_path: Path) -> None:
    options = {"numeric_strings": "typed", "include_source_store": True, "max_sequence_bytes": 200}
    alone = dicom_bq.export(FIXTURES, tmp_path / "a.parquet", deduplicate=True, **options)
    together = dicom_bq.export(FIXTURES, tmp_path / "b.parquet", deduplicate=True, workers=2, **options)
    assert told(together) == told(alone)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_killed_export_leaves_nothing_and_nobody(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = [
        sys.executable,
        "-c",
        SMALL_PARTS,
        "export",
        str(FIXTURES),
        str(out / "table.parquet"),
        "--workers",
        "3",
    ]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    process.kill()
    process.wait()
    assert not (out / "table.parquet").exists() or pq.read_table(out / "table.parquet").num_rows == 51
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _members(process.pid):
        time.sleep(0.05)
    assert not _members(process.pid), "workers end with the process that started them"


def _members(session: int) -> list[int]:
    """Processes of a session."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session and "Z" not in (entry / "stat").read_text().split(")")[-1][:3]:
                    found.append(int(entry.name))
            except (OSError, ProcessLookupError):
                continue
    return found


def test_interrupted_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dicom_bq", "export", str(FIXTURES), str(tmp_path / "t.parquet"), "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) in {130, 1, -signal.SIGINT}
    assert process.returncode == 1 or not (tmp_path / "t.parquet").exists()
