"""``dicom-bq schema``, with ``merge`` and ``diff``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from dicom_bq.commands.options import (
    read_options,
    read_schema,
    report_to_stderr,
    sources_argument,
    talk_options,
)
from dicom_bq.commands.talk import current_talk

if TYPE_CHECKING:
    from dicom_bq.reading import Instances
    from dicom_bq.report import ReadReport
    from dicom_bq.schema import TableSchema

_LONGEST_START = 136
"""Bytes of a DICOM file until the first tag has ended: preamble, prefix, tag (PS3.10 7.1)."""


def _bigquery(schema: TableSchema, _table: str) -> str:
    """A schema file, of what BigQuery can have."""
    schema.check_limits()
    return schema.to_json()


FORMATS: Mapping[str, Callable[[TableSchema, str], str]] = {
    "json": _bigquery,
    "arrow": lambda schema, table: schema.to_arrow().to_string(),
    "duckdb": lambda schema, table: schema.to_duckdb(table),
    "table": lambda schema, table: schema.to_text(),
}

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="json",
    show_default=True,
    help="BigQuery schema file, Arrow, DuckDB's CREATE TABLE, or lines for people.",
)
table_option = click.option(
    "--table", default="dicom", show_default=True, metavar="NAME", help="Table that --format duckdb creates."
)


class SchemaGroup(click.Group):
    """A group that is also a command: what follows is a subcommand's name, or arguments for ``of``."""

    default = "of"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the default command where none is."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Usage of the default command."""
        return self.commands[self.default].collect_usage_pieces(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options of the default command, then the subcommands."""
        click.Command.format_options(self.commands[self.default], ctx, formatter)
        self.format_commands(ctx, formatter)


class _GroupsContext(click.Context):
    """Of the default command, whose name nobody typed."""

    @property
    def command_path(self) -> str:
        """The group's."""
        return self.parent.command_path if self.parent else super().command_path


class _DefaultCommand(click.Command):
    context_class = _GroupsContext


@click.group(cls=SchemaGroup, short_help="Print the schema that DICOM files or keywords have.")
def schema() -> None:
    """Print the BigQuery schema of the table that an export of SOURCE... would make.

    Or, without any data, of the columns asked for by keyword or tag. `bq mk --schema` takes it.

    \b
    Examples:
      dicom-bq schema archive/ > schema.json
      dicom-bq schema archive/ --format table
      dicom-bq schema --keyword PatientName --keyword ReferencedImageSequence.ReferencedSOPInstanceUID
      dicom-bq schema merge a.json b.json > union.json
      dicom-bq schema diff a.json b.json

    A directory named merge or diff is written ./merge.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)


@schema.command("of", cls=_DefaultCommand, hidden=True)
@sources_argument(required=False)
@click.option(
    "--keyword", "keywords", multiple=True, metavar="KEYWORD", help="A column, as A.B.C or 00081140.00081155."
)
@click.option(
    "--keywords-from",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Keywords from a file, one a line.",
)
@format_option
@table_option
@read_options
@talk_options
def schema_of(
    sources: tuple[str, ...],
    *,
    keywords: tuple[str, ...],
    keywords_from: TextIO | None,
    form: str,
    table: str,
    **options: Any,  # noqa: ANN401 (passed on)
) -> int:
    """The schema of files or keywords."""
    asked = [*keywords, *_lines(keywords_from)]
    if keywords_from and not asked:
        message = f"{keywords_from.name}: there is no keyword in it"
        raise click.UsageError(message)
    if bool(sources) == bool(asked):
        message = "give files and directories, or keywords, one of the two"
        raise click.UsageError(message)
    if asked:
        click.echo(FORMATS[form](_of_keywords(asked, options), table))
        return 0
    report = _surveyed(sources, options)
    click.echo(FORMATS[form](report.schema, table))
    return report_to_stderr(report)


@schema.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE.json...", type=click.UNPROCESSED)
@format_option
@table_option
def merge(files: tuple[str, ...], form: str, table: str) -> int:
    """Print the union of schemas; a file - is stdin.

    \b
    Example:
      dicom-bq schema merge a.json b.json > union.json

    Exit codes: 0 done; 2 a file is no schema, or a column has two types, which the message names.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    first, *others = [read_schema(file) for file in files]
    click.echo(FORMATS[form](first.merge(*others), table))
    return 0


@schema.command()
@click.argument("before", metavar="A", type=click.UNPROCESSED)
@click.argument("after", metavar="B", type=click.UNPROCESSED)
@click.option("--table", default="dicom", show_default=True, metavar="NAME", help="Table in a DuckDB file, A or B.")
@read_options
@talk_options
def diff(before: str, after: str, *, table: str, **options: Any) -> int:  # noqa: ANN401 (passed on)
    """Print what changes from schema A to schema B, a line a column.

    Each is a schema file (- is stdin), a table (bq://..., x.duckdb, x.parquet, or a directory of nothing but Parquet
    files), or DICOM files: a SOURCE as dicom-bq export takes it.

    \b
    Examples:
      dicom-bq schema diff a.json b.json
      dicom-bq schema diff bq://project.dataset.dicom new/
      dicom-bq schema diff table.parquet 'archive/**.dcm'

    Exit codes: 0 nothing changes; 1 something does, or some DICOM files failed; 2 a file is no schema; 3 a table is
    not there.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    (first, failed), (second, failed_too) = (_schema_of_any(place, table, options) for place in (before, after))
    changes = first.diff(second)
    for change in changes:
        click.echo(str(change))
    return 1 if changes or failed or failed_too else 0


def _schema_of_any(place: str, table: str, options: Mapping[str, Any]) -> tuple[TableSchema, int]:
    """The schema of a schema file, a table, or DICOM files; and 1 if some of those failed, which is said."""
    if _is_table(place):
        return _schema_of_table(place, table), 0
    if not _is_source(place):
        return read_schema(place), 0
    report = _surveyed(place, options)
    return report.schema, report_to_stderr(report)


def _surveyed(sources: Instances, options: Mapping[str, Any]) -> ReadReport:
    from dicom_bq.job import survey

    with current_talk().display() as progress:
        return survey(sources, progress=progress, **options)


def _is_table(place: str) -> bool:
    if not os.path.isdir(place):  # noqa: PTH112 (a Path raises where the operating system refuses to look)
        return place.startswith("bq://") or Path(place).suffix.lower() in {".duckdb", ".db", ".parquet"}
    try:
        with os.scandir(place) as entries:
            are_parts = (entry.name.endswith(".parquet") for entry in entries)
            return next(are_parts, False) and all(are_parts)
    except OSError:  # whoever reads it says so
        return False


def _is_source(place: str) -> bool:
    """Whether a text means DICOM files, and not a schema file."""
    from dicom_bq.sources.archives import kind_of
    from dicom_bq.sources.lists import STDIN, is_list
    from dicom_bq.sources.members import SEPARATOR
    from dicom_bq.sources.patterns import has_wildcard

    if not os.path.lexists(place):
        return place != STDIN and (is_list(place) or has_wildcard(place) or SEPARATOR in place)
    return os.path.isdir(place) or kind_of(place) is not None or _is_binary(place)  # noqa: PTH112


def _is_binary(path: str) -> bool:
    """Whether a file begins as every DICOM file does, and no text: there is a NUL in its first tag at the latest."""
    if not os.path.isfile(path):  # noqa: PTH113 (a pipe may be read once)
        return False
    try:
        with Path(path).open("rb") as file:
            return b"\0" in file.read(_LONGEST_START)
    except OSError:  # whoever reads it says so
        return False


def _schema_of_table(place: str, table: str) -> TableSchema:
    from dicom_bq.destinations.resolve import resolve
    from dicom_bq.errors import DestinationError

    existing = resolve(place, table=table).existing()
    if existing is None:
        raise DestinationError(destination=place, reason="there is no such table", advice="Export one first")
    return existing.schema


def _of_keywords(keywords: list[str], options: Mapping[str, Any]) -> TableSchema:
    from dicom_bq.keywords import paths_from_keywords
    from dicom_bq.schema import TableSchema

    if options["schema_type"] == "json":
        message = "the JSON schema variant has its own columns: leave out the keywords, or --schema-type json"
        raise click.UsageError(message)
    return TableSchema.from_paths(
        paths_from_keywords(keywords),
        include_source_store=options["include_source_store"],
        numeric_strings=options["numeric_strings"],
    )


def _lines(file: TextIO | None) -> list[str]:
    try:
        stripped = [line.strip() for line in file or ()]
    except UnicodeDecodeError as error:
        message = f"{file.name if file else ''}: is not UTF-8 text"
        raise click.UsageError(message) from error
    return [line for line in stripped if line and not line.startswith("#")]
