"""The command line: what is common to all commands. Each command is a module of ``dicom_bq.commands``."""

from __future__ import annotations

import contextlib
import itertools
import logging
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from dicom_bq.commands import streams
from dicom_bq.commands.export import export
from dicom_bq.commands.filter import filter_command
from dicom_bq.commands.inspect import inspect
from dicom_bq.commands.operations import operations
from dicom_bq.commands.rules import rules
from dicom_bq.commands.schema import schema
from dicom_bq.commands.signals import WORDS, Signals
from dicom_bq.commands.talk import Talk
from dicom_bq.commands.view import view
from dicom_bq.errors import (
    CancelledError,
    DestinationError,
    DicomBqError,
    InternalError,
    MissingDependencyError,
    OperationWarning,
    OutOfMemoryError,
    ScanError,
    SchemaError,
    SchemaLimitError,
    UsageError,
    WorkerError,
    is_shortage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILED, USAGE, DESTINATION, BUG, MEMORY, TERMINATED = 1, 2, 3, 70, 71, 128 + signal.SIGTERM
"""Exit codes; the last three are sysexits.h's EX_SOFTWARE and EX_OSERR, and what the shell makes of a signal."""

EXIT_CODES: Mapping[type[DicomBqError], int] = {
    DestinationError: DESTINATION,
    MissingDependencyError: DESTINATION,
    SchemaLimitError: DESTINATION,
    UsageError: USAGE,
    SchemaError: USAGE,
    ScanError: FAILED,
    WorkerError: BUG,
    OutOfMemoryError: MEMORY,
    CancelledError: TERMINATED,
}
"""By class of error; the first that fits."""


def _version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from dicom_bq import __version__

        click.echo(f"dicom-bq {__version__}")
        context.exit()


class _Program(click.Group):
    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's own)
        """Run a command; click would say an empty line for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise SystemExit from error


@click.group(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 everything was exported, 1 some files failed (or schemas differ), 2 usage, "
    "3 the destination refused, 70 a bug, or worker processes that keep ending, 71 too little memory.",
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
      dicom-bq operations list
      dicom-bq inspect archive/CT1.dcm
      dicom-bq rules PatientName
    """  # noqa: D301 (click reads the \b: keep these lines as they are)


for _command in (export, filter_command, inspect, operations, rules, schema, view):
    dicom_bq.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    streams.settle()
    talk = Talk(form="json" if _wants_json(arguments) else "text", arguments=arguments)
    signals = Signals(talk)
    try:
        with signals, _other_voices(talk):
            result = dicom_bq.main(arguments, prog_name="dicom-bq", standalone_mode=False, obj=talk)
    except (SystemExit, KeyboardInterrupt) as error:  # the second from where click does not see it
        number = _signal(signals, error)
        if number == signal.SIGPIPE:
            return 128 + number
        talk.complain(stopped(WORDS[number], error), severity="NOTICE")
        return 128 + number
    except Exception as error:
        return _told(talk, error)
    return result if isinstance(result, int) else 0


def _signal(signals: Signals, error: BaseException) -> int:
    """Number of the signal that has stopped a command. When nobody reads stdout, click exits; others get SIGPIPE."""
    if signals.stopped:
        return signals.stopped
    is_interrupted = isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt)
    return signal.SIGINT if is_interrupted else signal.SIGPIPE


def stopped(word: str, error: BaseException) -> str:
    """That somebody stopped a command, and what to do next: that is in the exception's notes, from whoever knows."""
    notes = [note for one in (error.__cause__, error) for note in getattr(one, "__notes__", ())]
    return f"{word}; nothing is half written. {' '.join(notes or ['Run the same command to begin again'])}"


def _told(talk: Talk, error: Exception) -> int:
    """Say what ended a command; returns the exit code."""
    if is_shortage(error):
        notes = getattr(error, "__notes__", ())
        error = OutOfMemoryError()
        for note in notes:
            error.add_note(note)
    if isinstance(error, click.ClickException):
        if talk.form == "json":
            talk.complain(error.format_message())
        else:
            with streams.heard_or_not():
                error.show()
        return error.exit_code
    if isinstance(error, DicomBqError) and not isinstance(error, InternalError):
        talk.complain("\n".join([str(error), *getattr(error, "__notes__", ())]))
        return _exit_code(error)
    if isinstance(error, OSError) and _is_of_stdout(error):
        talk.complain(f"stdout: {error.strerror}, so what is there is not whole. Make room, and run the same again")
        return DESTINATION
    # The last place where a bug can be told without a patient's data.
    kind = error.facts["kind"] if isinstance(error, InternalError) else type(error).__name__
    talk.complain(_without_values(error, kind), severity="CRITICAL")
    return BUG


def _is_of_stdout(error: OSError) -> bool:
    """Whether click met it when it wrote, be it for a command or its own help."""
    return any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether to say it in JSON even that the command line cannot be understood."""
    return "--log-format=json" in arguments or ("--log-format", "json") in itertools.pairwise(arguments)


@contextlib.contextmanager
def _other_voices(talk: Talk) -> Iterator[None]:
    """Let nobody else talk, which a program may do and a library may not: pydicom warns of values, and quotes them."""
    logging.getLogger("pydicom").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", OperationWarning)
        warnings.showwarning = lambda message, *_, **__: talk.complain(str(message), severity="WARNING")
        yield


def _exit_code(error: DicomBqError) -> int:
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)


def _without_values(error: Exception, kind: str) -> str:
    """Where a bug is, without the exception's own text, which may quote what it was working on."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return (
        f"a bug: {kind}. Nothing is half written. Please report it with these lines, "
        f"which hold no patient data:\n{frames}"
    ).rstrip()
