"""What the library returns and is made of: to be copied, compared, sent to other processes, and looked at."""

from __future__ import annotations

import copy
import inspect
import json
import multiprocessing
import pickle
import pydoc
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

import dicom_bq
from dicom_bq import job, outcomes, reading
from dicom_bq.cli import main
from dicom_bq.errors import DestinationConflictError, SchemaError, UsageError
from dicom_bq.outcomes import Outcomes
from dicom_bq.report import ExportReport
from dicom_bq.scan.outcome import Failure
from dicom_bq.schema import TableSchema
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


# Functions

FUNCTIONS = [dicom_bq.export, dicom_bq.infer_schema, dicom_bq.scan, dicom_bq.schema_from_keywords, dicom_bq.to_arrow]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_functions_can_be_sent_and_copied(function: object) -> None:
    for other in (pickle.loads(pickle.dumps(function)), copy.copy(function), copy.deepcopy(function)):  # noqa: S301
        assert other is function


def test_the_package_scan_looks_like_the_function() -> None:
    assert inspect.signature(dicom_bq.scan) == inspect.signature(job.scan)
    assert inspect.unwrap(dicom_bq.scan) is job.scan
    assert inspect.getdoc(dicom_bq.scan) == inspect.getdoc(job.scan)
    assert "Args:\n        sources: Directories" in pydoc.render_doc(dicom_bq.scan)
    assert inspect.ismodule(dicom_bq.scan)


def test_the_function_scan_is_loaded_when_it_is_looked_at() -> None:
    program = "import dicom_bq, sys; dicom_bq.scan.__name__; print('dicom_bq.job' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_scan_in_another_process() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        waiting = processes.submit(dicom_bq.scan, "nowhere")
        with pytest.raises(UsageError, match="nowhere does not exist"):
            waiting.result()


# Schemas


@pytest.fixture(params=[False, True], ids=["without", "with_source"])
def json_schema(request: pytest.FixtureRequest) -> TableSchema:
    return dicom_bq.infer_schema([], schema_type="json", include_source_store=request.param)


def test_the_schema_of_the_json_variant_survives_its_own_file(json_schema: TableSchema) -> None:
    again = TableSchema.from_json(json_schema.to_json())
    assert again == TableSchema.from_arrow(json_schema.to_arrow()) == again.merge(json_schema) == json_schema
    assert again.to_json() == json_schema.to_json()
    with pytest.raises(UsageError, match="the schema is that of the JSON variant: leave it out"):
        dicom_bq.to_arrow([], schema=again)


def test_schemas_of_the_json_variant_merge_in_either_order() -> None:
    without, with_source = (
        dicom_bq.infer_schema([], schema_type="json", include_source_store=wanted) for wanted in (False, True)
    )
    assert without.merge(with_source) == with_source.merge(without) == with_source


def test_the_command_keeps_the_order_of_the_json_variant(
    json_schema: TableSchema, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.json"
    path.write_text(json_schema.to_json())
    assert main(["schema", "merge", str(path), str(path)]) == 0
    assert capsys.readouterr().out == json_schema.to_json() + "\n"
    assert main(["export", str(tmp_path), str(tmp_path / "x.parquet"), "--schema", str(path)]) == 2
    assert capsys.readouterr().err.startswith("dicom-bq: the schema is that of the JSON variant")


@pytest.mark.parametrize("name", ["x.parquet", "x.duckdb"])
def test_flattened_rows_for_a_table_of_the_json_variant_are_refused_before_files_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tree(tmp_path / "in"), tmp_path / name
    for disposition in ("write-empty", "write-append"):
        dicom_bq.export(source, out, schema_type="json", write_disposition=disposition)
    monkeypatch.setattr(reading.Reading, "batch", None)
    with pytest.raises(DestinationConflictError, match="DroppedTags is STRING REPEATED in the table and RECORD"):
        dicom_bq.export(source, out, write_disposition="write-append")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([{"name": "a\ud800", "type": "STRING"}], r"\[0\]: name 'a\\ud800' holds half a character"),
        ([{"name": "a", "type": "STRING", "description": "\udfff"}], r"\[0\]: description '\\udfff' holds half"),
        (
            [{"name": "A", "type": "RECORD", "fields": [{"name": "x", "type": "DATE"}, {"name": "X", "type": "DATE"}]}],
            "columns of one name, ignoring case at A.X: 2, the limit is 1",
        ),
    ],
)
@pytest.mark.parametrize("form", ["json", "arrow", "duckdb", "table"])
def test_names_that_no_table_has_are_refused_in_every_format(
    form: str, fields: list[object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(fields))
    assert main(["schema", "merge", str(path), "--format", form]) == 2
    assert re.search(message, capsys.readouterr().err)
    with pytest.raises(SchemaError, match=message):
        TableSchema.from_json(path.read_text())


@pytest.mark.parametrize("kind", ["GEOGRAPHY", "BIGNUMERIC", "RANGE"])
def test_types_that_duckdb_has_not(kind: str) -> None:
    schema = TableSchema.from_bigquery([{"name": "R", "type": "RECORD", "fields": [{"name": "x", "type": kind}]}])
    with pytest.raises(SchemaError, match=rf"column R\.x has a type with no DuckDB counterpart: {kind}"):
        schema.to_duckdb()


def test_a_numeric_keeps_its_scale_in_duckdb() -> None:
    numeric = {"name": "price", "type": "NUMERIC", "precision": "10", "scale": "2"}
    fields = [numeric, {"name": "whole", "type": "NUMERIC", "precision": "7"}, {"name": "any", "type": "NUMERIC"}]
    statement = TableSchema.from_bigquery(fields).to_duckdb()
    duckdb.sql(statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))
    assert [line.strip() for line in statement.splitlines()[1:-1]] == [
        '"price" DECIMAL(10, 2),',
        '"whole" DECIMAL(7, 0),',
        '"any" DECIMAL(20, 0)',
    ]
