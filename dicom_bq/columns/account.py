"""Problems of a batch: elements that are not simply in their column, counted by reason and path, never valued."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dicom_bq.column import OTHER_ELEMENTS_KEY, PRIVATE_KEY
from dicom_bq.columns.dropped import element_name
from dicom_bq.columns.paths import NO_NODE, Paths
from dicom_bq.elements import VR_CODES, ElementTable
from dicom_bq.mapping import format_tag
from dicom_bq.problems import Problem, Problems, Reason


def count_problems(
    table: ElementTable, paths: Paths, repairs: Iterable[tuple[npt.NDArray[np.int64], Reason]]
) -> Problems:
    """Count what the places, the repairs and the table's notes say.

    Args:
        table: The batch.
        paths: Places and reasons.
        repairs: Rows repaired, by reason.
    """
    problems = Problems()
    reasons = tuple(Reason)
    rows = np.flatnonzero(paths.reason)
    for number in np.unique(paths.reason[rows]).tolist():
        _count(problems, table, paths, rows[paths.reason[rows] == number], reasons[number - 1])
    for repaired, reason in repairs:
        _count(problems, table, paths, repaired, reason)
    for note in table.notes:
        if note.row >= 0:
            _count(problems, table, paths, np.array([note.row]), Reason(note.reason))
        else:
            problems.add(Problem(Reason(note.reason), "", "", ""))
    return problems


def _count(problems: Problems, table: ElementTable, paths: Paths, rows: npt.NDArray[np.int64], reason: Reason) -> None:
    """Count elements of one reason by container column, tag and VR."""
    if not len(rows):
        return
    packed = (paths.container_node[rows].astype(np.int64) + 1) << 40 | table.tag[rows].astype(np.int64) << 8
    distinct, counts = np.unique(packed | table.vr[rows], return_counts=True)
    for code, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        node, tag, vr = (code >> 40) - 1, code >> 8 & 0xFFFFFFFF, VR_CODES[code & 0xFF]
        problems.add(Problem(reason, path_text(paths, node, tag), format_tag(tag), vr), count)


def path_text(paths: Paths, container: int, tag: int) -> str:
    """``A.B`` of an element in a container's column; only its own name where the container is not reached."""
    keys = paths.path(container) if container != NO_NODE else ()
    return ".".join(
        [*(element_name(key % PRIVATE_KEY) for key in keys if key != OTHER_ELEMENTS_KEY), element_name(tag)]
    )
