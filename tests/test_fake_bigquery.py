"""The fake refuses what BigQuery refuses, seen through the real client. A lenient one would prove nothing."""

from __future__ import annotations

import datetime
import decimal
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.fake_bigquery import FakeBigQuery, Fault
from tests.fake_bigquery.rules import TYPES

Fields = list[dict[str, Any]]
FIELDS: Fields = [
    {"name": "Key", "type": "STRING", "mode": "NULLABLE"},
    {"name": "Numbers", "type": "INTEGER", "mode": "REPEATED"},
    {
        "name": "Items",
        "type": "RECORD",
        "mode": "REPEATED",
        "fields": [{"name": "Word", "type": "STRING", "mode": "NULLABLE"}],
    },
]
ROWS = [
    {"Key": "a", "Numbers": [1, 2], "Items": [{"Word": "x"}, {"Word": None}]},
    {"Key": None, "Numbers": [], "Items": []},
]
TABLE = pa.Table.from_pylist(
    ROWS,
    schema=pa.schema(
        [
            ("Key", pa.string()),
            ("Numbers", pa.list_(pa.int64())),
            ("Items", pa.list_(pa.struct([("Word", pa.string())]))),
        ]
    ),
)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeBigQuery]:
    with FakeBigQuery(tmp_path) as fake:
        fake.create_dataset("ds")
        yield fake
    assert fake.bugs == []


@pytest.fixture
def client(fake: FakeBigQuery) -> Iterator[bigquery.Client]:
    with bigquery.Client("p1", credentials=AnonymousCredentials(), client_options={"api_endpoint": fake.url}) as client:
        yield client


def parquet(table: pa.Table, **options: Any) -> io.BytesIO:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink


def load(
    client: bigquery.Client,
    table: pa.Table | io.BytesIO = TABLE,
    name: str = "ds.t",
    fields: Fields | None = FIELDS,
    inference: bool = True,
    job_id: str | None = None,
    **properties: Any,
) -> bigquery.LoadJob:
    """Load a table as a careful client does, except for what the test changes."""
    options = bigquery.ParquetOptions()
    options.enable_list_inference = inference
    schema = [bigquery.SchemaField.from_api_repr(field) for field in fields] if fields else None
    config = bigquery.LoadJobConfig(source_format="PARQUET", parquet_options=options, schema=schema, **properties)
    source = table if isinstance(table, io.BytesIO) else parquet(table)
    job = client.load_table_from_file(
        source, f"p1.{name}", rewind=True, job_id=job_id, job_config=config, size=source.getbuffer().nbytes
    )
    return job.result()


def test_rows_come_back_as_they_went_in(client: bigquery.Client, fake: FakeBigQuery) -> None:
    assert load(client).output_rows == 2
    assert fake.rows("ds.t") == ROWS
    assert [dict(row) for row in client.list_rows("p1.ds.t")] == ROWS
    assert client.get_table("p1.ds.t").num_rows == 2


def test_a_null_array_is_stored_empty(client: bigquery.Client, fake: FakeBigQuery) -> None:
    load(client, pa.table({"Numbers": pa.array([None], pa.list_(pa.int64()))}))
    assert fake.rows("ds.t")[0]["Numbers"] == []


def test_without_list_inference_arrays_load_empty_and_nobody_says_so(
    client: bigquery.Client, fake: FakeBigQuery
) -> None:
    assert load(client, inference=False).output_rows == 2
    assert [row["Numbers"] for row in fake.rows("ds.t")] == [[], []]
    assert [row["Items"] for row in fake.rows("ds.t")] == [[], []]
    assert [row["Key"] for row in fake.rows("ds.t")] == ["a", None]


def test_without_list_inference_and_schema_a_list_is_a_record(client: bigquery.Client) -> None:
    load(client, inference=False, fields=None)
    numbers = client.get_table("p1.ds.t").schema[1].to_api_repr()
    assert (numbers["type"], numbers["mode"]) == ("RECORD", "NULLABLE")
    assert numbers["fields"][0]["name"] == "list"
    assert numbers["fields"][0]["fields"][0]["name"] == "element"


def test_a_list_that_is_not_compliant_is_not_an_array(client: bigquery.Client) -> None:
    load(client, parquet(TABLE, use_compliant_nested_type=False), fields=None)
    assert client.get_table("p1.ds.t").schema[1].field_type == "RECORD"


