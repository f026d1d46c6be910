"""A smaller input that shows the same: fewer elements, then fewer bytes, as long as time allows."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.fuzz.tree import parse, walk, write

SECONDS = 5.0


def minimised(data: bytes, shows: Callable[[bytes], bool]) -> bytes:
    """The smallest input found, at most ``data``."""
    until = time.monotonic() + SECONDS
    data = _fewer_elements(data, shows, until)
    size = max(len(data) // 2, 1)
    while size and time.monotonic() < until:
        data = _without_pieces(data, size, shows, until)
        size //= 2
    return data


def _fewer_elements(data: bytes, shows: Callable[[bytes], bool], until: float) -> bytes:
    number = 0
    while time.monotonic() < until:
        file = parse(data)
        places = [*walk(file.meta), *walk(file.data)]
        if number >= len(places):
            break
        nodes, place = places[number]
        del nodes[place]
        less = write(file)
        if len(less) < len(data) and shows(less):
            data = less
        else:
            number += 1
    return data


def _without_pieces(data: bytes, size: int, shows: Callable[[bytes], bool], until: float) -> bytes:
    at = 0
    while at < len(data) and time.monotonic() < until:
        less = data[:at] + data[at + size :]
        if shows(less):
            data = less
        else:
            at += size
    return data
