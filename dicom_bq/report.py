"""What an export did, for people and for programs. No report holds the value of a data element."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from dicom_bq.outcomes import number_of
from dicom_bq.problems import REPAIRS, Problem, Problems, Reason
from dicom_bq.progress import Progressed
from dicom_bq.sources.files import as_text, printable

if TYPE_CHECKING:
    from dicom_bq.scan.outcome import Failure, Skipped
    from dicom_bq.schema import TableSchema

LONGEST_LIST = 10
"""Lines of each kind in a summary; how many more there are is said."""

_MORE = "  and "
_DROPPED = frozenset(
    (
        Reason.EXCLUDED_VR,
        Reason.TOO_DEEP,
        Reason.TOO_DEEP_FOR_JSON,
        Reason.SEQUENCE_TOO_LARGE,
        Reason.NOT_A_SEQUENCE,
        Reason.OPAQUE_VR,
        Reason.GROUPED_SEQUENCE,
        Reason.NOT_ITEMS,
    )
)
_NOT_IN_SCHEMA = frozenset((Reason.NOT_IN_SCHEMA,))
_MISFITS = frozenset(
    (
        Reason.WRONG_VR,
        Reason.NOT_PARSEABLE,
        Reason.OUT_OF_RANGE,
        Reason.TOO_MANY_VALUES,
        Reason.BAD_LENGTH,
    )
)
_REMARKS = frozenset(Reason) - _DROPPED - _NOT_IN_SCHEMA - _MISFITS - REPAIRS

_UNLISTED = "Elements dropped, and the schema given has no DroppedTags to list them in"
SECTIONS: tuple[tuple[str, frozenset[Reason]], ...] = (
    ("Values that did not fit their column, kept in OtherElements", _MISFITS),
    ("Elements that the schema given has no column for", _NOT_IN_SCHEMA),
    ("Elements dropped, listed in DroppedTags", _DROPPED),
    ("Values repaired", frozenset(REPAIRS)),
    ("Other remarks", _REMARKS),
)
"""Titles of a summary, and the reasons that each is about; every reason is under one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReport:
    """What reading instances met: ``found == exported + failed + not_dicom + dicomdir + duplicates + filtered``.

    A value: to be compared, hashed, copied, and sent to other processes.

    Attributes:
        found: Files that the sources stand for, and what is there and cannot be read.
        exported: Those that are a row.
        failures: Those that should be and are not, and why.
        skipped: Those that are not DICOM, or a DICOMDIR, or one more of an instance, and why they are taken for that.
        problems: What was dropped, repaired or did not fit, counted by path and reason.
        schema: Columns of the rows.
        seconds: Duration.
        filtered: Those that the filter does not ask for.
        unmatched: Lines of the filter that no instance was of.
    """

    found: int
    exported: int
    failures: Sequence[Failure] = field(hash=False)
    skipped: Sequence[Skipped] = field(hash=False)
    problems: Problems = field(hash=False)
    schema: TableSchema
    seconds: float
    filtered: int = 0
    unmatched: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Files that should be a row and are not."""
        return len(self.failures)

    @property
    def not_dicom(self) -> int:
        """Files that are not DICOM."""
        return number_of(self.skipped, "not_dicom")

    @property
    def dicomdir(self) -> int:
        """Files that are a Media Storage Directory (PS3.10 8.6), which is no SOP instance."""
        return number_of(self.skipped, "dicomdir")

    @property
    def duplicates(self) -> int:
        """Files whose instance is a row already."""
        return number_of(self.skipped, "duplicate")

    @property
    def columns(self) -> int:
        """Columns of the rows, without those inside records."""
        return len(self.schema.columns)

    def summary(self) -> str:
        """A few lines for people."""
        return "\n".join(self.lines())

    def to_json(self) -> str:
        """Everything, for programs."""
        return "".join(self.json_pieces())

    def json_pieces(self) -> Iterator[str]:
        """The text of ``to_json``, piece by piece: of a million failures, one is in memory at a time."""
        return _object(self._facts())

    def counts(self) -> dict[str, int]:
        """How many files met which fate."""
        return {
            "found": self.found,
            "exported": self.exported,
            "failed": self.failed,
            "not_dicom": self.not_dicom,
            "dicomdir": self.dicomdir,
            "duplicates": self.duplicates,
            "filtered": self.filtered,
        }

    def lines(self) -> Iterator[str]:
        """The lines of ``summary``."""
        rate = f", {self.found / self.seconds:,.0f} files/s" if self.seconds else ""
        chosen = {"repeated": self.duplicates, "filtered out": self.filtered}
        left_out = "".join(f"{count:,} {what}, " for what, count in chosen.items() if count)
        yield (
            f"{_number(self.found, 'file')} found: {self.exported:,} exported, {self.not_dicom:,} not DICOM, "
            f"{self.dicomdir:,} DICOMDIR, {left_out}{self.failed:,} failed; {self.seconds:.1f} s{rate}"
        )
        yield from _section(
            "Lines of the filter without an instance", self.unmatched, len(self.unmatched), LONGEST_LIST
        )
        yield from failure_lines(self.failures)
        listed = any(column.name == "DroppedTags" for column in self.schema.columns)
        yield from problem_lines(self.problems, listed=listed)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``to_json`` writes."""
        return {name: list(fact) if isinstance(fact, Iterator) else fact for name, fact in self._facts().items()}

    def _facts(self) -> dict[str, Any]:
        """The object; what may be without number is an iterator."""
        return {
            **self.counts(),
            "unmatched": list(self.unmatched),
            "seconds": round(self.seconds, 3),
            "failures": map(_outcome, self.failures),
            "skipped": map(_outcome, self.skipped),
            "problems": self.problems.to_list(),
            "dictionary": self.schema.edition,
            "columns": self.columns,
            "schema": self.schema.to_bigquery(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport(ReadReport):
    """What one export did.

    Attributes:
        destination: Where the table is.
        disposition: Write disposition, ``WRITE_EMPTY`` and so on.
        rows: Rows written.
        operation: Name of its operation; "" if no record of it could be kept.
    """

    destination: str
    disposition: str
    rows: int
    operation: str = ""

    @classmethod
    def of(cls, report: ReadReport, destination: str, disposition: str, rows: int, operation: str = "") -> ExportReport:
        """What reading met, where its rows went, and as which operation."""
        read = {each.name: getattr(report, each.name) for each in fields(report)}
        return cls(**read, destination=destination, disposition=disposition, rows=rows, operation=operation)

    def progressed(self) -> Progressed:
        """How far the job is that it is the report of."""
        return Progressed(
            found=self.found,
            exported=self.exported,
            failed=self.failed,
            listed=self.found,
            listing_done=True,
            written=self.rows,
            failures=self.failures,
        )

    def lines(self) -> Iterator[str]:
        """The lines of ``summary``."""
        columns = _number(self.columns, "column")
        yield f"{self.destination}: {_number(self.rows, 'row')} written, {columns} ({self.disposition})"
        lines = list(ReadReport.lines(self))
        yield from lines
        if any(line.startswith(_MORE) for line in lines):
            yield "All of it is in the report (--report FILE.json)"
        if self.failed > LONGEST_LIST and self.operation:
            identifier = self.operation.rpartition("/")[2]
            yield f"Each failed file is in the log that dicom-bq operations describe {identifier} names (logsUrl)"

    def _facts(self) -> dict[str, Any]:
        """The object; what may be without number is an iterator."""
        return {
            "destination": self.destination,
            "write_disposition": self.disposition,
            "rows": self.rows,
            "operation": self.operation,
            **ReadReport._facts(self),
        }


def failure_lines(failures: Sequence[Failure], longest: int = LONGEST_LIST) -> Iterator[str]:
    """The first failures, one a line under a title; nothing when there are none."""
    lines = (f"{printable(failure.uri)}: {failure.reason} ({failure.code})" for failure in failures)
    yield from _section("Failed", lines, len(failures), longest)


def problem_lines(problems: Problems, longest: int = LONGEST_LIST, *, listed: bool = True) -> Iterator[str]:
    """Problems by tag and reason, the most frequent first, under a title for each kind.

    Args:
        problems: What was met.
        longest: Lines of a kind.
        listed: Rows have DroppedTags.
    """
    for title, reasons in SECTIONS:
        counts = _by_tag(problems, reasons)
        width = len(f"{max(counts.values(), default=0):,}")
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        lines = [f"{count:>{width},}  {label}" for label, count in ordered]
        yield from _section(title if listed or reasons is not _DROPPED else _UNLISTED, lines, len(lines), longest)


def _by_tag(problems: Problems, reasons: frozenset[Reason]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for problem, count in problems.counts.items():
        if problem.reason in reasons:
            counts[_label(problem)] += count
    return counts


def _label(problem: Problem) -> str:
    keyword = problem.path.rpartition(".")[2]
    return "  ".join(part for part in (problem.tag, keyword, problem.reason.value) if part)


def _section(title: str, lines: Iterable[str], count: int, longest: int) -> Iterator[str]:
    if not count:
        return
    yield f"{title}:"
    yield from (f"  {line}" for line in islice(lines, longest))
    if count > longest:
        yield f"{_MORE}{count - longest:,} more"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _outcome(outcome: Failure | Skipped) -> dict[str, str]:
    return {"uri": as_text(outcome.uri), "code": outcome.code, "reason": outcome.reason}


def _object(facts: Mapping[str, Any]) -> Iterator[str]:
    """As ``json.dumps(facts, indent=2)``, where values may be iterators."""
    opening = "{\n"
    for name, fact in facts.items():
        yield f"{opening}  {json.dumps(name)}: "
        yield from _array(fact) if isinstance(fact, Iterator) else (_indented(fact, 2),)
        opening = ",\n"
    yield "\n}"


def _array(items: Iterator[Any]) -> Iterator[str]:
    opening = "[\n"
    for item in items:
        yield f"{opening}    {_indented(item, 4)}"
        opening = ",\n"
    yield "[]" if opening == "[\n" else "\n  ]"


def _indented(fact: object, spaces: int) -> str:
    return json.dumps(fact, indent=2).replace("\n", "\n" + " " * spaces)
