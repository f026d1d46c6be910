"""The library from several threads: what one is at does not show in another, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import pytest

import dicom_bq
from dicom_bq import reading
from tests.handmade import explicit_file


def test_a_stream_has_its_schema_once_it_has_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(explicit_file())
    stream = dicom_bq.scan(tmp_path)
    real, known = reading.Reading.report, []

    def report(self: reading.Reading, *arguments: object) -> object:
        known.append(stream._schema)  # what another thread would find at this moment
        return real(self, *arguments)

    monkeypatch.setattr(reading.Reading, "report", report)
    assert stream.schema.columns
    assert known == [None]
    assert stream.report is not None
