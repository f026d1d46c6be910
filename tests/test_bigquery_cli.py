"""BigQuery from the command line: exports, dry runs, filters, duplicates, differences, views."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dicom_bq import infer_schema, reading
from dicom_bq.cli import main
from dicom_bq.schema import TableSchema
from tests.fake_bigquery import FakeBigQuery
from tests.instances import instance

CORPUS = os.environ.get("DICOM_BQ_CORPUS")
TAG = "projects/p1/locations/us/taxonomies/1/policyTags/2"
TABLE = "bq://p1.ds.t"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBigQuery]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)
        yield fake
    assert fake.bugs == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two studies of two instances, and a second copy of one of them."""
    folder = tmp_path / "tree"
    for number in range(4):
        study = number // 2
        instance(
            folder,
            f"1.{number}",
            StudyInstanceUID=f"7.{study}",
            SeriesInstanceUID=f"8.{study}",
            Modality="CT" if study else "MR",
            PatientName="Doe^Jane",
            StudyDate=f"2020010{number}" if number else "",
        )
    (folder / "2.dcm").write_bytes((folder / "1.2.dcm").read_bytes())
    return folder


def uids(fake: FakeBigQuery, table: str = "ds.t") -> list[str]:
    return [row["SOPInstanceUID"] for row in fake.rows(table)]


def test_everything_an_export_can_say(fake: FakeBigQuery, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    bucket = fake.create_bucket("stage")
    options = [
        *("--api-endpoint", fake.url, "--job-project", "payer", "--location", "us", "--staging", "gs://stage/x"),
        *("--partition-by", "month:StudyDate", "--cluster-by", "Modality,SOPInstanceUID"),
        *("--label", "team=radiology", "--label", "cost=1", "--policy-tag", f"PatientName={TAG}"),
    ]
    assert main(["export", str(tree), TABLE, *options]) == 0
    resource = fake.table("ds.t").resource
    assert resource["timePartitioning"] == {"type": "MONTH", "field": "StudyDate"}
    assert resource["clustering"] == {"fields": ["Modality", "SOPInstanceUID"]}
    assert resource["labels"] == {"team": "radiology", "cost": "1"}
    name = next(field for field in resource["schema"]["fields"] if field["name"] == "PatientName")
    assert name["fields"][0]["fields"][0]["policyTags"] == {"names": [TAG]}
    assert [project for project, _ in fake.jobs.by_id] == ["payer"]
    assert fake.load_configs()[0]["sourceUris"][0].startswith("gs://stage/x/")
    assert len(uids(fake)) == 5
    assert [path for path in bucket.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "team"], "--label team: expected KEY=VALUE"),
        (["--partition-by", "StudyDate"], "expected GRANULARITY:COLUMN"),
        (["--cluster-by", "a,b,c,d,e"], "at most 4 columns"),
        (["--overwrite-table", "--write-disposition", "write-append"], "not both"),
        (["--policy-tag", f"PatientNam={TAG}"], "no column is ever called PatientNam"),
        (["--filter", "/absent"], "/absent: No such file or directory"),
    ],
)
def test_usage_errors(
    fake: FakeBigQuery, tree: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["export", str(tree), TABLE, *options]) == 2
    assert message in capsys.readouterr().err
    assert fake.load_configs() == []


def test_names_of_columns_may_have_blanks_around_them(
    fake: FakeBigQuery, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tree), TABLE, "--cluster-by", " Modality , SOPInstanceUID"]) == 0
    assert fake.table("ds.t").resource["clustering"] == {"fields": ["Modality", "SOPInstanceUID"]}
    assert main(["view", TABLE, "--order-by", "StudyDate, Modality "]) == 0
    assert "ORDER BY `StudyDate` DESC NULLS LAST, `Modality` DESC NULLS LAST" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("", r"DuckDB refuses the condition \(\w+\)"),
        ("-- nothing", r"DuckDB refuses the condition \(\w+\)"),
        ("Modality", r"DuckDB refuses the condition \(ConversionException\)"),
        ("error(Modality)", r"DuckDB refuses the condition \(InvalidInputException\)"),
        ("StudyDate >", "Parser Error: .*"),
        ("Nothing = 1", "Binder Error: .*"),
    ],
)
def test_a_condition_that_is_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, reason: str
) -> None:
    database = str(tmp_path / "x.duckdb")
    assert main(["export", str(tree), database, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["filter", database, "--where", where]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(rf"dicom-bq: .*x\.duckdb#dicom: {reason}\. Correct the condition\n", told.err)


def test_options_of_bigquery_are_of_bigquery(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tree), str(tmp_path / "x.parquet"), "--location", "EU"]) == 2
    assert "is no bq:// URI" in capsys.readouterr().err


