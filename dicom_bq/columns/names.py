"""PN to records of three groups with five components each (PS3.5 6.2.1).

Names repeat in a series: each is taken apart once, and every element looks up the parts of its own.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dicom_bq.columns.flat import Flat, per_element, reasons
from dicom_bq.mapping import NAME_COMPONENTS, NAME_GROUPS
from dicom_bq.problems import Reason
from dicom_bq.remembered import remembered

Group: TypeAlias = tuple[str | None, ...]
"""Components, as many as there are names for them; None for those without text."""

GROUP_TYPE = pa.struct([(name, pa.string()) for name in NAME_COMPONENTS])
NO_GROUP: Group = (None,) * len(NAME_COMPONENTS)


def decode_names(values: pa.StringArray, counts: npt.NDArray[np.int64]) -> Flat:
    """Person names to structs.

    Args:
        values: Trimmed names of all elements.
        counts: Names of each element.
    """
    codes = values.dictionary_encode()
    taken_apart = [groups_of(text) for text in codes.dictionary.to_pylist()]
    bad = np.array([groups is None for groups in taken_apart], np.bool_).take(codes.indices.to_numpy())
    groups = [
        _spread([groups[number] if groups else None for groups in taken_apart], codes.indices)
        for number in range(len(NAME_GROUPS))
    ]
    names = pa.StructArray.from_arrays(groups, names=list(NAME_GROUPS))
    return Flat(names, counts, reasons(len(counts), (Reason.NOT_PARSEABLE, per_element(bad, counts))))


@remembered
def groups_of(text: str) -> tuple[Group | None, ...] | None:
    """The component groups of a name, None for those that are blank; None for what is no name."""
    groups = tuple(map(_components, text.split("=")))
    if not text or len(groups) > len(NAME_GROUPS) or any(group and len(group) > len(NO_GROUP) for group in groups):
        return None
    return groups + (None,) * (len(NAME_GROUPS) - len(groups))


def _components(group: str) -> Group | None:
    group = group.strip(" ")
    if not group:
        return None
    components = tuple(component.strip(" ") or None for component in group.split("^"))
    return components + NO_GROUP[len(components) :]


def _spread(groups: list[Group | None], indices: pa.Int32Array) -> pa.StructArray:
    """One group of every name, given that of the different ones."""
    if not any(groups):
        return pa.nulls(len(indices), GROUP_TYPE)
    columns = zip(*(group or NO_GROUP for group in groups), strict=True)
    leaves = [_component(column, indices) for column in columns]
    absent = pa.array([group is None for group in groups], pa.bool_())
    return pa.StructArray.from_arrays(leaves, fields=list(GROUP_TYPE), mask=pc.take(absent, indices))


def _component(different: Group, indices: pa.Int32Array) -> pa.StringArray:
    """One component of every name; most names have but two of the five."""
    texts = pa.array(different, pa.string())
    return pc.take(texts, indices) if texts.null_count < len(texts) else pa.nulls(len(indices), pa.string())
