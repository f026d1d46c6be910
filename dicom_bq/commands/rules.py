"""``dicom-bq rules``."""

from __future__ import annotations

import json

import click


@click.command(short_help="Print the rule that applies to a VR, a keyword or a tag.")
@click.argument("subject", required=False, metavar="[VR|KEYWORD|TAG]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or programs.",
)
def rules(subject: str | None, form: str) -> int:
    """Print the rule that applies to a VR, a data element's keyword or tag, and where the rule comes from.

    Without an argument, the rules of all VRs.

    \b
    Examples:
      dicom-bq rules
      dicom-bq rules DT
      dicom-bq rules PatientName
      dicom-bq rules 0043,1039
    """  # noqa: D301 (click reads the \b: keep these lines as they are)
    from dicom_bq.rules import explain, render_text, to_dict

    lines = explain(subject)
    click.echo(json.dumps(to_dict(lines), indent=2) if form == "json" else render_text(lines))
    return 0
