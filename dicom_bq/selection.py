"""Which instances of a batch become rows, decided from their UIDs before any column is built."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from dicom_bq.elements import ROOT, ElementTable, Note
from dicom_bq.scan.outcome import Scanned, Skipped
from dicom_bq.seen import Seen, digest
from dicom_bq.sources.files import printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dicom_bq.sources.filters import Filter, Uids

STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
_LONGEST_UID = 64
"""Bytes (PS3.5 6.2); a longer value is none, and is not held on to."""


class Met(NamedTuple):
    """What a selection has met in some files.

    Attributes:
        matched: Lines of the filter that an instance was of.
        first: URI of the first row of each SOP Instance UID, by the UID's digest.
    """

    matched: set[Uids]
    first: dict[bytes, str]


@dataclass(slots=True)
class Selection:
    """What of the instances that are read is exported. To be used for one pass over them.

    Attributes:
        filter: The instances asked for; None for all.
        deduplicate: Keep the first row of each SOP Instance UID, in the order of URIs; like the Healthcare API's
            import, which ignores an instance that it has. Instances without a UID are all kept.
        seen: Instances of the parts before this one.
    """

    filter: Filter | None = None
    deduplicate: bool = False
    seen: Seen | None = None
    _first: dict[bytes, str] = field(default_factory=dict)

    def __call__(self, scanned: Scanned) -> Scanned:
        """The batch with the selected instances alone; asking twice for the same batch gives the same.

        Returns:
            Duplicates are among the skipped; what the filter leaves out is nowhere.
        """
        import numpy as np

        tags = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID)
        uids = list(zip(*(uids_of(scanned.table, tag) for tag in tags), strict=True))
        chosen = [number for number, uid in enumerate(uids) if self._is_asked_for(uid)]
        duplicates = {number for number in chosen if self._is_duplicate(uids[number][2], scanned.uris[number])}
        keep = np.zeros(scanned.table.instances, np.bool_)
        keep[[number for number in chosen if number not in duplicates]] = True
        return replace(
            scanned,
            table=take(scanned.table, keep),
            uris=tuple(uri for uri, kept in zip(scanned.uris, keep, strict=True) if kept),
            skipped=(*scanned.skipped, *(self._skipped(scanned.uris[n], uids[n][2]) for n in sorted(duplicates))),
        )

    def fresh(self, seen: Seen | None = None) -> Selection:
        """The same choice for one part, nothing met in it yet."""
        return Selection(self.filter and replace(self.filter, matched=set()), self.deduplicate, seen)

    def met(self) -> Met:
        """What it has met."""
        return Met(self.filter.matched if self.filter else set(), self._first)

    def join(self, met: Met) -> bool:
        """Take over what a fresh copy has met in the part that is next.

        Returns:
            False, and nothing is taken over, if one of its rows is of an instance that was met before.
        """
        self.seen = self.seen or Seen()
        if self.seen.has_any(met.first):
            return False
        self.seen.add(met.first)
        if self.filter:
            self.filter.matched.update(met.matched)
        return True

    def unmatched(self) -> tuple[str, ...]:
        """Lines of the filter that no instance was of."""
        return tuple(self.filter.unmatched()) if self.filter else ()

    def _is_asked_for(self, uids: tuple[bytes, bytes, bytes]) -> bool:
        study, series, instance = (uid.decode("ascii", "replace") for uid in uids)
        return self.filter is None or self.filter.accepts(study, series, instance)

    def _is_duplicate(self, uid: bytes, uri: str) -> bool:
        if not self.deduplicate or not uid:
            return False
        key = digest(uid)
        return (self.seen is not None and self.seen.get(key) is not None) or self._first.setdefault(key, uri) != uri

    def _skipped(self, uri: str, uid: bytes) -> Skipped:
        key = digest(uid)
        earlier = (self.seen and self.seen.get(key)) or self._first[key]
        return Skipped(uri, "duplicate", f"same SOP Instance UID as {printable(earlier)}")


def read_filter(path: str) -> Filter:
    """Read a filter file, local or ``gs://BUCKET/OBJECT``.

    Raises:
        UsageError: It cannot be read, or a line is no resource path.
        DestinationError: Cloud Storage refuses.
    """
    from dicom_bq.sources.filters import Filter

    if not path.startswith("gs://"):
        return Filter.read(path)
    from dicom_bq.destinations.bigquery_staging import read_text

    return Filter.parse(read_text(path), path)


def uids_of(table: ElementTable, tag: int) -> list[bytes]:
    """Value of a UID of each instance without padding, b"" where there is none; the last counts, as in a row."""
    import numpy as np

    uids = [b""] * table.instances
    for row in np.flatnonzero((table.tag == tag) & (table.item == ROOT)):
        if not table.walked[row] and table.length[row] <= _LONGEST_UID:
            uids[int(table.instance[row])] = table.value(int(row)).strip(b"\0 ")
    return uids


def take(table: ElementTable, keep: npt.NDArray[np.bool_]) -> ElementTable:
    """Some instances of a batch, in their order; the arena is shared.

    Args:
        table: The batch.
        keep: For each instance; bool, shape (instances,).
    """
    import numpy as np

    if keep.all():
        return table
    rows = keep[table.instance]
    row_after = np.cumsum(rows) - 1
    items = rows[table.item_sequence] if len(table.item_sequence) else np.zeros(0, np.bool_)
    item_after = np.append(np.cumsum(items) - 1, ROOT)  # so that ROOT, which is -1, stays what it is
    instance_after = np.cumsum(keep) - 1
    return replace(
        table,
        instances=int(keep.sum()),
        instance=instance_after[table.instance[rows]].astype(np.int32),
        item=item_after[table.item[rows]].astype(np.int32),
        item_sequence=row_after[table.item_sequence[items]].astype(np.int32),
        notes=tuple(
            Note(
                int(instance_after[note.instance]),
                int(row_after[note.row]) if note.row >= 0 else note.row,
                note.reason,
                note.tag,
            )
            for note in table.notes
            if keep[note.instance]
        ),
        **{name: getattr(table, name)[rows] for name in ("tag", "stored_vr", "vr", "offset", "length", "walked")},
    )
