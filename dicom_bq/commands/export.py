"""``dicom-bq export``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicom_bq import memory
from dicom_bq.commands.bigquery import LOAD_OPTIONS, bigquery_options, take_bigquery_options
from dicom_bq.commands.options import (
    code_of,
    new_file,
    read_options,
    read_schema,
    report_to_stderr,
    sources_argument,
    talk_options,
)
from dicom_bq.commands.streams import to_stderr
from dicom_bq.commands.talk import current_talk

if TYPE_CHECKING:
    from dicom_bq.plan import ExportPlan
    from dicom_bq.report import ExportReport
    from dicom_bq.schema import TableSchema

DISPOSITIONS = ("write-empty", "write-append", "write-truncate")


@click.command(short_help="Write DICOM files to a table, one row each.")
@sources_argument(required=True)
@click.argument("destination", metavar="OUT", type=click.UNPROCESSED)
@click.option("--table", default="dicom", show_default=True, metavar="NAME", help="Table in a DuckDB file.")
@click.option(
    "--write-disposition",
    type=click.Choice(DISPOSITIONS),
    help="What happens to a table that exists: error if it has rows, add rows and columns, or replace it. "
    "[default: write-empty]",
)
@click.option("--overwrite-table", is_flag=True, help="The same as --write-disposition write-truncate.")
@click.option(
    "--schema",
    "schema_file",
    metavar="FILE.json",
    type=click.UNPROCESSED,
    help="Make these columns and no others; what they lack is in the report.",
)
@click.option(
    "--filter",
    "filter_file",
    metavar="FILE",
    help="Export what a line of the file asks for: /studies/UID[/series/UID[/instances/UID]]. Local or gs://.",
)
@click.option("--deduplicate", is_flag=True, help="Export one file of each SOP Instance UID, the first by its path.")
@click.option(
    "--job-dir",
    metavar="DIR",
    help="Where the job keeps what it has read until it is finished. Default: beside OUT, or for BigQuery in "
    "$XDG_STATE_HOME/dicom-bq/jobs.",
)
@click.option("--keep", is_flag=True, help="Leave that directory when the job is finished.")
@click.option("--dry-run", is_flag=True, help="Read the files and print what would be done to the table.")
@click.option(
    "--report",
    "report_file",
    metavar="FILE.json",
    type=click.Path(dir_okay=False, writable=True),
    callback=new_file,
    help="Write everything that was met to a file, each failed file and why included.",
)
@click.option(
    "--error-log",
    metavar="FILE.jsonl",
    type=click.Path(dir_okay=False, writable=True),
    callback=new_file,
    help="Log of failed files, a JSON object a line, written as they fail. [default: beside the operation's record]",
)
@click.option("--async", "is_async", is_flag=True, help="Print the operation's name, and export in the background.")
@click.option(
    "--operation-id", metavar="ID", help="Of the record that dicom-bq operations shows. [default: a random number]"
)
@read_options
@bigquery_options(*LOAD_OPTIONS)
@talk_options
def export(
    sources: tuple[str, ...],
    destination: str,
    *,
    schema_file: str | None,
    report_file: str | None,
    error_log: str | None,
    operation_id: str | None,
    dry_run: bool,
    is_async: bool,
    job_dir: str | None,
    keep: bool,
    **options: Any,  # noqa: ANN401 (passed on)
) -> int:
    """Write the metadata of DICOM files to a table, one row for each SOP instance. All or nothing.

    SOURCE is a directory (with everything in it), a file, an archive (.zip, .tar, .tar.gz, .gz; ARCHIVE!/NAME
    for one file in it), or a pattern with the wildcards of the Healthcare API's import: * and ? within a name;
    ** across directories, at the end or before an extension. @LIST.txt is a file with a SOURCE a line, - is
    such a list on stdin. OUT is a DuckDB file (x.duckdb), a Parquet file (x.parquet), a BigQuery table
    (bq://PROJECT.DATASET.TABLE), or else a directory of Parquet files.

    \b
    Examples:
      dicom-bq export archive/ archive.duckdb
      dicom-bq export 'archive/**.dcm' archive.parquet --overwrite-table
      dicom-bq export new/ archive.duckdb --write-disposition write-append --report report.json
      find archive/ -newer mark -print0 | dicom-bq export - new.parquet
      dicom-bq export new/ bq://project.dataset.dicom --write-disposition write-append --dry-run
      dicom-bq export archive/ archive.duckdb --async

    Exit codes: 0 all files were exported; 1 some failed, the others were exported; 2 usage; 3 the destination
    refused, and is as it was; 70 a bug, or worker processes that keep ending; 71 too little memory. Files that are
    not DICOM, and DICOMDIRs, are skipped and counted.

    An export that was interrupted, in whatever way, goes on where it was when the same command is run again.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    memory.settle()
    _check_apart(destination, {"--report": report_file, "--error-log": error_log})
    if is_async:
        _check_async(sources, schema_file, dry_run=dry_run)
        return _start(operation_id)
    from dicom_bq import job
    from dicom_bq.operations.running import OperationOptions

    talk = current_talk()
    schema = read_schema(schema_file) if schema_file else None
    for remark in _unknown(schema) if schema and not schema.is_json_variant else ():
        talk.remark(f"{schema_file}: {remark}; always empty here", severity="WARNING")
    operation = OperationOptions(id=operation_id, error_log=error_log, own_process=True)
    bigquery = take_bigquery_options(options)
    same = {"schema": schema, "bigquery": bigquery, **options}
    with talk.display() as progress:
        if dry_run:
            done = job.plan_export(sources, destination, progress=progress, **same)
        else:

            def tell(sentence: str) -> None:
                progress.clear()
                talk.remark(sentence)

            def deliver(report: ExportReport) -> None:
                _write(report_file, report)
                progress.end()
                report_to_stderr(report)

            own: dict[str, Any] = {"job_dir": job_dir, "keep": keep, "tell": tell, "operation": operation}
            return code_of(job.export(sources, destination, progress=progress, deliver=deliver, **own, **same))
    _write(report_file, done)
    click.echo(done.to_text())
    return report_to_stderr(done.read)


def _check_apart(destination: str, files: Mapping[str, str | None]) -> None:
    """Refuse files that are each other's, or the table's."""
    taken = {os.path.realpath(destination): "OUT"}
    for option, file in files.items():
        other = taken.setdefault(os.path.realpath(file), option) if file else option
        if other != option:
            message = f"{option} {file} is {other} too: choose another file"
            raise click.UsageError(message)


def _unknown(schema: TableSchema) -> Iterator[str]:
    """What is to be said of columns that no instance has a value for."""
    from dicom_bq.schema_fields import is_never_a_column

    elements = [path for path in schema.unknown() if is_never_a_column(path.rpartition(".")[2])]
    others = [path for path in schema.unknown() if path not in elements]
    if others:
        yield f"no data element is called {', '.join(others)}"
    if elements:
        yield f"data elements that never become columns are {', '.join(elements)} (see dicom-bq rules KEYWORD)"


def _check_async(sources: tuple[str, ...], schema_file: str | None, *, dry_run: bool) -> None:
    """Refuse what an export in the background cannot do."""
    if dry_run:
        message = "--dry-run prints what would be done, and --async does not wait for it: give one of the two"
        raise click.UsageError(message)
    if "-" in (*sources, schema_file):
        message = "- is stdin, which an export in the background (--async) does not have: write a file"
        raise click.UsageError(message)


def _start(operation_id: str | None) -> int:
    """Start the same command in the background, and print the operation's name."""
    from dicom_bq.operations import detached
    from dicom_bq.operations.store import Store, checked_id, new_id

    identifier = checked_id(operation_id) if operation_id else new_id()
    code = detached.start(current_talk().arguments, identifier)
    if code is not None:
        to_stderr(detached.said(identifier), nl=False)
        return code
    click.echo(Store.of_user().read(identifier).name)
    return 0


def _write(report_file: str | None, done: ExportPlan | ExportReport) -> None:
    if report_file is None:
        return
    try:
        with Path(report_file).open("w", encoding="utf-8") as file:
            file.writelines(done.json_pieces())
            file.write("\n")
    except OSError as error:
        message = f"{report_file}: {error.strerror}. Everything else is done; run the same again, with another --report"
        raise click.ClickException(message) from error