SAMPLES = {
    "STRING": "é",
    "BYTES": b"\x00\xff",
    "INTEGER": -(2**63),
    "FLOAT": 1.5,
    "BOOLEAN": True,
    "NUMERIC": decimal.Decimal("18446744073709551615"),
    "BIGNUMERIC": decimal.Decimal("0.5"),
    "DATE": datetime.date(1, 1, 1),
    "TIME": datetime.time(23, 59, 59, 999999),
    "DATETIME": datetime.datetime.fromisoformat("2020-01-02T03:04:05"),
    "TIMESTAMP": datetime.datetime(1969, 12, 31, 23, 59, 59, 1, datetime.UTC),
}


@pytest.mark.parametrize(("kind", "value"), SAMPLES.items())
def test_every_type_goes_through_parquet(client: bigquery.Client, kind: str, value: Any) -> None:
    table = pa.table({"v": pa.array([value, None], TYPES[kind].arrow)})
    fields = [{"name": "v", "type": kind, "mode": "NULLABLE"}]
    load(client, table, fields=fields, decimal_target_types=["NUMERIC", "BIGNUMERIC"])
    assert [row["v"] for row in client.list_rows("p1.ds.t")] == [value, None]


def one(kind: str, mode: str = "NULLABLE", **more: Any) -> Fields:
    return [{"name": "v", "type": kind, "mode": mode, **more}]


def strings(name: str = "v", values: tuple[str | None, ...] = ("x",)) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string())})


def deep(levels: int) -> Fields:
    fields = one("STRING")
    for _ in range(levels):
        fields = one("RECORD", fields=fields)
    return fields


TAG = "projects/p1/locations/us/taxonomies/1/policyTags/2"
REFUSED_SCHEMAS: dict[str, tuple[Fields, str]] = {
    "too many columns": (
        [{"name": f"c{i}", "type": "STRING"} for i in range(10_001)],
        "Too many total leaf fields: 10001",
    ),
    "too deep": (deep(16), "nested deeper than 15 levels"),
    "a space": ([{"name": "a b", "type": "STRING"}], 'Invalid field name "a b"'),
    "a period": ([{"name": "a.b", "type": "STRING"}], 'Invalid field name "a.b"'),
    "a digit first": ([{"name": "1a", "type": "STRING"}], 'Invalid field name "1a"'),
    "a long name": ([{"name": "a" * 301, "type": "STRING"}], "longer than 300 characters"),
    "a reserved prefix": ([{"name": "_table_x", "type": "STRING"}], "reserved prefix"),
    "two names by case": (
        [{"name": "Aa", "type": "STRING"}, {"name": "aA", "type": "STRING"}],
        "Duplicate field names",
    ),
    "an unknown type": (one("UUID"), "UUID is not a valid value"),
    "an unknown mode": (one("STRING", "OPTIONAL"), "OPTIONAL is not a valid value"),
    "a record of nothing": (one("RECORD", fields=[]), "RECORD but has no schema"),
    "a long description": (one("STRING", description="x" * 1_025), "description is too long"),
    "a policy tag on a record": (
        one("RECORD", fields=one("STRING"), policyTags={"names": [TAG]}),
        "leaf fields only",
    ),
    "a policy tag that is none": (
        one("STRING", policyTags={"names": ["phi"]}),
        "not a policy tag resource name",
    ),
}


@pytest.mark.parametrize("case", REFUSED_SCHEMAS)
def test_schemas_that_no_table_may_have(client: bigquery.Client, case: str) -> None:
    fields, message = REFUSED_SCHEMAS[case]
    with pytest.raises(exceptions.BadRequest, match=message):
        load(client, strings(), fields=fields)
    with pytest.raises(exceptions.BadRequest, match=message):
        client.create_table(bigquery.Table("p1.ds.t", [bigquery.SchemaField.from_api_repr(field) for field in fields]))


def test_fifteen_levels_and_ten_thousand_columns_are_allowed(client: bigquery.Client) -> None:
    fields = deep(15) + [{"name": f"c{i}", "type": "STRING"} for i in range(10_000 - 16)]
    schema = [bigquery.SchemaField.from_api_repr(field) for field in fields]
    assert len(client.create_table(bigquery.Table("p1.ds.t", schema)).schema) == 9_985


