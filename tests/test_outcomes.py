"""Failures, UIDs and kinds of problems without number, in the memory of a few."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path

import pytest

from dicom_bq import outcomes, problems
from dicom_bq.errors import DestinationError
from dicom_bq.outcomes import Outcomes, number_of
from dicom_bq.problems import ELSEWHERE, Problem, Problems, Reason
from dicom_bq.report import ReadReport
from dicom_bq.scan.outcome import Failure, Skipped
from dicom_bq.schema import TableSchema
from dicom_bq.seen import Seen, digest

ODD = "d/\udcff\n\u00e9.dcm"


def failures(count: int) -> list[Failure]:
    return [Failure(f"{ODD}{number}", "malformed" if number % 3 else "unreadable", "why") for number in range(count)]


@pytest.fixture(params=[None, "failures.jsonl"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcomes[Failure]:
    monkeypatch.setattr(outcomes, "MOST_IN_MEMORY", 10)
    return Outcomes(Failure, request.param and tmp_path / request.param)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 37])
def test_a_sequence_like_any_other(kept: Outcomes[Failure], count: int) -> None:
    expected = failures(count)
    for start in range(0, count, 4):
        kept.extend(expected[start : start + 4])
        assert len(list(kept)) == min(start + 4, count)  # may be read while it grows
    assert kept == expected
    assert kept == tuple(expected)
    assert (kept != expected[1:]) == bool(expected)
    assert [kept[number] for number in range(-count, count)] == expected + expected
    assert kept[2:30:5] == expected[2:30:5]
    assert kept[::-1] == expected[::-1]
    assert (expected[-1] in kept) if expected else not kept
    assert number_of(kept, "malformed") == number_of(expected, "malformed")
    with pytest.raises(IndexError, match="out of range"):
        kept[count]


def test_another_process_can_read_them(tmp_path: Path) -> None:
    first = Outcomes(Failure, tmp_path / "f")
    first.extend(failures(25))
    first.sync()
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert Outcomes.load(Failure, tmp_path / "f", first.checksum) == failures(25)
    assert Outcomes.load(Failure, tmp_path / "f", first.checksum + 1) is None
    assert Outcomes.load(Failure, tmp_path / "nothing", 0) == []


def test_they_outlive_their_directory(kept: Outcomes[Failure], tmp_path: Path) -> None:
    kept.extend(failures(30))
    kept.sync()
    for path in tmp_path.iterdir():
        path.unlink()
    assert kept == failures(30)


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    kept = Outcomes(Failure, Path("/dev/full"))
    kept.extend(failures(10))
    with pytest.raises(DestinationError, match=r"/dev/full: rows cannot be kept here .* No space left on device"):
        kept.sync()
    with pytest.raises(DestinationError, match="No such file"):
        Outcomes(Failure, tmp_path / "no" / "where").extend(failures(1))


def test_memory_does_not_grow() -> None:
    tracemalloc.start()
    try:
        kept, seen = Outcomes(Skipped), Seen()
        peaks = []
        for number in range(60):
            uris = [f"{'long/' * 20}{number}-{one}" for one in range(1000)]
            kept.extend(Skipped(uri, "not_dicom", "why") for uri in uris)
            seen.add({digest(uri.encode()): uri for uri in uris})
            if number in {0, 59}:
                gc.collect()
                peaks.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(kept) == 60_000
    assert peaks[1] < peaks[0] + 300_000
    assert seen.get(digest(uris[7].encode())) == uris[7]


def test_what_was_seen() -> None:
    seen = Seen()
    assert seen.get(digest(b"1")) is None
    assert not seen.has_any([digest(b"1")])
    seen.add({})
    seen.add({digest(b"1"): ODD, digest(b"2"): "b"})
    assert seen.get(digest(b"1")) == ODD
    assert seen.has_any([digest(b"3"), digest(b"2")])
    assert not seen.has_any([])


def test_kinds_of_problems_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "MOST_KINDS", 3)
    found = Problems()
    for number in range(6):
        one = Problems()
        one.add(Problem(Reason.WRONG_VR, f"A.{number % 5}", "(0008,0008)", "CS"), 2)
        found.merge(one)
    assert found.of(Reason.WRONG_VR) == 12
    assert [(problem.path, count) for problem, count in found.counts.items()] == [
        ("A.0", 4),
        ("A.1", 2),
        ("A.2", 2),
        (ELSEWHERE, 4),
    ]


def test_a_report_is_written_in_pieces(kept: Outcomes[Failure]) -> None:
    kept.extend(failures(25))
    facts = {"found": 25, "exported": 0, "skipped": (), "problems": Problems(), "schema": TableSchema(), "seconds": 1.0}
    report = ReadReport(failures=kept, **facts)  # type: ignore[arg-type]
    assert report.to_json() == json.dumps(report.to_dict(), indent=2)
    assert max(map(len, report.json_pieces())) < 200
    assert report.to_json() == ReadReport(failures=failures(25), **facts).to_json()  # type: ignore[arg-type]
