"""The product against the oracle on every file of the corpus that both read: rows, schemas, places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicom_bq.columns.build import build
from dicom_bq.scan.files import scan_files
from tests.agreement import batch_differences, compare
from tests.oracle import convert

CORPUS = os.environ.get("DICOM_BQ_CORPUS", "")
FILES = sorted(path for path in Path(CORPUS).glob("*/*") if path.is_file()) if CORPUS else []

pytestmark = pytest.mark.corpus


@pytest.mark.skipif(not FILES, reason="DICOM_BQ_CORPUS is not set")
def test_product_and_oracle_agree():
    compared = {path.relative_to(CORPUS).as_posix(): compare(path) for path in FILES}
    skipped = {name: found.skipped for name, found in compared.items() if found.skipped}
    assert {name: found.differences for name, found in compared.items() if found.differences} == {}
    assert [name for name, reason in skipped.items() if reason.startswith("oracle")] == []
    assert len(skipped) < len(FILES) // 20, skipped


@pytest.mark.skipif(not FILES, reason="DICOM_BQ_CORPUS is not set")
def test_all_files_in_one_batch():
    scanned = scan_files([str(path) for path in FILES])
    expected = [convert(uri) for uri in scanned.uris]
    assert batch_differences(build(scanned.table), scanned.table, expected) == []