REFUSED_FILES: dict[str, tuple[pa.Table | io.BytesIO, Fields | None, str]] = {
    "another type": (strings(), one("INTEGER"), "has type STRING which does not match the target INTEGER"),
    "an integer for a float": (pa.table({"v": [1]}), one("FLOAT"), "does not match the target FLOAT"),
    "JSON": (strings(), one("JSON"), "Unsupported field type: JSON"),
    "a scalar for an array": (strings(), one("STRING", "REPEATED"), "the target column REPEATED"),
    "an array for a scalar": (pa.table({"v": [["x"]]}), one("STRING"), "has mode REPEATED"),
    "optional for required": (
        strings(),
        one("STRING", "REQUIRED"),
        "OPTIONAL, and the target column is REQUIRED",
    ),
    "required and missing": (
        strings("w"),
        [*one("STRING", "REQUIRED"), {"name": "w", "type": "STRING"}],
        "Required column 'v' is missing",
    ),
    "not in the schema": (strings("w"), one("STRING"), "No such field: w"),
    "an array of arrays": (pa.table({"v": [[["x"]]]}), None, "arrays of arrays"),
    "a null in an array": (
        pa.table({"v": [["x", None]]}),
        one("STRING", "REPEATED"),
        "contains a NULL element",
    ),
    "nanoseconds": (
        pa.table({"v": pa.array([1], pa.time64("ns"))}),
        one("TIME"),
        "nanoseconds are not supported",
    ),
    "a period in a name": (strings("a.b"), None, 'Invalid field name "a.b"'),
    "not Parquet": (io.BytesIO(b"DICM"), one("STRING"), "not in Parquet format"),
}


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_files_that_do_not_load(client: bigquery.Client, fake: FakeBigQuery, case: str) -> None:
    table, fields, message = REFUSED_FILES[case]
    with pytest.raises(exceptions.BadRequest, match=message):
        load(client, table, fields=fields)
    assert fake.catalog.tables == {}


def test_decimals_need_the_right_targets(client: bigquery.Client) -> None:
    table = pa.table({"v": pa.array([decimal.Decimal(1)], pa.decimal256(60, 30))})
    with pytest.raises(exceptions.BadRequest, match=r"DECIMAL\(60, 30\) does not fit NUMERIC"):
        load(client, table, fields=one("BIGNUMERIC"))
    load(client, table, fields=one("BIGNUMERIC"), decimal_target_types=["NUMERIC", "BIGNUMERIC"])


def test_write_empty_takes_an_empty_table_and_no_other(client: bigquery.Client, fake: FakeBigQuery) -> None:
    client.create_table(bigquery.Table("p1.ds.t", [bigquery.SchemaField.from_api_repr(field) for field in FIELDS]))
    load(client, write_disposition="WRITE_EMPTY")
    with pytest.raises(exceptions.Conflict, match=r"Already Exists: Table p1:ds\.t"):
        load(client, write_disposition="WRITE_EMPTY")
    assert fake.rows("ds.t") == ROWS


def test_append_keeps_rows_and_truncate_does_not(client: bigquery.Client, fake: FakeBigQuery) -> None:
    load(client)
    load(client)
    assert len(fake.rows("ds.t")) == 4
    for disposition in ("WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"):
        load(client, write_disposition=disposition)
        assert fake.rows("ds.t") == ROWS


GROWN: Fields = json.loads(json.dumps(FIELDS))
GROWN[2]["fields"].append({"name": "More", "type": "FLOAT", "mode": "NULLABLE"})
GROWN_TABLE = pa.Table.from_pylist(
    [{"Key": "b", "Numbers": [3], "Items": [{"Word": "y", "More": 0.5}]}],
    schema=pa.schema(
        [
            TABLE.schema.field(0),
            TABLE.schema.field(1),
            pa.field("Items", pa.list_(pa.struct([("Word", pa.string()), ("More", pa.float64())]))),
        ]
    ),
)


