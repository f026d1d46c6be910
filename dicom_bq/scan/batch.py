"""Batch: what has been read so far, and the way back when a file turns out to be unreadable."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicom_bq.scan.rows import Mark, Rows


@dataclass(slots=True)
class Batch:
    """Rows, and the bytes that their offsets count in.

    Attributes:
        rows: Elements and items.
        chunks: Bytes of the arena, in order.
        size: Their number.
    """

    rows: Rows = field(default_factory=Rows)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0

    def keep(self, data: bytes) -> None:
        """Add bytes to the arena."""
        self.chunks.append(data)
        self.size += len(data)

    def mark(self) -> tuple[Mark, int, int]:
        """The present state."""
        return self.rows.mark(), len(self.chunks), self.size

    def rollback(self, mark: tuple[Mark, int, int]) -> None:
        """Forget everything since ``mark``."""
        self.rows.rollback(mark[0])
        del self.chunks[mark[1] :]
        self.size = mark[2]