def test_a_dry_run_tells_everything_and_changes_nothing(
    fake: FakeBigQuery, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance(tmp_path / "first", "0.1", StudyDate="20200101")
    assert main(["export", str(tmp_path / "first"), TABLE]) == 0
    requests = len(fake.requests)
    command = ["export", str(tree), TABLE, "--write-disposition", "write-append", "--dry-run"]
    assert main([*command, "--report", str(tmp_path / "plan.json")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{TABLE}: the table has 1 rows; WRITE_APPEND of 5 rows"
    assert "  added Modality: absent -> STRING NULLABLE" in printed
    assert '    "sourceFormat": "PARQUET",' in printed
    assert any(line.startswith("PatientName ") for line in printed)
    assert {request.method for request in fake.requests[requests:]} == {"GET"}
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert (plan["found"], plan["rows"], plan["job"]["location"]) == (5, 1, "US")
    assert plan["job"]["configuration"]["load"]["schema"]["fields"][0]["name"]
    assert uids(fake) == ["0.1"]
    assert main(["export", str(tree), TABLE, "--dry-run"]) == 3
    assert "has 1 rows already" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["x.duckdb", "x.parquet", "parts"])
def test_a_dry_run_of_other_destinations(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    out = str(tmp_path / out)
    assert main(["export", str(tree), out, "--dry-run"]) == 0
    assert "the table will be made; WRITE_EMPTY of 5 rows" in capsys.readouterr().out
    assert not Path(out).exists()
    instance(tmp_path / "first", "0.1", PatientID="x")
    assert main(["export", str(tmp_path / "first"), out]) == 0
    assert main(["export", str(tree), out, "--dry-run", "--overwrite-table"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "  removed PatientID: STRING NULLABLE -> absent" in printed
    assert "  added Modality: absent -> STRING NULLABLE" in printed


def test_a_schema_that_grew_inside_a_record_appends(fake: FakeBigQuery, tmp_path: Path) -> None:
    instance(tmp_path / "a", "1", ReferencedImageSequence=[{"ReferencedSOPInstanceUID": "2"}])
    items = [{"ReferencedSOPInstanceUID": "2", "ReferencedFrameNumber": [1, 2]}]
    instance(tmp_path / "b", "3", ReferencedImageSequence=items)
    assert main(["export", str(tmp_path / "a"), TABLE]) == 0
    assert main(["export", str(tmp_path / "b"), TABLE, "--write-disposition", "write-append"]) == 0
    assert [row["ReferencedImageSequence"] for row in fake.rows("ds.t")] == [
        [{"ReferencedSOPInstanceUID": "2", "ReferencedFrameNumber": []}],
        [{"ReferencedSOPInstanceUID": "2", "ReferencedFrameNumber": ["1", "2"]}],
    ]


def test_what_a_schema_file_says_of_a_column_is_the_tables(
    fake: FakeBigQuery, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"policyTags": {"names": [TAG]}, "maxLength": "64"}
    fields = [{"name": name, "type": "STRING", "mode": "NULLABLE"} for name in ("SOPInstanceUID", "Modality")]
    (tmp_path / "a.json").write_text(json.dumps([fields[0], {**fields[1], **said}]))
    (tmp_path / "b.json").write_text(json.dumps(fields))
    assert main(["schema", "merge", str(tmp_path / "b.json"), str(tmp_path / "a.json")]) == 0
    (tmp_path / "s.json").write_text(capsys.readouterr().out)
    command = ["export", str(tree), TABLE, "--schema", str(tmp_path / "s.json")]
    assert main(command) == 0
    loaded = {field["name"]: field for field in fake.load_configs()[0]["schema"]["fields"]}
    assert loaded["Modality"].items() >= said.items()
    stored = {field["name"]: field for field in fake.table("ds.t").fields}
    assert stored["Modality"]["policyTags"] == said["policyTags"]
    assert main([*command, "--overwrite-table"]) == 0
    assert len(uids(fake)) == 5


def test_a_tables_own_schema_is_a_schema_file(fake: FakeBigQuery, tmp_path: Path) -> None:
    """As bq show prints it, of a table in whose names no case was kept."""
    instance(tmp_path / "in", "1.1", PatientName="Doe^Jane", RequestAttributesSequence=[{"PatientName": "Roe^Max"}])
    made = infer_schema(tmp_path / "in").to_bigquery()
    lower = json.loads(json.dumps([{**field, "description": ""} for field in made]).lower())
    fake.catalog.create_table(("p1", "ds", "t"), {"tableReference": {"tableId": "t"}, "schema": {"fields": lower}})
    (tmp_path / "s.json").write_text(json.dumps(fake.table("ds.t").fields))
    command = ["export", str(tmp_path / "in"), TABLE, "--schema", str(tmp_path / "s.json")]
    assert main([*command, "--write-disposition", "write-append"]) == 0
    (row,) = fake.rows("ds.t")
    assert row["patientname"]["alphabetic"]["familyname"] == "Doe"
    assert row["requestattributessequence"][0]["patientname"]["alphabetic"]["givenname"] == "Max"
    assert [field["name"] for field in fake.table("ds.t").fields] == [field["name"] for field in lower]


def test_filters_and_duplicates(
    fake: FakeBigQuery, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "filter"
    asked.write_text("/studies/7.1\r\n/studies/9.9\r\n")
    report = tmp_path / "report.json"
    options = ["--filter", str(asked), "--deduplicate", "--report", str(report)]
    assert main(["export", str(tree), TABLE, *options]) == 0
    assert uids(fake) == ["1.2", "1.3"]
    columns = {field["name"]: field for field in fake.table("ds.t").fields}
    assert "Modality" in columns
    told = json.loads(report.read_text())
    assert (told["found"], told["exported"], told["filtered"], told["duplicates"]) == (5, 2, 2, 1)
    assert told["unmatched"] == ["/studies/9.9"]
    assert told["skipped"][0]["uri"].endswith("2.dcm")
    error = capsys.readouterr().err
    assert "1 repeated, 2 filtered out, 0 failed" in error
    assert "Lines of the filter without an instance:\n  /studies/9.9" in error
    asked.write_text("/studies/7.1\n\n")
    assert main(["export", str(tree), TABLE, *options, "--overwrite-table"]) == 2
    assert "filter, line 2: expected /studies/UID" in capsys.readouterr().err


def test_a_filter_makes_no_columns_of_what_it_leaves_out(fake: FakeBigQuery, tmp_path: Path) -> None:
    instance(tmp_path / "in", "1", StudyInstanceUID="7", Modality="CT")
    instance(tmp_path / "in", "2", StudyInstanceUID="8", PatientID="x")
    (tmp_path / "filter").write_text("/studies/7")
    assert main(["export", str(tmp_path / "in"), TABLE, "--filter", str(tmp_path / "filter")]) == 0
    assert "PatientID" not in {field["name"] for field in fake.table("ds.t").fields}


def test_a_filter_is_written_from_a_query_and_read_again(
    fake: FakeBigQuery, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(tmp_path / "x.duckdb")
    for table in (TABLE, database):
        assert main(["export", str(tree), table, "--quiet"]) == 0
        capsys.readouterr()
        where = "Modality = 'CT' AND SOPInstanceUID <> '1.3' -- not the last"
        assert main(["filter", table, "--where", where]) == 0
        assert capsys.readouterr().out == "/studies/7.1/series/8.1/instances/1.2\n"
    (tmp_path / "filter").write_text("/studies/7.1/series/8.1/instances/1.2\n")
    out = str(tmp_path / "x.parquet")
    assert main(["export", str(tree), out, "--filter", str(tmp_path / "filter")]) == 0
    assert pq.read_table(out)["SOPInstanceUID"].to_pylist() == ["1.2", "1.2"]


def test_filters_of_tables_that_cannot_be_asked(
    fake: FakeBigQuery, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(tmp_path / "x.duckdb")
    for table in (TABLE, database):
        assert main(["filter", table, "--where", "TRUE"]) == 3
        assert "there is no such table" in capsys.readouterr().err
    assert not Path(database).exists()
    instance(tmp_path / "in", "1.1", Modality="CT")
    assert main(["export", str(tmp_path / "in"), database, "--quiet"]) == 0
    assert main(["filter", database, "--where", "TRUE"]) == 2
    assert "has no column SeriesInstanceUID, StudyInstanceUID" in capsys.readouterr().err
    assert main(["filter", str(tmp_path / "x.parquet"), "--where", "TRUE"]) == 2
    assert "neither a DuckDB file nor a BigQuery table" in capsys.readouterr().err
    assert main(["export", str(tree), database, "--quiet", "--write-disposition", "write-append"]) == 0
    assert main(["filter", database, "--where", "TRUE"]) == 0
    told = capsys.readouterr()
    assert (len(told.out.splitlines()), told.err) == (4, "1 without a Study Instance UID left out\n")
    for where in ("Nothing = 1", "TRUE); DROP TABLE dicom; SELECT (1", "sum("):
        assert main(["filter", database, "--where", where]) == 3
    assert main(["filter", database, "--where", "FALSE"]) == 0


def test_differences_between_a_table_and_files(
    fake: FakeBigQuery, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance(tmp_path / "first", "0.1", StudyDate="20200101")
    for table in (TABLE, str(tmp_path / "x.duckdb"), str(tmp_path / "x.parquet")):
        assert main(["schema", "diff", table, str(tree)]) == 3
        assert main(["export", str(tmp_path / "first"), table, "--quiet"]) == 0
        capsys.readouterr()
        assert main(["schema", "diff", table, str(tree)]) == 1
        assert "added Modality: absent -> STRING NULLABLE" in capsys.readouterr().out.splitlines()
        assert main(["schema", "diff", table, str(tmp_path / "first")]) == 0
    assert {request.method for request in fake.requests if "/tables" in request.path} == {"GET"}


def test_a_view_of_the_latest_rows(fake: FakeBigQuery, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance(tmp_path / "in", "1.1", InstanceCreationDate="20200101", InstanceCreationTime="10", PatientID="old")
    assert main(["export", str(tmp_path / "in"), TABLE]) == 0
    instance(tmp_path / "in", "1.1", InstanceCreationDate="20200101", InstanceCreationTime="11", PatientID="new")
    instance(tmp_path / "in", "1.2", PatientID="other")
    no_uid = instance(tmp_path / "in", "1.3", PatientID="none")
    no_uid.write_bytes(no_uid.read_bytes().replace(b"UI\x04\x001.3\x00", b"UI\x00\x00"))
    for _ in range(2):
        assert main(["export", str(tmp_path / "in"), TABLE, "--write-disposition", "write-append"]) == 0
    capsys.readouterr()
    assert main(["view", TABLE]) == 0
    query = capsys.readouterr().out
    assert "ORDER BY `InstanceCreationDate` DESC NULLS LAST, `InstanceCreationTime` DESC NULLS LAST" in query
    assert list(fake.catalog.tables) == [("p1", "ds", "t")]
    assert main(["view", TABLE, "--create"]) == 0
    assert capsys.readouterr().err == "bq://p1.ds.tView was made\n"
    from tests.fake_bigquery.sql import run_query

    _, rows = run_query(fake.catalog, "SELECT SOPInstanceUID, PatientID FROM `p1.ds.tView` ORDER BY 1, 2")
    found = [(row["SOPInstanceUID"], row["PatientID"]) for row in rows.to_pylist()]
    assert found == [("1.1", "new"), ("1.2", "other"), (None, "none"), (None, "none")]
    assert main(["view", TABLE, "--create"]) == 3
    assert "Already Exists" in capsys.readouterr().err
    assert main(["view", TABLE, "--create", "--name", "other", "--order-by", "PatientID"]) == 0
    assert "ORDER BY `PatientID` DESC" in fake.catalog.tables["p1", "ds", "other"].resource["view"]["query"]
    assert main(["export", str(tmp_path / "in"), "bq://p1.ds.tView"]) == 3
    assert "it is no table but a view" in capsys.readouterr().err


def test_views_that_cannot_be(fake: FakeBigQuery, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", TABLE]) == 3
    assert "there is no such table" in capsys.readouterr().err
    instance(tmp_path / "in", "1.1", ImageType=["A", "B"], Modality="CT")
    assert main(["export", str(tmp_path / "in"), TABLE]) == 0
    assert main(["view", TABLE]) == 2
    assert "has none of the columns LastUpdated, InstanceCoercionDateTime" in capsys.readouterr().err
    assert main(["view", TABLE, "--order-by", "ImageType"]) == 2
    assert "has no column ImageType with one value a row" in capsys.readouterr().err
    assert main(["view", TABLE, "--order-by", "Modality"]) == 0


def test_views_and_filters_of_a_table_made_by_hand(
    fake: FakeBigQuery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose UIDs are REQUIRED, and in whose names no case was kept."""
    names = ("studyinstanceuid", "seriesinstanceuid", "sopinstanceuid")
    fields = [{"name": name, "type": "STRING", "mode": "REQUIRED"} for name in names]
    fields.append({"name": "Instancecreationdate", "type": "DATE"})
    fake.catalog.create_table(("p1", "ds", "t"), {"tableReference": {"tableId": "t"}, "schema": {"fields": fields}})
    instance(tmp_path / "in", "1.1", StudyInstanceUID="7", SeriesInstanceUID="8")
    assert main(["export", str(tmp_path / "in"), TABLE, "--write-disposition", "write-append"]) == 0
    capsys.readouterr()
    assert main(["view", TABLE]) == 0
    assert "ORDER BY `InstanceCreationDate` DESC" in capsys.readouterr().out
    assert main(["view", TABLE, "--order-by", "modality"]) == 2
    assert main(["view", TABLE, "--order-by", "INSTANCECREATIONDATE"]) == 0
    capsys.readouterr()
    assert main(["filter", TABLE, "--where", "TRUE"]) == 0
    assert capsys.readouterr().out == "/studies/7/series/8/instances/1.1\n"


def comparable(table: pa.Table) -> list[dict[str, object]]:
    """Rows without the difference between NULL and empty lists, which BigQuery does not have."""

    def value(item: object) -> object:
        if isinstance(item, dict):
            return {key: value(child) for key, child in item.items()}
        return [value(child) for child in item] if isinstance(item, list) else item

    def fill(row: dict[str, object], kind: list[pa.Field]) -> dict[str, object]:
        for field in kind:
            child = row[field.name]
            if pa.types.is_list(field.type):
                items = child if isinstance(child, list) else []
                nested = pa.types.is_struct(field.type.value_type)
                row[field.name] = [fill(item, list(field.type.value_type)) for item in items] if nested else items
            elif pa.types.is_struct(field.type) and isinstance(child, dict):
                row[field.name] = fill(child, list(field.type))
        return row

    return [fill({key: value(item) for key, item in row.items()}, list(table.schema)) for row in table.to_pylist()]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS, reason="DICOM_BQ_CORPUS is not set")
def test_rows_and_schema_are_those_of_the_other_destinations_for_the_whole_corpus(
    fake: FakeBigQuery, tmp_path: Path
) -> None:
    assert CORPUS is not None
    out = str(tmp_path / "x.parquet")
    assert main(["export", CORPUS, TABLE, "--quiet"]) == 1
    assert main(["export", CORPUS, out, "--quiet"]) == 1
    expected = pq.read_table(out)
    stored = fake.table("ds.t")
    assert TableSchema.from_bigquery(stored.fields) == TableSchema.from_arrow(expected.schema)
    assert stored.rows.num_rows == expected.num_rows > 400
    assert repr(comparable(stored.rows)) == repr(comparable(expected))


def test_other_destinations_do_not_import_google(tmp_path: Path) -> None:
    instance(tmp_path / "in", "1.1", Modality="CT")
    out = tmp_path / "x.parquet"
    program = f"""
import sys
from dicom_bq.cli import main
code = main(["export", {str(tmp_path / "in")!r}, {str(out)!r}, "--deduplicate", "--quiet"])
code += main(["schema", "diff", {str(out)!r}, {str(tmp_path / "in")!r}])
print(code, *sorted({{"google", "duckdb"}} & {{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("BIGQUERY_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    instance(tmp_path / "in", "1.1")
    assert main(["export", str(tmp_path / "in"), TABLE]) == 3
    assert "there are no Google credentials. Run gcloud auth application-default login" in capsys.readouterr().err


def test_without_googles_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    instance(tmp_path / "in", "1.1")
    assert main(["export", str(tmp_path / "in"), TABLE]) == 3
    assert "pip install 'dicom-bq[bigquery]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cluster-by", "ImageType"], "cluster by ImageType: BigQuery cannot cluster by a column STRING REPEATED"),
        (
            ["--cluster-by", "Modality,patientname"],
            "cluster by patientname: BigQuery cannot cluster by a column RECORD",
        ),
        (["--partition-by", "month:Modality"], "partition by Modality: BigQuery cannot partition by a column STRING"),
        (["--partition-by", "month:Nope"], "partition by Nope: no column is ever called so"),
    ],
)
def test_a_shape_that_no_table_has_is_refused_before_files_are_read(
    fake: FakeBigQuery,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(reading.Reading, "batch", None)
    assert main(["export", str(tree), TABLE, "--quiet", *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "to go on" not in said
    assert fake.load_configs() == []


def test_a_column_that_no_file_has_is_for_the_command_to_correct(
    fake: FakeBigQuery, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tree), TABLE, "--quiet", "--partition-by", "month:AcquisitionDate"]) == 2
    said = capsys.readouterr().err
    assert "partition by AcquisitionDate: no instance has a value for it" in said
    assert "\nCorrect the command to go on: " in said
    assert "same command" not in said
    assert main(["export", str(tree), TABLE, "--quiet"]) == 0
