"""The data dictionary: pydicom's rows by tag and by keyword, with repeating groups and private elements."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

import vr_rules
from dicom_bq import dictionary
from dicom_bq.dictionary import by_keyword, lookup, parse_tag, private_vr, vr_table

REPEATERS = [entry for keyword in dictionary.keywords() if (entry := by_keyword(keyword)).repeater_mask]


def expected(tag):
    """Keyword and VR by pydicom's own search; None for what is no named standard element."""
    try:
        vr, _, _, _, keyword = datadict.get_entry(tag)
    except KeyError:
        return None
    return (keyword, vr) if keyword and vr != "NONE" else None


def found(tag):
    entry = lookup(tag)
    return entry and (entry.keyword, entry.vr)


@st.composite
def tag_in_a_repeating_group(draw):
    pattern = draw(st.sampled_from(sorted(RepeatersDictionary)))
    return int("".join(draw(st.sampled_from("0123456789ABCDEF")) if digit == "x" else digit for digit in pattern), 16)


class TestLookup:
    def test_every_row_of_pydicom(self):
        for tag, (vr, vm, name, retired, keyword) in DicomDictionary.items():
            if not keyword or vr == "NONE":
                continue
            entry = lookup(tag)
            assert (entry.tag, entry.keyword, entry.name, entry.vr, entry.vm) == (tag, keyword, name, vr, vm)
            assert entry.retired == (retired == "Retired")
            assert entry.repeater_mask == 0
            assert by_keyword(keyword) is entry

    @given(tag_in_a_repeating_group())
    @settings(deadline=None)
    def test_repeating_groups_as_pydicom_finds_them(self, tag):
        assert found(tag) == expected(tag)

    @given(st.integers(0, 0xFFFFFFFF))
    @settings(deadline=None)
    def test_any_tag_as_pydicom_finds_it(self, tag):
        assert found(tag) == expected(tag)

    def test_every_entry_has_a_vr_rule(self):
        rules = vr_rules.load().vr
        assert {by_keyword(keyword).vr for keyword in dictionary.keywords()} <= rules.keys()
        assert set(vr_table().values()) <= rules.keys()

    def test_every_keyword_is_listed_once_and_found(self):
        keywords = list(dictionary.keywords())
        rows = [*DicomDictionary.values(), *RepeatersDictionary.values()]
        named = {row[4] for row in rows if row[4] and row[0] != "NONE"}
        assert len(keywords) == len(set(keywords))
        assert set(keywords) == named
        assert all(by_keyword(keyword).keyword == keyword for keyword in keywords)

    @pytest.mark.parametrize("keyword", ["", "patientname", "Item", "NoSuchKeyword", "00100010"])
    def test_no_such_keyword(self, keyword):
        assert by_keyword(keyword) is None

    @pytest.mark.parametrize(
        "tag",
        [
            0x00090010,  # private creator
            0x60010010,  # private: an odd group is no overlay
            0x50010005,  # private: no curve
            0x12340010,  # in no dictionary
            0x00080000,  # group length
            0x00280020,  # retired and left blank
            0x00180061,  # retired, without keyword
            0xFFFEE000,  # item
            0xFFFEE00D,
            0xFFFEE0DD,
            0x1_60000010,  # no tag
        ],
    )
    def test_no_entry(self, tag):
        assert lookup(tag) is None

    def test_elements_of_the_command_set_and_the_file_meta_group_are_entries(self):
        assert lookup(0x00000002).keyword == "AffectedSOPClassUID"
        assert lookup(0x00020010).keyword == "TransferSyntaxUID"
        assert lookup(0x00080001).keyword == "LengthToEnd"

    def test_retired_elements_keep_their_keyword(self):
        assert by_keyword("StudyIDIssuer").retired is True
        assert by_keyword("StudyID").retired is False


class TestMode:
    @pytest.mark.parametrize(
        ("keyword", "vm", "repeated"),
        [
            ("PatientName", "1", False),
            ("ImageType", "2-n", True),
            ("AcquisitionMatrix", "4", True),
            ("OtherPatientNames", "1-n", True),
            ("ReferencedImageSequence", "1", True),
            ("OverlayRows", "1", False),
            ("OverlayOrigin", "2", True),
            ("SegmentAlgorithmName", "1-n", True),
        ],
    )
    def test_vm_and_sq_decide(self, keyword, vm, repeated):
        assert by_keyword(keyword).vm == vm
        assert by_keyword(keyword).repeated is repeated


