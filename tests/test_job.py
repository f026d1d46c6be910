"""Jobs: schema, table, stream, export; with real files, real Parquet, and other engines as readers."""

from __future__ import annotations

import csv
import json
import os
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest

import dicom_bq
from dicom_bq import job, reading
from dicom_bq.errors import (
    DestinationError,
    DestinationExistsError,
    DicomBqError,
    InternalError,
    SchemaConflictError,
    SchemaError,
    SchemaLimitError,
    UsageError,
)
from dicom_bq.problems import Reason
from dicom_bq.progress import Progressed
from dicom_bq.schema import TableSchema, schema_from_keywords
from tests.handmade import UID_ELEMENT, explicit, explicit_file, item, sequence, text

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TREE = FIXTURES / "dicom"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few that the fixtures are many batches."""
    monkeypatch.setattr(reading, "BATCH_SIZE", 5)


@pytest.fixture
def manifest() -> dict[str, str]:
    """What is expected of each fixture, by its URI."""
    with (FIXTURES / "MANIFEST.csv").open(newline="") as file:
        return {str(TREE / row["path"]): row["expected"] for row in csv.DictReader(file)}


def plant(directory: Path, **files: bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def dataset(**elements: Any) -> pydicom.Dataset:
    made = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def uids(table: pa.Table) -> list[str]:
    return table["SOPInstanceUID"].to_pylist()


# infer_schema


def test_schema_is_the_union_of_all_batches(manifest: dict[str, str]) -> None:
    with pytest.warns(dicom_bq.UnreadableWarning, match="truncated-in-header"):
        schema = dicom_bq.infer_schema(TREE)
    one_by_one = [
        dicom_bq.infer_schema(uri) for uri, expected in sorted(manifest.items(), reverse=True) if expected == "exported"
    ]
    assert TableSchema().merge(*one_by_one).to_json() == schema.to_json()
    assert schema.columns[-1].name == "DroppedTags"


def test_schema_of_datasets_and_paths_in_any_mixture(tmp_path: Path) -> None:
    directory = plant(tmp_path / "d", a=explicit_file(text(0x00100020, "LO", "ID")))
    built = dataset(PatientID="1", StudyDate="20240131")
    mixed = dicom_bq.infer_schema([built, str(directory), dataset(EchoTime="3"), directory / "a"])
    assert [column.name for column in mixed.columns if not column.name.startswith(("Media", "Transfer", "SOP"))] == [
        "StudyDate",
        "Modality",
        "PatientID",
        "EchoTime",
        "DroppedTags",
    ]
    assert mixed == dicom_bq.infer_schema(iter([directory, dataset(EchoTime="3"), built]))


def test_rows_of_datasets_are_in_the_order_given_and_those_of_paths_between_them_in_theirs(tmp_path: Path) -> None:
    plant(tmp_path, a=explicit_file(text(0x00100020, "LO", "a ")), b=explicit_file(text(0x00100020, "LO", "b ")))
    first, second = tmp_path / "a", tmp_path / "b"
    table = dicom_bq.to_arrow([dataset(PatientID="2"), second, first, second, dataset(PatientID="1"), second])
    assert table["PatientID"].to_pylist() == ["2", "a", "b", "1", "b"]


def test_one_dataset_and_one_path_need_no_list(tmp_path: Path) -> None:
    plant(tmp_path, a=explicit_file())
    assert dicom_bq.infer_schema(dataset(PatientID="1")) == schema_from_keywords(["PatientID"])
    assert dicom_bq.infer_schema(str(tmp_path)) == dicom_bq.infer_schema([tmp_path / "a"])


def test_schema_of_nothing_is_the_columns_that_every_table_has() -> None:
    assert [column.name for column in dicom_bq.infer_schema([]).columns] == ["DroppedTags"]
    names = [column.name for column in dicom_bq.infer_schema([], include_source_store=True).columns]
    assert names == ["DroppedTags", "SourceDicomStore"]


def test_options_reach_the_columns(tmp_path: Path) -> None:
    big = sequence(item(UID_ELEMENT) * 40)
    directory = plant(tmp_path, a=explicit_file(text(0x00180081, "DS", "3.5"), big))
    schema = dicom_bq.infer_schema(
        directory, numeric_strings="typed", max_sequence_bytes=100, include_source_store=True
    )
    kinds = {column.name: column.kind for column in schema.columns}
    assert kinds["EchoTime"] == "FLOAT NULLABLE"
    assert kinds["SourceDicomStore"] == "STRING NULLABLE"
    assert "ReferencedImageSequence" not in kinds
    plant(tmp_path, b=explicit_file(text(0x0040A160, "UT", "x" * (3 << 20))))
    with pytest.warns(dicom_bq.UnreadableWarning, match=f"larger than {2 << 20} bytes"):
        dicom_bq.infer_schema(directory, max_header_bytes=2 << 20)


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="numeric_string"):
        dicom_bq.infer_schema([dataset(PatientID="1")], numeric_string="typed")


@pytest.mark.parametrize("options", [{"numeric_strings": "float"}, {"schema_type": "JSON"}])
def test_unknown_choice_of_an_option_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    message = f"{next(iter(options))} is one of "
    with pytest.raises(UsageError, match=message):
        dicom_bq.infer_schema([dataset(PatientID="1")], **options)
    with pytest.raises(UsageError, match=message):
        dicom_bq.scan(TREE, **options)
    with pytest.raises(UsageError, match=message):
        dicom_bq.export(TREE, tmp_path / "x.parquet", **options)


SIZE, WORKERS = "a whole number of bytes, at least 1", "workers is 1 to 64"


@pytest.mark.parametrize(
    ("options", "message"),
    [({name: value}, f"{name} is {SIZE}") for name in ("max_sequence_bytes", "max_header_bytes")
     for value in ("1M", -1, 0, 1.5, True)]
    + [({"workers": value}, WORKERS) for value in ("2", 1.5, True, 0)],
)  # fmt: skip
def test_a_number_that_an_option_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dicom_bq.to_arrow([dataset(PatientID="1")], **options)
    with pytest.raises(UsageError, match=message):
        dicom_bq.scan(TREE, **options)
    with pytest.raises(UsageError, match=message):
        dicom_bq.export(TREE, tmp_path / "x.parquet", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("instance", "kind"), [(5, "int"), (None, "NoneType"), (b"a.dcm", "bytes")])
def test_what_is_no_instance_is_refused(instance: Any, kind: str) -> None:
    message = f"a pydicom Dataset or the path of files, and one given is of type {kind}"
    with pytest.raises(UsageError, match=message):
        dicom_bq.to_arrow([instance])
    with pytest.raises(UsageError, match=message):
        dicom_bq.infer_schema([dataset(PatientID="1"), instance])


@pytest.mark.parametrize("include", [False, True])
def test_the_schema_of_the_json_variant_is_none_of_flattened_rows(include: bool) -> None:
    schema = dicom_bq.infer_schema([], schema_type="json", include_source_store=include)
    with pytest.raises(UsageError, match="that of the JSON variant: leave it out, or ask for"):
        dicom_bq.to_arrow([dataset(PatientID="1")], schema)
    with pytest.raises(UsageError, match="that of the JSON variant"):
        dicom_bq.scan(TREE, schema)


def test_missing_path() -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        dicom_bq.infer_schema(["nowhere"])


def test_directory_without_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no files"):
        dicom_bq.infer_schema(tmp_path)


# to_arrow


def test_datasets_as_a_table() -> None:
    table = dicom_bq.to_arrow([dataset(PatientID=str(number)) for number in range(12)])
    assert table["PatientID"].to_pylist() == [str(number) for number in range(12)]
    assert table.schema == schema_from_keywords(["PatientID"]).to_arrow()


def test_datasets_with_different_elements() -> None:
    table = dicom_bq.to_arrow([*[dataset(PatientID="1")] * 5, dataset(ImageType=["A", "B"])])
    assert table.column_names == ["ImageType", "PatientID", "DroppedTags"]
    assert table["ImageType"].to_pylist() == [[]] * 5 + [["A", "B"]]
    assert table["PatientID"].to_pylist() == ["1"] * 5 + [None]


def test_no_datasets_as_a_table() -> None:
    assert dicom_bq.to_arrow([]).num_rows == 0
    assert dicom_bq.to_arrow([], schema_from_keywords(["PatientID"])).column_names == ["PatientID", "DroppedTags"]


def test_schema_given_to_a_table() -> None:
    table = dicom_bq.to_arrow(
        [dataset(PatientID="1", StudyDate="20240131")], schema_from_keywords(["StudyDate", "StudyTime"])
    )
    assert table.column_names == ["StudyDate", "StudyTime", "DroppedTags"]


def test_files_and_datasets_give_the_same_rows(manifest: dict[str, str]) -> None:
    uris = [uri for uri, expected in sorted(manifest.items()) if expected == "exported" and "dupont" in uri]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about the fixtures' mistakes
        datasets = [pydicom.dcmread(uri) for uri in uris]
        table = dicom_bq.to_arrow(datasets, include_source_store=True)
    assert table.equals(dicom_bq.to_arrow(uris, include_source_store=True))
    assert table["SourceDicomStore"].to_pylist() == uris


def test_a_bug_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, **{f"{number}.dcm": explicit_file(text(0x00100020, "LO", f"P{number}")) for number in range(12)})
    real = reading.Reading._build

    def build(self: reading.Reading, scanned: Any) -> Any:
        if any(uri.endswith("/7.dcm") for uri in scanned.uris):
            message = "secret value P7"
            raise ZeroDivisionError(message)
        return real(self, scanned)

    monkeypatch.setattr(reading.Reading, "_build", build)
    with pytest.warns(dicom_bq.UnreadableWarning, match="1 of 12 failed") as caught:
        table = dicom_bq.to_arrow(tmp_path)
    assert "7.dcm: a bug in dicom-bq: ZeroDivisionError at test_job.py:" in str(caught[0].message)
    assert "secret" not in str(caught[0].message)
    assert table.num_rows == 11
    assert "P7" not in table["PatientID"].to_pylist()


def test_a_bug_that_costs_every_row_stops_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.Reading, "_build", lambda *_: 1 / 0)
    for schema in (None, schema_from_keywords(["PatientID"])):
        with pytest.raises(InternalError, match="a bug in dicom-bq: ZeroDivisionError at test_job"):
            dicom_bq.export(plant(tmp_path / "d", a=explicit_file(), b=explicit_file()), tmp_path / "x", schema=schema)
    assert not (tmp_path / "x").exists()


# scan


def test_every_engine_takes_a_scan(manifest: dict[str, str]) -> None:
    stream = dicom_bq.scan(TREE)
    expected = Counter(manifest.values())["exported"]
    patients = {"19045", "YMD-0042"} & set(pl.DataFrame(stream)["PatientID"].to_list())
    assert patients
    assert pl.DataFrame(stream).height == len(pl.from_arrow(stream)) == expected
    assert len(pd.DataFrame.from_arrow(stream)) == expected
    assert duckdb.sql("SELECT count(*) FROM stream").fetchall() == [(expected,)]
    query = "SELECT DISTINCT PatientName.Alphabetic.FamilyName FROM stream WHERE PatientID = '19045'"
    assert duckdb.sql(query).fetchall() == [("Dupont",)]
    assert duckdb.from_arrow(stream).count("*").fetchall() == [(expected,)]
    assert pa.table(stream).num_rows == expected
    assert pa.schema(stream) == stream.schema.to_arrow()


def test_scan_is_the_function_and_the_package() -> None:
    from dicom_bq.scan.files import scan_files

    assert callable(dicom_bq.scan)
    assert callable(scan_files)


def test_scan_reads_when_it_is_asked_to(tmp_path: Path) -> None:
    directory = plant(tmp_path / "d", a=explicit_file(), b=b"no")
    stream = dicom_bq.scan([directory])
    assert stream.report is None
    assert "SOPInstanceUID" in [column.name for column in stream.schema.columns]
    assert stream.report is not None
    assert (stream.report.found, stream.report.exported, stream.report.not_dicom) == (2, 1, 1)
    shutil.rmtree(directory)
    assert pa.table(stream).num_rows == pa.table(stream).num_rows == 1  # the rows wait on disk


def test_scan_with_a_schema_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = plant(tmp_path, **{f"{number}.dcm": explicit_file(text(0x00100020, "LO", "P")) for number in range(12)})
    stream = dicom_bq.scan(directory, schema_from_keywords(["PatientID"]))
    reader = stream.reader()
    assert reader.read_next_batch().num_rows == 5
    assert stream.report is None
    assert reader.read_all().num_rows == 7
    assert stream.report is not None
    assert stream.report.problems.of(Reason.NOT_IN_SCHEMA) > 0
    assert pa.table(stream).num_rows == 12


def test_scan_of_nothing_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        dicom_bq.scan("nowhere")


# export


def test_fixtures_are_exported_as_the_manifest_says(tmp_path: Path, manifest: dict[str, str]) -> None:
    out = tmp_path / "out.parquet"
    report = dicom_bq.export(TREE, out, include_source_store=True)
    expected = Counter(manifest.values())
    counts = {"exported": report.exported, "failed": report.failed, "not DICOM": report.not_dicom}
    assert counts | {"DICOMDIR": report.dicomdir} == expected
    assert report.found == report.exported + report.failed + report.not_dicom + report.dicomdir == len(manifest)
    assert report.rows == report.exported
    assert {failure.uri for failure in report.failures} == {uri for uri, what in manifest.items() if what == "failed"}
    table = pq.read_table(out)
    exported = sorted(uri for uri, what in manifest.items() if what == "exported")
    assert table["SourceDicomStore"].to_pylist() == exported
    assert len(table.column_names) == report.columns
    assert TableSchema.from_arrow(table.schema) == report.schema
    assert json.loads(report.to_json())["rows"] == len(exported)


def test_batch_size_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = []
    for size in (1, 7, 1000):
        monkeypatch.setattr(reading, "BATCH_SIZE", size)
        reports.append(dicom_bq.export(TREE, tmp_path / f"{size}.parquet"))
    tables = [pq.read_table(tmp_path / f"{size}.parquet") for size in (1, 7, 1000)]
    assert tables[0].schema == tables[1].schema == tables[2].schema
    first, *others = [repr(table.to_pylist()) for table in tables]  # as text, in which one NaN is like another
    assert others == [first, first]
    assert len({report.schema.to_json() for report in reports}) == 1
    assert reports[0].problems == reports[1].problems == reports[2].problems


@pytest.mark.parametrize("name", ["out.parquet", "out.duckdb", "parts"])
def test_every_destination_has_the_same_rows(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    report = dicom_bq.export(TREE, out)
    source = f"'{out}/*.parquet'" if name == "parts" else f"'{out}'"
    with duckdb.connect(str(out) if name == "out.duckdb" else ":memory:", read_only=name == "out.duckdb") as database:
        database.execute("SET TimeZone = 'UTC'")
        relation = database.sql("SELECT * FROM dicom" if name == "out.duckdb" else f"SELECT * FROM {source}")
        assert relation.columns == [column.name for column in report.schema.columns]
        written = relation.to_arrow_table().to_pylist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fixtures' mistakes
        assert repr(written) == repr(dicom_bq.to_arrow(TREE).to_pylist())


def test_schema_given_makes_the_columns(tmp_path: Path) -> None:
    schema = schema_from_keywords(["PatientID", "AcquisitionContextSequence.ValueType", "Occupation"])
    report = dicom_bq.export(TREE, tmp_path / "out.parquet", schema=schema)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["PatientID", "Occupation", "AcquisitionContextSequence", "DroppedTags"]
    assert table.num_rows == report.rows == report.exported
    missing = {problem.path for problem in report.problems.counts if problem.reason is Reason.NOT_IN_SCHEMA}
    assert {"StudyDate", "PatientName"} <= missing
    assert "PatientID" not in missing


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"name": "PatientID", "type": "INTEGER"}, "PatientID is INTEGER NULLABLE .* STRING NULLABLE"),
        ({"name": "ImageType", "type": "STRING"}, "ImageType is STRING NULLABLE .* STRING REPEATED"),
        ({"name": "EchoTime", "type": "FLOAT"}, "EchoTime is FLOAT NULLABLE .* numeric strings as text"),
        ({"name": "OtherElements", "type": "STRING"}, "OtherElements is STRING NULLABLE .* RECORD REPEATED"),
    ],
)
def test_schema_given_must_agree_with_the_dictionary(tmp_path: Path, column: dict[str, str], message: str) -> None:
    schema = TableSchema.from_bigquery([column])
    with pytest.raises(SchemaConflictError, match=message):
        dicom_bq.export(TREE, tmp_path / "out.parquet", schema=schema)
    with pytest.raises(SchemaConflictError, match=message):
        dicom_bq.to_arrow([dataset()], schema)
    with pytest.raises(SchemaConflictError, match=message):
        dicom_bq.scan(TREE, schema)
    assert not (tmp_path / "out.parquet").exists()


def test_schema_given_with_numbers_for_numeric_strings() -> None:
    schema = TableSchema.from_bigquery([{"name": "EchoTime", "type": "FLOAT"}])
    assert dicom_bq.to_arrow([dataset(EchoTime="2.5")], schema, numeric_strings="typed")["EchoTime"].to_pylist() == [
        2.5
    ]


def test_records_of_a_schema_given_are_completed() -> None:
    family = {"name": "FamilyName", "type": "STRING"}
    schema = TableSchema.from_bigquery(
        [
            {
                "name": "patientname",
                "type": "RECORD",
                "fields": [{"name": "Alphabetic", "type": "RECORD", "fields": [family]}],
            },
            {
                "name": "OverlayRows",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [{"name": "Value", "type": "INT64"}],
            },
            {
                "name": "OtherElements",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [{"name": "Tag", "type": "STRING"}],
            },
            {
                "name": "DroppedTags",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [{"name": "TagName", "type": "STRING"}],
            },
        ]
    )
    built = dataset(PatientName="Doe^Jane", PixelData=b"\0\0")
    built.add_new(0x60020010, "US", 7)
    built.add_new(0x00090010, "LO", "MAKER")
    built["PixelData"].VR = "OW"
    row = dicom_bq.to_arrow([built], schema).to_pylist()[0]
    assert row["patientname"]["Alphabetic"]["GivenName"] == "Jane"
    assert row["OverlayRows"] == [{"Id": "6002", "Value": 7}]
    assert row["OtherElements"] == [{"Tag": "Tag_00090010", "Data": ["MAKER"]}]
    assert row["DroppedTags"] == [{"TagName": "PixelData", "TagReference": "PixelData"}]


def in_lower_case(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    inside = [{**field, "fields": in_lower_case(field["fields"])} if "fields" in field else field for field in fields]
    return [{**field, "name": field["name"].lower()} for field in inside]


def test_names_of_a_schema_given_have_no_case() -> None:
    built = dataset(PatientName="Doe^Jane", PixelData=b"\0\0")
    built.ReferencedImageSequence = [dataset(PatientName="Roe^Max", ReferencedFrameNumber=[1, 2])]
    built.add_new(0x60020010, "US", 7)
    built.add_new(0x00090010, "LO", "MAKER")
    built["PixelData"].VR = "OW"
    table = dicom_bq.to_arrow([built])
    lower = TableSchema.from_bigquery(in_lower_case(TableSchema.from_arrow(table.schema).to_bigquery()))
    row = dicom_bq.to_arrow([built], lower).to_pylist()[0]
    assert row["patientname"]["alphabetic"]["familyname"] == "Doe"
    assert row["referencedimagesequence"][0]["patientname"]["alphabetic"]["givenname"] == "Max"
    assert row["overlayrows"] == [{"id": "6002", "value": 7}]
    assert repr(row).lower() == repr(table.to_pylist()[0]).lower()


def test_sub_fields_of_a_users_own_may_be_anywhere_and_are_empty() -> None:
    built = dataset(PatientName="Doe^Jane", OtherPatientNames=["A^B", "C"], PixelData=b"\0\0")
    built.add_new(0x60020010, "US", 7)
    built.add_new(0x00090010, "LO", "MAKER")
    built["PixelData"].VR = "OW"
    own = [{"name": "mine", "type": "STRING"}, {"name": "list", "type": "INTEGER", "mode": "REPEATED"}]
    group = {"name": "Alphabetic", "type": "RECORD", "fields": own}
    records = {"PatientName": [group, *own], "OtherPatientNames": [group, *own]}
    records |= dict.fromkeys(("OverlayRows", "OtherElements", "DroppedTags"), own)
    schema = TableSchema.from_bigquery(
        [
            {
                "name": name,
                "type": "RECORD",
                "mode": "NULLABLE" if name == "PatientName" else "REPEATED",
                "fields": inside,
            }
            for name, inside in records.items()
        ]
    )
    row = dicom_bq.to_arrow([built], schema).to_pylist()[0]
    empty = {"mine": None, "list": []}
    assert row["OverlayRows"] == [{"Id": "6002", "Value": 7, **empty}]
    assert row["OtherElements"] == [{"Tag": "Tag_00090010", "Data": ["MAKER"], **empty}]
    assert row["DroppedTags"] == [{"TagName": "PixelData", "TagReference": "PixelData", **empty}]
    assert row["PatientName"]["Alphabetic"].items() >= {"FamilyName": "Doe", "GivenName": "Jane", **empty}.items()
    assert row["PatientName"].items() >= empty.items()
    assert [name["Alphabetic"]["FamilyName"] for name in row["OtherPatientNames"]] == ["A", "C"]
    assert [(name["mine"], name["list"]) for name in row["OtherPatientNames"]] == [(None, [])] * 2


@pytest.mark.parametrize(
    ("names", "options", "error", "message"),
    [
        ([], {}, UsageError, "the schema has no columns: leave it out"),
        (["PatientID", "patientid"], {}, SchemaLimitError, "columns of one name, ignoring case at patientid"),
        (["PatientID"], {"include_source_store": True}, UsageError, "the schema has no column SourceDicomStore"),
    ],
)
def test_schema_given_that_no_table_can_have(
    tmp_path: Path, names: list[str], options: dict[str, Any], error: type[DicomBqError], message: str
) -> None:
    schema = TableSchema.from_bigquery([{"name": name, "type": "STRING"} for name in names])
    for destination in ("out.parquet", "out.duckdb"):
        with pytest.raises(error, match=message):
            dicom_bq.export(TREE, tmp_path / destination, schema=schema, **options)
        with pytest.raises(error, match=message):
            job.plan_export(TREE, tmp_path / destination, schema=schema, **options)
    with pytest.raises(error, match=message):
        dicom_bq.scan(TREE, schema, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.parquet", "out.duckdb", "parts"])
def test_a_type_that_rows_cannot_have_is_an_error_before_anything_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading.Reading, "_build", lambda *_: pytest.fail("something was read"))
    schema = TableSchema.from_bigquery([{"name": "PatientID", "type": "STRING"}, {"name": "long", "type": "INTERVAL"}])
    for attempt in (dicom_bq.export, job.plan_export):
        with pytest.raises(SchemaError, match="column long has a type with no Arrow counterpart: INTERVAL"):
            attempt(TREE, tmp_path / name, schema=schema)


def test_sources_may_come_one_by_one(tmp_path: Path) -> None:
    directory = plant(tmp_path / "in", a=explicit_file(), b=explicit_file())
    files = sorted(directory.iterdir())
    assert dicom_bq.export((file for file in files), tmp_path / "out.parquet").rows == 2
    assert job.plan_export((file for file in files), tmp_path / "out.duckdb").read.exported == 2
    stream = dicom_bq.scan(file for file in files)
    assert pa.table(stream).num_rows == pa.table(stream).num_rows == 2


def test_the_directory_that_the_command_runs_in_is_not_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = plant(tmp_path / "in", a=explicit_file())
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(DestinationError, match=r"Name a new directory in it, or run the command elsewhere"):
        dicom_bq.export(source, ".")
    assert dicom_bq.export(source, "table").rows == 1
    assert pq.read_table(tmp_path / "out" / "table").num_rows == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("name", ["out.parquet", "out.duckdb", "parts"])
def test_append_adds_rows_columns_and_sub_fields(tmp_path: Path, name: str) -> None:
    first = plant(tmp_path / "first", a=explicit_file(sequence(item(UID_ELEMENT)), text(0x00100020, "LO", "P1")))
    inside = item(text(0x00081150, "UI", "2.25.9") + UID_ELEMENT)
    second = plant(tmp_path / "second", b=explicit_file(sequence(inside), text(0x00101010, "AS", "003Y")))
    out = tmp_path / name
    dicom_bq.export(first, out)
    with pytest.raises(DestinationExistsError, match="1 rows already"):
        dicom_bq.export(second, out)
    report = dicom_bq.export(second, out, write_disposition="WRITE_APPEND")
    assert (report.rows, report.disposition) == (1, "WRITE_APPEND")
    with duckdb.connect(str(out) if name == "out.duckdb" else ":memory:") as database:
        source = {"out.duckdb": "dicom", "parts": f"'{out}/*.parquet'"}.get(name, f"'{out}'")
        rows = database.sql(
            "SELECT PatientID, PatientAge, ReferencedImageSequence[1].ReferencedSOPClassUID,"
            f" ReferencedImageSequence[1].ReferencedSOPInstanceUID FROM {source}"
        ).fetchall()
    assert rows == [("P1", None, None, "2.25.22"), (None, "003Y", "2.25.9", "2.25.22")]


@pytest.mark.parametrize("options", [{"write_disposition": "write-truncate"}, {"overwrite_table": True}])
def test_truncate_replaces_rows_and_columns(tmp_path: Path, options: dict[str, Any]) -> None:
    first = plant(tmp_path / "first", a=explicit_file(text(0x00100020, "LO", "P1")))
    second = plant(tmp_path / "second", b=explicit_file(text(0x00101010, "AS", "003Y")))
    out = tmp_path / "out.parquet"
    dicom_bq.export(first, out)
    dicom_bq.export([second], out, **options)
    table = pq.read_table(out)
    assert "PatientID" not in table.column_names
    assert table["PatientAge"].to_pylist() == ["003Y"]


def test_disposition_and_overwrite_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        dicom_bq.export(TREE, tmp_path / "x.parquet", write_disposition="WRITE_EMPTY", overwrite_table=True)


@pytest.mark.parametrize("destination", ["no/such/directory/x.parquet", "full.parquet"])
def test_destination_is_checked_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: str
) -> None:
    monkeypatch.chdir(tmp_path)
    dicom_bq.export(plant(tmp_path / "d", a=explicit_file()), "full.parquet")
    monkeypatch.setattr(reading.Reading, "_some", None)
    with pytest.raises(DestinationError, match=destination.rpartition("/")[2]):
        dicom_bq.export("d", destination)
    with pytest.raises(UsageError, match="nowhere does not exist"):
        dicom_bq.export("nowhere", destination)


def test_column_of_another_type_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"StudyDate": ["yesterday"]}), tmp_path / "x.parquet")
    monkeypatch.setattr(reading.Reading, "_some", None)
    with pytest.raises(DestinationError, match="StudyDate is STRING NULLABLE in the table and DATE NULLABLE"):
        dicom_bq.export(TREE, tmp_path / "x.parquet", write_disposition="WRITE_APPEND")


def test_nothing_to_export_leaves_the_table_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    dicom_bq.export(plant(tmp_path / "d", a=explicit_file()), out)
    before = out.read_bytes()
    (tmp_path / "empty").mkdir()
    for schema in (None, schema_from_keywords(["PatientID"])):
        with pytest.raises(UsageError, match="no files"):
            dicom_bq.export(tmp_path / "empty", out, overwrite_table=True, schema=schema)
    assert out.read_bytes() == before


def test_files_that_cannot_be_exported_make_an_empty_table(tmp_path: Path) -> None:
    report = dicom_bq.export(plant(tmp_path / "d", a=b"nonsense"), tmp_path / "out.parquet")
    assert (report.found, report.not_dicom, report.rows) == (1, 1, 0)
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["DroppedTags"]


@pytest.mark.parametrize("name", ["out.parquet", "out.duckdb", "parts"])
@pytest.mark.parametrize("schema", [None, schema_from_keywords(["PatientID"])])
def test_output_inside_the_source_is_not_read(tmp_path: Path, name: str, schema: TableSchema | None) -> None:
    plant(tmp_path, **{f"{number}.dcm": explicit_file() for number in range(3)})
    reports = [
        dicom_bq.export(tmp_path, tmp_path / name, schema=schema, write_disposition=disposition)
        for disposition in ("write-empty", "write-append", "write-truncate")
    ]
    assert [(report.found, report.rows) for report in reports] == [(3, 3)] * 3


def test_odd_things_in_a_source_are_failures(tmp_path: Path) -> None:
    directory = plant(tmp_path / "d", a=explicit_file())
    os.mkfifo(directory / "pipe")
    (directory / "broken").symlink_to("nowhere")
    report = dicom_bq.export(directory, tmp_path / "out.parquet")
    assert (report.found, report.exported, report.failed) == (3, 1, 2)
    assert sorted((Path(one.uri).name, one.code, one.reason) for one in report.failures) == [
        ("broken", "unreadable", "link to nothing"),
        ("pipe", "unreadable", "not a regular file"),
    ]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    (directory / os.fsdecode(b"good\xff")).write_bytes(explicit_file())
    (directory / os.fsdecode(b"short\xff")).write_bytes(explicit_file()[:-1])
    report = dicom_bq.export(directory, tmp_path / "out.parquet", include_source_store=True)
    assert pq.read_table(tmp_path / "out.parquet")["SourceDicomStore"].to_pylist() == [rf"{directory}/good\xff"]
    assert json.loads(report.to_json())["failures"][0]["uri"] == rf"{directory}/short\xff"


def test_report_counts_what_did_not_fit(tmp_path: Path) -> None:
    bad = text(0x00080020, "DA", "00000000")
    directory = plant(
        tmp_path / "d",
        a=explicit_file()[: -len(text(0x00080060, "CS", "OT"))] + bad,
        b=explicit_file(explicit(0x7FE00010, "OW", bytes(8))),
    )
    report = dicom_bq.export(directory, tmp_path / "out.parquet")
    assert report.problems.of(Reason.NOT_PARSEABLE) == report.problems.of(Reason.EXCLUDED_VR) == 1
    assert "(0008,0020)  StudyDate  value is not what its VR asks for" in report.summary()
    assert "00000000" not in report.summary() + report.to_json()


def test_progress_is_told_after_each_batch(tmp_path: Path) -> None:
    told: list[Progressed] = []
    report = dicom_bq.export(TREE, tmp_path / "x.parquet", progress=told.append)
    assert [now.found for now in told[:2]] == [5, 10]
    last = told[-1]
    assert (last.found, last.exported, last.failed) == (report.found, report.exported, report.failed)
    assert (last.listed, last.listing_done, last.written) == (report.found, True, report.rows)
    assert tuple(failure for now in told for failure in now.failures) == report.failures


def test_interrupted_export_leaves_what_it_has_read(tmp_path: Path) -> None:
    def interrupt(now: Progressed) -> None:
        if now.found >= 10:
            raise KeyboardInterrupt

    for schema in (None, schema_from_keywords(["PatientID"])):
        for name in ("x.parquet", "x.duckdb", "x"):
            with pytest.raises(KeyboardInterrupt) as caught:
                dicom_bq.export(TREE, tmp_path / name, schema=schema, progress=interrupt, workers=1)
            assert caught.value.__notes__ == ["Run the same command again to go on: 10 files are read already"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.duckdb.job", ".x.job", ".x.parquet.job"]
