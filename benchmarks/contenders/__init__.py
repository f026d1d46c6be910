"""One file a contender, all with the same three names, each run in a process of its own.

* ``TITLE``: what it is and what it makes, for the table;
* ``prepare(options)``: imports and everything else that is done once, outside the time taken;
* ``run(paths)``: the work itself, over all files, into an `Outcome`.

``prepare`` raises `NotInstalledError` where the package or program is absent; it is then left out,
with a line saying so.
"""

from __future__ import annotations

import atexit
import importlib
import pkgutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast


class NotInstalledError(Exception):
    """A contender's package or program is not installed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run made.

    Attributes:
        rows: Instances read.
        content: The rows as Arrow batches, or the path of what was written; None of a mere reader.
        facts: Anything worth a place in the results, such as the number of values read.
    """

    rows: int
    content: object = None
    facts: dict[str, object] = field(default_factory=dict)


class Contender(Protocol):
    """What a module in this package looks like."""

    TITLE: str

    def prepare(self, options: Mapping[str, object]) -> None:
        """Does what is done once."""

    def run(self, paths: Sequence[str]) -> Outcome:
        """Does the work."""


def names() -> list[str]:
    """All contenders, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))


def load(name: str) -> Contender:
    """The contender in file `name`.py.

    Raises:
        ModuleNotFoundError: no such file.
    """
    return cast("Contender", importlib.import_module(f"{__name__}.{name}"))


def temporary_directory() -> Path:
    """A directory that is there until the process ends."""
    directory = tempfile.TemporaryDirectory(prefix="dicom-bq-benchmark.")
    atexit.register(directory.cleanup)
    return Path(directory.name)


def package(name: str, install: str) -> object:
    """Imports a package that is no dependency of ours.

    Raises:
        NotInstalledError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"not installed; `pip install {install}` to include it"
        raise NotInstalledError(message) from error
