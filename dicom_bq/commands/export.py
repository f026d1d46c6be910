"""``dicom-bq export``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicom_bq import memory
from dicom_bq.commands.bigquery import LOAD_OPTIONS, bigquery_options, take_bigquery_options
from dicom_bq.commands.options import (
    new_file,
    progress_line,
    quiet_option,
    read_options,
    read_schema,
    report_to,
    sources_argument,
)

if TYPE_CHECKING:
    from dicom_bq.report import ExportReport

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
@read_options
@bigquery_options(*LOAD_OPTIONS)
@quiet_option
def export(
    sources: tuple[str, ...],
    destination: str,
    *,
    schema_file: str | None,
    report_file: str | None,
    dry_run: bool,
    job_dir: str | None,
    keep: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401 (passed on)
) -> int:
    """Write the metadata of DICOM files to a table, one row for each SOP instance. All or nothing.

    SOURCE is a directory (with everything in it), a file, or a pattern with the wildcards of the Healthcare
    API's import: * and ? within a name; ** across directories, at the end or before an extension. OUT is a
    DuckDB file (x.duckdb), a Parquet file (x.parquet), a BigQuery table (bq://PROJECT.DATASET.TABLE), or else a
    directory of Parquet files.

    \b
    Examples:
      dicom-bq export archive/ archive.duckdb
      dicom-bq export 'archive/**.dcm' archive.parquet --overwrite-table
      dicom-bq export new/ archive.duckdb --write-disposition write-append --report report.json
      dicom-bq export new/ bq://project.dataset.dicom --write-disposition write-append --dry-run

    Exit codes: 0 all files were exported; 1 some failed, the others were exported; 2 usage; 3 the destination
    refused, and is as it was. Files that are not DICOM, and DICOMDIRs, are skipped and counted.

    An export that was interrupted, in whatever way, goes on where it was when the same command is run again.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    memory.settle()
    from dicom_bq import job
    from dicom_bq.plan import ExportPlan

    progress = progress_line(quiet=quiet)
    schema = read_schema(schema_file) if schema_file else None
    if schema and schema.unknown() and not quiet:
        names = ", ".join(schema.unknown())
        click.echo(f"{schema_file}: no data element is called {names}; always empty here", err=True)
    bigquery = take_bigquery_options(options)
    same = {"schema": schema, "bigquery": bigquery, "progress": progress, **options}

    def tell(sentence: str) -> None:
        if not quiet:
            progress.clear()
            click.echo(sentence, err=True)

    done: ExportPlan | ExportReport
    try:
        if dry_run:
            done = job.plan_export(sources, destination, **same)
        else:
            done = job.export(sources, destination, job_dir=job_dir, keep=keep, tell=tell, **same)
    finally:
        progress.clear()
    if report_file:
        _write(report_file, done.json_pieces())
    if isinstance(done, ExportPlan):
        click.echo(done.to_text())
        return report_to(done.read, quiet=quiet)
    return report_to(done, quiet=quiet)


def _write(report_file: str, pieces: Iterable[str]) -> None:
    try:
        with Path(report_file).open("w", encoding="utf-8") as file:
            file.writelines(pieces)
            file.write("\n")
    except OSError as error:
        message = f"{report_file}: {error.strerror}. Everything else is done; write the report somewhere else"
        raise click.ClickException(message) from error
