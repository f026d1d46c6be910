"""What a BigQuery table is told beside its fields."""

from __future__ import annotations

_WHAT_IT_IS = "DICOM metadata, one row per SOP instance, as Cloud Healthcare API exports it to BigQuery."
_EDITION = " Data dictionary: "


def table_description(edition: str) -> str:
    """Description of a table, with the edition of the dictionary that decided its types and modes."""
    return f"{_WHAT_IT_IS}{_EDITION}{edition}." if edition else _WHAT_IT_IS


def edition_of(description: str) -> str:
    """The edition in a description that ``table_description`` wrote, "" in any other text."""
    start, found, edition = description.partition(_EDITION)
    return edition.removesuffix(".") if found and start == _WHAT_IT_IS else ""
