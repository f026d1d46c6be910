"""A BigQuery table as a destination, by the real client and the strict fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dicom_bq.columns.jsonmodel import json_schema
from dicom_bq.destinations.base import WriteDisposition
from dicom_bq.destinations.bigquery import BigQueryTable
from dicom_bq.destinations.bigquery_options import BigQueryOptions
from dicom_bq.destinations.resolve import resolve
from dicom_bq.errors import (
    DestinationConflictError,
    DestinationError,
    DestinationExistsError,
    SchemaLimitError,
    UsageError,
)
from dicom_bq.schema import Column, TableSchema, schema_from_keywords
from tests.fake_bigquery import FakeBigQuery, Fault

EMPTY, APPEND, TRUNCATE = WriteDisposition.WRITE_EMPTY, WriteDisposition.WRITE_APPEND, WriteDisposition.WRITE_TRUNCATE
TAG = "projects/p1/locations/us/taxonomies/1/policyTags/2"
KEYWORDS = ("SOPInstanceUID", "StudyDate", "StudyInstanceUID", "PatientName", "ImageType", "SeriesInstanceUID")
SCHEMA = schema_from_keywords([*KEYWORDS, "ReferencedImageSequence.ReferencedSOPInstanceUID"])


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeBigQuery]:
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        yield fake
    assert fake.bugs == []


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are remembered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dicom-bq" / "runs"


def table(fake: FakeBigQuery, **options: Any) -> BigQueryTable:
    destination = resolve("bq://p1.ds.t", bigquery=BigQueryOptions(api_endpoint=fake.url, **options))
    assert isinstance(destination, BigQueryTable)
    return destination


def rows(schema: TableSchema, values: list[dict[str, Any]]) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pylist(values, schema=schema.to_arrow())]


def write(
    fake: FakeBigQuery,
    disposition: WriteDisposition,
    values: list[dict[str, Any]],
    schema: TableSchema = SCHEMA,
    **options: Any,
) -> int:
    destination = table(fake, **options)
    destination.check(disposition, schema)
    count = destination.write(schema, rows(schema, values), disposition)
    destination.close()
    return count


ONE = {"SOPInstanceUID": "1.1", "ImageType": ["A", "B"], "ReferencedImageSequence": [{"ReferencedSOPInstanceUID": "9"}]}
TWO = {"SOPInstanceUID": "1.2", "PatientName": {"Alphabetic": {"FamilyName": "Doe"}}}


def uids(fake: FakeBigQuery) -> list[str]:
    return [row["SOPInstanceUID"] for row in fake.rows("ds.t")]


def test_a_new_table_has_the_schema_and_the_rows(fake: FakeBigQuery, state: Path) -> None:
    assert write(fake, EMPTY, [ONE, TWO]) == 2
    stored = fake.table("ds.t")
    assert TableSchema.from_bigquery(stored.fields) == SCHEMA
    assert [field["name"] for field in stored.fields] == [column.name for column in SCHEMA.columns]
    conformed = rows(SCHEMA, [ONE, TWO])[0].to_pylist()
    for row in conformed:
        row.update({name: row[name] or [] for name in ("ImageType", "ReferencedImageSequence", "DroppedTags")})
    assert fake.rows("ds.t") == conformed
    assert list(state.iterdir()) == []


def test_a_new_table_is_described_and_clustered(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE], labels={"team": "radiology"})
    resource = fake.table("ds.t").resource
    assert SCHEMA.edition in resource["description"]
    assert resource["labels"] == {"team": "radiology"}
    assert resource["clustering"] == {"fields": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]}
    assert "timePartitioning" not in resource
    described = {field["name"]: field.get("description", "") for field in resource["schema"]["fields"]}
    assert described["StudyDate"].startswith("(0008,0020)")
    assert all(described.values())


def test_one_load_job_an_export_with_everything_said(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    (config,) = fake.load_configs()
    assert config["parquetOptions"] == {"enableListInference": True}
    assert config["decimalTargetTypes"] == ["NUMERIC", "BIGNUMERIC"]
    assert [field["name"] for field in config["schema"]["fields"]] == [column.name for column in SCHEMA.columns]
    (job,) = fake.jobs.by_id.values()
    assert job.resource["configuration"]["labels"] == {"dicom-bq": "export"}
    assert job.resource["jobReference"]["jobId"].startswith("dicom_bq_")
    assert job.resource["jobReference"]["location"] == "US"


def test_clustering_by_the_columns_that_there_are(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [{"SOPInstanceUID": "1"}], schema_from_keywords(["SOPInstanceUID"]))
    assert fake.table("ds.t").resource["clustering"] == {"fields": ["SOPInstanceUID"]}


def test_clustering_and_partitioning_as_asked(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE], cluster_by=["StudyDate", "SOPInstanceUID"], partition_by="month:StudyDate")
    resource = fake.table("ds.t").resource
    assert resource["clustering"] == {"fields": ["StudyDate", "SOPInstanceUID"]}
    assert resource["timePartitioning"] == {"type": "MONTH", "field": "StudyDate"}
    write(fake, APPEND, [TWO], partition_by="month:StudyDate")
    write(fake, TRUNCATE, [TWO])
    assert fake.table("ds.t").resource["timePartitioning"] == {"type": "MONTH", "field": "StudyDate"}
    assert fake.table("ds.t").resource["clustering"] == {"fields": ["StudyDate", "SOPInstanceUID"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster_by": ["Modality"]}, "no instance has a value for it"),
        ({"cluster_by": ["ImageType"]}, "cannot cluster by a column STRING REPEATED"),
        ({"cluster_by": ["PatientName"]}, "cannot cluster by a column RECORD"),
        ({"partition_by": "month:SOPInstanceUID"}, "cannot partition by a column STRING"),
        ({"partition_by": "month:AcquisitionDate"}, "no instance has a value for it"),
        ({"policy_tags": {"PatientNmae": TAG}}, "no column is ever called PatientNmae"),
    ],
)
def test_columns_that_options_cannot_name(fake: FakeBigQuery, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write(fake, EMPTY, [ONE], **options)
    assert fake.load_configs() == []


def test_a_table_keeps_its_shape(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    with pytest.raises(UsageError, match="partitions of a table that exists stay"):
        write(fake, APPEND, [ONE], partition_by="month:StudyDate")
    with pytest.raises(UsageError, match="clustering of a table stays"):
        write(fake, APPEND, [ONE], cluster_by=["StudyDate"])
    write(fake, TRUNCATE, [ONE], cluster_by=["StudyDate"])
    assert fake.table("ds.t").resource["clustering"] == {"fields": ["StudyDate"]}


def test_names_of_columns_have_no_case(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE], cluster_by=["studydate", "sopinstanceUID"], partition_by="month:STUDYDATE")
    resource = fake.table("ds.t").resource
    assert resource["clustering"] == {"fields": ["StudyDate", "SOPInstanceUID"]}
    assert resource["timePartitioning"] == {"type": "MONTH", "field": "StudyDate"}
    write(fake, APPEND, [TWO], cluster_by=["STUDYDATE", "SOPInstanceUID"], partition_by="month:studyDate")
    assert uids(fake) == ["1.1", "1.2"]


def test_a_replaced_table_keeps_its_shape_whatever_the_case_of_its_columns(fake: FakeBigQuery) -> None:
    made(fake, [text("sopinstanceuid"), text("studydate", kind="DATE"), text("mine")])
    fake.catalog.patch_table(("p1", "ds", "t"), {"clustering": {"fields": ["studydate"]}}, None)
    write(fake, TRUNCATE, [ONE])
    assert fake.table("ds.t").resource["clustering"] == {"fields": ["studydate"]}
    assert [field["name"] for field in fake.table("ds.t").fields if field["type"] == "DATE"] == ["studydate"]


def test_a_replaced_table_keeps_its_partitions_whatever_the_case_of_their_column(fake: FakeBigQuery) -> None:
    partitions = {"type": "MONTH", "field": "studydate"}
    body = {"tableReference": {"tableId": "t"}, "timePartitioning": partitions}
    body["schema"] = {"fields": [text("studydate", kind="DATE"), text("mine")]}
    fake.catalog.create_table(("p1", "ds", "t"), body)
    write(fake, TRUNCATE, [ONE])
    assert fake.table("ds.t").resource["timePartitioning"] == partitions
    assert uids(fake) == ["1.1"]


def test_rows_without_the_column_of_the_partitions(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE], partition_by="month:StudyDate")
    narrow = schema_from_keywords(["SOPInstanceUID"])
    write(fake, APPEND, [{"SOPInstanceUID": "1.2"}], narrow)
    assert uids(fake) == ["1.1", "1.2"]
    assert {"clustering", "timePartitioning"}.isdisjoint(fake.load_configs()[-1])
    with pytest.raises(UsageError, match="partition by StudyDate: no instance has a value for it"):
        write(fake, TRUNCATE, [{"SOPInstanceUID": "1.3"}], narrow)
    assert uids(fake) == ["1.1", "1.2"]


def test_too_many_partitions_for_one_job(fake: FakeBigQuery) -> None:
    schema = schema_from_keywords(["StudyDate"])
    days = pa.table({"StudyDate": pa.array(range(4_001), pa.int32()).cast(pa.date32())})
    batches = [pa.RecordBatch.from_arrays([days["StudyDate"].combine_chunks()], names=["StudyDate"])]
    with pytest.raises(DestinationError, match=r"more than 4,000 partitions by day.*month or year"):
        table(fake, partition_by="day:StudyDate").write(schema, batches, EMPTY)
    assert fake.load_configs() == []
    assert table(fake, partition_by="month:StudyDate").write(schema, batches, EMPTY) == 4_001


def test_write_empty_takes_an_empty_table_and_no_other(fake: FakeBigQuery) -> None:
    assert write(fake, EMPTY, []) == 0
    assert write(fake, EMPTY, [ONE]) == 1
    with pytest.raises(DestinationExistsError, match="has 1 rows already"):
        table(fake).check(EMPTY, None)
    with pytest.raises(DestinationError, match=r"Already Exists: Table p1:ds\.t"):
        table(fake).write(SCHEMA, rows(SCHEMA, [TWO]), EMPTY)
    assert uids(fake) == ["1.1"]


def test_write_empty_adds_no_columns_to_rows_that_came_meanwhile(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    before = fake.table("ds.t").resource
    wider = SCHEMA.merge(schema_from_keywords(["Modality"]))
    with pytest.raises(DestinationExistsError, match="has 1 rows already"):
        table(fake).write(wider, rows(wider, [TWO]), EMPTY)
    assert fake.table("ds.t").resource == before


def test_append_appends_and_a_second_time_again(fake: FakeBigQuery) -> None:
    for _ in range(3):
        assert write(fake, APPEND, [ONE]) == 1
    assert uids(fake) == ["1.1"] * 3
    assert len(fake.jobs.by_id) == 3


def test_truncate_replaces_rows_and_schema(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    narrow = schema_from_keywords(["SOPInstanceUID", "Modality"])
    write(fake, TRUNCATE, [{"SOPInstanceUID": "1.3", "Modality": "CT"}], narrow)
    assert TableSchema.from_bigquery(fake.table("ds.t").fields) == narrow
    assert uids(fake) == ["1.3"]


def describe(fake: FakeBigQuery, changes: dict[str, dict[str, Any]], **properties: Any) -> None:
    """Somebody edits the table's columns and properties."""
    stored = fake.table("ds.t")
    fields = [{**field, **changes.get(field["name"], {})} for field in stored.fields]
    fake.catalog.patch_table(("p1", "ds", "t"), {"schema": {"fields": fields}, **properties}, None)


