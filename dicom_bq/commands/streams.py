"""Stdin, stdout and stderr that are closed, or that nobody hears.

A result that cannot be printed is an error. What is said on stderr is no result: that nobody hears it fails nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click

from dicom_bq.errors import UsageError


class Closed(io.StringIO):
    """In the place of stdin or stdout, where that is closed: to use it is an error.

    Args:
        name: Of the stream.
        advice: What to do.
    """

    def __init__(self, name: str, advice: str) -> None:
        super().__init__()
        self._reason = f"{name} is closed: {advice}"

    def _refuse(self, *_: object) -> NoReturn:
        raise UsageError(reason=self._reason)

    read = readline = write = fileno = __next__ = _refuse
    buffer = property(_refuse)


def settle() -> None:
    """Have something in the place of each standard stream that is closed.

    Else the next file that is opened gets its number, and whatever a library says there goes into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the system gives the lowest number: this one
    # Python has None for a stream that was closed when it started.
    sys.stdin = sys.stdin or Closed("stdin", "redirect it (< FILE), or leave out the - that stands for it")
    sys.stdout = sys.stdout or Closed("stdout", "redirect it (> FILE), since the result is printed there")
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (never closed)


@contextlib.contextmanager
def heard_or_not() -> Iterator[None]:
    """Let something be said on stderr; from the first time on that nobody can hear it, it is said to nobody."""
    try:
        yield
    except (OSError, ValueError):  # a pipe that nobody reads, a full disk; or it was closed
        with contextlib.suppress(OSError, ValueError):
            _silence(sys.stderr.fileno())


def to_stderr(text: str, *, nl: bool = True) -> None:
    """Say something on stderr, if it can be heard."""
    with heard_or_not():
        click.echo(text, err=True, nl=nl)


def _silence(number: int) -> None:
    """Let go nowhere what is written, or waits to be: Python would fail over that when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
