"""The walk: every element of an instance gets exactly one place, item by item, without any cleverness."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, timezone
from enum import StrEnum
from typing import TypeAlias

from pydicom import Dataset

from .fitting import fit_numbers, fit_text
from .reading import Element, elements_of, encodings_for, items, numbers, whole_text
from .tables import (
    MAXIMUM_RECORD_LEVELS,
    NUMBER,
    OPAQUE,
    TEXT,
    Entry,
    entry,
    is_not_data,
    is_private_creator,
    nameless_vr,
    private_vr,
)
from .values import DoesNotFit, Reason, number_text, parse_offset, split, trim

Row: TypeAlias = dict[str, object]
ColumnPath: TypeAlias = tuple[str, ...]


class Place(StrEnum):
    """Where an element went."""

    COLUMN = "column"
    OTHER = "other"
    DROPPED = "dropped"
    EMPTY = "empty"
    NOT_DATA = "not_data"


@dataclass(frozen=True)
class Outcome:
    """The place of one element, what is written there, and why when it is not its column."""

    place: Place
    value: object = None
    reason: Reason | None = None


EMPTY = Outcome(Place.EMPTY)


@dataclass
class Log:
    """What the walk collects beside the row."""

    columns: set[ColumnPath] = field(default_factory=set)
    dropped: list[dict[str, str]] = field(default_factory=list)
    problems: list[tuple[str, Reason]] = field(default_factory=list)
    placements: list[tuple[str, Place]] = field(default_factory=list)

    def holds_something(self) -> bool:
        return any(place not in {Place.EMPTY, Place.NOT_DATA} for _, place in self.placements)


@dataclass(frozen=True)
class Item:
    """Where the walk is: what the item inherits from the items around it."""

    elements: dict[int, Element]
    encodings: list[str]
    signed: bool = False
    zone: timezone = UTC
    depth: int = 0
    path: ColumnPath = ()
    reference: str = ""
    ordered: bool = False

    def child(self, dataset: Dataset, name: str, number: int) -> Item:
        """The item of a sequence `name` in this item, with what it sets itself."""
        inner = replace(
            self,
            elements=elements_of(dataset, ordered=self.ordered),
            depth=self.depth + 1,
            path=(*self.path, name),
            reference=f"{self.reference}{name}[{number}].",
        )
        return inner.with_own_settings()

    def with_own_settings(self) -> Item:
        """Takes character set and pixel representation from the item's own elements, where it has them."""
        changed = self
        if (character_set := self.elements.get(0x00080005)) is not None:
            changed = replace(changed, encodings=encodings_for(whole_text(character_set, ["iso8859"], "CS")))
        representation = self.elements.get(0x00280103)
        if representation is not None and representation.has_bytes():
            changed = replace(changed, signed=_first_number(representation) == 1)
        return changed


def _first_number(element: Element) -> float | None:
    if element.stored_vr in TEXT:
        text = trim(whole_text(element, ["iso8859"], "IS"), "IS")
        return int(text) if text.isdecimal() else None
    values = numbers(element, element.stored_vr if element.stored_vr in NUMBER else "US")
    return values[0] if values else None


def root(elements: dict[int, Element], *, ordered: bool) -> Item:
    """The instance itself, which also says in which time zone its clock runs."""
    item = Item(elements, encodings_for(""), ordered=ordered).with_own_settings()
    offset = elements.get(0x00080201)
    zone = parse_offset(trim(whole_text(offset, item.encodings, "SH"), "SH")) if offset is not None else None
    return replace(item, zone=zone or UTC)


