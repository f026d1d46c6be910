"""What the library returns and is made of: to be copied, compared, sent to other processes, and looked at."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import dicom_bq
from dicom_bq import outcomes
from dicom_bq.outcomes import Outcomes
from dicom_bq.report import ExportReport
from dicom_bq.scan.outcome import Failure
from tests.handmade import explicit_file

# Reports


def tree(directory: Path, failures: int = 1) -> Path:
    directory.mkdir()
    (directory / "a.dcm").write_bytes(explicit_file())
    (directory / "b.txt").write_bytes(b"no")
    for number in range(failures):
        (directory / f"cut{number}.dcm").write_bytes(explicit_file()[:-3])
    return directory


@pytest.fixture(params=["few", "many"])
def report(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportReport:
    """Of an export in which files failed and were skipped; all in memory, or some in a file."""
    monkeypatch.setattr(outcomes, "MOST_IN_MEMORY", 1000 if request.param == "few" else 2)
    return dicom_bq.export(tree(tmp_path / "in", failures=5), tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)), replace],  # noqa: S301
)
def test_a_copy_of_a_report_is_the_same(report: ExportReport, copied: Callable[[Any], Any]) -> None:
    other = copied(report)
    assert other == report
    assert hash(other) == hash(report)
    assert other.to_json() == report.to_json()
    assert (other.failed, other.not_dicom) == (report.failed, report.not_dicom) == (5, 1)


def test_a_report_is_a_dictionary_of_its_facts(report: ExportReport) -> None:
    facts = asdict(report)
    assert facts["found"] == report.found == 7
    assert facts["failures"] == report.failures


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])  # noqa: S301
def test_a_copy_of_failures_goes_its_own_way(report: ExportReport, copied: Callable[[Any], Any]) -> None:
    assert isinstance(report.failures, Outcomes)
    other = copied(report.failures)
    other.append(Failure("z", "malformed", "one more"))
    assert other[-1].uri == "z"
    assert other[:-1] == report.failures
    assert (len(other), other.codes["malformed"]) == (6, 6)
    assert (len(report.failures), report.failures.codes["malformed"]) == (5, 5)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_export_in_another_process_returns_its_report(tmp_path: Path, method: str) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as processes:
        report = processes.submit(dicom_bq.export, str(tree(tmp_path / "in")), str(tmp_path / "x.parquet")).result()
    assert (report.rows, report.exported, report.not_dicom) == (1, 1, 1)
    assert [Path(failure.uri).name for failure in report.failures] == ["cut0.dcm"]
    assert report.summary().startswith(f"{tmp_path}/x.parquet: 1 row written")
