"""Asks a real BigQuery project what no emulator can tell. Never run by CI: it needs credentials and a project.

    gcloud auth application-default login
    python tests/live/bigquery_smoke.py PROJECT [--location EU] [--staging gs://BUCKET/PREFIX] [--policy-tag RESOURCE]

It makes a dataset ``dicom_bq_smoke_...``, loads a few small tables into it (free of charge), and deletes it. It
needs the roles BigQuery Data Editor and BigQuery Job User on the project. Each line is one thing that the program or
the fake in tests/fake_bigquery takes for granted: what is expected, and what BigQuery did. The exit code is 1 if
anything differs; then the fake, and perhaps the program, has to learn.

``--api-endpoint URL`` asks an emulator in the place of Google.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

sys.path.insert(0, str(Path(__file__).parents[2]))

from dicom_bq.cli import main as dicom_bq
from tests.instances import instance

Fields = list[dict[str, Any]]


@dataclass(frozen=True)
class Live:
    """A dataset to try things in."""

    client: bigquery.Client
    dataset: str
    folder: Path

    def load(self, table: str, rows: pa.Table, fields: Fields | None = None, **properties: Any) -> bigquery.LoadJob:
        """Load rows as the program does, but for what the check changes."""
        options = bigquery.ParquetOptions()
        options.enable_list_inference = properties.pop("inference", True)
        schema = [bigquery.SchemaField.from_api_repr(field) for field in fields] if fields else None
        config = bigquery.LoadJobConfig(source_format="PARQUET", parquet_options=options, schema=schema, **properties)
        file = io.BytesIO()
        pq.write_table(rows, file)
        job = self.client.load_table_from_file(file, f"{self.dataset}.{table}", rewind=True, job_config=config)
        return job.result()

    def export(self, table: str, *arguments: str, **values: Any) -> int:
        """Export one small instance by the command line; its exit code."""
        folder = self.folder / uuid.uuid4().hex
        instance(folder, values.pop("uid", "1.1"), **values)
        return dicom_bq(["export", str(folder), f"bq://{self.dataset}.{table}", "--quiet", *arguments])

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a table."""
        return [dict(row) for row in self.client.list_rows(f"{self.dataset}.{table}")]


def field(name: str, kind: str, mode: str = "NULLABLE", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "mode": mode, **more}


def null_in_a_list(live: Live) -> str:
    live.load("null_in_list", pa.table({"v": [["x", None]]}), [field("v", "STRING", "REPEATED")])
    return f"loaded {live.rows('null_in_list')[0]['v']}"


def null_list(live: Live) -> str:
    live.load("null_list", pa.table({"v": pa.array([None], pa.list_(pa.string()))}), [field("v", "STRING", "REPEATED")])
    return f"loaded {live.rows('null_list')[0]['v']}"


def list_inference_off(live: Live) -> str:
    live.load("no_inference", pa.table({"v": [["x"]]}), [field("v", "STRING", "REPEATED")], inference=False)
    return f"loaded {live.rows('no_inference')[0]['v']}"


def naive_timestamp(live: Live) -> str:
    live.load("naive", pa.table({"v": pa.array([datetime.datetime.fromtimestamp(0)], pa.timestamp("us"))}))  # noqa: DTZ006
    return live.client.get_table(f"{live.dataset}.naive").schema[0].field_type


def too_many_columns(live: Live) -> str:
    live.load("wide", pa.table({"v": ["x"]}), [field(f"c{number}", "STRING") for number in range(10_001)])
    return "loaded"


def too_deep(live: Live) -> str:
    fields = [field("v", "STRING")]
    for _ in range(16):
        fields = [field("r", "RECORD", fields=fields)]
    live.load("deep", pa.table({"v": ["x"]}), fields)
    return "loaded"


def json_from_parquet(live: Live) -> str:
    live.load("json_parquet", pa.table({"v": ["{}"]}), [field("v", "JSON")])
    return "loaded"


def required_and_optional(live: Live) -> str:
    live.load("required", pa.table({"v": ["x"]}), [field("v", "STRING", "REQUIRED")])
    return "loaded"


