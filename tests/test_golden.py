"""What becomes of the fixture tree, file by file, is what fixtures/golden has: reviewed by people, compared here."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

import dicom_bq
from dicom_bq.columns.build import build
from dicom_bq.scan.files import scan_files
from fixtures.golden import GOLDEN, HERE, TREE, files, plain, record, schema

RECORDS: dict[str, dict[str, Any]] = {
    one["path"]: one for one in map(json.loads, (GOLDEN / "rows.jsonl").read_text(encoding="utf-8").splitlines())
}
MANIFEST = {
    row["path"]: row for row in csv.DictReader((HERE / "MANIFEST.csv").read_text(encoding="utf-8").splitlines())
}
OUTCOMES = {"row": "exported", "malformed": "failed", "not_dicom": "not DICOM", "dicomdir": "DICOMDIR"}


def outcome(one: dict[str, Any]) -> str:
    return next(OUTCOMES[key] for key in one if key in OUTCOMES)


def test_golden_has_every_file_in_order() -> None:
    assert list(RECORDS) == [path.relative_to(TREE).as_posix() for path in files()] == list(MANIFEST)


@pytest.mark.parametrize("path", RECORDS)
def test_a_file_becomes_what_it_did(path: str) -> None:
    assert record(TREE / path) == RECORDS[path]


@pytest.mark.parametrize("path", RECORDS)
def test_a_file_becomes_what_the_manifest_promises(path: str) -> None:
    assert outcome(RECORDS[path]) == MANIFEST[path]["expected"]


def test_the_schema_is_what_it_was() -> None:
    assert schema() == (GOLDEN / "schema.json").read_text(encoding="utf-8")


def test_neighbours_in_a_batch_change_nothing() -> None:
    rows = [one["row"] for one in RECORDS.values() if "row" in one]
    batch = build(scan_files([str(path) for path in files()]).table).batch
    assert [plain(row) for row in batch.to_pylist()] == rows


def values(row: Any, path: tuple[str, ...]) -> bool:
    """Say whether the row has a value at the path."""
    if isinstance(row, list):
        return any(values(child, path) for child in row)
    return True if not path else path[0] in row and values(row[path[0]], path[1:])


def leaves(columns: tuple[dicom_bq.Column, ...], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the columns that have no fields of their own, without the 15 of a person name, which always are."""
    found: list[tuple[str, ...]] = []
    for column in columns:
        path = (*above, column.name)
        is_name = bool(column.fields) and column.fields[0].name == "Alphabetic"
        found += leaves(column.fields, path) if column.fields and not is_name else [path]
    return found


def test_every_column_has_a_value_in_some_row() -> None:
    columns = dicom_bq.TableSchema.from_json((GOLDEN / "schema.json").read_text(encoding="utf-8")).columns
    rows = [one["row"] for one in RECORDS.values() if "row" in one]
    paths = leaves(columns)
    assert len(paths) > 400
    assert [path for path in paths if not any(values(row, path) for row in rows)] == []
