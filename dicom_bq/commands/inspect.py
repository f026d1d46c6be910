"""``dicom-bq inspect``."""

from __future__ import annotations

import json
import os

import click


def file_or_member(context: click.Context, parameter: click.Parameter, path: str) -> str:
    """Refuse what does not exist, unless it may be in an archive."""
    from dicom_bq.sources.members import SEPARATOR

    if SEPARATOR in path:
        return path
    return os.fsdecode(click.Path(exists=True, dir_okay=False).convert(path, parameter, context))


@click.command(short_help="Show what becomes of each data element of a file.")
@click.argument("file", metavar="FILE", callback=file_or_member, type=click.UNPROCESSED)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or programs.",
)
@click.option("--show-values", is_flag=True, help="Show the values too. They are a patient's.")
def inspect(file: str, form: str, *, show_values: bool) -> int:
    """Show what becomes of each data element of a file, at any depth.

    Its tag, keyword, VR as stored and by the dictionary, length, and the column and type it goes to, or where
    else it goes and why. Values are not shown. A file in an archive is named ARCHIVE!/NAME.

    \b
    Examples:
      dicom-bq inspect archive/CT1.dcm
      dicom-bq inspect archive/CT1.dcm --format json --show-values
      dicom-bq inspect archive.zip!/CT1.dcm

    Exit codes: 0 the file can be exported; 1 it cannot, and the output says why.
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dicom_bq.inspect import inspect_file

    inspection = inspect_file(file, show_values=show_values)
    click.echo(json.dumps(inspection.to_dict(), indent=2) if form == "json" else inspection.to_text())
    return 0 if inspection.readable else 1