class TestRepeatingGroups:
    def test_all_are_there(self):
        assert len(REPEATERS) == len(RepeatersDictionary)

    def test_base_tags_are_unique_among_all_entries(self):
        tags = [by_keyword(keyword).tag for keyword in dictionary.keywords()]
        assert len(tags) == len(set(tags))

    def test_base_tag_leads_back_to_its_entry(self):
        assert all(lookup(entry.tag) is entry for entry in REPEATERS)

    def test_base_tag_has_zeros_for_what_varies_unless_another_element_has_that_tag(self):
        moved = {entry.keyword: entry.tag for entry in REPEATERS if entry.tag & entry.repeater_mask}
        assert moved == {
            "RowsForNthOrderCoefficients": 0x00280410,
            "ColumnsForNthOrderCoefficients": 0x00280411,
            "CoefficientCoding": 0x00280412,
            "CoefficientCodingPointers": 0x00280413,
        }
        assert lookup(0x00280400).keyword == "TransformLabel"

    def test_an_element_of_its_own_comes_first(self):
        assert lookup(0x7FE00010).keyword == "PixelData"
        assert lookup(0x7FE20010).keyword == "VariablePixelData"

    @pytest.mark.parametrize(
        ("tag", "keyword", "identifier"),
        [
            (0x60000010, "OverlayRows", "6000"),
            (0x601E3000, "OverlayData", "601E"),
            (0x50020103, "DataValueRepresentation", "5002"),
            (0x00203101, "SourceImageIDs", "3101"),
            (0x002804A2, "CoefficientCoding", "04A2"),
            (0x1000ABC3, "HuffmanTableTriplet", "ABC3"),
            (0x10100001, "ZonalMap", "0001"),
        ],
    )
    def test_id_is_the_half_that_varies(self, tag, keyword, identifier):
        entry = lookup(tag)
        assert (entry.keyword, entry.repeater_id(tag)) == (keyword, identifier)

    @given(tag_in_a_repeating_group())
    @settings(deadline=None)
    def test_base_tag_and_id_together_are_the_tag(self, tag):
        entry = lookup(tag)
        if entry is None or not entry.repeater_mask:
            return
        varying = int(entry.repeater_id(tag), 16)
        fixed = (varying << 16 | entry.tag & 0xFFFF) if entry.repeater_mask >> 16 else entry.tag >> 16 << 16 | varying
        assert fixed == tag


class TestEncoding:
    @pytest.mark.parametrize("keyword", ["FileMetaInformationVersion", "CommandGroupLength", "DataSetTrailingPadding"])
    def test_encoding(self, keyword):
        assert by_keyword(keyword).encoding == vr_rules.load().not_data(by_keyword(keyword).tag)
        assert by_keyword(keyword).encoding is not None

    def test_exactly_these_entries_are_encoding(self):
        assert {keyword for keyword in dictionary.keywords() if by_keyword(keyword).encoding} == {
            "CommandGroupLength",
            "FileMetaInformationGroupLength",
            "FileMetaInformationVersion",
            "DataSetTrailingPadding",
        }

    @pytest.mark.parametrize("keyword", ["EscapeTriplet", "ZonalMap"])
    def test_a_repeating_group_is_data_even_if_its_base_tag_looks_like_a_group_length(self, keyword):
        assert by_keyword(keyword).tag & 0xFFFF == 0
        assert by_keyword(keyword).encoding is None


class TestVrTable:
    def test_all_standard_elements_even_without_keyword(self):
        assert dict(vr_table()) == {tag: row[0] for tag, row in DicomDictionary.items() if row[0] != "NONE"}
        assert vr_table()[0x00180061] == "DS"

    def test_it_is_one_table(self):
        assert vr_table() is vr_table()


