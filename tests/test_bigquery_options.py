"""What a user may say about a BigQuery destination."""

from __future__ import annotations

import pytest

from dicom_bq.destinations.bigquery_options import BigQueryOptions, TableName, pairs
from dicom_bq.destinations.resolve import resolve
from dicom_bq.errors import UsageError

TAG = "projects/p/locations/eu/taxonomies/1/policyTags/2"


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("bq://my-project.ds.t", ("my-project", "ds", "t")),
        ("bq://example.com:my-project.ds_1.t", ("example.com:my-project", "ds_1", "t")),
        ("bq://p.d.Étude 1-a", ("p", "d", "Étude 1-a")),
    ],
)
def test_table_names(uri: str, parts: tuple[str, str, str]) -> None:
    name = TableName.parse(uri)
    assert (name.project, name.dataset, name.table) == parts
    assert name.uri == uri
    assert name.sql == f"`{'.'.join(parts)}`"


def test_the_project_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with pytest.raises(UsageError, match=r"names no project.*set GOOGLE_CLOUD_PROJECT"):
        TableName.parse("bq://ds.t")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    assert TableName.parse("bq://ds.t").uri == "bq://mine.ds.t"
    assert TableName.parse("bq://p.ds.t").uri == "bq://p.ds.t"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("bq://t", "not of the form bq://PROJECT.DATASET.TABLE"),
        ("gs://p.d.t", "not of the form"),
        ("bq://p.d.", "'' cannot be the name of a table"),
        ("bq://p..t", "'' cannot be the name of a dataset"),
        ("bq://p.d-1.t", "'d-1' cannot be the name of a dataset"),
        ("bq://P.d.t", "'P' cannot be the name of a project"),
        ("bq://p.d.t$202001", "cannot be the name of a table"),
        ("bq://p.d.t`; DROP", "cannot be the name of a table"),
        ("bq://p.d." + "t" * 1_992, "at most 2,000 characters, this one 2,001"),
        ("bq://p.d." + "t" * 1_025, "cannot be the name of a table"),
    ],
)
def test_uris_that_name_no_table(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TableName.parse(uri)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster_by": ["A", "B", "a"]}, "cluster by A, B, a: a column is in it twice"),
        ({"partition_by": "StudyDate"}, "expected GRANULARITY:COLUMN, such as month:StudyDate"),
        ({"partition_by": "week:StudyDate"}, "granularities: hour, day, month, year"),
        ({"partition_by": "month:"}, "expected GRANULARITY:COLUMN"),
        ({"cluster_by": list("abcde")}, "at most 4 columns"),
        ({"labels": {"Team": "x"}}, "label Team=x cannot be: lower-case letters"),
        ({"labels": {"1a": "x"}}, "label 1a=x cannot be"),
        ({"labels": {"a": "X"}}, "label a=X cannot be"),
        ({"labels": {"a" * 64: "x"}}, "cannot be"),
        ({"labels": {f"a{number}": "" for number in range(64)}}, "at most 63 labels, these are 64"),
        ({"policy_tags": {"PatientID": "phi"}}, "policy tag of PatientID: phi is not of the form projects/P/"),
        ({"staging": "bucket/prefix"}, "not of the form gs://BUCKET/PREFIX"),
        ({"staging": "gs://b/*"}, "not of the form gs://BUCKET/PREFIX"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BigQueryOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "endpoint",
    ["localhost:9050", "127.0.0.1", "http://", "https://:9050", "ftp://h", "http://h:port", "http://[::1", " "],
)
def test_endpoints_that_cannot_be(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    message = "is not of the form http://HOST:PORT, such as http://localhost:9050.*or the environment variable BIGQUERY"
    with pytest.raises(UsageError, match=message):
        BigQueryOptions(api_endpoint=endpoint)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", endpoint)
    with pytest.raises(UsageError, match=message):
        resolve("bq://p.d.t")


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:9050", "https://example.com", "HTTP://[::1]:9050/base/", "http://h_1", ""]
)
def test_endpoints_that_can_be(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", endpoint)
    assert BigQueryOptions().api_endpoint == endpoint


def test_options_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9050")
    options = BigQueryOptions(
        partition_by="month:StudyDate",
        cluster_by=["PatientID"],
        labels={"team": "radiology-1", "empty": "", "größe": "groß"},
        policy_tags={"PatientID": TAG},
        staging="gs://bucket.1/a/b",
    )
    assert options.time_partitioning == {"type": "MONTH", "field": "StudyDate"}
    assert options.api_endpoint == "http://127.0.0.1:9050"
    assert BigQueryOptions(api_endpoint="http://other").api_endpoint == "http://other"
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    assert BigQueryOptions().api_endpoint is None
    assert BigQueryOptions().time_partitioning is None


def test_pairs() -> None:
    assert pairs(["a=b", "c=d=e", "f="], "--label") == {"a": "b", "c": "d=e", "f": ""}
    for bad, message in {"a": "--label a: expected KEY=VALUE", "=b": "expected KEY=VALUE"}.items():
        with pytest.raises(UsageError, match=message):
            pairs([bad], "--label")
    with pytest.raises(UsageError, match="--label a is given twice"):
        pairs(["a=b", "a=c"], "--label")
