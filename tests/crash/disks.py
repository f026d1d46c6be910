"""A file system of the matrix, whose room can be taken away and given back."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOM = 1 << 30
"""Bytes; more than any run of the matrix takes."""
LEAST_ROOM = 1 << 14
"""Bytes in which something can begin."""


@contextlib.contextmanager
def disk(place: Path, mounted: bool) -> Iterator[None]:
    """A directory, for the time of a ``with`` a file system of its own in memory if it is to be ``mounted``."""
    place.mkdir(exist_ok=True)
    if not mounted:
        yield
        return
    _mount("-t", "tmpfs", "-o", f"size={ROOM}", "none", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def can_be_mounted(place: Path) -> bool:
    """Whether this user may mount file systems."""
    try:
        with disk(place, mounted=True):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def resize(place: Path, size: int) -> None:
    """Give a mounted file system so many bytes."""
    _mount("-o", f"remount,size={size}", str(place))


def taken(place: Path) -> int:
    """Bytes that the files in a directory take on disk, each rounded up to pages."""
    return sum(_size(folder, name) for folder, _, names in os.walk(place) for name in names)


def _size(folder: str, name: str) -> int:
    try:
        return -(-Path(folder, name).stat().st_size // 4096) * 4096
    except FileNotFoundError:
        return 0


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
