"""Rows: the growing arrays that a walker appends to, one entry a data element or item.

Not yet an ElementTable: private VRs, character sets, byte order and sequences inside UN values are still to be
settled, which ``normalise`` does for a whole batch at once.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from dicom_bq.elements import Note


@dataclass(frozen=True, slots=True)
class Form:
    """How data elements are encoded (PS3.5 7.1, A.1 to A.3).

    Attributes:
        implicit: No VR in the stream.
        big_endian: Most significant byte first (retired).
    """

    implicit: bool
    big_endian: bool = False


IMPLICIT_LITTLE = Form(implicit=True)
EXPLICIT_LITTLE = Form(implicit=False)
EXPLICIT_BIG = Form(implicit=False, big_endian=True)


@dataclass(frozen=True, slots=True)
class Mark:
    """A state of Rows to go back to when a file turns out to be unreadable."""

    elements: int
    items: int
    walked: int
    notes: int
    swaps: int
    pending: int
    decoded: int


@dataclass(slots=True)
class Rows:
    """Elements and items of a batch in document order; attributes as in ElementTable.

    Attributes:
        item: Item that holds the element.
        tag: Tag.
        stored_vr: VR number, 0 for none.
        offset: Value offset in the batch's arena.
        length: Value length in bytes.
        item_sequence: Element row of the sequence, one entry an item.
        walked: Element rows that were read as sequences.
        counts: Elements of each finished instance.
        notes: What was met.
        swaps: ``(first row, end row)`` of elements stored big endian.
        pending: ``(row, form)`` of sequences whose bytes are still to be walked.
        decoded: Rows whose text is UTF-8 already.
    """

    item: array[int] = field(default_factory=lambda: array("i"))
    tag: array[int] = field(default_factory=lambda: array("I"))
    stored_vr: array[int] = field(default_factory=lambda: array("B"))
    offset: array[int] = field(default_factory=lambda: array("q"))
    length: array[int] = field(default_factory=lambda: array("q"))
    item_sequence: array[int] = field(default_factory=lambda: array("i"))
    walked: array[int] = field(default_factory=lambda: array("i"))
    counts: list[int] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    swaps: list[tuple[int, int]] = field(default_factory=list)
    pending: list[tuple[int, Form]] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of elements so far."""
        return len(self.tag)

    def append(self, item: int, tag: int, vr: int, offset: int, length: int) -> int:
        """Add one element and return its row."""
        self.item.append(item)
        self.tag.append(tag)
        self.stored_vr.append(vr)
        self.offset.append(offset)
        self.length.append(length)
        return len(self.tag) - 1

    def mark(self) -> Mark:
        """The present state."""
        return Mark(
            len(self.tag),
            len(self.item_sequence),
            len(self.walked),
            len(self.notes),
            len(self.swaps),
            len(self.pending),
            len(self.decoded),
        )

    def rollback(self, mark: Mark) -> None:
        """Forget everything added since ``mark``."""
        for column in (self.item, self.tag, self.stored_vr, self.offset, self.length):
            del column[mark.elements :]
        del self.item_sequence[mark.items :]
        del self.walked[mark.walked :]
        del self.notes[mark.notes :]
        del self.swaps[mark.swaps :]
        del self.pending[mark.pending :]
        del self.decoded[mark.decoded :]

    def finish_instance(self, mark: Mark) -> None:
        """Close the instance that began at ``mark``."""
        self.counts.append(len(self.tag) - mark.elements)
