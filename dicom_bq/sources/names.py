"""Names of files as text."""

from __future__ import annotations


def printable(uri: str) -> str:
    r"""A URI as text that any output can hold: bytes that are not UTF-8 become ``\xNN``.

    >>> import os
    >>> printable(os.fsdecode(b"CT\xff.dcm"))
    'CT\\xff.dcm'
    """
    return uri.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
