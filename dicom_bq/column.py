"""A column of a table: name, type, mode, sub-fields, and the key that places it among its neighbours.

A **column key** is an integer that sorts as columns do: a standard element's tag (a repeating group's base
tag), then private sequences, then the columns that this mapping makes itself, then columns not of DICOM.
A **tag path** is a tuple of keys from the root to a leaf.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

PRIVATE_KEY = 1 << 32
"""Added to the tag of a private or unknown sequence, whose column is ``Tag_GGGGEEEE``."""
OTHER_ELEMENTS_KEY = 1 << 33
DROPPED_TAGS_KEY = OTHER_ELEMENTS_KEY + 1
SOURCE_KEY = OTHER_ELEMENTS_KEY + 2
FOREIGN_KEY = 1 << 40
"""Added to the position of a column that a user's table has and this mapping does not know."""

NULLABLE = "NULLABLE"
REPEATED = "REPEATED"
REQUIRED = "REQUIRED"
RECORD = "RECORD"

TagPath: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column, in the words of the BigQuery API (TableFieldSchema).

    Attributes:
        name: Keyword, ``Tag_GGGGEEEE``, or one of the mapping's own names.
        type: STRING DATE TIME TIMESTAMP FLOAT INTEGER NUMERIC RECORD, or what a user's table has, as it is.
        mode: NULLABLE, REPEATED; REQUIRED only in a user's table.
        key: Where it stands among its neighbours; sub-fields of a fixed record have their position.
        fields: Sub-fields of a RECORD, in order.
        description: Text for people; two columns that differ in it alone are equal.
        properties: What else a user's table says of it, such as policyTags: names, each with its value as JSON, in the
            order of the names. Two columns that differ in them alone are equal.
    """

    name: str
    type: str
    mode: str
    key: int = field(compare=False)
    fields: tuple[Column, ...] = ()
    description: str = field(default="", compare=False)
    properties: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def kind(self) -> str:
        """Type and mode as messages say them: ``DATE NULLABLE``."""
        return f"{self.type} {self.mode}"

    @property
    def is_ours(self) -> bool:
        """False for a column that the mapping does not know."""
        return self.key < FOREIGN_KEY


def in_order(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns sorted as a table has them: by key; foreign ones of equal position by name."""
    return tuple(sorted(columns, key=lambda column: (column.key, column.name.lower())))


def walk(columns: Sequence[Column], parent: str = "") -> Iterator[tuple[str, int, Column]]:
    """Every column and sub-field, parents first.

    Args:
        columns: One level.
        parent: Path of that level, "" at the top.

    Yields:
        Path (``A.B``), number of RECORD levels from the root down to and with this column, column.
    """
    stack = [(parent, 0, column) for column in reversed(columns)]
    while stack:
        above, level, column = stack.pop()
        path = f"{above}.{column.name}" if above else column.name
        level += column.type == RECORD
        yield path, level, column
        stack.extend((path, level, child) for child in reversed(column.fields))
