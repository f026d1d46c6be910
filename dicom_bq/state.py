"""Where this program keeps what is neither data nor configuration, as the XDG Base Directory Specification has it."""

from __future__ import annotations

import os
from pathlib import Path

from dicom_bq.errors import DestinationError

PLACE = "~/.local/state"
"""Without $XDG_STATE_HOME (https://specifications.freedesktop.org/basedir-spec/latest/)."""


def state_directory() -> Path:
    """``$XDG_STATE_HOME/dicom-bq``, in ~/.local/state without the variable.

    Raises:
        DestinationError: This user has no home directory, as may be in a container.
    """
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser(PLACE)  # noqa: PTH111 (never raises)
    if home == PLACE:
        advice = "Set XDG_STATE_HOME to a directory that can be written"
        raise DestinationError(destination=PLACE, reason="this user has no home directory", advice=advice)
    return Path(home).absolute() / "dicom-bq"