@pytest.mark.parametrize("grown", [False, True])
def test_truncate_keeps_descriptions_policy_tags_and_clustering(fake: FakeBigQuery, grown: bool) -> None:
    write(fake, EMPTY, [ONE], policy_tags={"FamilyName": TAG})
    describe(
        fake,
        {"StudyDate": {"description": "ours", "policyTags": {"names": [TAG]}}},
        description="the table",
        labels={"a": "b"},
        clustering={"fields": ["StudyDate"]},
        tableConstraints={"primaryKey": {"columns": ["SOPInstanceUID"]}},
        encryptionConfiguration={"kmsKeyName": "k"},
    )
    write(fake, TRUNCATE, [TWO], SCHEMA.merge(schema_from_keywords(["Modality"])) if grown else SCHEMA)
    resource = fake.table("ds.t").resource
    columns = {field["name"]: field for field in resource["schema"]["fields"]}
    assert columns["StudyDate"]["description"] == "ours"
    assert columns["StudyDate"]["policyTags"] == {"names": [TAG]}
    assert columns["PatientName"]["fields"][0]["fields"][0]["policyTags"] == {"names": [TAG]}
    assert (resource["description"], resource["labels"]) == ("the table", {"a": "b"})
    assert resource["clustering"] == {"fields": ["StudyDate"]}
    assert ("tableConstraints" in resource) is not grown
    config = fake.load_configs()[-1]
    assert config["writeDisposition"] == ("WRITE_TRUNCATE" if grown else "WRITE_TRUNCATE_DATA")
    assert config.get("destinationEncryptionConfiguration") == ({"kmsKeyName": "k"} if grown else None)
    assert uids(fake) == ["1.2"]