@dataclass
class ItemRow:
    """The row of one item while it is being filled."""

    item: Item
    log: Log
    row: Row = field(default_factory=dict)
    groups: dict[str, dict[str, object]] = field(default_factory=dict)
    other: dict[int, object] = field(default_factory=dict)
    exported: bool = False

    def add(self, element: Element, line: Entry | None, name: str, outcome: Outcome) -> None:
        reference = self.item.reference + name
        self.log.placements.append((reference, outcome.place))
        if outcome.reason:
            self.log.problems.append((reference, outcome.reason))
        if outcome.place is Place.COLUMN:
            self._add_column(element, line, name, outcome.value)
        elif outcome.place is Place.OTHER:
            self.other[element.tag] = outcome.value
            self._add_path("OtherElements")
        elif outcome.place is Place.DROPPED:
            self.log.dropped.append({"TagName": name, "TagReference": reference})

    def _add_column(self, element: Element, line: Entry | None, name: str, value: object) -> None:
        self._add_path(name)
        if line and line.mask:
            self.groups.setdefault(name, {})[line.group_id(element.tag)] = value
        elif value != {}:  # a person name of separators only makes the column, and is NULL
            self.row[name] = value

    def _add_path(self, name: str) -> None:
        self.log.columns.add((*self.item.path, name))
        self.exported = True

    def finished(self) -> Row:
        for name, values in self.groups.items():
            self.row[name] = [{"Id": key, "Value": values[key]} for key in sorted(values)]
        if self.other:
            entries = sorted(self.other.items())
            self.row["OtherElements"] = [{"Tag": f"Tag_{tag:08X}", "Data": data} for tag, data in entries]
        return self.row


def convert_item(item: Item, log: Log) -> tuple[Row, bool]:
    """The row of one item, and whether anything of it is exported."""
    filling = ItemRow(item, log)
    for element in item.elements.values():
        line = entry(element.tag)
        name = line.keyword if line else f"Tag_{element.tag:08X}"
        outcome = _outcome(element, line, name, item, log)
        filling.add(element, line, name, _within_record_levels(outcome, line, item))
    return filling.finished(), filling.exported


def _within_record_levels(outcome: Outcome, line: Entry | None, item: Item) -> Outcome:
    """Drops what would need more levels of RECORD than BigQuery has; sequences have been looked at before."""
    levels = 0
    if outcome.place is Place.OTHER or (outcome.place is Place.COLUMN and line and line.mask):
        levels = 1
    elif outcome.place is Place.COLUMN and line and line.vr == "PN":
        levels = 2
    if levels and item.depth + levels > MAXIMUM_RECORD_LEVELS:
        return Outcome(Place.DROPPED, reason=Reason.TOO_DEEP)
    return outcome


def _outcome(element: Element, line: Entry | None, name: str, item: Item, log: Log) -> Outcome:
    if is_not_data(element.tag):
        return Outcome(Place.NOT_DATA)
    if line is None:
        return _unnamed(element, name, item, log)
    return _standard(element, line, name, item, log)


def _standard(element: Element, line: Entry, name: str, item: Item, log: Log) -> Outcome:
    """An element of the dictionary."""
    if line.vr in OPAQUE:
        return _dropped(element, name, item, Reason.EXCLUDED_VR)
    dictionary_vr = ("SS" if item.signed else "US") if line.vr == "US or SS" else line.vr
    vr = element.stored_vr if element.stored_vr in {*TEXT, *NUMBER, "SQ"} else dictionary_vr
    if line.mask and line.vr == "SQ":  # items with an Id beside them have no column to be in
        drop = _dropped_sequence if vr == "SQ" else _dropped
        return drop(element, name, item, Reason.EXCLUDED_VR)
    if vr == "SQ" and line.vr != "SQ":
        return _dropped_sequence(element, name, item, Reason.STORED_VR)
    if vr == "SQ":
        return _sequence(element, name, item, log)
    if not _has_value(element, vr, item):
        return EMPTY
    try:
        return Outcome(Place.COLUMN, _fit(element, vr, line, dictionary_vr, item))
    except DoesNotFit as misfit:
        padding = line.vr if line.vr in TEXT else vr
        return Outcome(Place.OTHER, _texts(element, vr, item, padding), misfit.reason)


