"""Types and modes against those seen in tables that the Healthcare API's export made.

``data/observed_types.csv`` holds facts: type and mode of the columns of 1,046 keywords in 38 such tables.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

import vr_rules
from dicom_bq import dictionary
from dicom_bq.schema import schema_from_keywords

OBSERVED = Path(__file__).with_name("data") / "observed_types.csv"

CHANGED = {"SegmentAlgorithmName": (("STRING", "NULLABLE"), ("STRING", "REPEATED"))}
"""Observed, ours: VM 1 in the edition of DICOM that the tables were made by, 1-n in the one of pydicom."""


@pytest.fixture(scope="module")
def observed():
    with OBSERVED.open(newline="", encoding="utf-8") as rows:
        return {row["keyword"]: (row["type"], row["mode"]) for row in csv.DictReader(rows)}


def differences(observed, ours):
    return {keyword: (kind, ours[keyword]) for keyword, kind in observed.items() if ours.get(keyword) != kind}


def test_the_facts_are_all_there(observed):
    assert len(observed) == 1046
    assert list(observed) == sorted(observed)
    assert Counter(observed.values()) == {
        ("STRING", "NULLABLE"): 599,
        ("STRING", "REPEATED"): 85,
        ("RECORD", "NULLABLE"): 6,
        ("RECORD", "REPEATED"): 155,
        ("INTEGER", "NULLABLE"): 66,
        ("INTEGER", "REPEATED"): 22,
        ("FLOAT", "NULLABLE"): 39,
        ("FLOAT", "REPEATED"): 11,
        ("DATE", "NULLABLE"): 26,
        ("DATE", "REPEATED"): 1,
        ("TIME", "NULLABLE"): 28,
        ("TIME", "REPEATED"): 1,
        ("TIMESTAMP", "NULLABLE"): 7,
    }


def test_rules_and_dictionary_give_the_observed_type_and_mode(observed):
    def kind(keyword):
        entry = dictionary.by_keyword(keyword)
        if entry.repeater_mask:
            return "RECORD", "REPEATED"
        return vr_rules.load().vr[entry.vr].bigquery, "REPEATED" if entry.repeated else "NULLABLE"

    assert differences(observed, {keyword: kind(keyword) for keyword in observed}) == CHANGED


def test_the_schema_of_all_keywords_has_the_observed_type_and_mode(observed):
    sequences = {keyword for keyword in observed if dictionary.by_keyword(keyword).vr == "SQ"}
    asked = [f"{keyword}.CodeValue" if keyword in sequences else keyword for keyword in observed]
    schema = schema_from_keywords(asked)
    ours = {column.name: (column.type, column.mode) for column in schema.columns}
    assert differences(observed, ours) == CHANGED
    assert ours.keys() - observed.keys() == {"DroppedTags"}
    tags = [dictionary.by_keyword(column.name).tag for column in schema.columns[:-1]]
    assert tags == sorted(tags)


def test_no_keyword_with_an_excluded_vr_was_ever_a_column(observed):
    assert all(vr_rules.load().vr[dictionary.by_keyword(keyword).vr].bigquery for keyword in observed)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("OverlayRows", ("INTEGER", "NULLABLE")),
        ("OverlayOrigin", ("INTEGER", "REPEATED")),
        ("NumberOfFramesInOverlay", ("STRING", "NULLABLE")),
        ("OverlayType", ("STRING", "NULLABLE")),
        ("TypeOfData", ("STRING", "NULLABLE")),
    ],
)
def test_value_of_a_repeating_group(keyword, value):
    column = schema_from_keywords([keyword]).columns[0]
    assert [(field.name, (field.type, field.mode)) for field in column.fields] == [
        ("Id", ("STRING", "NULLABLE")),
        ("Value", value),
    ]