def test_truncate_of_the_same_columns_keeps_their_order(fake: FakeBigQuery) -> None:
    made(fake, [text("PatientID"), text("SOPInstanceUID"), {**DROPPED_TAGS, "description": "theirs"}])
    schema = schema_from_keywords(["SOPInstanceUID", "PatientID"])
    write(fake, TRUNCATE, [{"SOPInstanceUID": "1", "PatientID": "x"}], schema)
    assert fake.load_configs()[-1]["writeDisposition"] == "WRITE_TRUNCATE_DATA"
    assert [field["name"] for field in fake.table("ds.t").fields] == ["PatientID", "SOPInstanceUID", "DroppedTags"]
    assert fake.rows("ds.t") == [{"PatientID": "x", "SOPInstanceUID": "1", "DroppedTags": []}]
    write(fake, TRUNCATE, [{"SOPInstanceUID": "2"}], schema, policy_tags={"PatientID": TAG})
    assert fake.load_configs()[-1]["writeDisposition"] == "WRITE_TRUNCATE"
    assert [field["name"] for field in fake.table("ds.t").fields] == ["SOPInstanceUID", "PatientID", "DroppedTags"]
    assert fake.table("ds.t").fields[1]["policyTags"] == {"names": [TAG]}


def test_policy_tags_go_to_every_leaf_of_the_name_at_every_level(fake: FakeBigQuery) -> None:
    schema = schema_from_keywords(["PatientID", "PatientName", "RequestAttributesSequence.PatientID", "StudyDate"])
    write(fake, EMPTY, [], schema, policy_tags={"PatientID": TAG, "PatientName": TAG, "StudyDate": TAG})
    leaves = []

    def collect(fields: list[dict[str, Any]], path: str) -> None:
        for field in fields:
            here = f"{path}{field['name']}"
            collect(field.get("fields", []), f"{here}.")
            leaves.extend([here] if "policyTags" in field else [])

    collect(fake.table("ds.t").fields, "")
    assert len([leaf for leaf in leaves if leaf.startswith("PatientName.")]) == 15
    assert {leaf for leaf in leaves if not leaf.startswith("PatientName.")} == {
        "PatientID",
        "StudyDate",
        "RequestAttributesSequence.PatientID",
    }