def _fit(element: Element, vr: str, line: Entry, dictionary_vr: str, item: Item) -> object:
    if line.vr == "SQ" or (line.vr == "AT") != (vr == "AT"):
        raise DoesNotFit(Reason.STORED_VR)
    if vr in TEXT:
        text = whole_text(element, item.encodings, vr)
        return fit_text(text, line.vr, repeated=line.repeated, zone=item.zone)
    values = numbers(element, vr)
    if values is None:
        raise DoesNotFit(Reason.UNEVEN_LENGTH)
    return fit_numbers(values, vr, dictionary_vr, repeated=line.repeated)


def _unnamed(element: Element, name: str, item: Item, log: Log) -> Outcome:
    """A private element, or one of an even group that no dictionary knows."""
    vr = _unnamed_vr(element, item)
    if vr == "SQ":
        return _sequence(element, name, item, log)
    if vr in OPAQUE:
        return _dropped(element, name, item, Reason.EXCLUDED_VR)
    if not _has_value(element, vr, item):
        return EMPTY
    return Outcome(Place.OTHER, _texts(element, vr, item, vr))


def _unnamed_vr(element: Element, item: Item) -> str:
    if nameless_vr(element.tag) != "UN" and element.stored_vr not in {*TEXT, *NUMBER, "SQ"}:
        return nameless_vr(element.tag)
    if element.stored_vr in {*TEXT, *NUMBER, *OPAQUE, "SQ"} - {"UN"}:
        return element.stored_vr
    if is_private_creator(element.tag):
        return "LO"
    creator = item.elements.get(element.tag >> 16 << 16 | (element.tag & 0xFF00) >> 8)
    if creator is None or not element.tag >> 16 & 1 or not element.tag & 0xFF00:
        return "UN"
    vr = private_vr(element.tag, trim(whole_text(creator, item.encodings, "LO"), "LO"))
    if vr == "US or SS":
        return "SS" if item.signed else "US"
    return vr


def _has_value(element: Element, vr: str, item: Item) -> bool:
    """Zero length is no value, and neither is text that is nothing but padding."""
    if vr in TEXT and element.has_bytes():
        return trim(whole_text(element, item.encodings, vr), vr) != ""
    return element.has_bytes()


def _texts(element: Element, vr: str, item: Item, padding: str) -> list[str]:
    """The values as OtherElements holds them: parted as they are stored, without the padding of their VR."""
    if vr in TEXT:
        return split(trim(whole_text(element, item.encodings, vr), padding), vr)
    values = numbers(element, vr)
    if values is None:
        return [element.data().hex().upper()]
    return [number_text(value, vr) for value in values]


def _sequence(element: Element, name: str, item: Item, log: Log) -> Outcome:
    """A sequence is worth its items; one that is too deep goes as a whole."""
    if item.depth + 1 > MAXIMUM_RECORD_LEVELS:
        return _dropped_sequence(element, name, item, Reason.TOO_DEEP)
    if not element.has_bytes():
        return EMPTY
    rows, exported = [], False
    for number, dataset in enumerate(items(element, item.encodings)):
        row, something = convert_item(item.child(dataset, name, number), log)
        rows.append(row)
        exported |= something
    return Outcome(Place.COLUMN, rows) if exported else EMPTY


def _dropped(element: Element, name: str, item: Item, reason: Reason) -> Outcome:
    """DroppedTags gets the element, unless there is nothing to lose."""
    if element.stored_vr == "SQ":
        return _dropped_sequence(element, name, item, reason)
    if element.stored_vr in TEXT and not _has_value(element, element.stored_vr, item):
        return EMPTY
    return Outcome(Place.DROPPED, reason=reason) if element.has_length() else EMPTY


def _dropped_sequence(element: Element, name: str, item: Item, reason: Reason) -> Outcome:
    """A sequence goes as a whole: what it holds is looked at, but not listed again."""
    aside = Log()
    for number, dataset in enumerate(items(element, item.encodings) if element.has_bytes() else []):
        convert_item(replace(item, depth=0).child(dataset, name, number), aside)
    return Outcome(Place.DROPPED, reason=reason) if aside.holds_something() else EMPTY
