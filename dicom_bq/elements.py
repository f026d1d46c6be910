"""ElementTable: every data element of a batch of SOP instances, as columns.

The one form between reading and writing. A walker or a pydicom ``Dataset`` becomes an ElementTable; columns are
built from an ElementTable; neither side knows the other.

Three promises hold for every table, so that nothing downstream has to ask where an element came from:

* binary values are little endian, text is UTF-8 (``scan.normalise`` sees to both);
* rows are in document order, instance after instance; items are in the order of their sequences' rows;
* what cannot be decided from an element's own bytes is decided: ``vr`` names the VR that its value is to be read
  by, whether or not the stream said so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ROOT = -1
"""``ElementTable.item`` of an element that stands in the data set itself, not in an item of a sequence."""

ABSENT = -1
"""``ElementTable.offset`` of a value that is not in the arena: no column needs it."""

UNDEFINED_LENGTH = 0xFFFFFFFF
"""PS3.5 7.1.1: the length of a value that ends at a delimitation item. Kept for encapsulated Pixel Data only."""

VR_CODES: tuple[str, ...] = (
    "", "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV",
    "OW", "PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV",
)  # fmt: skip
"""The VRs of PS3.5 6.2 by their number in ``ElementTable.vr`` and ``stored_vr``; 0 is "not in the stream"."""

VR_NUMBER: dict[str, int] = {code: number for number, code in enumerate(VR_CODES)}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that reading an element met and that the report must say, never the value.

    Attributes:
        instance: Ordinal of the SOP instance in its batch.
        row: Row of the element in the table, or -1 when it is about the whole data set.
        reason: A member of ``problems.Reason``.
        tag: The element's tag, 0 for the whole data set.
    """

    instance: int
    row: int
    reason: str
    tag: int = 0


@dataclass(frozen=True, slots=True)
class ElementTable:
    """A batch of SOP instances, one row a data element.

    Attributes:
        arena: Bytes that ``offset`` counts in; uint8, shape (bytes,).
        instances: Number of SOP instances.
        instance: Ordinal of the instance; int32, shape (elements,), ascending.
        item: Row in ``item_sequence`` of the item that holds the element, ``ROOT`` for none; int32.
        tag: ``group << 16 | element``; uint32.
        stored_vr: Number in ``VR_CODES`` of the VR in the stream, 0 in implicit VR; uint8.
        vr: Number of the VR the value is read by; uint8.
        offset: Where the value begins in ``arena``; int64. ``ABSENT``, or past the arena's end, for a value of an
            excluded VR that was passed over.
        length: Bytes of the value; of a sequence, of its content; ``UNDEFINED_LENGTH`` for encapsulated Pixel Data.
            A value of an excluded VR need not be in the arena; int64.
        walked: The value was read as a sequence of items; bool.
        item_sequence: Element row of the sequence that an item belongs to; int32, shape (items,), ascending.
        notes: What reading met: repaired characters, shortened Pixel Data.
    """

    arena: npt.NDArray[np.uint8]
    instances: int
    instance: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    tag: npt.NDArray[np.uint32]
    stored_vr: npt.NDArray[np.uint8]
    vr: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    walked: npt.NDArray[np.bool_]
    item_sequence: npt.NDArray[np.int32]
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        """Number of data elements."""
        return len(self.tag)

    def value(self, row: int) -> bytes:
        """The bytes of one value, for explanations; columns are never built this way."""
        start = int(self.offset[row])
        return self.arena[start : start + int(self.length[row])].tobytes()

    def item_numbers(self) -> npt.NDArray[np.int64]:
        """Position of every item in its sequence, from 0; int64, shape (items,)."""
        import numpy as np

        count = len(self.item_sequence)
        if not count:
            return np.zeros(0, np.int64)
        first = np.flatnonzero(np.diff(self.item_sequence, prepend=-1))
        return np.arange(count) - np.repeat(first, np.diff(first, append=count))
