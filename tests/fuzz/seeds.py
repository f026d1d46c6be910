"""Files to begin with: small ones first, since they are quick and every change to them counts."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from tests import malformed
from tests.handmade import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, small_file

LARGEST = 20_000
"""Bytes."""
FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures" / "dicom"


def seeds() -> list[bytes]:
    """Fixtures, hostile files, pydicom's own test files, and the corpus if DICOM_BQ_CORPUS says where it is."""
    folders = [FIXTURES, *_pydicoms(), *filter(None, [os.environ.get("DICOM_BQ_CORPUS")])]
    paths = {path for folder in folders for path in Path(folder).rglob("*") if path.is_file()}
    small = [path.read_bytes() for path in sorted(paths) if path.stat().st_size < LARGEST]
    handmade = [small_file(syntax) for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)]
    tables = (malformed.LIARS, malformed.EITHER, malformed.ROWS, malformed.NOT_DICOM)
    handmade += [data for table in tables for data in table.values() if len(data) < LARGEST]
    return sorted({*small, *handmade}, key=lambda data: (len(data), data))


def _pydicoms() -> list[str]:
    import pydicom.data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [str(Path(pydicom.data.__file__).parent / name) for name in ("test_files", "charset_files")]
