"""Results that are kept for values which come again and again: names and institutions, in batch after batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

R = TypeVar("R")
MOST, LONGEST = 1 << 14, 256
"""Values that are kept, and their length: long ones hardly ever come again. A name has three groups of 64 at most
(PS3.5 6.2)."""


def remembered(function: Callable[..., R]) -> Callable[..., R]:
    """The function, asked once for each of the last values that are not long; the first argument is the value."""
    known = lru_cache(MOST)(function)

    @wraps(function)
    def look_up(value: str | bytes, *others: object) -> R:
        return (known if len(value) <= LONGEST else function)(value, *others)

    return look_up