def required_and_required(live: Live) -> str:
    strict = pa.table({"v": ["x"]}, schema=pa.schema([pa.field("v", pa.string(), nullable=False)]))
    live.load("required_2", strict, [field("v", "STRING", "REQUIRED")])
    return f"loaded {live.client.get_table(f'{live.dataset}.required_2').schema[0].mode}"


def nested_addition_by_load(live: Live) -> str:
    live.load("grow", pa.table({"r": [{"a": "1"}]}), [field("r", "RECORD", fields=[field("a", "STRING")])])
    more = [field("r", "RECORD", fields=[field("a", "STRING"), field("b", "STRING")])]
    grown = pa.table({"r": [{"a": "1", "b": "2"}]})
    live.load("grow", grown, more, schema_update_options=["ALLOW_FIELD_ADDITION"], write_disposition="WRITE_APPEND")
    return f"loaded {sorted(str(row['r'].get('b')) for row in live.rows('grow'))}"


def truncate_data_and_addition(live: Live) -> str:
    live.load("truncate_data", pa.table({"a": ["1"]}), [field("a", "STRING")])
    options = {"write_disposition": "WRITE_TRUNCATE_DATA", "schema_update_options": ["ALLOW_FIELD_ADDITION"]}
    fields = [field("a", "STRING"), field("b", "STRING")]
    live.load("truncate_data", pa.table({"a": ["1"], "b": ["2"]}), fields, **options)
    return f"loaded {live.rows('truncate_data')}"


def truncate_loses_descriptions(live: Live) -> str:
    described = [field("a", "STRING", description="kept?")]
    live.load("described", pa.table({"a": ["1"]}), described)
    live.load("described", pa.table({"a": ["2"]}), [field("a", "STRING")], write_disposition="WRITE_TRUNCATE")
    return str(live.client.get_table(f"{live.dataset}.described").schema[0].description)


def fewer_columns(live: Live) -> str:
    live.load("fewer", pa.table({"a": ["1"], "b": ["2"]}), [field("a", "STRING"), field("b", "STRING")])
    live.load("fewer", pa.table({"b": ["3"]}), [field("b", "STRING")], write_disposition="WRITE_APPEND")
    return f"loaded {sorted(row['b'] for row in live.rows('fewer'))}"


def export_everything(live: Live) -> str:
    codes = [
        live.export("dicom", PatientName="Doe^Jane", StudyDate="20200131", ImageType=["A", "B"]),
        live.export("dicom", uid="1.2"),
        live.export("dicom", "--write-disposition", "write-append", uid="1.2", Modality="CT"),
    ]
    nested = [{"ReferencedSOPInstanceUID": "1", "ReferencedFrameNumber": [1, 2]}]
    for item in ([{"ReferencedSOPInstanceUID": "1"}], nested):
        codes.append(live.export("dicom", "--write-disposition", "write-append", ReferencedImageSequence=item))
    return f"{codes} {len(live.rows('dicom'))} rows"


def export_replaces(live: Live) -> str:
    live.export("replaced", PatientID="x", StudyDate="20200131")
    table = live.client.get_table(f"{live.dataset}.replaced")
    before = table.clustering_fields, bool(table.description), all(column.description for column in table.schema)
    code = live.export("replaced", "--overwrite-table", PatientID="y")
    table = live.client.get_table(f"{live.dataset}.replaced")
    after = table.clustering_fields, bool(table.description), all(column.description for column in table.schema)
    return f"{code} {'same' if before == after else f'{before} became {after}'}"


def export_json(live: Live) -> str:
    code = live.export("json_variant", "--schema-type", "json", PatientName="Doe^Jane")
    return f"{code} {type(live.rows('json_variant')[0]['Metadata']).__name__}"


def view_and_filter(live: Live) -> str:
    live.export("viewed", StudyInstanceUID="7", SeriesInstanceUID="8", InstanceCreationDate="20200101")
    live.export("viewed", "--write-disposition", "write-append", StudyInstanceUID="7", InstanceCreationDate="20200102")
    code = dicom_bq(["view", f"bq://{live.dataset}.viewed", "--create"])
    query = f"SELECT COUNT(*) AS n FROM `{live.dataset}.viewedView`"
    found = next(iter(live.client.query_and_wait(query)))
    return f"{code} {found.n} row"


