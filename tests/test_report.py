"""Reports: what they count, what they leave out, what they say for people and programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import dicom_bq
from dicom_bq.columns.build import build
from dicom_bq.columns.kinds import REASON_NUMBER
from dicom_bq.problems import Place, Problem, Problems, Reason
from dicom_bq.report import LONGEST_LIST, SECTIONS, ExportReport, ReadReport, failure_lines, problem_lines
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import Failure, Skipped
from dicom_bq.schema import TableSchema, schema_from_keywords
from tests.handmade import explicit, explicit_file, item, text


def read_report(**changed: Any) -> ReadReport:
    facts: dict[str, Any] = {
        "found": 7,
        "exported": 3,
        "failures": (Failure("d/x.dcm", "malformed", "file ends inside the element at byte 12"),),
        "skipped": (
            Skipped("d/a.txt", "not_dicom", "no DICM prefix"),
            Skipped("d/b.txt", "not_dicom", "no DICM prefix"),
            Skipped("d/DICOMDIR", "dicomdir", "Media Storage Directory"),
        ),
        "problems": Problems(),
        "schema": schema_from_keywords(["PatientID", "StudyDate"]),
        "seconds": 0.5,
    }
    return ReadReport(**facts | changed)


def counted(*entries: tuple[Reason, str, str, str, int]) -> Problems:
    problems = Problems()
    for reason, path, tag, vr, count in entries:
        problems.add(Problem(reason, path, tag, vr), count)
    return problems


def test_counts_come_from_what_was_met() -> None:
    report = read_report()
    assert (report.failed, report.not_dicom, report.dicomdir, report.columns) == (1, 2, 1, 3)
    assert report.found == report.exported + report.failed + report.not_dicom + report.dicomdir


def test_summary_of_reading() -> None:
    first, *rest = read_report().summary().splitlines()
    assert first == "7 files found: 3 exported, 2 not DICOM, 1 DICOMDIR, 1 failed; 0.5 s, 14 files/s"
    assert rest == ["Failed:", "  d/x.dcm: file ends inside the element at byte 12 (malformed)"]


def test_summary_of_an_export() -> None:
    report = ExportReport.of(read_report(found=1, failures=(), skipped=()), "out.duckdb", "WRITE_APPEND", 1)
    assert report.summary().splitlines()[:2] == [
        "out.duckdb: 1 row written, 3 columns (WRITE_APPEND)",
        "1 file found: 3 exported, 0 not DICOM, 0 DICOMDIR, 0 failed; 0.5 s, 2 files/s",
    ]


def test_what_a_summary_leaves_out_is_in_the_file_that_only_an_export_writes() -> None:
    many = tuple(Failure(f"{number}.dcm", "malformed", "broken") for number in range(LONGEST_LIST + 1))
    last = "All of it is in the report (--report FILE.json)"
    assert read_report(failures=many).summary().splitlines()[-1] == "  and 1 more"
    export = ExportReport.of(read_report(failures=many), "out.duckdb", "WRITE_APPEND", 1)
    assert export.summary().splitlines()[-2:] == ["  and 1 more", last]
    assert last not in ExportReport.of(read_report(), "out.duckdb", "WRITE_APPEND", 1).summary()


def test_every_reason_is_under_one_title() -> None:
    titled = [reason for _, reasons in SECTIONS for reason in reasons]
    assert sorted(titled) == sorted(Reason)


@pytest.mark.parametrize(
    "odd",
    [
        explicit(
            0x00104000, "SQ", item(text(0x00100020, "LO", "1"))
        ),  # a sequence, and no such thing by the dictionary
        explicit(0x00082112, "OB", b"text"),  # bytes, and SQ by the dictionary
        explicit(0x00104000, "FD", bytes(8)),
        explicit(0x00181310, "LO", b"no number "),
        explicit(0x7FE00010, "OW", bytes(8)),
    ],
)
def test_titles_say_where_values_are(odd: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.dcm"
    path.write_bytes(explicit_file(odd))
    built = build(scan_files([str(path)]).table)
    titles = {REASON_NUMBER[reason]: title for title, reasons in SECTIONS for reason in reasons}
    said = {place: titles[reason] for place, reason in zip(built.placements, built.reasons, strict=True) if reason}
    (place,) = said
    assert {Place.DROPPED: "DroppedTags", Place.OTHER: "OtherElements"}[Place(place)] in said[place]


def test_problems_are_counted_by_tag_and_reason() -> None:
    lines = list(
        problem_lines(
            counted(
                (Reason.NOT_PARSEABLE, "A.StudyDate", "(0008,0020)", "DA", 3),
                (Reason.NOT_PARSEABLE, "StudyDate", "(0008,0020)", "DA", 9),
                (Reason.OUT_OF_RANGE, "Rows", "(0028,0010)", "US", 2),
                (Reason.EXCLUDED_VR, "PixelData", "(7FE0,0010)", "OW", 990),
                (Reason.EXCLUDED_VR, "PixelData", "(7FE0,0010)", "OB", 10),
            )
        )
    )
    assert lines == [
        "Values that did not fit their column, kept in OtherElements:",
        "  12  (0008,0020)  StudyDate  value is not what its VR asks for",
        "   2  (0028,0010)  Rows  value is out of the column's range",
        "Elements dropped, listed in DroppedTags:",
        "  1,000  (7FE0,0010)  PixelData  VR has no BigQuery type",
    ]


@pytest.mark.parametrize(
    ("names", "title"),
    [
        ({"PatientID", "DroppedTags"}, "Elements dropped, listed in DroppedTags:"),
        ({"PatientID"}, "Elements dropped, and the schema given has no DroppedTags to list them in:"),
    ],
)
def test_what_is_in_no_list_is_not_said_to_be_in_one(tmp_path: Path, names: set[str], title: str) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(explicit_file(text(0x7FE00010, "OB", "ab")))
    columns = schema_from_keywords(["PatientID"]).columns
    schema = TableSchema(tuple(column for column in columns if column.name in names))
    report = dicom_bq.export(path, tmp_path / "x.parquet", schema=schema)
    assert title in report.lines()


def test_long_lists_say_how_much_is_left_out() -> None:
    failures = [Failure(f"{number}.dcm", "malformed", "broken") for number in range(LONGEST_LIST + 1_234)]
    lines = list(failure_lines(failures))
    assert len(lines) == LONGEST_LIST + 2
    assert lines[-1] == "  and 1,234 more"
    assert "more" not in "".join(failure_lines(failures[:LONGEST_LIST]))


def test_problem_of_a_whole_file_has_no_tag() -> None:
    assert list(problem_lines(counted((Reason.OTHER_SYNTAX, "", "", "", 1))))[1:] == [
        "  1  data set is not encoded as its transfer syntax says"
    ]


def test_json_has_everything() -> None:
    problems = counted((Reason.NOT_PARSEABLE, "A.StudyDate", "(0008,0020)", "DA", 3))
    many = tuple(Failure(f"{number}.dcm", "malformed", "broken") for number in range(100))
    report = ExportReport.of(read_report(failures=many, problems=problems), "out.parquet", "WRITE_EMPTY", 3)
    written = json.loads(report.to_json())
    assert written["failures"] == [{"uri": one.uri, "code": one.code, "reason": one.reason} for one in many]
    assert [one["uri"] for one in written["skipped"]] == ["d/a.txt", "d/b.txt", "d/DICOMDIR"]
    assert written["problems"] == [
        {
            "reason": "NOT_PARSEABLE",
            "text": "value is not what its VR asks for",
            "path": "A.StudyDate",
            "tag": "(0008,0020)",
            "vr": "DA",
            "count": 3,
        }
    ]
    assert TableSchema.from_bigquery(written["schema"]) == report.schema
    assert written["dictionary"] == report.schema.edition != ""
    for name in ("destination", "found", "exported", "failed", "not_dicom", "dicomdir", "rows", "columns"):
        assert written[name] == getattr(report, name)
    assert written["write_disposition"] == report.disposition


def test_names_that_are_not_utf8_do_not_break_a_report() -> None:
    uri = os.fsdecode(b"d/\xff.dcm")
    report = read_report(failures=(Failure(uri, "malformed", "broken"),))
    report.summary().encode()
    assert r"d/\xff.dcm: broken" in report.summary()
    assert json.loads(report.to_json())["failures"][0]["uri"] == r"d/\xff.dcm"