def test_nested_additions_need_to_be_allowed(client: bigquery.Client, fake: FakeBigQuery) -> None:
    load(client)
    with pytest.raises(exceptions.BadRequest, match=r"Cannot add fields \(field: Items.More\)"):
        load(client, GROWN_TABLE, fields=GROWN)
    assert len(fake.rows("ds.t")) == 2
    load(client, GROWN_TABLE, fields=GROWN, schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert fake.rows("ds.t")[0]["Items"] == [{"Word": "x", "More": None}, {"Word": None, "More": None}]
    assert fake.rows("ds.t")[2] == GROWN_TABLE.to_pylist()[0]


def test_nested_additions_by_patch(client: bigquery.Client, fake: FakeBigQuery) -> None:
    load(client)
    table = client.get_table("p1.ds.t")
    table.schema = [bigquery.SchemaField.from_api_repr(field) for field in GROWN]
    client.update_table(table, ["schema"])
    load(client, GROWN_TABLE, fields=GROWN)
    assert len(fake.rows("ds.t")) == 3


def test_update_options_go_with_append_only(client: bigquery.Client) -> None:
    with pytest.raises(exceptions.BadRequest, match="only be specified with WRITE_APPEND"):
        load(client, write_disposition="WRITE_TRUNCATE", schema_update_options=["ALLOW_FIELD_ADDITION"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "INTEGER"}, "Field Key has changed type from STRING to INTEGER"),
        ({"mode": "REPEATED"}, "Field Key has changed mode from NULLABLE to REPEATED"),
        ({"mode": "REQUIRED"}, "Field Key has changed mode from NULLABLE to REQUIRED"),
        ({"name": "Other"}, "Field Key is missing in new schema"),
    ],
)
def test_patches_that_change_what_is_there(client: bigquery.Client, change: dict[str, str], message: str) -> None:
    load(client)
    table = client.get_table("p1.ds.t")
    fields = [{**FIELDS[0], **change}, *FIELDS[1:]]
    table.schema = [bigquery.SchemaField.from_api_repr(field) for field in fields]
    with pytest.raises(exceptions.BadRequest, match=message):
        client.update_table(table, ["schema"])


def test_a_stale_etag_is_refused(client: bigquery.Client) -> None:
    load(client)
    table = client.get_table("p1.ds.t")
    load(client)
    table.description = "mine"
    with pytest.raises(exceptions.PreconditionFailed, match="etag"):
        client.update_table(table, ["description"])
    fresh = client.get_table("p1.ds.t")
    fresh.description = "mine"
    assert client.update_table(fresh, ["description"]).description == "mine"


def test_truncate_loses_descriptions_and_policy_tags_unless_sent_again(client: bigquery.Client) -> None:
    described = [
        {**FIELDS[0], "description": "the key", "policyTags": {"names": [TAG]}},
        *FIELDS[1:],
    ]
    load(client, fields=described, destination_table_description="kept")
    load(client, fields=described, write_disposition="WRITE_TRUNCATE")
    assert client.get_table("p1.ds.t").schema[0].description == "the key"
    load(client, fields=FIELDS, write_disposition="WRITE_TRUNCATE")
    column = client.get_table("p1.ds.t").schema[0]
    assert column.description is None
    assert column.policy_tags is None
    assert client.get_table("p1.ds.t").description == "kept"


def test_append_keeps_descriptions_and_policy_tags(client: bigquery.Client) -> None:
    load(client, fields=[{**FIELDS[0], "description": "the key", "policyTags": {"names": [TAG]}}, *FIELDS[1:]])
    load(client)
    column = client.get_table("p1.ds.t").schema[0]
    assert column.description == "the key"
    assert column.policy_tags.names == (TAG,)


def test_clustering_and_partitioning(client: bigquery.Client) -> None:
    fields = [{"name": "Day", "type": "DATE"}, *FIELDS]
    load(
        client,
        fields=fields,
        clustering_fields=["Key"],
        time_partitioning=bigquery.TimePartitioning("MONTH", field="Day"),
    )
    table = client.get_table("p1.ds.t")
    assert table.clustering_fields == ["Key"]
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("MONTH", "Day")
    for names, message in {("Numbers",): "not supported on REPEATED", ("None",): "cannot be found"}.items():
        with pytest.raises(exceptions.BadRequest, match=message):
            load(client, name="ds.u", clustering_fields=names)
    with pytest.raises(exceptions.BadRequest, match="Incompatible table partitioning"):
        load(client, fields=fields, time_partitioning=bigquery.TimePartitioning("YEAR", field="Day"))


def test_a_job_makes_four_thousand_partitions_at_most(client: bigquery.Client, fake: FakeBigQuery) -> None:
    days = [datetime.date(2000, 1, 1) + datetime.timedelta(days) for days in range(4_001)]
    fields = [{"name": "Day", "type": "DATE"}]
    table = pa.table({"Day": days})
    with pytest.raises(exceptions.BadRequest, match="Too many partitions"):
        load(client, table, fields=fields, time_partitioning=bigquery.TimePartitioning("DAY", field="Day"))
    load(client, table, fields=fields, time_partitioning=bigquery.TimePartitioning("MONTH", field="Day"))
    assert len(fake.rows("ds.t")) == 4_001


