"""``dicom-bq operations``: see and stop exports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from dicom_bq.commands.options import talk_options
from dicom_bq.commands.talk import current_talk

if TYPE_CHECKING:
    from dicom_bq.operations.record import Operation

LONGEST_WAIT = 5.0
"""Seconds that ``cancel`` waits to see an export end."""

id_argument = click.argument("operation", metavar="ID")


@click.group(short_help="See and stop exports, running and past.")
def operations() -> None:
    """See and stop exports: each is an operation, in the form of the Healthcare API's long-running operations.

    Records are in $XDG_STATE_HOME/dicom-bq/operations (~/.local/state without the variable) until 30 days after the
    export. ID is the operation's ID, the beginning of it, or its full name.

    \b
    Examples:
      dicom-bq operations list
      dicom-bq operations describe 4190
      dicom-bq operations cancel 4190
    """  # noqa: D301 (click reads the \b: keep these lines as they are)


@operations.command("list")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A line an operation, or all of each.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest only. [default: all]")
def list_operations(form: str, limit: int | None) -> None:
    """Print all operations, the newest first.

    \b
    Examples:
      dicom-bq operations list
      dicom-bq operations list --format json --limit 1

    STATE is PENDING (the destination is being checked), RUNNING, DONE (some files may have failed, see FAILURE),
    FAILED, CANCELLED, or ABORTED: the process was killed.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dicom_bq.operations.store import Store

    found = Store.of_user().all()[:limit]
    if form == "json":
        click.echo(json.dumps([operation.to_dict() for operation in found], indent=2))
    else:
        click.echo("\n".join(table(found)))


@operations.command()
@id_argument
def describe(operation: str) -> None:
    """Print an operation as JSON.

    \b
    Example:
      dicom-bq operations describe 4190

    Exit codes: 0 done; 2 there is no such operation.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dicom_bq.operations.store import Store

    click.echo(Store.of_user().find(operation).to_json())


@operations.command()
@id_argument
@talk_options
def cancel(operation: str) -> int:
    """Ask an export to stop; the table stays as it was.

    \b
    Example:
      dicom-bq operations cancel 4190

    Exit codes: 0 it has been asked, or is cancelled; 1 it has ended otherwise; 2 there is no such operation.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dicom_bq.operations.store import Store

    store, talk = Store.of_user(), current_talk()
    found = store.find(operation)
    if not found.ended:
        store.request_cancel(found.id)
        if found.stoppable:
            found.process.terminate()
        asked, found = found, _wait(found)
        if not found.ended:
            talk.remark(f"{asked.name} has been asked to stop")
            return 0
    if found.state == "CANCELLED" and found.cancel_requested:
        talk.remark(f"{found.name} is cancelled")
        return 0
    talk.complain(f"{found.name} has ended already: {found.state}")
    return 1


def _wait(operation: Operation) -> Operation:
    """The operation at its end, if that is soon."""
    from dicom_bq.operations.store import Store

    store, until = Store.of_user(), time.monotonic() + LONGEST_WAIT
    while not operation.ended and time.monotonic() < until:
        time.sleep(0.05)
        operation = store.read(operation.id)
    return operation


HEADINGS = ("ID", "STATE", "CREATED", "SECONDS", "SUCCESS", "FAILURE", "PENDING", "DESTINATION")
NUMBERS = frozenset(("SECONDS", "SUCCESS", "FAILURE", "PENDING"))


def table(found: Sequence[Operation]) -> Iterator[str]:
    """Lines of a table for people."""
    rows = [HEADINGS, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if heading in NUMBERS else cell.ljust(width)
            for heading, cell, width in zip(HEADINGS, row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _cells(operation: Operation) -> tuple[str, ...]:
    from datetime import datetime

    from dicom_bq.sources.files import printable

    ended = operation.ended or operation.updated
    seconds = datetime.fromisoformat(ended) - datetime.fromisoformat(operation.created)
    return (
        operation.id,
        operation.state,
        operation.created[:19] + "Z",
        f"{seconds.total_seconds():,.0f}",
        f"{operation.success:,}",
        f"{operation.failure:,}",
        f"{operation.pending:,}",
        printable(operation.destination),
    )
