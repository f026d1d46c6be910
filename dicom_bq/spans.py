"""Spans: many stretches of one arena, looked at in one pass over it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def reduce_spans(
    arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], reduce: np.ufunc
) -> npt.NDArray[np.uint8]:
    """Reduce the bytes of each value to one, 255 for an empty value.

    Args:
        arena: All bytes.
        start: First byte of each value, in any order.
        end: Byte after each value.
        reduce: Such as ``np.minimum``.
    """
    result = np.full(len(start), 255, np.uint8)
    filled = np.flatnonzero(end > start)
    filled = filled[np.argsort(start[filled], kind="stable")]
    if len(filled):
        edges = np.empty(2 * len(filled), np.int64)
        edges[0::2], edges[1::2] = start[filled], end[filled]
        if edges[-1] == len(arena):
            edges = edges[:-1]
        result[filled] = reduce.reduceat(arena, edges)[0::2]
    return result
