"""Columns asked for by name: keywords or tags with a dot between levels, as tag paths."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NoReturn

import vr_rules
from dicom_bq import dictionary
from dicom_bq.column import OTHER_ELEMENTS_KEY, PRIVATE_KEY, TagPath
from dicom_bq.dictionary import DictionaryEntry
from dicom_bq.errors import UsageError
from dicom_bq.mapping import OWN_COLUMNS, column_type, format_tag

_OTHER_ELEMENTS = OWN_COLUMNS[OTHER_ELEMENTS_KEY].name


def paths_from_keywords(keywords: Iterable[str]) -> set[TagPath]:
    """Tag paths of columns.

    Args:
        keywords: Each a data element, after the sequences it is in: ``PatientName``,
            ``ReferencedImageSequence.ReferencedSOPInstanceUID``. Tags work too: ``00081140.00081155``. A
            private data element, or one in no dictionary, means OtherElements at its level, or its own column
            when something is asked for in it.

    Raises:
        UsageError: One of them names no column; says why and what to ask for.
    """
    return {_path(keyword.strip()) for keyword in keywords}


def _path(text: str) -> TagPath:
    names = text.split(".")
    sequences = tuple(_sequence_key(name, text) for name in names[:-1])
    return (*sequences, _leaf_key(names[-1], text))


def _sequence_key(name: str, text: str) -> int:
    found = _find(name, text)
    if isinstance(found, int):
        return PRIVATE_KEY + found
    if found.vr != "SQ":
        _refuse(text, f"{found.keyword} has VR {found.vr} and is not a sequence, so nothing is in it")
    return found.tag


def _leaf_key(name: str, text: str) -> int:
    if name.lower() == _OTHER_ELEMENTS.lower():
        return OTHER_ELEMENTS_KEY
    found = _find(name, text)
    if isinstance(found, int):
        return OTHER_ELEMENTS_KEY
    if found.vr == "SQ":
        _refuse(text, f"{found.keyword} is a sequence: ask for what is in it, as {text}.CodeValue")
    encoding = found.encoding
    if encoding:
        _refuse(text, f"{found.keyword} is never a column: {encoding}")
    if column_type(found.vr) is None:
        _refuse(text, f"VR {found.vr} never becomes a column; such elements are listed in DroppedTags")
    return found.tag


def _find(name: str, text: str) -> DictionaryEntry | int:
    """The dictionary's row, or the tag where it has none."""
    tag = dictionary.parse_tag(name)
    found = dictionary.by_keyword(name) if tag is None else dictionary.lookup(tag)
    if found is not None:
        return found
    if tag is None:
        near = difflib.get_close_matches(name, list(dictionary.keywords()), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "keywords are those of DICOM PS3.6"
        _refuse(text, f"no data element has the keyword {name!r}; {hint}")
    encoding = vr_rules.load().not_data(tag)
    if encoding:
        _refuse(text, f"{format_tag(tag)} is never a column: {encoding}")
    return tag


def _refuse(text: str, reason: str) -> NoReturn:
    raise UsageError(reason=f"{text}: {reason}")
