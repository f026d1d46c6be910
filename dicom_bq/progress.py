"""How far a job is: what it tells whoever watches it. Nothing here knows how that is shown or kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from dicom_bq.scan.outcome import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How far a job is.

    Attributes:
        found: Files that have been read, or could not be, or are no instances.
        exported: Those that have become a row.
        failed: Those that should have and could not.
        listed: Files that the sources stand for, so far as is known; at least ``found``.
        listing_done: Whether that is all of them.
        written: Rows that the destination has taken.
        failures: Files that failed since this was last told.
    """

    found: int = 0
    exported: int = 0
    failed: int = 0
    listed: int = 0
    listing_done: bool = False
    written: int = 0
    failures: Sequence[Failure] = ()

    @property
    def is_read(self) -> bool:
        """Whether all files have been read, so that what is left is writing."""
        return self.listing_done and self.found >= self.listed


Progress: TypeAlias = Callable[[Progressed], object]
"""Called now and then, with each failure in one of the calls. What it raises ends the job."""


def silent(_now: Progressed) -> None:
    """Progress that nobody watches."""


class Watched:
    """Passes on what reading tells, and adds what is written.

    Args:
        watchers: Are told, in this order.
    """

    def __init__(self, *watchers: Progress) -> None:
        self._watchers = watchers
        self._now = Progressed()

    def __call__(self, now: Progressed) -> None:
        """Reading has come so far."""
        self._tell(replace(now, written=self._now.written))

    def rows(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches; each is written once the next is asked for."""
        for batch in batches:
            rows, held = batch.num_rows, [batch]
            del batch  # it is not kept longer than it is wanted
            yield held.pop()
            self._tell(replace(self._now, written=self._now.written + rows, failures=()))

    def _tell(self, now: Progressed) -> None:
        self._now = now
        for watcher in self._watchers:
            watcher(now)
