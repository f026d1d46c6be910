"""The fixture tree is what its script writes, and what its manifest says."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
MANIFEST = list(csv.DictReader((FIXTURES / "MANIFEST.csv").read_text(encoding="utf-8").splitlines()))
EXPECTED = {"exported", "failed", "not DICOM", "DICOMDIR"}


def check(seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FIXTURES / "build.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("seed", ["1", "2"])
def test_building_again_gives_the_committed_bytes(seed: str) -> None:
    result = check(seed)
    assert result.returncode == 0, result.stdout + result.stderr


def test_check_names_what_differs(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES, tmp_path / "fixtures", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "fixtures/dicom" / MANIFEST[0]["path"]
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    (tmp_path / "fixtures/dicom/stray.dcm").write_bytes(b"")
    (tmp_path / "fixtures/dicom" / MANIFEST[1]["path"]).unlink()
    result = subprocess.run(
        [sys.executable, str(tmp_path / "fixtures/build.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"different: dicom/{MANIFEST[0]['path']}",
        f"missing: dicom/{MANIFEST[1]['path']}",
        "should not be there: dicom/stray.dcm",
    ]


def test_manifest_names_every_file_once() -> None:
    found = {
        path.relative_to(FIXTURES / "dicom").as_posix() for path in (FIXTURES / "dicom").rglob("*") if path.is_file()
    }
    assert [row["path"] for row in MANIFEST] == sorted(found)
    assert {row["expected"] for row in MANIFEST} == EXPECTED
    assert all(row["reason"] for row in MANIFEST if row["expected"] != "exported")


def test_the_tree_stays_small() -> None:
    assert sum(int(row["bytes"]) for row in MANIFEST) < 600_000