def test_policy_tags_of_a_path_are_of_that_path_alone(fake: FakeBigQuery) -> None:
    schema = schema_from_keywords(["PatientID", "RequestAttributesSequence.PatientID"])
    write(fake, EMPTY, [], schema, policy_tags={"RequestAttributesSequence.PatientID": TAG})
    outer, sequence = fake.table("ds.t").fields[:2]
    assert "policyTags" not in outer
    assert sequence["fields"][0]["policyTags"] == {"names": [TAG]}


def test_columns_and_nested_ones_are_added_at_the_end_and_rows_follow(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    wider = SCHEMA.merge(schema_from_keywords(["AccessionNumber", "ReferencedImageSequence.ReferencedSOPClassUID"]))
    item = {"ReferencedSOPClassUID": "c", "ReferencedSOPInstanceUID": "8"}
    new = {"SOPInstanceUID": "1.3", "AccessionNumber": "a", "ReferencedImageSequence": [item], "ImageType": ["C"]}
    assert write(fake, APPEND, [new], wider) == 1
    names = [field["name"] for field in fake.table("ds.t").fields]
    assert names == [column.name for column in SCHEMA.columns] + ["AccessionNumber"]
    stored = fake.rows("ds.t")
    assert uids(fake) == ["1.1", "1.3"]
    assert stored[0]["ReferencedImageSequence"] == [{"ReferencedSOPInstanceUID": "9", "ReferencedSOPClassUID": None}]
    assert stored[1]["ReferencedImageSequence"] == [item]
    assert (stored[1]["AccessionNumber"], stored[1]["ImageType"]) == ("a", ["C"])
    assert "schemaUpdateOptions" not in fake.load_configs()[-1]


def test_a_narrower_append_leaves_the_table_as_it_is(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    etag = fake.table("ds.t").resource["etag"]
    narrow = schema_from_keywords(["SOPInstanceUID", "PatientName"])
    write(fake, APPEND, [TWO], narrow)
    assert uids(fake) == ["1.1", "1.2"]
    assert fake.rows("ds.t")[1]["PatientName"]["Alphabetic"]["FamilyName"] == "Doe"
    patches = [request for request in fake.requests if request.method == "PATCH"]
    assert (patches, etag != fake.table("ds.t").resource["etag"]) == ([], True)


def made(fake: FakeBigQuery, fields: list[dict[str, Any]]) -> None:
    body = {"tableReference": {"tableId": "t"}, "schema": {"fields": fields}}
    fake.catalog.create_table(("p1", "ds", "t"), body)


def text(name: str, mode: str = "NULLABLE", kind: str = "STRING") -> dict[str, Any]:
    return {"name": name, "type": kind, "mode": mode}


def test_somebody_elses_columns_stay_and_the_order_is_the_tables(fake: FakeBigQuery) -> None:
    made(fake, [text("note"), text("place", kind="GEOGRAPHY"), text("StudyDate", kind="DATE"), text("sopinstanceuid")])
    write(fake, APPEND, [ONE])
    assert [field["name"] for field in fake.table("ds.t").fields][:4] == [
        "note",
        "place",
        "StudyDate",
        "sopinstanceuid",
    ]
    assert fake.rows("ds.t")[0]["sopinstanceuid"] == "1.1"
    loaded = [field["name"] for field in fake.load_configs()[0]["schema"]["fields"]]
    assert loaded[:2] == ["StudyDate", "sopinstanceuid"]
    assert {"note", "place"}.isdisjoint(loaded)


def test_every_conflict_is_named_before_anything_is_read(fake: FakeBigQuery) -> None:
    made(fake, [text("StudyDate"), text("ImageType"), text("SOPInstanceUID")])
    for schema in (None, SCHEMA):
        with pytest.raises(DestinationConflictError, match=r"ImageType.*StudyDate") as caught:
            table(fake).check(APPEND, schema)
        assert caught.value.facts["path"] == "ImageType"
    with pytest.raises(DestinationConflictError, match="StudyDate"):
        table(fake).write(SCHEMA, rows(SCHEMA, [ONE]), EMPTY)
    table(fake).check(TRUNCATE, SCHEMA)
    assert fake.load_configs() == []


def test_required_columns_that_we_lack_are_named(fake: FakeBigQuery) -> None:
    made(fake, [text("tenant", "REQUIRED"), text("SOPInstanceUID", "REQUIRED"), text("Modality", "REQUIRED")])
    with pytest.raises(DestinationConflictError, match="tenant is REQUIRED in the table and absent"):
        table(fake).check(APPEND, None)
    with pytest.raises(DestinationConflictError, match=r"tenant is REQUIRED.*so is Modality.*DROP NOT NULL"):
        table(fake).check(APPEND, SCHEMA)


@pytest.mark.parametrize("disposition", [EMPTY, APPEND, TRUNCATE])
def test_a_required_column_of_a_schema_file_that_stays_empty_is_refused(
    fake: FakeBigQuery, disposition: WriteDisposition
) -> None:
    """Whether the table has it, or is to have it: no row has a value for it."""
    made(fake, [text("SOPInstanceUID", "REQUIRED"), text("tenant", "REQUIRED")])
    schema = SCHEMA.merge(TableSchema.from_bigquery([text("tenant", "REQUIRED")]))
    with pytest.raises(DestinationConflictError, match=r"column tenant is REQUIRED in the table and (absent|empty)"):
        table(fake).check(disposition, schema)


def test_the_json_variant_has_a_value_for_each_of_its_columns(fake: FakeBigQuery) -> None:
    fields = [{**item, "mode": "REQUIRED"} for item in json_schema().to_bigquery() if item["mode"] == "NULLABLE"]
    made(fake, fields)
    table(fake).check(APPEND, json_schema())


def test_a_new_table_whose_required_columns_stay_empty_is_refused(fake: FakeBigQuery) -> None:
    inside = {"name": "mine", "type": "RECORD", "mode": "NULLABLE", "fields": [text("deep", "REQUIRED")]}
    schema = SCHEMA.merge(TableSchema.from_bigquery([text("tenant", "REQUIRED"), inside]))
    message = r"column tenant is REQUIRED in the table and empty in every row in the export, so is mine\.deep\. Make it"
    with pytest.raises(DestinationConflictError, match=message):
        table(fake).check(EMPTY, schema)
    table(fake).check(EMPTY, SCHEMA.merge(TableSchema.from_bigquery([text("SOPInstanceUID", "REQUIRED")])))
    assert fake.load_configs() == []


DROPPED_TAGS = {
    "name": "DroppedTags",
    "type": "RECORD",
    "mode": "REPEATED",
    "fields": [text("TagName"), text("TagReference")],
}
OTHER_ELEMENTS = {
    "name": "OtherElements",
    "type": "RECORD",
    "mode": "REPEATED",
    "fields": [text("Tag", "REQUIRED"), text("Data", "REPEATED")],
}


def test_required_columns_that_we_have_stay_required(fake: FakeBigQuery) -> None:
    """Tables that the Healthcare API made have them: OtherElements.Tag."""
    made(fake, [text("SOPInstanceUID", "REQUIRED"), OTHER_ELEMENTS])
    schema = TableSchema.from_bigquery(
        [text("SOPInstanceUID"), {**OTHER_ELEMENTS, "fields": [text("Tag"), text("Data", "REPEATED")]}]
    )
    entry = {"Tag": "Tag_00091001", "Data": ["x"]}
    write(fake, APPEND, [{"SOPInstanceUID": "1", "OtherElements": [entry]}], schema)
    assert fake.rows("ds.t") == [{"SOPInstanceUID": "1", "OtherElements": [entry]}]
    assert fake.table("ds.t").fields[0]["mode"] == "REQUIRED"
    with pytest.raises(DestinationError, match=r"SOPInstanceUID.*non-nullable"):
        write(fake, APPEND, [{"SOPInstanceUID": None}], schema)
    assert len(fake.rows("ds.t")) == 1


def test_a_patch_that_somebody_overtakes_is_made_again(fake: FakeBigQuery) -> None:
    write(fake, EMPTY, [ONE])
    original = fake.catalog.patch_table
    overtaken = []

    def overtake(path: tuple[str, str, str], body: dict[str, Any], etag: str | None) -> Any:
        if not overtaken:
            overtaken.append(body)
            columns = [*fake.table("ds.t").fields, text("theirs")]
            original(path, {"schema": {"fields": columns}}, None)
        return original(path, body, etag)

    fake.catalog.patch_table = overtake  # type: ignore[method-assign]
    wider = SCHEMA.merge(schema_from_keywords(["Modality"]))
    write(fake, APPEND, [TWO], wider)
    assert [field["name"] for field in fake.table("ds.t").fields][-2:] == ["theirs", "Modality"]
    assert uids(fake) == ["1.1", "1.2"]


def test_limits_before_anything_is_sent(fake: FakeBigQuery) -> None:
    wide = TableSchema(tuple(Column(f"Tag_{number:08X}", "STRING", "NULLABLE", number) for number in range(10_001)))
    with pytest.raises(SchemaLimitError, match="number of columns"):
        table(fake).check(EMPTY, wide)
    with pytest.raises(SchemaLimitError, match="number of columns"):
        table(fake).write(wide, [], EMPTY)
    write(fake, EMPTY, [ONE])
    almost = TableSchema(wide.columns[:9_990])
    with pytest.raises(SchemaLimitError, match="number of columns"):
        table(fake).check(APPEND, almost)
    assert len(fake.load_configs()) == 1


def test_a_row_that_is_too_large(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_bq.destinations.bigquery_files.MOST_ROW_BYTES", 5_000)
    small, large = {"SOPInstanceUID": "1"}, {"SOPInstanceUID": "x" * 6_000}
    with pytest.raises(DestinationError, match=r"row 3 has [67],\d+ bytes.*--max-sequence-bytes"):
        write(fake, EMPTY, [small, small, large])
    assert write(fake, EMPTY, [small] * 500) == 500


def test_what_is_no_table(fake: FakeBigQuery) -> None:
    view = {"tableReference": {"tableId": "t"}, "view": {"query": "SELECT 1"}}
    fake.catalog.create_table(("p1", "ds", "t"), view)
    with pytest.raises(DestinationError, match="it is no table but a view"):
        table(fake).check(APPEND, None)


def test_what_is_not_there(fake: FakeBigQuery) -> None:
    absent = resolve("bq://p1.nowhere.t", bigquery=BigQueryOptions(api_endpoint=fake.url))
    with pytest.raises(DestinationError, match=r"Not found: Dataset p1:nowhere.*bq mk --dataset"):
        absent.check(EMPTY, None)
    fake.create_dataset("tokyo", "asia-northeast1")
    elsewhere = resolve("bq://p1.tokyo.t", bigquery=BigQueryOptions(api_endpoint=fake.url, location="US"))
    with pytest.raises(DestinationError, match="the dataset is in asia-northeast1, not in US"):
        elsewhere.check(EMPTY, None)


def test_jobs_run_where_the_dataset_is_and_in_the_project_asked_for(fake: FakeBigQuery) -> None:
    fake.create_dataset("tokyo", "asia-northeast1")
    destination = resolve("bq://p1.tokyo.t", bigquery=BigQueryOptions(api_endpoint=fake.url, job_project="payer"))
    assert destination.write(SCHEMA, rows(SCHEMA, [ONE]), EMPTY) == 1
    ((project, _),) = fake.jobs.by_id
    (job,) = fake.jobs.by_id.values()
    assert (project, job.resource["jobReference"]["location"]) == ("payer", "asia-northeast1")
    assert len(fake.rows("tokyo.t")) == 1


def test_existing(fake: FakeBigQuery) -> None:
    assert table(fake).existing() is None
    write(fake, EMPTY, [ONE, TWO])
    existing = table(fake).existing()
    assert existing is not None
    assert (existing.schema, existing.rows) == (SCHEMA, 2)


def test_many_batches_are_one_job_and_temporary_files_have_no_names(
    fake: FakeBigQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(tmp_path.iterdir())
    batches = (rows(SCHEMA, [{"SOPInstanceUID": f"1.{number}"}])[0] for number in range(50))
    monkeypatch.setattr("dicom_bq.destinations.row_groups.row_groups.__defaults__", (7, 1 << 20))
    assert table(fake).write(SCHEMA, batches, EMPTY) == 50
    assert uids(fake) == [f"1.{number}" for number in range(50)]
    assert len(fake.load_configs()) == 1
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "state"}


def test_staged_parts_are_loaded_by_list_and_removed(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    bucket = fake.create_bucket("stage")
    (bucket / "in").mkdir()
    (bucket / "in" / "mine.txt").write_text("stays")
    monkeypatch.setattr("dicom_bq.destinations.row_groups.row_groups.__defaults__", (7, 1 << 20))
    monkeypatch.setattr("dicom_bq.destinations.bigquery.PART_BYTES", 1)
    batches = (rows(SCHEMA, [{"SOPInstanceUID": f"1.{number}"}])[0] for number in range(20))
    assert table(fake, staging="gs://stage/in").write(SCHEMA, batches, EMPTY) == 20
    assert uids(fake) == [f"1.{number}" for number in range(20)]
    (config,) = fake.load_configs()
    assert len(config["sourceUris"]) == 3
    assert all(uri.startswith("gs://stage/in/") and "*" not in uri for uri in config["sourceUris"])
    assert [path.name for path in bucket.rglob("*") if path.is_file()] == ["mine.txt"]


def test_a_staging_bucket_that_is_not_there_is_known_before_anything_is_read(
    fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    with pytest.raises(DestinationError, match=r"there is no bucket gs://stage to put files in .*buckets create"):
        table(fake, staging="gs://stage/in").check(EMPTY, None)
    fake.create_bucket("stage")
    fake.requests.clear()
    table(fake, staging="gs://stage/in").check(EMPTY, None)
    assert [request.path for request in fake.requests if "/storage/" in request.path] == ["/storage/v1/b/stage"]


def test_who_may_not_ask_for_a_bucket_may_put_files_in_it(fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    fake.create_bucket("stage")
    fake.faults.append(Fault("GET", r"/b/stage$", reason="accessDenied", times=9))
    staged = table(fake, staging="gs://stage/in")
    staged.check(EMPTY, SCHEMA)
    assert staged.write(SCHEMA, rows(SCHEMA, [ONE]), EMPTY) == 1


def test_staging_that_needs_too_many_files_says_so_before_the_job(
    fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
    bucket = fake.create_bucket("stage")
    monkeypatch.setattr("dicom_bq.destinations.row_groups.row_groups.__defaults__", (1, 1 << 20))
    monkeypatch.setattr("dicom_bq.destinations.bigquery.PART_BYTES", 1)
    monkeypatch.setattr("dicom_bq.destinations.bigquery_staging.MOST_PARTS", 2)
    batches = (rows(SCHEMA, [ONE])[0] for _ in range(3))
    with pytest.raises(DestinationError, match="need more than 2 files"):
        table(fake, staging="gs://stage").write(SCHEMA, batches, EMPTY)
    assert fake.load_configs() == []
    assert [path for path in bucket.rglob("*") if path.is_file()] == []


def test_a_plan_changes_nothing_and_says_what_would(fake: FakeBigQuery) -> None:
    plan = table(fake).plan(SCHEMA, EMPTY)
    assert (plan.rows, plan.lost, len(plan.added)) == (None, (), len(SCHEMA.columns))
    write(fake, EMPTY, [ONE])
    requests = len(fake.requests)
    wider = SCHEMA.merge(schema_from_keywords(["Modality", "ReferencedImageSequence.ReferencedSOPClassUID"]))
    plan = table(fake).plan(wider, APPEND)
    assert plan.added == ("ReferencedImageSequence.ReferencedSOPClassUID", "Modality")
    assert (plan.location, plan.job_project) == ("US", "p1")
    assert plan.job["load"]["createDisposition"] == "CREATE_NEVER"
    assert "schema" not in plan.job["load"]
    plan = table(fake).plan(schema_from_keywords(["SOPInstanceUID"]), TRUNCATE)
    assert plan.added == ()
    assert "PatientName" in plan.lost
    assert plan.rows == 1
    assert {request.method for request in fake.requests[requests:]} == {"GET"}
    with pytest.raises(DestinationExistsError, match="has 1 rows already"):
        table(fake).plan(SCHEMA, EMPTY)
