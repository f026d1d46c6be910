"""Small tables for the tests of destinations, and a reader that shares no code with what wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from dicom_bq.schema import TableSchema, schema_from_keywords

NARROW = schema_from_keywords(["PatientID", "PatientName", "ReferencedImageSequence.ReferencedSOPInstanceUID"])
"""What most tests write first."""

WIDE = schema_from_keywords(
    [
        "StudyDate",
        "ImageType",
        "PatientID",
        "PatientName",
        "ReferencedImageSequence.ReferencedSOPInstanceUID",
        "ReferencedImageSequence.ReferencedFrameNumber",
        "ReferencedImageSequence.PurposeOfReferenceCodeSequence.CodeValue",
        "ReferencedImageSequence.PurposeOfReferenceCodeSequence.ImageType",
        "DiffusionGradientDirectionSequence.DiffusionGradientOrientation",
        "OverlayRows",
        "2005140F.PatientName",
        "OtherElements",
    ]
)
"""All of NARROW, and more: scalars, lists, sequences, and sub-fields at two depths of a sequence it has."""

TALL = NARROW.merge(schema_from_keywords(["StudyDate", "ImageType", "OverlayRows", "OtherElements"]))
"""All of NARROW, and more columns, but no more sub-fields in those it has."""

CONFLICTING = TableSchema.from_bigquery(
    [{"name": "PatientID", "type": "STRING"}, {"name": "PatientName", "type": "STRING"}]
)

DESTINATIONS = ("table.duckdb", "table.parquet", "parts")


def narrow_row(number: int) -> dict[str, Any]:
    name = dict.fromkeys(("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"))
    return {
        "ReferencedImageSequence": [{"ReferencedSOPInstanceUID": f"1.{number}.{item}"} for item in range(number % 3)],
        "PatientID": str(number),
        "PatientName": {
            "Alphabetic": name | {"FamilyName": f"Family{number}"},
            "Ideographic": name,
            "Phonetic": None,
        },
        "DroppedTags": [{"TagName": "PixelData", "TagReference": "PixelData"}],
    }


def widened(row: dict[str, Any]) -> dict[str, Any]:
    """A row of NARROW in a table of WIDE."""
    new = {"ReferencedFrameNumber": [], "PurposeOfReferenceCodeSequence": []}
    return row | {
        "StudyDate": None,
        "ImageType": [],
        "ReferencedImageSequence": [item | new for item in row["ReferencedImageSequence"]],
        "DiffusionGradientDirectionSequence": [],
        "OverlayRows": [],
        "Tag_2005140F": [],
        "OtherElements": [],
    }


def wide_row(number: int) -> dict[str, Any]:
    item = {
        "ReferencedSOPInstanceUID": None,
        "ReferencedFrameNumber": ["1", "2"],
        "PurposeOfReferenceCodeSequence": [
            {"CodeValue": "c", "ImageType": ["a"]},
            {"CodeValue": None, "ImageType": []},
        ],
    }
    return widened(narrow_row(number)) | {
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ReferencedImageSequence": [item],
        "OverlayRows": [{"Id": "6000", "Value": number}],
    }


def batches(schema: TableSchema, rows: list[dict[str, Any]], size: int = 2) -> list[pa.RecordBatch]:
    """Rows as batches of a few."""
    table = pa.Table.from_pylist(rows, schema=schema.to_arrow())
    return table.to_batches(max_chunksize=size)


def read(path: Path) -> list[dict[str, Any]]:
    """Rows as DuckDB reads them, in order."""
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as connection:
            found: list[dict[str, Any]] = connection.table("dicom").to_arrow_table().to_pylist()
            return found
    files = path / "*.parquet" if path.is_dir() else path
    with duckdb.connect() as connection:
        return connection.read_parquet(str(files)).to_arrow_table().to_pylist()


def leftovers(path: Path) -> list[str]:
    """Names of what stands beside a table that should stand alone."""
    return sorted(entry.name for entry in path.parent.iterdir() if entry != path)
