"""Names of what is in a job directory, and how one is known."""

from __future__ import annotations

import os
import re

from dicom_bq.journal import NEW, first_entry

JOURNAL = "journal"
FAILURES, SKIPPED = "failures.jsonl", "skipped.jsonl"
"""URI, code and reason of files, one a line."""
OURS = re.compile(
    rf"rows-(\d+)-\d+|{'|'.join(map(re.escape, (JOURNAL, JOURNAL + NEW, FAILURES, SKIPPED)))}|\.dicom-bq-\w+"
)
"""Names; the last is of what archives inflate to."""
SUFFIX = ".job"
"""Of a job directory, unless the user has chosen another name."""


def is_job(directory: str) -> bool:
    """Whether a directory is that of a job, and nothing but what jobs leave is in it.

    Where the name says no, nothing is asked of the file system: there may be a million directories.
    """
    name = os.path.basename(directory)  # noqa: PTH119
    if not (name.startswith(".") and name.endswith(SUFFIX)):
        return False
    try:
        return all(map(OURS.fullmatch, os.listdir(directory))) and "options" in first_entry(f"{directory}/{JOURNAL}")  # noqa: PTH208
    except OSError:
        return False
