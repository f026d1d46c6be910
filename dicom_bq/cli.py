"""The command line: what is common to all commands. Each command is a module of ``dicom_bq.commands``."""

from __future__ import annotations

import contextlib
import logging
import signal
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click

from dicom_bq.commands.export import export
from dicom_bq.commands.filter import filter_command
from dicom_bq.commands.inspect import inspect
from dicom_bq.commands.rules import rules
from dicom_bq.commands.schema import schema
from dicom_bq.commands.view import view
from dicom_bq.errors import (
    DestinationError,
    DicomBqError,
    MissingDependencyError,
    ScanError,
    SchemaError,
    SchemaLimitError,
    UsageError,
    WorkerError,
    how_to_go_on,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILED, USAGE, DESTINATION, BUG, INTERRUPTED, TERMINATED = 1, 2, 3, 70, 130, 143
"""Exit codes; the last three are sysexits.h's EX_SOFTWARE and the shell's 128 + signal."""

UNHARMED = "nothing is half written"

EXIT_CODES: Mapping[type[DicomBqError], int] = {
    DestinationError: DESTINATION,
    MissingDependencyError: DESTINATION,
    SchemaLimitError: DESTINATION,
    UsageError: USAGE,
    SchemaError: USAGE,
    ScanError: FAILED,
    WorkerError: BUG,
}
"""By class of error; the first that fits."""


class _TerminatedError(BaseException):
    """SIGTERM came."""


def _version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from dicom_bq import __version__

        click.echo(f"dicom-bq {__version__}")
        context.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 everything was exported, 1 some files failed (or schemas differ), 2 usage, "
    "3 the destination refused.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def dicom_bq() -> None:
    """DICOM metadata as typed, nested tables in BigQuery, DuckDB or Parquet.

    The columns are those that the Cloud Healthcare API's export to BigQuery makes. Data is written to stdout,
    everything else to stderr.

    \b
    Examples:
      dicom-bq export archive/ archive.duckdb
      dicom-bq schema archive/ > schema.json
      dicom-bq inspect archive/CT1.dcm
      dicom-bq rules PatientName
    """  # noqa: D301 (click reads the \b: keep these lines as they are)


for _command in (export, filter_command, inspect, rules, schema, view):
    dicom_bq.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    try:
        with _own_process():
            result = dicom_bq.main(arguments, prog_name="dicom-bq", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        return _complain(f"interrupted; {UNHARMED}", INTERRUPTED, error)
    except _TerminatedError as error:
        return _complain(f"terminated; {UNHARMED}", TERMINATED, error)
    except DicomBqError as error:
        return _complain(str(error), _exit_code(error), error)
    except Exception as error:  # the last place where a bug can be told without a patient's data
        return _complain(_without_values(error), BUG)
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _own_process() -> Iterator[None]:
    """What a program may settle and a library may not: signals, and what other packages have to say.

    pydicom warns of values, and quotes them.
    """
    logging.getLogger("pydicom").addHandler(logging.NullHandler())
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """End as an exception would, so that everything half-written is taken away."""
    raise _TerminatedError


def _complain(message: str, code: int, error: BaseException | None = None) -> int:
    click.echo(f"dicom-bq: {message}", err=True)
    if advice := how_to_go_on(error):
        click.echo(advice, err=True)
    return code


def _exit_code(error: DicomBqError) -> int:
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)


def _without_values(error: Exception) -> str:
    """Where a bug is, without the exception's own text, which may quote what it was working on."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return (
        f"a bug: {type(error).__name__}. Nothing is half written. Please report it with these lines, "
        f"which hold no patient data:\n{frames}"
    ).rstrip()
