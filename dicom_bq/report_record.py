"""A report as JSON that it can be made of again, without its failures and skips, which have files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from dicom_bq.problems import Problem, Problems, Reason
from dicom_bq.report import ExportReport
from dicom_bq.schema import TableSchema

if TYPE_CHECKING:
    from dicom_bq.scan.outcome import Failure, Skipped

_PLAIN = ("found", "exported", "filtered", "seconds", "destination", "disposition", "rows")


def to_record(report: ExportReport) -> dict[str, Any]:
    """What ``from_record`` makes the report of."""
    return {
        **{name: getattr(report, name) for name in _PLAIN},
        "unmatched": list(report.unmatched),
        "problems": problems_to_json(report.problems),
        "schema": report.schema.to_bigquery(),
        "edition": report.schema.edition,
    }


def from_record(record: dict[str, Any], failures: Sequence[Failure], skipped: Sequence[Skipped]) -> ExportReport:
    """The report again."""
    schema = TableSchema(TableSchema.from_bigquery(record["schema"]).columns, record["edition"])
    return ExportReport(
        failures=failures,
        skipped=skipped,
        unmatched=tuple(record["unmatched"]),
        problems=problems_from_json(record["problems"]),
        schema=schema,
        **{name: record[name] for name in _PLAIN},
    )


def problems_to_json(problems: Problems) -> list[list[Any]]:
    """Problems and their counts."""
    return [[*map(str, astuple(problem)), count] for problem, count in problems.counts.items()]


def problems_from_json(rows: list[list[Any]]) -> Problems:
    """Problems again."""
    problems = Problems()
    for reason, path, tag, vr, count in rows:
        problems.add(Problem(Reason(reason), path, tag, vr), count)
    return problems
