"""Text values of a whole batch: where they really begin and end, and many of them at once as an Arrow array.

No value is copied to be trimmed, and none becomes a Python object: their ends are moved, for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq.columns.facts import Trim
from dicom_bq.elements import ElementTable
from dicom_bq.spans import contents, gather

SPACE, NUL = 0x20, 0x00
ROUNDS = 32
"""Padding bytes that are removed for all values at once; longer padding is removed value by value."""


@dataclass(frozen=True, slots=True)
class Texts:
    """All text values of a batch, trimmed as PS3.5 6.2 says for their VR.

    Attributes:
        values: All of them, as UTF-8 bytes.
        place: Number in ``values`` of each element row that is text; int64, shape (elements,).
        length: Bytes of each element's trimmed text, 0 where it is blank; int64.
        repaired: Rows that had a NUL inside.
    """

    values: pa.BinaryArray
    place: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    repaired: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.int64]) -> pa.StringArray:
        """The text of some elements, in the order asked for."""
        taken = pc.take(self.values, pa.array(self.place.take(rows)))
        narrow = taken if taken.type == pa.binary() else taken.cast(pa.binary())
        return narrow.view(pa.string())


def read_texts(table: ElementTable, rows: npt.NDArray[np.int64], trim: npt.NDArray[np.uint8]) -> Texts:
    """Find the trimmed text of elements.

    Args:
        table: The batch.
        rows: Elements whose value is text.
        trim: A ``Trim`` for each of them.
    """
    start = table.offset.take(rows)
    end = start + table.length.take(rows)
    _trim_end(table.arena, start, end)
    leading = np.flatnonzero(trim == Trim.BOTH)
    begin = start[leading]
    _trim_start(table.arena, begin, end[leading])
    start[leading] = begin
    size = end - start
    values = gather(table.arena, start, size)
    repaired = np.zeros(0, np.int64)
    if contents(values).min(initial=SPACE) == NUL:
        values, holding = _without_nuls(values, trim)
        repaired, size = rows[holding], pc.binary_length(values).to_numpy()
    place, length = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    place[rows] = np.arange(len(rows))
    length[rows] = size
    return Texts(values, place, length, repaired)


def _is_padding(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    padding: npt.NDArray[np.bool_] = (values == SPACE) | (values == NUL)
    return padding


def _trim_end(arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> None:
    """Move ``end`` before trailing spaces and NULs, in place."""
    live = np.flatnonzero(end > start)
    for _ in range(ROUNDS):
        live = live[np.flatnonzero(_is_padding(arena.take(end.take(live) - 1)))]
        if not len(live):
            return
        end[live] -= 1
        live = live[np.flatnonzero(end[live] > start[live])]
    for number in live.tolist():
        end[number] = start[number] + len(arena[start[number] : end[number]].tobytes().rstrip(b" \0"))


def _trim_start(arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> None:
    """Move ``start`` past leading spaces, in place."""
    live = np.flatnonzero(end > start)
    for _ in range(ROUNDS):
        live = live[np.flatnonzero(arena[start[live]] == SPACE)]
        if not len(live):
            return
        start[live] += 1
        live = live[np.flatnonzero(end[live] > start[live])]
    for number in live.tolist():
        start[number] = end[number] - len(arena[start[number] : end[number]].tobytes().lstrip(b" "))


def _without_nuls(values: pa.BinaryArray, trim: npt.NDArray[np.uint8]) -> tuple[pa.BinaryArray, npt.NDArray[np.bool_]]:
    """Texts less the NULs inside them, and which had any. Rare, so value by value."""
    holding = pc.match_substring(values, "\0").to_numpy(zero_copy_only=False)
    texts = values.to_pylist()
    for number in np.flatnonzero(holding).tolist():
        text = texts[number].replace(b"\0", b"")
        texts[number] = text.strip(b" ") if trim[number] == Trim.BOTH else text.rstrip(b" ")
    return pa.array(texts, values.type), holding


def split(values: pa.StringArray, trim_both: bool) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """Split texts at backslashes (PS3.5 6.4) and trim the components.

    Args:
        values: Whole values, their trailing spaces removed.
        trim_both: Remove leading spaces of components, not trailing ones alone.

    Returns:
        All components, one value's after the other's; number of components of each value.
    """
    lists = pc.split_pattern(values, "\\")
    counts = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    parts, text = lists.flatten(), contents(values).tobytes()
    if b" \\" in text:
        parts = pc.utf8_rtrim(parts, characters=" ")
    if trim_both and pc.any(pc.starts_with(parts, " ")).as_py():
        parts = pc.utf8_ltrim(parts, characters=" ")
    return parts, counts
