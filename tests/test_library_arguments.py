"""Arguments of the library's functions that are of another type than is meant."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydicom
import pytest

import dicom_bq
from dicom_bq import processors, reading
from dicom_bq.cli import main
from dicom_bq.errors import UsageError
from tests.handmade import explicit_file

WRONG = [b"a.dcm", bytearray(b"a"), io.BytesIO(b"a"), 5, None, [b"a.dcm"], [5]]


def export(sources: Any, **options: Any) -> dicom_bq.ExportReport:
    return dicom_bq.export(sources, "x.parquet", **options)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        Path("in", f"{number}.dcm").parent.mkdir(exist_ok=True)
        Path("in", f"{number}.dcm").write_bytes(explicit_file())


@pytest.mark.parametrize(
    "given", [*WRONG, pydicom.Dataset(), [pydicom.Dataset()]], ids=lambda given: type(given).__name__
)
@pytest.mark.parametrize("function", [export, dicom_bq.scan])
def test_what_is_no_source(function: Any, given: Any) -> None:
    with pytest.raises(UsageError, match="a source is the path of files, and one given is of type "):
        function(given)


@pytest.mark.parametrize("given", WRONG, ids=lambda given: type(given).__name__)
@pytest.mark.parametrize("function", [dicom_bq.infer_schema, dicom_bq.to_arrow])
def test_what_is_no_instance(function: Any, given: Any) -> None:
    with pytest.raises(UsageError, match="an instance is a pydicom Dataset or the path of files, and one given is of"):
        function(given)


@pytest.mark.parametrize("function", [export, dicom_bq.scan, dicom_bq.to_arrow])
@pytest.mark.parametrize("schema", [pa.schema([("PatientID", pa.string())]), [], "s.json"])
def test_what_is_no_schema(function: Any, schema: Any) -> None:
    with pytest.raises(UsageError, match=r"the schema is a dicom_bq\.TableSchema, and the one given is of type "):
        function("in", schema=schema)


def test_a_filter_file_may_be_a_path() -> None:
    Path("filter.txt").write_text("/studies/1.2\n")
    report = export("in", filter_file=Path("filter.txt"))
    assert (report.found, report.filtered) == (3, 3)


def test_workers_may_be_any_whole_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_SIZE", 1)
    assert dicom_bq.to_arrow("in", workers=np.int64(2)).num_rows == 3  # type: ignore[arg-type]
    for wrong in (np.int64(0), 2.0, True, "2"):
        with pytest.raises(UsageError, match="the number of workers is 1 to 64"):
            dicom_bq.to_arrow("in", workers=wrong)  # type: ignore[arg-type]


def test_a_python_that_does_not_know_where_it_is_reads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_SIZE", 1)
    monkeypatch.setattr(sys, "executable", None)
    assert dicom_bq.to_arrow("in", workers=2).num_rows == 3


def test_no_more_workers_than_are_allowed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 200, raising=False)
    assert processors.processes(None) == processors.MOST_WORKERS


@pytest.mark.parametrize("uri", ["gs://bucket/archive", "s3://bucket/**.dcm", "https://host/a.zip!/a.dcm"])
def test_what_is_in_no_file_system(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=f"^{uri[:10]}.*: sources are files here, and nothing is read over a network"):
        dicom_bq.scan(uri)
    with pytest.raises(UsageError, match=f"^{uri[:10]}.*only BigQuery's bq:// can be exported to"):
        dicom_bq.export("in", uri)
    assert main(["export", "in", uri]) == 2
    assert capsys.readouterr().err.startswith(f"dicom-bq: {uri}: ")
