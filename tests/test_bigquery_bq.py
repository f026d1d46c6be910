"""Google's own ``bq`` command reads our schema files and loads our Parquet, and shows what we loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_bq.cli import main
from dicom_bq.schema import TableSchema
from tests.fake_bigquery import FakeBigQuery
from tests.instances import instance

pytestmark = pytest.mark.skipif(
    shutil.which("bq") is None, reason="bq is not installed: https://cloud.google.com/sdk/docs/install"
)
Bq = Callable[..., str]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBigQuery]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)
        yield fake
    assert fake.bugs == []


@pytest.fixture
def bq(fake: FakeBigQuery, tmp_path: Path) -> Bq:
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "sdk"),
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
    }
    connection = ["--api", fake.url, "--oauth_access_token=x", "--project_id=p1", "--quiet"]

    def run(*arguments: str) -> str:
        command = ["bq", *connection, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    values = {
        "StudyDate": "20200131",
        "PatientName": "Doe^Jane",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ReferencedImageSequence": [{"ReferencedSOPInstanceUID": "9"}, {"ReferencedSOPInstanceUID": "8"}],
    }
    instance(tmp_path / "tree", "1.1", **values)
    instance(tmp_path / "tree", "1.2", StudyDate="20200131")
    return tmp_path / "tree"


def test_bq_shows_and_reads_what_we_load(fake: FakeBigQuery, bq: Bq, tree: Path) -> None:
    assert main(["export", str(tree), "bq://p1.ds.t", "--quiet"]) == 0
    shown = TableSchema.from_json(bq("show", "--schema", "ds.t"))
    assert shown == TableSchema.from_bigquery(fake.table("ds.t").fields)
    table = json.loads(bq("show", "--format=prettyjson", "ds.t"))
    assert TableSchema.from_json(json.dumps(table)) == shown
    assert table["clustering"] == {"fields": ["SOPInstanceUID"]}
    head = json.loads(bq("head", "--format=json", "ds.t"))
    assert [row["SOPInstanceUID"] for row in head] == ["1.1", "1.2"]
    assert head[0]["PatientName"]["Alphabetic"]["FamilyName"] == "Doe"
    assert head[0]["ReferencedImageSequence"][1] == {"ReferencedSOPInstanceUID": "8"}


def test_bq_makes_a_table_of_our_schema_and_loads_our_parquet(
    fake: FakeBigQuery, bq: Bq, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", str(tree), "--quiet"]) == 0
    schema = tmp_path / "schema.json"
    schema.write_text(capsys.readouterr().out)
    parquet = tmp_path / "x.parquet"
    assert main(["export", str(tree), str(parquet), "--quiet"]) == 0
    bq("mk", "--table", "--schema", str(schema), "ds.made")
    inference = ["--source_format=PARQUET", "--parquet_enable_list_inference"]
    bq("load", *inference, "ds.made", str(parquet))
    bq("load", *inference, "ds.loaded", str(parquet), str(schema))
    assert main(["export", str(tree), "bq://p1.ds.ours", "--quiet"]) == 0
    for name in ("ds.made", "ds.loaded"):
        assert fake.rows(name) == fake.rows("ds.ours")
        assert fake.table(name).fields == fake.table("ds.ours").fields


def test_we_append_to_a_table_that_bq_made(fake: FakeBigQuery, bq: Bq, tree: Path) -> None:
    bq("mk", "--table", "ds.t", "note:STRING,StudyDate:DATE,PatientID:STRING")
    assert main(["export", str(tree), "bq://p1.ds.t", "--quiet", "--write-disposition", "write-append"]) == 0
    assert [field["name"] for field in fake.table("ds.t").fields][:4] == [
        "note",
        "StudyDate",
        "PatientID",
        "MediaStorageSOPClassUID",
    ]
    assert json.loads(
        bq("query", "--use_legacy_sql=false", "--format=json", "SELECT COUNT(*) AS n FROM `p1.ds.t`")
    ) == [{"n": "2"}]
