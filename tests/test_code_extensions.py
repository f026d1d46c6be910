"""Text in code extensions of ISO 2022 (PS3.5 6.1.2.5) where pydicom goes astray.

That is where there are several values, and what does not decode. Everything else is what pydicom makes of it.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.charset import CODES_TO_ENCODINGS, decode_bytes, python_encoding

from dicom_bq.columns.build import build
from dicom_bq.problems import Reason
from dicom_bq.scan.charset import DELIMITERS, decode
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.extensions import without_designations
from dicom_bq.scan.files import scan_files
from tests.agreement import Comparison, compare
from tests.stored_elements import StoredElement, part10

VERSIONS, COMMENTS, NAMES, MODEL, NAME = 0x00181020, 0x00104000, 0x00101001, 0x00081090, 0x00100010
LATIN_1_AND = "ISO 2022 IR 100\\ISO 2022 IR "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instance.dcm"


def written(path: Path, character_set: str, tag: int, vr: str, value: bytes) -> Path:
    path.write_bytes(part10([StoredElement(0x00080005, "CS", character_set.encode()), StoredElement(tag, vr, value)]))
    return path


SEVERAL = [
    (LATIN_1_AND + "144", b"\x1b-L\xbb\xee\xda\\M\xfcller", ["Люк", "Müller"]),
    (LATIN_1_AND + "138", b"\x1b-H\xf9\xf8\xe5\xef\\M\xdcLLER", ["שרון", "MÜLLER"]),
    (LATIN_1_AND + "127", b"\x1b-G\xe2\xc8\\\xe9\\\x1b-G\xe2", ["قب", "é", "ق"]),
    (LATIN_1_AND + "126", b"\xe9\\\x1b-F\xc4\xe9\\\xe9", ["é", "Δι", "é"]),
    (LATIN_1_AND + "166", b"\x1b-T\xb5\xd1\\\xe9", ["ตั", "é"]),
    ("ISO 2022 IR 13\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\xc8\xf1\\\xd4\xcf", ["김희", "ﾔﾏ"]),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B\\\xd4\xcf", ["山田", "ﾔﾏ"]),
    (LATIN_1_AND + "58", b"\x1b$)A\xcd\xf5\\\x1b$)A\xd0\xa1\\\xe9", ["王", "小", "é"]),
    ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B\\x\\\x1b$B@1\x1b(B", ["山田", "x", "星"]),
]


@pytest.mark.parametrize(("character_set", "value", "expected"), SEVERAL)
def test_each_of_several_values_begins_in_the_first_character_set(
    path: Path, character_set: str, value: bytes, expected: list[str]
) -> None:
    """PS3.5 6.1.2.5.3."""
    written(path, character_set, VERSIONS, "LO", value)
    built = build(scan_files([str(path)]).table)
    assert built.batch["SoftwareVersions"].to_pylist() == [expected]
    assert not built.problems.of(Reason.UNDECODABLE)
    assert compare(path) == Comparison()
    written(path, character_set, NAMES, "PN", value)
    [names] = build(scan_files([str(path)]).table).batch["OtherPatientNames"].to_pylist()
    assert [name["Alphabetic"]["FamilyName"] for name in names] == expected
    assert compare(path) == Comparison()


@pytest.mark.parametrize("designation", [b"\x1b$B", b"\x1b$@"])
def test_a_backslash_may_be_half_of_a_character(path: Path, designation: bytes) -> None:
    """Where the set of bytes under 128 is one of two bytes."""
    value = b"a\\" + designation + b"0\\0]\x1b(B\\b"  # 5C and 5D
    written(path, "ISO 2022 IR 87\\ISO 2022 IR 13", VERSIONS, "LO", value)
    [versions] = build(scan_files([str(path)]).table).batch["SoftwareVersions"].to_pylist()
    assert versions == ["a", "移維", "b"]
    assert compare(path) == Comparison()


def test_a_backslash_may_be_half_of_a_character_of_jis_x_0212(path: Path) -> None:
    written(path, "\\ISO 2022 IR 87\\ISO 2022 IR 159", VERSIONS, "LO", b"\x1b$(D0\\\x1b(B\\b")
    [versions] = build(scan_files([str(path)]).table).batch["SoftwareVersions"].to_pylist()
    assert versions == [b"\x1b$(D0\\\x1b(B".decode("iso2022_jp_2"), "b"]
    assert compare(path) == Comparison()


@pytest.mark.parametrize(
    ("tag", "vr", "column"), [(COMMENTS, "LT", "PatientComments"), (0x00080081, "ST", "InstitutionAddress")]
)
def test_text_that_is_one_value_is_not_split(path: Path, tag: int, vr: str, column: str) -> None:
    written(path, LATIN_1_AND + "144", tag, vr, b"\x1b-L\xbb\\\xee")
    assert build(scan_files([str(path)]).table).batch[column].to_pylist() == ["Л\\ю"]
    assert compare(path) == Comparison()


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize(("character_set", "value", "expected"), SEVERAL[:1])
def test_a_dataset_says_the_same(
    path: Path, character_set: str, value: bytes, expected: list[str], touched: bool
) -> None:
    from pydicom import Dataset

    dataset = Dataset()
    dataset.SpecificCharacterSet = character_set.split("\\")
    dataset.SoftwareVersions = expected
    assert build(scan_datasets([dataset])).batch["SoftwareVersions"].to_pylist() == [expected]
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    read = pydicom.dcmread(path, force=True)
    assert read.get_item(VERSIONS).value.rstrip() == value
    [versions] = build(scan_datasets([read])).batch["SoftwareVersions"].to_pylist()
    assert versions == expected
    assert build(scan_files([str(path)]).table).batch["SoftwareVersions"].to_pylist() == [versions]


@pytest.mark.parametrize(
    ("character_set", "value"),
    [
        ("ISO_IR 203", b"10 \xa4\\\xa6\xbduvre"),
        ("ISO 2022 IR 203", b"10 \xa4\\\xa6\xbduvre"),
        ("ISO 2022 IR 203\\ISO 2022 IR 144", b"10 \xa4\\\xa6\xbduvre"),
        (LATIN_1_AND + "203", b"10 \x1b-b\xa4\\\x1b-b\xa6\xbduvre"),
    ],
)
def test_latin_9_is_read_which_pydicom_does_not_know(path: Path, character_set: str, value: bytes) -> None:
    """PS3.3 C.12.1.1.2."""
    written(path, character_set, VERSIONS, "LO", value)
    built = build(scan_files([str(path)]).table)
    assert built.batch["SoftwareVersions"].to_pylist() == [["10 €", "Šœuvre"]]
    assert not built.problems.counts
    assert compare(path) == Comparison()


UNDECODABLE = [
    ("\\ISO 2022 IR 87", b"CT \x1b$B\x2d\x21\x46\x2c\x1b(B", "CT \ufffd頭"),  # NEC's row 13, frequent in Japan
    (LATIN_1_AND + "138", b"\x1b-H\xf9\xc4x", "ש\ufffdx"),
    (LATIN_1_AND + "87", b"\xe9\x1b$B\x7e\x7e;3\x1b(B\xe9", "é\ufffd山é"),
    ("\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\xff x", "김\ufffd x"),
    ("\\ISO 2022 IR 58", b"\x1b$)A\xcd\xf5\xff x", "王\ufffd x"),
    ("ISO 2022 IR 100", b"a\x1b-L\xbb\xee b", "a\ufffd\ufffd\ufffd b"),  # not declared
    ("\\ISO 2022 IR 144", b"\x1b-L\xbb\xee\x1b-M\xdd\x1b-L\xda", "Лю\ufffd\ufffdк"),
    ("ISO 2022 IR 100", b"a\x1b-V\xbb\x1b(Bb", "a\ufffd\ufffdb"),  # no set of DICOM's
    ("ISO_IR 100", b"a\x1b[0m\xe9", "a\ufffd[0mé"),  # no designation
    ("ISO_IR 192", "a\x1bé".encode(), "a\ufffdé"),
    (LATIN_1_AND + "144", b"\xe9\x1b", "é\ufffd"),
]


@pytest.mark.parametrize(("character_set", "value", "expected"), UNDECODABLE)
def test_what_does_not_decode_is_replaced_and_counted(
    path: Path, character_set: str, value: bytes, expected: str
) -> None:
    written(path, character_set, MODEL, "LO", value)
    built = build(scan_files([str(path)]).table)
    assert built.batch["ManufacturerModelName"].to_pylist() == [expected]
    assert built.problems.of(Reason.UNDECODABLE) == 1
    assert compare(path) == Comparison()


def test_the_rest_of_a_name_is_kept(path: Path) -> None:
    written(path, "\\ISO 2022 IR 87", NAME, "PN", b"TAKAHASHI=\x1b$B\x2d\x6a\x1b(B^\x1b$B\x42\x40\x1b(B")
    [name] = build(scan_files([str(path)]).table).batch["PatientName"].to_pylist()
    assert name["Alphabetic"]["FamilyName"] == "TAKAHASHI"
    assert (name["Ideographic"]["FamilyName"], name["Ideographic"]["GivenName"]) == ("\ufffd", "太")
    assert compare(path) == Comparison()


def test_a_pydicom_that_is_strict_changes_nothing() -> None:
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    try:
        text = decode(b"\x1b-H\xf9\xc4\\\xe9", ["latin_1", "iso_ir_138"], is_name=False, splits=True)
    finally:
        config.settings.reading_validation_mode = before
    assert text == "ש\ufffd\\é"


PIECES = st.sampled_from(
    [*CODES_TO_ENCODINGS, b"\x1b$@", b"\x1b", b"\\", b"^", b"=", b"\n", b"ab", b"\xbb\xee", b";3ED"]
)


@given(
    st.lists(st.sampled_from(sorted(set(python_encoding.values()))), min_size=1, max_size=3, unique=True),
    st.lists(PIECES, max_size=6).map(b"".join),
    st.booleans(),
)
def test_what_pydicom_decodes_is_as_pydicom_decodes_it(encodings: list[str], raw: bytes, is_name: bool) -> None:
    """That is what it does not warn of; values that are split are held against it one by one."""
    text = decode(raw, encodings, is_name=is_name, splits=False)
    assert "\x1b" not in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with suppress(UserWarning):
            expected = decode_bytes(raw, encodings, DELIMITERS["PN" if is_name else ""])
            assert text == (without_designations(expected, encodings) if b"\x1b" in raw else expected)
    if b"$" not in raw:
        parts = [decode(part, encodings, is_name=is_name, splits=False) for part in raw.split(b"\\")]
        if b"\x1b" in raw:
            assert decode(raw, encodings, is_name=is_name, splits=True) == "\\".join(parts)