def test_a_job_id_runs_once(client: bigquery.Client, fake: FakeBigQuery) -> None:
    load(client, job_id="once")
    with pytest.raises(exceptions.Conflict, match=r"Already Exists: Job p1:US\.once"):
        load(client, job_id="once")
    assert client.get_job("once").output_rows == 2
    assert len(fake.rows("ds.t")) == 2


def test_a_job_is_found_in_its_own_location_only(client: bigquery.Client, fake: FakeBigQuery) -> None:
    fake.create_dataset("tokyo", "asia-northeast1")
    with pytest.raises(exceptions.NotFound, match="in location US"):
        client.load_table_from_file(
            parquet(TABLE),
            "p1.tokyo.t",
            rewind=True,
            location="US",
            job_config=bigquery.LoadJobConfig(source_format="PARQUET"),
        ).result()
    job = load(client, name="tokyo.t", job_id="here")
    assert job.location == "asia-northeast1"
    assert client.get_job("here", location="asia-northeast1").output_rows == 2
    with pytest.raises(exceptions.NotFound, match="Job p1:here"):
        client.get_job("here")


def from_uris(client: bigquery.Client, uris: list[str], **properties: Any) -> bigquery.LoadJob:
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    config = bigquery.LoadJobConfig(source_format="PARQUET", parquet_options=options, **properties)
    return client.load_table_from_uri(uris, "p1.ds.t", job_config=config).result()


def test_objects_by_list_and_by_wildcard(client: bigquery.Client, fake: FakeBigQuery) -> None:
    bucket = fake.create_bucket("b")
    for name in ("part-0.parquet", "part-1.parquet"):
        pq.write_table(TABLE, bucket / name)
    from_uris(client, ["gs://b/part-0.parquet", "gs://b/part-1.parquet"])
    from_uris(client, ["gs://b/part-*"])
    assert fake.rows("ds.t") == ROWS * 4
    with pytest.raises(exceptions.NotFound, match="gs://b/absent"):
        from_uris(client, ["gs://b/absent"])
    with pytest.raises(exceptions.BadRequest, match="Too many source URIs"):
        from_uris(client, ["gs://b/part-0.parquet"] * 10_001)


def test_a_wildcard_needs_one_column_order(client: bigquery.Client, fake: FakeBigQuery) -> None:
    bucket = fake.create_bucket("b")
    pq.write_table(TABLE, bucket / "part-0")
    pq.write_table(TABLE.select(["Numbers", "Key", "Items"]), bucket / "part-1")
    with pytest.raises(exceptions.BadRequest, match="column positions"):
        from_uris(client, ["gs://b/part-*"])
    from_uris(client, ["gs://b/part-0", "gs://b/part-1"])
    assert fake.rows("ds.t") == ROWS * 2


def test_files_of_a_job_agree_on_modes(client: bigquery.Client, fake: FakeBigQuery) -> None:
    bucket = fake.create_bucket("b")
    pq.write_table(pa.table({"v": ["x"]}), bucket / "part-0")
    pq.write_table(pa.table({"v": [["x"]]}), bucket / "part-1")
    with pytest.raises(exceptions.BadRequest, match="different modes"):
        from_uris(client, ["gs://b/part-0", "gs://b/part-1"])


def test_appending_to_required_needs_the_schema_and_a_file_without_nulls(client: bigquery.Client) -> None:
    required = [bigquery.SchemaField("v", "STRING", "REQUIRED")]
    client.create_table(bigquery.Table("p1.ds.t", required))
    strict = pa.table({"v": ["x"]}, schema=pa.schema([pa.field("v", pa.string(), nullable=False)]))
    with pytest.raises(exceptions.BadRequest, match="changed mode from REQUIRED to NULLABLE"):
        load(client, strict, fields=None)
    load(client, strict, fields=one("STRING", "REQUIRED"))


