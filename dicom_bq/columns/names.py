"""PN to records of three groups with five components each (PS3.5 6.2.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq.columns.flat import Flat, per_element, reasons
from dicom_bq.mapping import NAME_COMPONENTS, NAME_GROUPS
from dicom_bq.problems import Reason


def decode_names(values: pa.StringArray, counts: npt.NDArray[np.int64]) -> Flat:
    """Person names to structs.

    Args:
        values: Trimmed names of all elements.
        counts: Names of each element.
    """
    if not pc.any(pc.match_substring(values, "=")).as_py():  # nearly every name: one group, nothing to split
        groups, group_counts = values, np.ones(len(values), np.int64)
    else:
        groups, group_counts = _parts(values, "=")
    bad = group_counts > len(NAME_GROUPS)
    bad |= pc.equal(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)  # one of several is empty
    records = []
    for number in range(min(int(group_counts.max(initial=1)), len(NAME_GROUPS))):
        record, overflow = _group(_nth(groups, group_counts, number))
        bad |= overflow
        records.append(record)
    records += [pa.nulls(len(values), records[0].type)] * (len(NAME_GROUPS) - len(records))
    names = pa.StructArray.from_arrays(records, names=list(NAME_GROUPS))
    return Flat(names, counts, reasons(len(counts), (Reason.NOT_PARSEABLE, per_element(bad, counts))))


def _group(values: pa.StringArray) -> tuple[pa.StructArray, npt.NDArray[np.bool_]]:
    """One component group of every name; null where it is absent or empty."""
    components, counts = _parts(values, "^")
    leaves = [_nth(components, counts, number) for number in range(len(NAME_COMPONENTS))]
    absent = pc.is_null(_or_null(values))
    return pa.StructArray.from_arrays(leaves, names=list(NAME_COMPONENTS), mask=absent), counts > len(NAME_COMPONENTS)


def _parts(values: pa.StringArray, delimiter: str) -> tuple[pa.StringArray, npt.NDArray[np.int64]]:
    """All parts of all values; number of parts of each, 0 for null."""
    lists = pc.split_pattern(values, delimiter)
    counts = pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
    return lists.flatten(), counts


def _nth(parts: pa.StringArray, counts: npt.NDArray[np.int64], number: int) -> pa.StringArray:
    """Part ``number`` of every value, trimmed; null where there is none or it is blank."""
    starts = np.cumsum(counts) - counts
    index = pa.array(starts + number, mask=counts <= number)
    return _or_null(pc.utf8_trim(pc.take(parts, index), characters=" "))


def _or_null(values: pa.StringArray) -> pa.StringArray:
    """Null instead of empty text."""
    empty = pc.equal(pc.binary_length(values), 0)
    return pc.if_else(empty, pa.scalar(None, pa.string()), values)
