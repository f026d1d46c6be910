"""What was dropped, repaired, did not fit: counted by tag and reason, never valued."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Place(IntEnum):
    """Where one data element of one instance went: exactly one of these (the accounting law)."""

    EMPTY = 0
    """It had no value: zero length, blank, or a sequence without content."""
    NOT_DATA = 1
    """It is encoding, such as a group length."""
    COLUMN = 2
    """Its column."""
    OTHER = 3
    """OtherElements at its level."""
    DROPPED = 4
    """DroppedTags."""
    INSIDE_DROPPED = 5
    """It is content of a sequence that is in DroppedTags or in OtherElements or was superseded as a whole."""
    NOT_IN_SCHEMA = 6
    """The schema that was asked for has no place for it; it is in the report."""
    SUPERSEDED = 7
    """A later element of the same data set has the same tag, which PS3.5 7.1 forbids; the last one counts."""


class Reason(StrEnum):
    """Why an element is not simply in its column. The text is what the report says."""

    EXCLUDED_VR = "VR has no BigQuery type"
    TOO_DEEP = "deeper than 15 levels of RECORD"
    TOO_DEEP_FOR_JSON = "deeper than BigQuery's JSON holds"
    SEQUENCE_TOO_LARGE = "sequence larger than the limit asked for"
    NOT_A_SEQUENCE = "stored as a sequence, the dictionary says otherwise"
    OPAQUE_VR = "stored VR has no BigQuery type, the dictionary's has"
    GROUPED_SEQUENCE = "sequences of several groups could not be told apart in one column"
    NOT_ITEMS = "value of a sequence is no list of items"
    WRONG_VR = "stored VR cannot be read as the dictionary's"
    NOT_PARSEABLE = "value is not what its VR asks for"
    OUT_OF_RANGE = "value is out of the column's range"
    TOO_MANY_VALUES = "more values than VM 1 allows"
    BAD_LENGTH = "value length is not a multiple of its VR's size"
    REPAIRED_TIME = "repaired: time ending in a full stop"
    REPAIRED_FRACTION = "repaired: fraction of more than six digits cut"
    REPAIRED_DATE = "repaired: date written YYYY-MM-DD"
    REPAIRED_NUL = "repaired: NUL inside text removed"
    UNDECODABLE = "bytes outside the character set became U+FFFD"
    ASSUMED_LATIN_1 = "bytes outside the default repertoire read as Latin-1"
    NOT_IN_SCHEMA = "the schema has no column for it"
    DUPLICATE = "same tag twice in one data set, the last one kept"
    SHORT_VALUE = "file ends inside a value that is not read"
    CUT_VALUE = "file ends inside the value, kept as far as it goes"
    OTHER_SYNTAX = "data set is not encoded as its transfer syntax says"
    READ_BY_PYDICOM = "malformed; read by pydicom instead"
    WITHOUT_VR = "an element without a VR has taken what follows for its value; elements may be made up"


REPAIRS = frozenset(reason for reason in Reason if reason.value.startswith("repaired"))


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One kind of problem: what the report counts by.

    Attributes:
        reason: Why.
        path: Keywords from the root, joined by full stops: ``RTROIObservationsSequence.ROIVolume``.
        tag: ``(gggg,eeee)`` of the element itself.
        vr: VR its value was read by.
    """

    reason: Reason
    path: str
    tag: str
    vr: str


MOST_KINDS = 10_000
"""Problems told apart; elements nested at random could make any number of paths. The others are counted by reason."""
ELSEWHERE = "(other paths)"
"""Path of those."""


@dataclass(slots=True)
class Problems:
    """Counts of problems; adding two is counting both."""

    counts: Counter[Problem] = field(default_factory=Counter)

    def add(self, problem: Problem, count: int = 1) -> None:
        """Count a problem ``count`` more times."""
        self.counts[problem] += count

    def merge(self, other: Problems) -> None:
        """Take over the counts of another batch."""
        if len(self.counts) + len(other.counts) <= MOST_KINDS:
            self.counts.update(other.counts)
            return
        for problem, count in other.counts.items():
            known = problem in self.counts or len(self.counts) < MOST_KINDS
            self.add(problem if known else Problem(problem.reason, ELSEWHERE, "", ""), count)

    def of(self, *reasons: Reason) -> int:
        """How many problems have one of these reasons."""
        return sum(count for problem, count in self.counts.items() if problem.reason in reasons)

    def to_list(self) -> list[dict[str, object]]:
        """Problems as JSON-ready objects, most frequent first, then by path."""
        ordered = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return [
            {
                "reason": p.reason.name,
                "text": p.reason.value,
                "path": p.path,
                "tag": p.tag,
                "vr": p.vr,
                "count": n,
            }
            for p, n in ordered
        ]
