"""Names of files as text."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0, DEL and C1, line and paragraph separators, and what turns the direction of text round (Unicode TR 9, 2)."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def has_scheme(text: str) -> bool:
    """Whether a text is the URI of something that is no path here, as ``gs://bucket/name`` is."""
    return _SCHEME.match(text) is not None


def as_text(uri: str) -> str:
    r"""A URI as data that any output can hold, rows and JSON: bytes that are not UTF-8 become ``\xNN``.

    >>> import os
    >>> as_text(os.fsdecode(b"CT\xff.dcm"))
    'CT\\xff.dcm'
    """
    return uri.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(uri: str) -> str:
    r"""A URI as text for people, on one line: what would move the cursor, or what stands beside it, is escaped too.

    >>> printable("CT\n200 exported.dcm")
    'CT\\n200 exported.dcm'
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), as_text(uri))
