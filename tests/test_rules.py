"""``rules``: what it says about a VR, a keyword and a tag is what an export does."""

from __future__ import annotations

import json

import pytest

import vr_rules
from dicom_bq import dictionary
from dicom_bq.errors import UsageError
from dicom_bq.mapping import columns_of
from dicom_bq.rules import RuleLine, explain, render_text, to_dict


def only(subject):
    (line,) = explain(subject)
    return line


class TestVRs:
    def test_without_a_subject_every_vr_has_its_line(self):
        lines = explain()
        assert {line.subject for line in lines} == set(vr_rules.load().vr)
        assert all(line.source and line.section.startswith("PS3.") for line in lines)

    @pytest.mark.parametrize("code", sorted(vr_rules.load().vr))
    def test_line_of_a_vr(self, code):
        rule = vr_rules.load().vr[code]
        line = only(code)
        assert line == only(f" {code.lower()} ")
        assert (line.subject, line.name, line.section) == (code, rule.name, rule.section)
        assert (line.type, line.arrow, line.duckdb) == tuple(
            kind or "" for kind in (rule.bigquery, rule.arrow, rule.duckdb)
        )
        assert not rule.note or rule.note in line.notes
        assert ("A backslash separates values." in line.notes) == rule.splits
        assert any("(0008,0005)" in note for note in line.notes) == rule.character_set
        assert any(note.startswith("Excluded") for note in line.notes) == (rule.bigquery is None)

    def test_padding_is_told(self):
        assert "Spaces before and after a value are padding." in only("LO").notes
        assert "Spaces after a value are padding, spaces before it are not." in only("UT").notes
        assert "NUL after a value is padding." in only("UI").notes
        assert not any("padding" in note for note in only("US").notes)

    def test_mode(self):
        assert only("SQ").mode == "REPEATED"
        assert only("LO").mode == ""
        assert "NULLABLE for VM 1, REPEATED for any other VM." in only("LO").notes
        assert not any("NULLABLE for VM 1" in note for vr in ("SQ", "OB") for note in only(vr).notes)


class TestElements:
    def test_keyword(self):
        line = only("ImageType")
        assert (line.subject, line.name, line.column, line.vr, line.vm) == (
            "(0008,0008)", "Image Type", "ImageType", "CS", "2-n",
        )  # fmt: skip
        assert (line.type, line.mode, line.arrow, line.duckdb) == ("STRING", "REPEATED", "string", "VARCHAR")
        assert line.section == "PS3.5 6.2"
        assert line.source == f"PS3.6 ({dictionary.edition()})"

    @pytest.mark.parametrize("text", ["00080008", "0008,0008", "(0008,0008)", "Tag_00080008"])
    def test_tag(self, text):
        assert explain(text) == explain("ImageType")

    def test_every_keyword_gets_the_column_of_the_schema(self):
        for keyword in dictionary.keywords():
            entry = dictionary.by_keyword(keyword)
            line = only(keyword)
            if entry.encoding:
                assert (line.column, line.type) == ("", "")
                assert line.notes[0].startswith("Not data")
            elif vr_rules.load().vr[entry.vr].bigquery is None:
                assert line.column == "DroppedTags"
                assert f"Its TagName is {keyword}." in line.notes
            elif keyword == "CurveReferencedOverlaySequence":
                assert (line.column, line.arrow, line.duckdb) == ("DroppedTags", "", "")
            else:
                path = (entry.tag, 0x00080100) if entry.vr == "SQ" else (entry.tag,)
                (column,) = columns_of([path])
                assert (line.column, line.type, line.mode) == (column.name, column.type, column.mode)
            assert ("Retired from the standard; keeps its keyword." in line.notes) == entry.retired

    def test_person_name_tells_its_sub_fields(self):
        note = "Sub-fields: Alphabetic RECORD NULLABLE, Ideographic RECORD NULLABLE, Phonetic RECORD NULLABLE."
        assert note in only("PatientName").notes

    @pytest.mark.parametrize("text", ["60020050", "(6000,0050)", "OverlayOrigin"])
    def test_repeating_group(self, text):
        line = only(text)
        assert (line.subject, line.column, line.type, line.mode) == (
            "(60xx,0050)", "OverlayOrigin", "RECORD", "REPEATED",
        )  # fmt: skip
        assert "Sub-fields: Id STRING NULLABLE, Value INTEGER REPEATED." in line.notes
        assert any(note.startswith("Repeating group (PS3.5 7.6)") for note in line.notes)

    @pytest.mark.parametrize("text", ["CurveReferencedOverlaySequence", "50022600"])
    def test_a_sequence_in_a_repeating_group_has_no_column(self, text):
        """What is said here is what is done: see test_edges.py."""
        line = only(text)
        assert (line.subject, line.column) == ("(50xx,2600)", "DroppedTags")
        assert "Its TagName is CurveReferencedOverlaySequence." in line.notes
        assert not any("Sub-fields" in note or "REPEATED" in note or "Repeating" in note for note in line.notes)
        assert any(note.startswith("No column: sequences of several groups") for note in line.notes)

    def test_a_repeating_group_whose_base_tag_is_taken(self):
        assert only("CoefficientCoding").subject == "(0028,04x2)"
        assert only("00280402").column == "NumberOfTransformSteps"

    @pytest.mark.parametrize(
        ("text", "section"),
        [
            ("00100000", "PS3.5 7.2"),
            ("00090000", "PS3.5 7.2"),
            ("FFFEE000", "PS3.5 7.5"),
            ("00020001", "PS3.10 7.1"),
        ],
    )
    def test_encoding_is_not_data(self, text, section):
        line = only(text)
        assert line.column == ""
        assert line.notes[0].startswith("Not data, so neither a column nor listed as dropped")
        assert section in line.notes[0]


