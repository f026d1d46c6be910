"""An export that goes on by itself, after the command that started it has ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.operations.store import LOG, Store

LONGEST_WAIT = 10.0
"""Seconds that a process has for its checks before it is left alone."""
EVERY = 0.02
"""Seconds between two looks at its record."""
OPTION = "--async"
"""What the command line has, and that of the process must not have."""


def start(arguments: Sequence[str], identifier: str) -> int | None:
    """Run a command line in a process of its own, in a session of its own, and see it begin to read.

    Args:
        arguments: A command and what follows it, ``--async`` included.
        identifier: Of the operation.

    Returns:
        None while it runs, or once it has done what it was to do; else the exit code with which it ended: what it
        has to say is in ``said``.

    Raises:
        DestinationError: There can be no record of it.
    """
    store = Store.of_user()
    command, *rest = without_option(arguments)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        store.make()
        with store.path(identifier, LOG).open("xb") as log:
            process = subprocess.Popen(  # noqa: S603 (this program)
                [sys.executable, "-P", "-m", "dicom_bq", command, "--operation-id", identifier, *rest],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
    except FileExistsError:
        raise UsageError(reason=f"there is an operation {identifier} already; choose another ID") from None
    except OSError as error:
        advice = "Set XDG_STATE_HOME to a directory that can be written, or export without --async"
        reason = f"no record can be kept here: {error.strerror}"
        raise DestinationError(destination=str(store.directory), reason=reason, advice=advice) from error
    return _begun(process, store, identifier)


def said(identifier: str) -> str:
    """What a process has said, and no longer needs to: a record of it is not there."""
    store = Store.of_user()
    text = store.path(identifier, LOG).read_text(encoding="utf-8", errors="backslashreplace")
    if not store.path(identifier).exists():
        store.remove(identifier)
    return text


def without_option(arguments: Sequence[str]) -> list[str]:
    """A command line without ``--async``; after ``--`` there are no options."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [word for place, word in enumerate(arguments) if word != OPTION or place > end]


def _begun(process: subprocess.Popen[bytes], store: Store, identifier: str) -> int | None:
    until = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < until:
        code = process.poll()
        if code is not None:
            return code if code > 1 or code < 0 else None
        with contextlib.suppress(UsageError):  # it has been refused, and has taken its record away
            if store.path(identifier).exists() and store.read(identifier).state == "RUNNING":
                break
        time.sleep(EVERY)
    process.returncode = 0  # it is not ours to wait for
    return None
