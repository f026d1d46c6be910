"""Settings of a process that is this program's own, so that it takes little memory, and little time to get it.

Measured on 100,000 files, batches of 1,000, one process: with the C library's own settings 290 MiB; with blocks over
2 MiB given back when they are free, and all that is free after each batch, 176 MiB and 21.0 s; with the sizes below 187
MiB and 16.1 s. To get the same pages from the system again for every batch takes longer than to write the table. (The
same tree each time; batches and row groups take less by now.)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

LARGE = 6 << 20
"""Bytes; blocks that are larger are given back to the system as soon as they are free. Smaller ones cost time."""
FREE = 64 << 20
"""Bytes at the end of the heap that stay with the process when they are free: more than a batch of files takes."""
ARENAS = 8
"""Heaps, as many as there may be threads: with one for all, two that encode Parquet wait for each other, and take as
long as one and a half; with one each, as long as one."""
_OWN = "MALLOC_MMAP_THRESHOLD_"
"""Is so much in a process that is this program's own."""
ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    _OWN: str(LARGE),
    "MALLOC_TRIM_THRESHOLD_": str(FREE),
    "MALLOC_ARENA_MAX": str(ARENAS),
    "OPENBLAS_NUM_THREADS": "1",
}
"""The same for a process that is yet to be started. Nothing here is linear algebra, whose threads wait by turning."""
UNWANTED = {
    "pandas": "",
    "requests": "google",
    **dict.fromkeys(("gdcm", "jpeg_ls", "libjpeg", "openjpeg", "PIL", "pylibjpeg", "rle"), ""),
}
"""Packages that pyarrow and pydicom import where they are installed, and the one that has a use for them, if any.

pandas, to see whether an array is one of its, 0.2 s and 40 MiB; requests, to download test files, 0.05 s and 4 MiB;
and decoders of Pixel Data, which nothing here looks at: gdcm alone 0.05 s and 17 MiB.
"""
_MALLOC = {-3: LARGE, -1: FREE, -8: ARENAS}
"""M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX of mallopt(3)."""


class _Absent:
    """Finder of modules that are not to be found. Cython would take a None in sys.modules for the module."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Raise what an import raises where a package is not installed."""
        if name in UNWANTED and UNWANTED[name] not in sys.modules:
            message = f"{name} is not wanted here"
            raise ModuleNotFoundError(message, name=name)


def do_without() -> None:
    """Let what is unwanted count as not installed in this process, from now on."""
    sys.meta_path.insert(0, _Absent())


def settle() -> None:
    """Settle it, before pyarrow is imported."""
    do_without()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(AttributeError):  # of another C library than glibc
        for parameter, size in _MALLOC.items():
            ctypes.CDLL(None).mallopt(parameter, size)


def release() -> None:
    """Give what is free back to the system, before something that takes memory in another way.

    Arrow's part in every process; all of it in one that is this program's own.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if os.environ.get(_OWN) == ENVIRONMENT[_OWN]:
        with contextlib.suppress(AttributeError):  # of another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
