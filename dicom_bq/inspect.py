"""One file, element by element: where each data element goes, and why."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dicom_bq import dictionary
from dicom_bq.column import Column
from dicom_bq.elements import ROOT, UNDEFINED_LENGTH, VR_CODES, ElementTable
from dicom_bq.errors import ScanError, UsageError
from dicom_bq.mapping import format_tag, tag_name
from dicom_bq.problems import Place, Problems, Reason
from dicom_bq.report import problem_lines
from dicom_bq.sources.files import as_text, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicom_bq.columns.build import BuiltBatch
    from dicom_bq.scan.outcome import Failure, Skipped
    from dicom_bq.scan.rows import Rows
    from dicom_bq.sources.members import Member
    from dicom_bq.sources.spool import Spool

DEEPEST_SHOWN = 16
"""Levels that have a path and are indented; no column is as deep as that."""
LONGEST_VALUE = 80
"""Characters of a value that are shown."""

PLACES: Mapping[Place, tuple[str, str]] = {
    Place.EMPTY: ("", "no value"),
    Place.NOT_DATA: ("", "encoding, not data"),
    Place.COLUMN: ("", ""),
    Place.OTHER: ("OtherElements", "private, or in no dictionary"),
    Place.DROPPED: ("DroppedTags", ""),
    Place.INSIDE_DROPPED: ("", "inside a sequence that is not in the row"),
    Place.NOT_IN_SCHEMA: ("", Reason.NOT_IN_SCHEMA.value),
    Place.SUPERSEDED: ("", Reason.DUPLICATE.value),
}
"""Column of a place, and why an element is there where nothing says more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedElement:
    """What becomes of one data element.

    Attributes:
        path: Keywords from the root with item numbers, ``A[0].B``; None deeper than ``DEEPEST_SHOWN``.
        depth: Sequences that it is in.
        tag: ``(gggg,eeee)``.
        keyword: Keyword, or ``Tag_GGGGEEEE``.
        vr_stored: VR in the file; "" in implicit VR.
        vr_dictionary: VR by the dictionary; "" when it does not know the tag.
        vr: VR that the value is read by.
        length: Bytes; None when undefined.
        place: Name of a ``Place``; "" when the file was not read to its end.
        column: Column that has the value, ``A.B``; "" for none.
        type: Its type and mode.
        reason: Why, where it is not simply in its column.
        value: Its value as text, cut to ``LONGEST_VALUE``; None unless asked for.
    """

    path: str | None
    depth: int
    tag: str
    keyword: str
    vr_stored: str
    vr_dictionary: str
    vr: str
    length: int | None
    place: str = ""
    column: str = ""
    type: str = ""
    reason: str = ""
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What becomes of a file.

    Attributes:
        uri: The file.
        outcome: ``exported``, or why there is no row, and up to where the file could be read.
        readable: The file makes a row.
        elements: In document order; of a file that fails, those before the place where it does.
        problems: What was dropped, repaired or did not fit.
    """

    uri: str
    outcome: str
    readable: bool
    elements: tuple[InspectedElement, ...]
    problems: Problems

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "uri": as_text(self.uri),
            "readable": self.readable,
            "outcome": self.outcome,
            "dictionary": dictionary.edition(),
            "elements": [_without_none(asdict(element)) for element in self.elements],
            "problems": self.problems.to_list(),
        }

    def to_text(self) -> str:
        """For people: a line an element, indented by depth, then what a report would say."""
        rows = list(_text_rows(self.elements))
        widths = [max((len(row[place]) for row in rows), default=0) for place in range(4)]
        lines = ["  ".join(map(str.ljust, row, (*widths, 0))).rstrip() for row in rows]
        blank = [""] if lines else []
        return "\n".join((*lines, *blank, f"{printable(self.uri)}: {self.outcome}", *problem_lines(self.problems)))


def inspect_file(uri: str | os.PathLike[str], *, show_values: bool = False) -> Inspection:
    """Find out what becomes of each data element of a file.

    Args:
        uri: Path, or a member of an archive: ``archive.zip!/CT1.dcm``.
        show_values: Give the values too, which are a patient's.

    Raises:
        UsageError: It is an archive of several files, or is said to be in one and is not.
    """
    from dicom_bq.sources.spool import Spool

    uri = os.fsdecode(uri)
    with Spool() as spool:
        found, member = _locate(uri, spool)
        if isinstance(member, str):
            return Inspection(found, f"{member} (unreadable)", False, (), Problems())
        return _inspect(found, member, show_values=show_values)


def _locate(uri: str, spool: Spool) -> tuple[str, Member | str | None]:
    """URI of one file, and where it is, or why it cannot be read, if it is in an archive."""
    from dicom_bq.sources.archives import kind_of
    from dicom_bq.sources.files import listing
    from dicom_bq.sources.members import SEPARATOR

    exists = os.path.lexists(uri)
    if (exists and not kind_of(uri)) or (not exists and SEPARATOR not in uri):
        return uri, None
    unreadable: list[tuple[str, str | Member | None]] = []
    files = listing([uri], unreadable=lambda name, reason: unreadable.append((name, reason)), spool=spool)
    several = [*itertools.islice(files, 2), *unreadable]
    if len(several) != 1:
        which = "several files: name one of them" if several else "no files"
        raise UsageError(reason=f"{printable(uri)}: an archive of {which}, as ARCHIVE{SEPARATOR}NAME")
    return several[0]


def _inspect(uri: str, member: Member | None, *, show_values: bool) -> Inspection:
    from dicom_bq.columns.build import build
    from dicom_bq.scan.files import scan_files

    scanned = scan_files([uri], members={uri: member} if member else None)
    if not scanned.uris:
        return _refused(scanned.failures[0] if scanned.failures else scanned.skipped[0], member)
    built = build(scanned.table)
    elements = tuple(_Explainer(scanned.table, built, show_values=show_values))
    return Inspection(uri, "exported", True, elements, built.problems)


def _refused(refused: Failure | Skipped, member: Member | None) -> Inspection:
    outcome = f"{refused.reason} ({refused.code})"
    elements = tuple(_partial(_rows_before_failure(refused.uri, member)))
    return Inspection(refused.uri, outcome, False, elements, Problems())


def _rows_before_failure(uri: str, member: Member | None) -> Rows:
    from dicom_bq.scan.batch import Batch
    from dicom_bq.scan.bytesource import FileSource
    from dicom_bq.scan.members import open_member
    from dicom_bq.scan.outcome import ScanOptions
    from dicom_bq.scan.part10 import scan_part10

    batch, options = Batch(), ScanOptions()
    with contextlib.suppress(ScanError, OSError, ValueError):
        path = member.path if member else uri
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            file = FileSource(descriptor)
            scan_part10(open_member(file, member, options.archives) if member else file, batch, options)
        finally:
            os.close(descriptor)
    return batch.rows


def _partial(rows: Rows) -> Iterator[InspectedElement]:
    """Elements that were read, without any value or column."""
    depths: list[int] = []
    for sequence in rows.item_sequence:
        above = rows.item[sequence]
        depths.append(1 if above == ROOT else depths[above] + 1)
    for item, tag, stored, length in zip(rows.item, rows.tag, rows.stored_vr, rows.length, strict=True):
        vr = VR_CODES[stored]
        yield _element(None, 0 if item == ROOT else depths[item], tag, vr, vr, length)


class _Explainer:
    """The elements of one readable file.

    Args:
        table: Its elements.
        built: Its row.
        show_values: Give values.
    """

    def __init__(self, table: ElementTable, built: BuiltBatch, *, show_values: bool) -> None:
        self.table = table
        self.built = built
        self.numbers = table.item_numbers()
        self.prefixes: list[str | None] = []
        self.depths: list[int] = []
        self.values = _values(table) if show_values else {}

    def __iter__(self) -> Iterator[InspectedElement]:
        for sequence in self.table.item_sequence.tolist():
            self._enter(sequence)
        for row in range(len(self.table)):
            yield self._element(row)

    def _enter(self, sequence: int) -> None:
        """Note depth and path of the next item."""
        item, number = int(self.table.item[sequence]), int(self.numbers[len(self.depths)])
        depth = 1 + (0 if item == ROOT else self.depths[item])
        prefix = "" if item == ROOT else self.prefixes[item]
        known = prefix is not None and depth <= DEEPEST_SHOWN
        self.depths.append(depth)
        self.prefixes.append(f"{prefix}{_name(int(self.table.tag[sequence]))}[{number}]." if known else None)

    def _element(self, row: int) -> InspectedElement:
        table, item = self.table, int(self.table.item[row])
        tag, place = int(table.tag[row]), Place(int(self.built.placements[row]))
        prefix = "" if item == ROOT else self.prefixes[item]
        column, usual = PLACES[place]
        names, found = self._column(row, place)
        return _element(
            None if prefix is None else prefix + _name(tag),
            0 if item == ROOT else self.depths[item],
            tag,
            VR_CODES[table.stored_vr[row]],
            VR_CODES[table.vr[row]],
            int(table.length[row]),
            place=place.name,
            column=names or column,
            type=found.kind if found else "",
            reason=self._reason(row) or usual,
            value=self.values.get(row),
        )

    def _reason(self, row: int) -> str:
        number = int(self.built.reasons[row])
        return tuple(Reason)[number - 1].value if number else ""

    def _column(self, row: int, place: Place) -> tuple[str, Column | None]:
        """Path of the column that has the value, and the column."""
        if place not in {Place.COLUMN, Place.OTHER}:
            return "", None
        level, names, found = self.built.schema.columns, list[str](), None
        for key in self.built.paths.path(int(self.built.paths.node[row])):
            found = next(column for column in level if column.key == key)
            names.append(found.name)
            level = found.fields
        return ".".join(names), found


def _element(
    path: str | None,
    depth: int,
    tag: int,
    stored: str,
    vr: str,
    length: int,
    **more: Any,  # noqa: ANN401
) -> InspectedElement:
    entry = dictionary.lookup(tag)
    return InspectedElement(
        path=path,
        depth=depth,
        tag=format_tag(tag),
        keyword=_name(tag),
        vr_stored=stored,
        vr_dictionary=entry.vr if entry else "",
        vr=vr,
        length=None if length == UNDEFINED_LENGTH else length,
        **more,
    )


def _name(tag: int) -> str:
    entry = dictionary.lookup(tag)
    return entry.keyword if entry else tag_name(tag)


def _values(table: ElementTable) -> dict[int, str]:
    """Values that are text or numbers, by element row."""
    import numpy as np

    from dicom_bq.columns.facts import OPAQUE, SEQUENCE, vr_facts
    from dicom_bq.columns.other import raw_texts
    from dicom_bq.columns.text import read_texts

    family = vr_facts().family[table.vr]
    shown = np.flatnonzero((family != OPAQUE) & (family != SEQUENCE) & ~table.walked & (table.length > 0))
    text = shown[vr_facts().text[table.vr[shown]]]
    texts = raw_texts(table, read_texts(table, text, vr_facts().trim[table.vr[text]]), shown)
    values = {}
    for row, start, count in zip(shown.tolist(), texts.starts.tolist(), texts.counts.tolist(), strict=True):
        parts = texts.parts.slice(start, min(count, LONGEST_VALUE)).to_pylist()
        value = "\\".join(part or "" for part in parts)
        values[row] = value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "..."
    return values


def _text_rows(elements: Iterable[InspectedElement]) -> Iterator[tuple[str, ...]]:
    """Cells of every element, and a line before each item."""
    items: dict[int, str] = {}
    for element in elements:
        item = (element.path or "").rpartition(".")[0]
        if item and items.get(element.depth) != item:
            items[element.depth] = item
            yield "", "  " * element.depth + item[item.rindex("[") :], "", "", ""
        yield _cells(element)


def _cells(element: InspectedElement) -> tuple[str, str, str, str, str]:
    """Tag, keyword indented by depth, VR stored and by the dictionary where they differ, length, where and why."""
    stored, by_dictionary = element.vr_stored or "--", element.vr_dictionary or "?"
    indent = "  " * min(element.depth, DEEPEST_SHOWN)
    length = "undefined" if element.length is None else f"{element.length}"
    where = " ".join(part for part in (element.column, element.type) if part)
    text = " ".join(
        part for part in (where or ("-" if element.place else ""), element.reason and f"({element.reason})") if part
    )
    value = "" if element.value is None else f" = {element.value!r}"
    return element.tag, indent + element.keyword, f"{stored}/{by_dictionary}", length, text + value


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