def test_ndjson_with_json_columns(client: bigquery.Client, fake: FakeBigQuery) -> None:
    fields = [*one("JSON"), {"name": "n", "type": "INTEGER", "mode": "REPEATED"}]
    schema = [bigquery.SchemaField.from_api_repr(field) for field in fields]
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    rows = [{"v": {"a": [1, None]}, "n": ["7"]}, {"n": []}]
    client.load_table_from_json(rows, "p1.ds.t", job_config=config).result()
    assert fake.rows("ds.t") == [{"v": '{"a":[1,null]}', "n": [7]}, {"v": None, "n": []}]
    for bad, message in {
        '{"n": ["x"]}': "Could not convert value to INTEGER. Field: row 1: n",
        '{"w": 1}': "No such field: w",
        '{"n": 1}': "an array was expected",
        "{": "JSON parsing error in row 1",
    }.items():
        with pytest.raises(exceptions.BadRequest, match=message):
            client.load_table_from_file(io.BytesIO(bad.encode()), "p1.ds.t", size=len(bad), job_config=config).result()
    assert len(fake.rows("ds.t")) == 2


def test_queries_and_views(client: bigquery.Client) -> None:
    load(client)
    view = bigquery.Table("p1.ds.v")
    view.view_query = "SELECT * EXCEPT (Items) FROM `p1.ds.t` WHERE Key IS NOT NULL"
    client.create_table(view)
    rows = client.query_and_wait("SELECT * FROM `p1.ds.v`")
    assert [dict(row) for row in rows] == [{"Key": "a", "Numbers": [1, 2]}]
    with pytest.raises(exceptions.BadRequest, match="Nothing"):
        client.query_and_wait("SELECT * FROM `p1.ds.Nothing`")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", "/session/", "drop"),
        Fault("PUT", "/session/", "drop", when="after"),
        Fault("PUT", "/session/", "backendError", when="after"),
        Fault("POST", "/upload/.*/jobs", "rateLimitExceeded"),
    ],
    ids=str,
)
def test_an_upload_in_chunks_survives_one_fault(
    client: bigquery.Client, fake: FakeBigQuery, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.cloud.bigquery.client._DEFAULT_CHUNKSIZE", 256 * 1024)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    big = pa.table({"v": [f"{number:020}" for number in range(40_000)]})
    fake.faults.append(fault)
    source = parquet(big, compression="none", use_dictionary=False)
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    client.load_table_from_file(source, "p1.ds.t", rewind=True, job_config=config).result()
    assert fault.times == 0
    assert fake.table("ds.t").rows.num_rows == 40_000
    chunks = {request.header("Content-Range") for request in fake.requests if request.method == "PUT"}
    assert len(chunks) == 4


def test_a_job_that_is_made_to_fail_changes_nothing(client: bigquery.Client, fake: FakeBigQuery) -> None:
    fake.faults.append(Fault("JOB", "", "backendError"))
    with pytest.raises(exceptions.InternalServerError, match="A fault was asked for"):
        load(client, job_id="failing")
    assert fake.catalog.tables == {}
    assert client.get_job("failing").error_result["reason"] == "backendError"


def test_names_and_labels(client: bigquery.Client) -> None:
    table = bigquery.Table("p1.ds.t", one_field())
    table.labels = {"Upper": "x"}
    with pytest.raises(exceptions.BadRequest, match="Label Upper=x is not valid"):
        client.create_table(table)
    with pytest.raises(exceptions.BadRequest, match="Invalid job ID"):
        load(client, job_id="a b")
    with pytest.raises(exceptions.NotFound, match="Dataset p1:none"):
        load(client, name="none.t")
    with pytest.raises(exceptions.NotFound, match=r"Table p1:ds\.t"):
        load(client, create_disposition="CREATE_NEVER")


def one_field() -> list[bigquery.SchemaField]:
    return [bigquery.SchemaField("v", "STRING")]


def test_listing_and_deleting(client: bigquery.Client) -> None:
    load(client)
    assert [dataset.dataset_id for dataset in client.list_datasets()] == ["ds"]
    assert [table.table_id for table in client.list_tables("p1.ds")] == ["t"]
    assert len(list(client.list_jobs())) == 1
    with pytest.raises(exceptions.BadRequest, match="still in use"):
        client.delete_dataset("p1.ds")
    client.delete_table("p1.ds.t")
    with pytest.raises(exceptions.NotFound, match=r"Table p1:ds\.t"):
        client.get_table("p1.ds.t")
    client.delete_dataset("p1.ds")
    assert list(client.list_datasets()) == []
