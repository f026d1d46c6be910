"""Holding the product against the oracle: same row, same schema, same place of every element.

Values are never said: what disagrees is named by its path. `show_values=True` is for a person who looks for
the reason, on data that may be shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydicom import Dataset

from dicom_bq.columns.build import BuiltBatch, build
from dicom_bq.elements import ElementTable
from dicom_bq.problems import Place
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.files import scan_files
from tests.oracle import OracleCannotRead, OracleRow, convert, differences, schema

#: Places of the product that mean that the oracle, which does not look there, has no such element.
UNSEEN = frozenset({Place.INSIDE_DROPPED, Place.SUPERSEDED})

Source: TypeAlias = Dataset | Path


@dataclass(frozen=True)
class Comparison:
    """What came of one source: nothing to compare and why, or what is different."""

    skipped: str = ""
    differences: tuple[str, ...] = ()


def build_files(paths: Sequence[Path]) -> tuple[BuiltBatch | None, ElementTable, str]:
    """The product's batch of some files; None, and why, when it did not take all of them."""
    scanned = scan_files([str(path) for path in paths])
    refused = [f"failed: {failure.reason}" for failure in scanned.failures]
    refused += [f"skipped: {skipped.reason}" for skipped in scanned.skipped]
    return (None if refused else build(scanned.table)), scanned.table, "; ".join(refused)


def compare(source: Source, *, show_values: bool = False, drops_in_order: bool = True) -> Comparison:
    """Converts one file or data set with both.

    Without `drops_in_order` the entries of DroppedTags may stand in any order: of an element that is there twice
    pydicom keeps the last value at the first one's place, so that the oracle does not know its own.
    """
    if isinstance(source, Dataset):
        table = scan_datasets([source])
        built: BuiltBatch | None = build(table)
        refused = ""
    else:
        built, table, refused = build_files([source])
    if built is None:
        return Comparison(f"product {refused}")
    try:
        expected = convert(source)
    except OracleCannotRead as reason:
        return Comparison(f"oracle {reason}")
    if not drops_in_order:
        expected = replace(expected, row=_drops_sorted(expected.row))
    found = batch_differences(
        built, table, [expected], show_values=show_values, edit=_drops_sorted if not drops_in_order else dict
    )
    return Comparison("", tuple(found))


def _drops_sorted(row: dict[str, object]) -> dict[str, object]:
    entries = row.get("DroppedTags") or []
    return {**row, "DroppedTags": sorted(entries, key=lambda entry: entry["TagReference"])} if entries else row


def batch_differences(
    built: BuiltBatch,
    table: ElementTable,
    expected: Sequence[OracleRow],
    *,
    show_values: bool = False,
    edit: Callable[[dict], dict] = dict,
) -> list[str]:
    """Where a batch of the product is not what the oracle says of its instances, one by one."""
    rows = built.batch.to_pylist()
    found = [f"{len(rows)} rows, not {len(expected)}"] if len(rows) != len(expected) else []
    for number, (row, oracle_row) in enumerate(zip(rows, expected, strict=False)):
        found += differences(edit(row), oracle_row.row, show_values=show_values)
        found += _place_differences(_data_or_once(built.placements, table, number), oracle_row)
    return found + _schema_differences(_plain(built.schema.to_bigquery()), schema(expected))


def _data_or_once(placements: np.ndarray, table: ElementTable, instance: int) -> np.ndarray:
    """The places of an instance's elements, without some that are no data.

    Of those that are there twice pydicom keeps the last; (0000,0000) without a value may be padding.
    """
    seen, kept = set[tuple[int, int]](), []
    for row in np.flatnonzero(table.instance == instance)[::-1]:
        key = int(table.item[row]), int(table.tag[row])
        padding = table.tag[row] == 0 and table.length[row] == 0
        if not (placements[row] == Place.NOT_DATA and (key in seen or padding)):
            kept.append(row)
        seen.add(key)
    return placements[np.array(kept, np.int64)]


def _place_differences(placements: np.ndarray, expected: OracleRow) -> list[str]:
    product = Counter(Place(place).name.lower() for place in placements if Place(place) not in UNSEEN)
    oracle = Counter({place.value: count for place, count in expected.places.items()})
    return [] if product == oracle else [f"places: product {dict(product)}, oracle {dict(oracle)}"]


def _plain(fields: list[dict]) -> list[dict]:
    """A schema without what a comparison has no use for, such as descriptions."""
    return [
        {"name": field["name"], "type": field["type"], "mode": field.get("mode", "NULLABLE")}
        | ({"fields": _plain(field["fields"])} if field.get("fields") else {})
        for field in fields
    ]


def _schema_differences(product: list[dict], oracle: list[dict], path: str = "") -> list[str]:
    names = [field["name"] for field in product], [field["name"] for field in oracle]
    if names[0] != names[1]:
        only = (
            [name for name in names[0] if name not in names[1]],
            [name for name in names[1] if name not in names[0]],
        )
        return [f"schema {path or '/'}: product has {only[0]}, oracle has {only[1]}, or the order differs"]
    found = []
    for left, right in zip(product, oracle, strict=True):
        inner = f"{path}/{left['name']}"
        if (left["type"], left["mode"]) != (right["type"], right["mode"]):
            found.append(f"schema {inner}: product {left['type']} {left['mode']}, "
                         f"oracle {right['type']} {right['mode']}")  # fmt: skip
        found += _schema_differences(left.get("fields", []), right.get("fields", []), inner)
    return found
