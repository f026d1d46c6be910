"""Schemas asked for by keyword or tag."""

from __future__ import annotations

import pytest

from dicom_bq import dictionary
from dicom_bq.errors import UsageError
from dicom_bq.mapping import column_type
from dicom_bq.schema import OTHER_ELEMENTS_KEY, PRIVATE_KEY, TableSchema, schema_from_keywords


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("PatientName", (0x00100010,)),
        (" PatientName\n", (0x00100010,)),
        ("00100010", (0x00100010,)),
        ("(0010,0010)", (0x00100010,)),
        ("ReferencedImageSequence.ReferencedSOPInstanceUID", (0x00081140, 0x00081155)),
        ("00081140.00081155", (0x00081140, 0x00081155)),
        ("00081140.ReferencedSOPInstanceUID", (0x00081140, 0x00081155)),
        ("OverlayRows", (0x60000010,)),
        ("60020010", (0x60000010,)),
        ("00091001", (OTHER_ELEMENTS_KEY,)),
        ("OtherElements", (OTHER_ELEMENTS_KEY,)),
        ("00081140.00091001", (0x00081140, OTHER_ELEMENTS_KEY)),
        ("2005140F.00081155", (PRIVATE_KEY + 0x2005140F, 0x00081155)),
        ("Tag_2005140F.00091110.Rows", (PRIVATE_KEY + 0x2005140F, PRIVATE_KEY + 0x00091110, 0x00280010)),
        ("0018FFF0", (OTHER_ELEMENTS_KEY,)),
        ("LengthToEnd", (0x00080001,)),
    ],
)
def test_keyword_or_tag_is_a_path(text: str, path: tuple[int, ...]) -> None:
    assert schema_from_keywords([text]) == TableSchema.from_paths([path])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PatientNme", "PatientNme: no data element has the keyword 'PatientNme'; did you mean PatientName"),
        ("patientname", "did you mean PatientName"),
        ("Zzzzzzzzz", "keywords are those of DICOM PS3.6"),
        ("", "no data element has the keyword ''"),
        ("ReferencedImageSequence", "is a sequence: ask for what is in it"),
        ("0040A730.0040A730", "ContentSequence is a sequence: ask for what is in it"),
        ("PatientName.Alphabetic", "PatientName has VR PN and is not a sequence"),
        ("PatientID.00080060", r"PatientID\.00080060: PatientID has VR LO and is not a sequence"),
        ("PixelData", "VR OB or OW never becomes a column; such elements are listed in DroppedTags"),
        ("ReferencedImageSequence.ICCProfile", "VR OB never becomes a column"),
        ("FileMetaInformationGroupLength", "never a column: group length"),
        ("00090000", r"\(0009,0000\) is never a column: group length"),
        ("FFFEE000", "never a column: item or delimitation tag"),
        ("ReferencedImageSequence..PatientID", "no data element has the keyword ''"),
    ],
)
def test_what_has_no_column_is_an_error_that_says_why(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schema_from_keywords(["PatientID", text])


def test_one_keyword_needs_no_list() -> None:
    assert schema_from_keywords("PatientID") == schema_from_keywords(["PatientID"])


def test_every_keyword_of_the_dictionary_is_a_column_or_an_error() -> None:
    for keyword in dictionary.keywords():
        entry = dictionary.by_keyword(keyword)
        assert entry is not None
        if entry.vr == "SQ":
            found = schema_from_keywords([f"{keyword}.CodeValue"]).columns[0]
            assert (found.name, found.kind) == (keyword, "RECORD REPEATED")
        elif column_type(entry.vr) is None or entry.encoding:
            with pytest.raises(UsageError, match="never"):
                schema_from_keywords([keyword])
        else:
            repeated = bool(entry.repeater_mask) or entry.vm != "1"
            found = schema_from_keywords([keyword]).columns[0]
            assert (found.name, found.mode) == (keyword, "REPEATED" if repeated else "NULLABLE")
