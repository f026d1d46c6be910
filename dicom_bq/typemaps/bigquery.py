"""What a BigQuery table is told beside its fields."""

from __future__ import annotations

_WHAT_IT_IS = "DICOM metadata, one row per SOP instance, as Cloud Healthcare API exports it to BigQuery."


def table_description(edition: str) -> str:
    """Description of a table, with the edition of the dictionary that decided its types and modes."""
    return f"{_WHAT_IT_IS} Data dictionary: {edition}." if edition else _WHAT_IT_IS