class TestTagsWithoutKeyword:
    def test_private_tag_depends_on_the_vr_in_the_stream(self):
        lines = explain("0043,1039")
        assert [(line.vr, line.column, line.type, line.mode) for line in lines] == [
            ("SQ", "Tag_00431039", "RECORD", "REPEATED"),
            ("OB OD OF OL OV OW UN", "DroppedTags", "RECORD", "REPEATED"),
            ("any other", "OtherElements", "RECORD", "REPEATED"),
        ]
        assert all(line.subject == "(0043,1039)" and line.section == "PS3.5 7.8" for line in lines)
        assert all(any("private dictionary" in note for note in line.notes) for line in lines)
        assert "Its TagName is Tag_00431039." in lines[1].notes
        assert any("Tag Tag_00431039" in note for note in lines[2].notes)

    def test_private_creator(self):
        line = only("00430010")
        assert (line.vr, line.column) == ("LO", "OtherElements")
        assert "Private creator." in line.notes

    @pytest.mark.parametrize(("text", "vr"), [("12340010", "UN"), ("00180061", "DS"), ("0028,0020", "OB")])
    def test_no_keyword_in_an_even_group(self, text, vr):
        lines = explain(text)
        assert [line.column for line in lines][1:] == ["DroppedTags", "OtherElements"]
        assert all(line.section == "" for line in lines)
        assert all(any(note.endswith(f"gives no VR: {vr}.") for note in line.notes) for line in lines)


@pytest.mark.parametrize("name", ["OtherElements", "DroppedTags", "SourceDicomStore"])
def test_the_mappings_own_columns(name):
    line = only(name)
    assert line.column == name
    assert line.notes[0].endswith(".")
    assert any(note.startswith("Sub-fields: Tag") for note in line.notes) == (line.type == "RECORD")


class TestUnknown:
    def test_close_keywords_are_suggested(self):
        with pytest.raises(UsageError, match="no VR, keyword or tag 'patientnme'; did you mean PatientName") as caught:
            explain("patientnme")
        assert caught.value.suggestions[0] == "PatientName"

    @pytest.mark.parametrize("subject", ["", "?", "QQ", "0010,001"])
    def test_nothing_close(self, subject):
        with pytest.raises(UsageError, match="tags are written 0010,0010"):
            explain(subject)


class TestRendering:
    def test_table_of_vrs_is_aligned(self):
        lines = render_text(explain()).splitlines()
        assert len(lines) == 1 + len(vr_rules.load().vr)
        assert lines[0].split() == ["SUBJECT", "NAME", "TYPE", "ARROW", "DUCKDB", "SECTION"]
        for title in ("NAME", "TYPE", "ARROW", "DUCKDB", "SECTION"):
            start = lines[0].index(title)
            assert all(line[start - 2 : start] == "  " and line[start] != " " for line in lines)

    def test_one_subject_is_a_block(self):
        line = RuleLine("(0010,0010)", "Patient's Name", column="PatientName", notes=("one " * 40, "two"))
        text = render_text([line])
        assert text.startswith("subject  (0010,0010)\nname     Patient's Name\ncolumn   PatientName\nnote     one one")
        assert text.endswith("\nnote     two\n")
        assert max(map(len, text.splitlines())) <= 100
        assert text.count("note") == 2

    def test_several_lines_are_blocks_apart(self):
        blocks = render_text(explain("00431039")).split("\n\n")
        assert len(blocks) == 3
        assert all(block.startswith("subject  (0043,1039)\n") for block in blocks)

    def test_json(self):
        document = json.loads(json.dumps(to_dict(explain("OverlayRows"))))
        assert document["edition"] == dictionary.edition()
        (rule,) = document["rules"]
        assert rule["column"] == "OverlayRows"
        assert rule["notes"] == list(only("OverlayRows").notes)
