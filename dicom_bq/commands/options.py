"""Options that several commands have, and what they share besides."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dicom_bq.commands.talk import TALK_OPTIONS, current_talk

if TYPE_CHECKING:
    from dicom_bq.report import ReadReport
    from dicom_bq.schema import TableSchema

Command = TypeVar("Command", bound=Callable[..., Any])

READ_OPTIONS = (
    click.option(
        "--schema-type",
        type=click.Choice(["flattened", "json"]),
        default="flattened",
        show_default=True,
        help="A column for each data element, or all of them in one JSON column.",
    ),
    click.option(
        "--numeric-strings",
        type=click.Choice(["text", "typed"]),
        default="text",
        show_default=True,
        help="DS and IS elements: STRING columns as the Healthcare API has them, or FLOAT and INTEGER.",
    ),
    click.option(
        "--include-source-store", is_flag=True, help="Add the column SourceDicomStore: the path of each file."
    ),
    click.option(
        "--max-sequence-bytes",
        type=click.IntRange(min=1),
        metavar="BYTES",
        help="List larger sequences in DroppedTags; 1048576 does as the Healthcare API. Default: no limit.",
    ),
    click.option(
        "--max-header-bytes",
        type=click.IntRange(min=1),
        metavar="BYTES",
        default=256 << 20,
        show_default=True,
        help="A file with a larger header, or a larger data set once inflated, fails.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1, max=64),
        metavar="N",
        help="Processes that read files. Default: the processors that there are.",
    ),
)
"""What ``dicom_bq.read_options.ReadOptions`` has, under the same names."""


def read_options(command: Command) -> Command:
    """Add the options that decide how instances become rows."""
    return _with_options(READ_OPTIONS, command)


def talk_options(command: Command) -> Command:
    """Add the options that decide what is said on stderr."""
    return _with_options(TALK_OPTIONS, command)


def _with_options(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def sources_argument(*, required: bool) -> Callable[[Command], Command]:
    """Add SOURCE..., without any change to the names, which need not be UTF-8."""
    return click.argument("sources", nargs=-1, required=required, metavar="SOURCE...", type=click.UNPROCESSED)


def read_schema(path: str) -> TableSchema:
    """Read a schema file; ``-`` is stdin.

    Raises:
        click.BadParameter: It cannot be read, or is none.
    """
    from dicom_bq.errors import SchemaError
    from dicom_bq.schema import TableSchema

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return TableSchema.from_json(text.removeprefix("\ufeff"))
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}") from error  # noqa: EM102 (click's own form)
    except (SchemaError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, SchemaError) else "is not UTF-8 text"
        raise click.BadParameter(f"{path}: {reason}") from error  # noqa: EM102


def new_file(_context: click.Context, _parameter: click.Parameter, path: str | None) -> str | None:
    """Refuse, before any work is done, a file that could not be written after it."""
    if path is not None and not os.access(Path(path).parent, os.W_OK):
        raise click.BadParameter(f"{path}: the directory does not exist or cannot be written")  # noqa: EM102
    return path


def report_to_stderr(report: ReadReport) -> int:
    """Say the summary and return the exit code."""
    severity = "WARNING" if report.failed else "INFO"
    current_talk().remark(report.summary(), severity=severity, **report.counts())
    return code_of(report)


def code_of(report: ReadReport) -> int:
    """The exit code."""
    return 1 if report.failed else 0