class TestPrivate:
    @pytest.mark.parametrize(
        ("creator", "tag", "vr"),
        [
            ("GEMS_PARM_01", 0x00431039, "IS"),
            ("GEMS_PARM_01", 0x0043FF39, "IS"),  # whichever block is reserved
            ("SIEMENS CSA HEADER", 0x00291010, "OB"),
            ("GEMS_PARM_01", 0x00431000 + 0xFE, None),
            ("GEMS_PARM_01", 0x00451039, None),
            ("NOBODY KNOWS", 0x00431039, None),
            ("", 0x00431039, None),
            ("NOBODY KNOWS", 0x00430010, "LO"),  # the private creator itself, PS3.5 7.8.1
            ("", 0x004300FF, "LO"),
            ("FDMS 1.0", 0x002710A3, "US or SS"),
            ("TOSHIBA_MEC_OT3", 0x70191080, None),  # pydicom's table says "OB_OW", no VR
        ],
    )
    def test_vr(self, creator, tag, vr):
        assert private_vr(creator, tag) == vr

    def test_only_vrs_that_have_a_rule(self):
        from pydicom._private_dict import private_dictionaries

        known = {*vr_rules.load().vr, None}
        for creator, rows in private_dictionaries.items():
            for pattern in rows:
                assert private_vr(creator, int(pattern.replace("x", "1"), 16)) in known


class TestParseTag:
    @given(st.integers(0, 0xFFFFFFFF), st.sampled_from(["{:08X}", "{:08x}", "Tag_{:08X}", " {:08X}\n"]))
    def test_digits(self, tag, form):
        assert parse_tag(form.format(tag)) == tag

    @given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.sampled_from(["({:04X},{:04x})", "{:04x},{:04X}"]))
    def test_group_and_element(self, group, element, form):
        assert parse_tag(form.format(group, element)) == group << 16 | element

    @pytest.mark.parametrize(
        "text",
        ["", "PatientName", "0010", "0010001", "001000100", "0010;0010", "(0010,0010", "0010,0010)",
         "60xx0010", "0x00100010", "0010,,0010", "\u0660" * 8],
    )  # fmt: skip
    def test_not_a_tag(self, text):
        assert parse_tag(text) is None


def test_edition_names_pydicom_and_the_standard():
    assert dictionary.edition().startswith(f"pydicom {version('pydicom')}, DICOM 20")


def test_the_tables_of_pydicom_are_all_that_is_imported_of_it():
    program = """
import sys
import vr_rules, dicom_bq.dictionary, dicom_bq.rules
vr_rules.load()
dicom_bq.dictionary.parse_tag("00100010")
assert not any(name.startswith("pydicom") for name in sys.modules)
assert dicom_bq.dictionary.lookup(0x00100010).keyword == "PatientName"
assert dicom_bq.dictionary.private_vr("GEMS_IDEN_01", 0x00091001) == "LO"
dicom_bq.dictionary.edition()
assert "pydicom" not in sys.modules
import pydicom.datadict
assert pydicom.datadict.DicomDictionary is sys.modules["pydicom._dicom_dict"].DicomDictionary
assert pydicom.datadict.keyword_for_tag(0x00100010) == "PatientName"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_tables_may_be_asked_for_by_several_threads_at_first():
    program = """
import importlib.machinery, sys, threading
import dicom_bq.dictionary
answers, errors, slow = [], [], threading.Event()
real = importlib.machinery.SourceFileLoader.exec_module
begun = threading.Barrier(2)

def exec_module(loader, module):
    if loader.name == "pydicom._dicom_dict" and threading.current_thread() is first:
        begun.wait()
        slow.wait()
    real(loader, module)

def ask():
    try:
        answers.append(dicom_bq.dictionary.lookup(0x00100010).keyword)
    except Exception as error:
        errors.append(error)

importlib.machinery.SourceFileLoader.exec_module = exec_module
first, second = (threading.Thread(target=ask, daemon=True) for _ in range(2))
first.start()
begun.wait()  # the first is about to read the tables
second.start()
second.join()
import pydicom.datadict
assert pydicom.datadict.keyword_for_tag(0x00100010) == "PatientName"
slow.set()
first.join()
assert (answers, errors) == (["PatientName"] * 2, []), (answers, errors)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_private_vrs_are_those_that_pydicom_finds():
    known = vr_rules.load().vr
    met = 0
    for creator, elements in datadict.private_dictionaries.items():
        for key in list(elements)[::7]:
            tag = int(key.replace("x", "1"), 16)
            if 0x10 <= tag & 0xFFFF <= 0xFF:
                continue
            try:
                vr = datadict.private_dictionary_VR(tag, creator)
            except KeyError:
                vr = None
            assert private_vr(creator, tag) == (vr if vr in known else None), (creator, key)
            met += 1
    assert met > 1000


def test_private_entries_of_the_program_count():
    datadict.add_private_dict_entry("DICOM BQ TEST", 0x77771001, "UL", "Of this test")
    assert private_vr("DICOM BQ TEST", 0x77772001) == "UL"
