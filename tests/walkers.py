"""Holding the two walkers against each other: the same ElementTable of the same files, or the same refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from dicom_bq.elements import ElementTable
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import Scanned, ScanOptions
from dicom_bq.scan.vr import opaque_numbers

NEVER_COMPARED = {"arena", "offset", "notes"}


def value_bytes(table: ElementTable) -> list[bytes]:
    """Every value that a column may be made of; of the others only the length is compared."""
    wanted = ~opaque_numbers()[table.vr] & ~table.walked
    return [table.value(row) for row in np.flatnonzero(wanted).tolist()]


def assert_same(together: Scanned, alone: Scanned) -> None:
    assert (together.uris, together.failures, together.skipped) == (alone.uris, alone.failures, alone.skipped)
    for field in fields(ElementTable):
        if field.name not in NEVER_COMPARED:
            left, right = getattr(together.table, field.name), getattr(alone.table, field.name)
            assert np.array_equal(left, right), field.name
    assert value_bytes(together.table) == value_bytes(alone.table)
    assert sorted(map(repr, together.table.notes)) == sorted(map(repr, alone.table.notes))


def both(paths: Sequence[Path | str]) -> tuple[Scanned, Scanned]:
    """Files as lock-step and as the scalar walker read them."""
    uris = [str(path) for path in paths]
    return scan_files(uris), scan_files(uris, ScanOptions(lockstep=False))
