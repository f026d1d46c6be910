"""Flat: the decoded values of many elements, before they are laid into columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dicom_bq.columns.kinds import REASON_NUMBER
from dicom_bq.problems import Reason


@dataclass(frozen=True, slots=True)
class Flat:
    """Values of elements, one element's after the other's.

    Attributes:
        values: All values.
        counts: Values of each element; int64, shape (elements,).
        reason: Why an element's values do not fit, 0 where they do; numbers of ``kinds.REASON_NUMBER``; uint8.
        repairs: Elements (positions, not rows) repaired, by reason.
    """

    values: pa.Array
    counts: npt.NDArray[np.int64]
    reason: npt.NDArray[np.uint8]
    repairs: tuple[tuple[Reason, npt.NDArray[np.int64]], ...] = ()


def per_element(flags: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether any of each element's values is flagged.

    Args:
        flags: One a value.
        counts: Values of each element.
    """
    ends = np.cumsum(counts)
    total = np.append(0, np.cumsum(flags))
    result: npt.NDArray[np.bool_] = total[ends] > total[ends - counts]
    return result


def reasons(count: int, *flagged: tuple[Reason, npt.NDArray[np.bool_]]) -> npt.NDArray[np.uint8]:
    """Reason numbers of ``count`` elements; of several flags the first counts."""
    result = np.zeros(count, np.uint8)
    for reason, flags in reversed(flagged):
        result[flags] = REASON_NUMBER[reason]
    return result
