"""The frozen model of the rules, and the error of a rule that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class RuleError(ValueError):
    """A rule table cannot be used.

    Attributes:
        file: Name of the TOML file.
        row: Heading of the row in it, empty when the file as a whole is wrong.
        key: Key in that row, empty when the row as a whole is wrong.
        reason: What is wrong, and what was expected.
    """

    def __init__(self, file: str, row: str, key: str, reason: str) -> None:
        super().__init__(file, row, key, reason)
        self.file = file
        self.row = row
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        place = "".join((self.file, f" [{self.row}]" if self.row else "", f" {self.key}" if self.key else ""))
        return f"{place}: {self.reason}"


class Family(StrEnum):
    """VRs whose values are decoded alike."""

    TEXT = "TEXT"
    PERSON_NAME = "PERSON_NAME"
    DATE = "DATE"
    TIME = "TIME"
    DATE_TIME = "DATE_TIME"
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"
    NUMERIC = "NUMERIC"
    ATTRIBUTE_TAG = "ATTRIBUTE_TAG"
    SEQUENCE = "SEQUENCE"
    OPAQUE = "OPAQUE"
    """Excluded: the element becomes no column and is listed in ``DroppedTags``."""


@dataclass(frozen=True, slots=True)
class VRRule:
    """What one value representation becomes, and how its bytes are laid out (PS3.5 6.2).

    Attributes:
        code: Two letters as in the stream, or PS3.6's "A or B".
        name: Name in PS3.5 6.2.
        family: Decoder that reads the values.
        unit: Bytes of one value; 0 where values are text or items.
        long_length: Explicit VR writes two reserved bytes and a 32-bit length (PS3.5 7.1.2).
        trim: Padding that is no part of a value: ``both``, ``trailing``, ``nul`` or ``none``.
        splits: A backslash separates values (PS3.5 6.4).
        character_set: Encoded as Specific Character Set (0008,0005) says (PS3.5 6.1.2.3).
        section: Where the standard defines it.
        bigquery: Column type, by BigQuery's legacy name; None when excluded.
        arrow: The same as an Arrow type; None when excluded.
        duckdb: The same as a DuckDB type; None when excluded.
        binary: numpy dtype of one number, little endian; None for text and sequences. AT has two a value.
        note: What a reader would ask, and which part is this project's decision.
    """

    code: str
    name: str
    family: Family
    unit: int
    long_length: bool
    trim: str
    splits: bool
    character_set: bool
    section: str
    bigquery: str | None = None
    arrow: str | None = None
    duckdb: str | None = None
    binary: str | None = None
    note: str = ""

    @property
    def candidates(self) -> tuple[str, ...]:
        """The VRs that may be in the stream: several for PS3.6's "A or B", else the code alone."""
        return tuple(self.code.split(" or "))


@dataclass(frozen=True, slots=True)
class NotDataRule:
    """Tags that carry the encoding, not data.

    Attributes:
        pattern: Eight upper-case hexadecimal digits, ``x`` for any digit.
        reason: What the element is for.
        section: Where the standard says so.
        mask: Bits of the tag that the pattern fixes.
        tag: Their values, so that ``number & mask == tag`` is the test.
    """

    pattern: str
    reason: str
    section: str
    mask: int
    tag: int


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules.

    Attributes:
        vr: Row by VR, the ambiguous ones ("US or SS") included.
        not_data_rules: The tags that are encoding only.
    """

    vr: Mapping[str, VRRule]
    not_data_rules: tuple[NotDataRule, ...]

    def not_data(self, tag: int) -> str | None:
        """Why an element is encoding and not data: neither a column nor a dropped element.

        Args:
            tag: ``group << 16 | element``.

        Returns:
            The reason with its section of the standard, or None for data.
        """
        for rule in self.not_data_rules:
            if tag & rule.mask == rule.tag:
                return f"{rule.reason} ({rule.section})"
        return None
