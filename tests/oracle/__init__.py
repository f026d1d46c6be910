"""The oracle: one data set to one row, slowly and obviously, with nothing of the product in it.

It follows the mapping that the README describes, element by element, on what pydicom reads and decodes.
The tests hold the product against it: rows, schemas, and the place of every element.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from .compare import differences, prune
from .reading import OracleCannotRead, lenient_pydicom, root_elements
from .schemas import Field, schema_of
from .values import Reason
from .walk import Log, Place, convert_item, root

__all__ = ["OracleCannotRead", "OracleRow", "Place", "Reason", "convert", "differences", "prune", "schema"]


@dataclass(frozen=True)
class OracleRow:
    """What one instance becomes.

    Attributes:
        row: Keys only for what has a value; types as `pyarrow.Table.to_pylist` gives them.
        columns: Paths of names of everything that has a column, in whatever order.
        problems: Reference of an element (`A[0].B`) and why it is not in its column.
        placements: Reference and place of every element that was read, in the order of reading.
    """

    row: dict[str, object]
    columns: frozenset[tuple[str, ...]]
    problems: tuple[tuple[str, Reason], ...]
    placements: tuple[tuple[str, Place], ...]

    @property
    def elements(self) -> int:
        """How many elements were read."""
        return len(self.placements)

    @property
    def places(self) -> Counter[Place]:
        """How many elements went where."""
        return Counter(place for _, place in self.placements)


def convert(source: Dataset | str | Path) -> OracleRow:
    """Converts a data set, or a file that pydicom reads.

    Raises:
        OracleCannotRead: pydicom raised, recursed too deep, or lost elements at an unexpected end of file.
    """
    log = Log()
    with lenient_pydicom():
        elements, ordered = root_elements(source)
        row, _ = convert_item(root(elements, ordered=ordered), log)
    if log.dropped:
        row["DroppedTags"] = log.dropped
    return OracleRow(row, frozenset(log.columns), tuple(log.problems), tuple(log.placements))


def schema(rows: Iterable[OracleRow]) -> list[Field]:
    """The schema that holds all these rows, as BigQuery's JSON, columns in their order."""
    return schema_of({path for row in rows for path in row.columns})
