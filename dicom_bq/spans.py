"""Spans: many stretches of one arena, looked at in one pass over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

LARGEST_ARENA = (1 << 31) - 1
"""Bytes that 32-bit offsets reach."""


def overlapping(arena: npt.NDArray[np.uint8], kind: str) -> npt.NDArray[Any]:
    """The number of a type that begins at every position of an arena, aligned or not, without a copy."""
    count = len(arena) - np.dtype(kind).itemsize + 1
    return np.ndarray((max(count, 0),), kind, buffer=arena.data, strides=(1,))


def run_starts(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where each run of equal values begins; shape (runs,)."""
    starts = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.append(0, starts) if len(values) else starts


def ranges(starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All of ``start, start + 1 ... start + count - 1``, for each start in turn."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


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


def overlay(arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> pa.Array:
    """Strings over an arena without a copy: value ``n`` is string ``2 n``, what lies between two values is odd.

    Args:
        arena: All bytes; those of the values are UTF-8, or are only compared.
        start: First byte of each value, ascending.
        end: Byte after each value.
    """
    wide = len(arena) > LARGEST_ARENA
    offsets = np.zeros(2 * len(start) + 1, np.int64 if wide else np.int32)
    offsets[0:-1:2], offsets[1::2] = start, end
    offsets[-1] = end[-1] if len(end) else 0
    kind = pa.large_binary() if wide else pa.binary()
    return pa.Array.from_buffers(kind, 2 * len(start), [None, pa.py_buffer(offsets), pa.py_buffer(arena)])


def gather(arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], length: npt.NDArray[np.int64]) -> pa.BinaryArray:
    """Many values copied together, in the order given.

    Args:
        arena: All bytes.
        start: First byte of each value, in any order.
        length: Bytes of each value.
    """
    place = np.arange(0, 2 * len(start), 2)
    end = start + length
    if np.any(start[1:] < start[:-1]):
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
        place[order] = np.arange(0, 2 * len(order), 2)
    return overlay(arena, start, end).take(pa.array(place))


def contents(values: pa.BinaryArray) -> npt.NDArray[np.uint8]:
    """The bytes of all values of an array that ``gather`` made, one after the other."""
    data = values.buffers()[2]
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)


def distinct_values(
    arena: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """The different values among many, and which of them each one is; arguments as of ``gather``."""
    codes = gather(arena, start, length).dictionary_encode()
    return codes.dictionary.to_pylist(), codes.indices.to_numpy().astype(np.int64)
