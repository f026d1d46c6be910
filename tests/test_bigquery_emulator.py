"""An optional lane: somebody else's idea of BigQuery, with an SQL engine that reads GoogleSQL.

It runs when the environment variable DICOM_BQ_EMULATOR has the URL of an emulator, such as local-bigquery 0.3.2 of
PyPI on Python 3.13:

    pip install local-bigquery==0.3.2 duckdb==1.5.5 duckdb-extension-{ducklake,icu,spatial}==1.5.5
    mkdir -p H/.duckdb/extensions/v1.5.5/linux_amd64
    cp .../duckdb_extension_*/extensions/v1.5.5/*.duckdb_extension H/.duckdb/extensions/v1.5.5/linux_amd64/
    HOME=H local-bigquery --host 127.0.0.1 --port 9050 --grpc-port 9060 --project p1 --data-dir D
    DICOM_BQ_EMULATOR=http://127.0.0.1:9050 pytest tests/test_bigquery_emulator.py

What that one is known to do otherwise than BigQuery is not asked of it, and is tested against our own strict fake:
sub-fields that are added to a record are dropped silently; types are cast on append; REQUIRED is forgotten;
WRITE_TRUNCATE keeps column descriptions and policy tags; limits, reserved names and names that differ by case alone
are not checked; list inference makes no difference; destinationTableProperties are ignored.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from dicom_bq.cli import main
from dicom_bq.schema import TableSchema
from tests.instances import instance

URL = os.environ.get("DICOM_BQ_EMULATOR")
pytestmark = pytest.mark.skipif(not URL, reason="DICOM_BQ_EMULATOR is not the URL of an emulator")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bigquery.Client]:
    assert URL is not None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", URL)
    with bigquery.Client("p1", credentials=AnonymousCredentials(), client_options={"api_endpoint": URL}) as client:
        yield client


@pytest.fixture
def table(client: bigquery.Client) -> Iterator[str]:
    dataset = f"lane_{uuid.uuid4().hex[:12]}"
    client.create_dataset(dataset)
    yield f"p1.{dataset}.t"
    client.delete_dataset(dataset, delete_contents=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number in range(3):
        values = {"StudyInstanceUID": "7", "SeriesInstanceUID": "8", "PatientName": f"Doe^{number}"}
        items = [{"ReferencedSOPInstanceUID": f"9.{item}"} for item in range(number)]
        instance(tmp_path / "tree", f"1.{number}", **values, ReferencedImageSequence=items, ImageType=["A", "B"])
    return tmp_path / "tree"


def test_dispositions(client: bigquery.Client, table: str, tree: Path) -> None:
    command = ["export", str(tree), f"bq://{table}", "-q", "--write-disposition"]
    assert main([*command, "write-empty"]) == 0
    assert main([*command, "write-empty"]) == 3
    assert main([*command, "write-append"]) == 0
    assert client.get_table(table).num_rows == 6
    assert main([*command, "write-truncate"]) == 0
    stored = client.get_table(table)
    assert (stored.num_rows, stored.clustering_fields[0]) == (3, "StudyInstanceUID")
    order = "ORDER BY ARRAY_LENGTH(ReferencedImageSequence)"
    names = client.query_and_wait(f"SELECT PatientName.Alphabetic.GivenName AS n FROM `{table}` {order}")
    assert [row.n for row in names] == ["0", "1", "2"]
    nested = f"SELECT i.ReferencedSOPInstanceUID AS u FROM `{table}`, UNNEST(ReferencedImageSequence) AS i ORDER BY 1"
    assert [row.u for row in client.query_and_wait(nested)] == ["9.0", "9.0", "9.1"]


def test_a_column_is_added(client: bigquery.Client, table: str, tree: Path, tmp_path: Path) -> None:
    assert main(["export", str(tree), f"bq://{table}", "-q"]) == 0
    instance(tmp_path / "more", "2.1", Modality="CT")
    append = ["export", str(tmp_path / "more"), f"bq://{table}", "-q", "--write-disposition", "write-append"]
    assert main(append) == 0
    count = f"SELECT COUNT(*) AS n, COUNT(Modality) AS m FROM `{table}`"
    assert [(row.n, row.m) for row in client.query_and_wait(count)] == [(4, 1)]


def test_the_view_and_the_filter_are_googlesql(
    client: bigquery.Client, table: str, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance(tree, "1.9", InstanceCreationDate="20200101")
    for disposition in ("write-empty", "write-append"):
        assert main(["export", str(tree), f"bq://{table}", "-q", "--write-disposition", disposition]) == 0
    assert main(["view", f"bq://{table}", "--create", "--name", "latest"]) == 0
    view = table.replace(".t", ".latest")
    count = f"SELECT COUNT(*) AS n, COUNT(DISTINCT SOPInstanceUID) AS d FROM `{view}`"
    assert [(row.n, row.d) for row in client.query_and_wait(count)] == [(4, 4)]
    capsys.readouterr()
    where = "PatientName.Alphabetic.GivenName = '1' -- one of them"
    assert main(["filter", f"bq://{table}", "--where", where]) == 0
    assert capsys.readouterr().out == "/studies/7/series/8/instances/1.1\n"


@pytest.mark.corpus
@pytest.mark.skipif("DICOM_BQ_CORPUS" not in os.environ, reason="DICOM_BQ_CORPUS is not set")
def test_the_whole_corpus(client: bigquery.Client, table: str) -> None:
    assert main(["export", os.environ["DICOM_BQ_CORPUS"], f"bq://{table}", "-q"]) == 1
    stored = client.get_table(table)
    assert stored.num_rows > 400
    assert (
        TableSchema.from_bigquery([column.to_api_repr() for column in stored.schema]).diff(
            _inferred(os.environ["DICOM_BQ_CORPUS"])
        )
        == ()
    )


def _inferred(corpus: str) -> TableSchema:
    from dicom_bq.job import survey

    return survey(corpus).schema