Check = Callable[[Live], str]
CHECKS: tuple[tuple[Check, str], ...] = (
    (null_in_a_list, r"refused"),
    (null_list, r"loaded \[\]"),
    (list_inference_off, r"loaded \[\]"),
    (naive_timestamp, r"TIMESTAMP"),
    (too_many_columns, r"refused invalid"),
    (too_deep, r"refused invalid"),
    (json_from_parquet, r"refused invalid.*JSON"),
    (required_and_optional, r"refused"),
    (required_and_required, r"loaded REQUIRED"),
    (nested_addition_by_load, r"loaded \['2', 'None'\]"),
    (truncate_data_and_addition, r"loaded \[\{'a': '1', 'b': '2'\}\]"),
    (truncate_loses_descriptions, r"None"),
    (fewer_columns, r"loaded \['2', '3'\]"),
    (export_everything, r"\[0, 3, 0, 0, 0\] 4 rows"),
    (export_replaces, r"0 same"),
    (export_json, r"0 (dict|str)"),
    (view_and_filter, r"0 1 row"),
)
"""What is done, and a pattern of what is expected to come of it."""


def optional_checks(arguments: argparse.Namespace) -> Iterator[tuple[Check, str]]:
    """Those that need more than a project."""

    def staged_load(live: Live) -> str:
        code = live.export("staged", "--staging", arguments.staging, PatientID="x")
        return f"{code} {len(live.rows('staged'))} row"

    def policy_tag_after_truncate(live: Live) -> str:
        tag = ["--policy-tag", f"PatientID={arguments.policy_tag}"]
        codes = [live.export("tagged", *tag, PatientID="x"), live.export("tagged", "--overwrite-table", PatientID="y")]
        schema = {column.name: column for column in live.client.get_table(f"{live.dataset}.tagged").schema}
        return f"{codes} {'kept' if schema['PatientID'].policy_tags else 'lost'}"

    if arguments.staging:
        yield staged_load, r"0 1 row"
    if arguments.policy_tag:
        yield policy_tag_after_truncate, r"\[0, 0\] kept"


def outcome(check: Check, live: Live) -> str:
    """What came of a check, in a line."""
    try:
        return check(live)
    except GoogleAPICallError as error:
        reason = error.errors[0].get("reason", "") if error.errors else type(error).__name__
        return f"refused {reason}: {(error.message or '').splitlines()[0][:300]}"


@contextmanager
def connected(arguments: argparse.Namespace) -> Iterator[Live]:
    """A dataset that is gone afterwards."""
    options: dict[str, Any] = {}
    if arguments.api_endpoint:
        os.environ["BIGQUERY_EMULATOR_HOST"] = arguments.api_endpoint
        options = {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": arguments.api_endpoint}}
    name = f"{arguments.project}.dicom_bq_smoke_{uuid.uuid4().hex[:12]}"
    with bigquery.Client(arguments.project, **options) as client, tempfile.TemporaryDirectory() as folder:
        dataset = bigquery.Dataset(name)
        dataset.location = arguments.location
        client.create_dataset(dataset)
        try:
            yield Live(client, name, Path(folder))
        finally:
            client.delete_dataset(name, delete_contents=True)


def main() -> int:
    """Run all checks; 1 if any differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project")
    parser.add_argument("--location", default="US")
    parser.add_argument("--api-endpoint", help="an emulator's")
    parser.add_argument("--staging", help="gs://BUCKET/PREFIX; also tries a staged load")
    parser.add_argument("--policy-tag", help="resource name in the same location; also tries policy tags")
    arguments = parser.parse_args()
    differing = 0
    with connected(arguments) as live:
        for check, expected in (*CHECKS, *optional_checks(arguments)):
            found = outcome(check, live)
            same = re.match(expected, found) is not None
            differing += not same
            note = "" if same else f" (expected: {expected})"
            sys.stdout.write(f"{'as expected' if same else 'DIFFERENT  '}  {check.__name__}: {found}{note}\n")
            sys.stdout.flush()
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
