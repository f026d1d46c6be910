"""pydicom Datasets and their files give the same ElementTable, lengths of sequences included."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, DT, TM

from dicom_bq import dictionary
from dicom_bq.columns.build import BuildOptions, build
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.encode import encode
from dicom_bq.scan.files import scan_files
from tests.agreement import compare
from tests.handmade import BIG_ENDIAN, IDENTITY, explicit, explicit_file, item, meta, text


def nested() -> Dataset:
    code = Dataset()
    code.CodeValue = "T-04000"
    code.CodeMeaning = "Breast"
    inner = Dataset()
    inner.ConceptNameCodeSequence = Sequence([code, Dataset()])
    inner.TextValue = "one"
    outer = Dataset()
    outer.file_meta = FileMetaDataset()
    outer.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    outer.Modality = "SR"
    outer.ContentSequence = Sequence([inner, Dataset(), inner])
    outer.PatientName = "Doe^Jane"
    return outer


def test_sequences_have_the_length_they_have_in_a_file(tmp_path) -> None:
    path = tmp_path / "nested.dcm"
    nested().save_as(path, enforce_file_format=False)
    table, stored = scan_datasets([nested()]), scan_files([str(path)]).table
    sequences = np.flatnonzero(table.walked)
    wanted = {int(stored.tag[row]): int(stored.length[row]) for row in np.flatnonzero(stored.walked)}
    assert {int(table.tag[row]): int(table.length[row]) for row in sequences} == wanted


def test_a_limit_on_sequences_holds_in_memory_too() -> None:
    table = scan_datasets([nested()])
    row = build(table, options=BuildOptions(max_sequence_bytes=64)).batch.to_pylist()[0]
    assert row["DroppedTags"] == [{"TagName": "ContentSequence", "TagReference": "ContentSequence"}]
    assert "ContentSequence" in build(table, options=BuildOptions(max_sequence_bytes=1000)).batch.schema.names


@pytest.mark.parametrize(
    ("value", "vr", "expected"),
    [
        (None, "LO", (b"", "LO")),
        (b"\1\2", "OB", (b"\1\2", "OB")),
        ([1, 2], "US", (b"\1\0\2\0", "US")),
        (0x00100020, "AT", (b"\x10\0\x20\0", "AT")),
        (-1, "US", (b"-1", "LO")),
        ("x", "US", (b"x", "LO")),
        (["a", None, "é"], "LO", ("a\\\\é".encode(), "LO")),
    ],
)
def test_decoded_values_are_encoded_or_become_text(value: object, vr: str, expected: tuple[bytes, str]) -> None:
    assert encode(value, vr) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime.date(812, 1, 31), b"08120131"),
        (datetime.time(1, 2, 3), b"010203"),
        (datetime.time(1, 2, 3, 40), b"010203.000040"),
        (datetime.datetime(2024, 1, 31, 10, 11, 12, 500), b"20240131101112.000500"),  # noqa: DTZ001
        (
            datetime.datetime(2024, 1, 31, 10, tzinfo=datetime.timezone(-datetime.timedelta(hours=5))),
            b"20240131100000-0500",
        ),
        ([datetime.date(2024, 1, 31), None], b"20240131\\"),
        (np.array([0.5, 0.25]), b"0.5\\0.25"),
        (np.array([1, 2]), b"1\\2"),
    ],
)
def test_values_of_a_program_are_written_as_dicom_has_them(value: object, expected: bytes) -> None:
    assert encode(value, "LO") == (expected, "LO")


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DA", datetime.datetime(2024, 1, 2, 3, 4), b"20240102"),  # noqa: DTZ001
        ("TM", datetime.datetime(2024, 1, 2, 3, 4, 0, 5), b"030400.000005"),  # noqa: DTZ001
        ("DT", datetime.datetime(2024, 1, 2, 3, 4), b"20240102030400"),  # noqa: DTZ001
        ("DT", datetime.date(2024, 1, 2), b"20240102"),
        ("DA", DA("2024.01.02"), b"2024.01.02"),
        ("DT", DT("20240102030400").replace(year=2025), b"20250102030400"),
        ("TM", TM("0304").replace(hour=5), b"050400"),
    ],
)
def test_dates_and_times_of_a_program_are_written_as_their_vr_has_them(vr: str, value: object, expected: bytes) -> None:
    assert encode(value, vr) == (expected, vr)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("vr", "stored"),
    [("IS", text) for text in ("12345678901234567", "1.50", "+1.5", "99999999999999999999", "+007", "1\\+2.50")]
    + [("DS", text) for text in ("+1.50", "1e5", "12345678901234567890", ".5\\1.0")],
)
def test_numbers_that_pydicom_has_decoded_keep_their_digits(tmp_path, vr: str, stored: str) -> None:
    path, tag = tmp_path / "number.dcm", {"IS": 0x00200013, "DS": 0x00280030}[vr]
    path.write_bytes(explicit_file(text(tag, vr, stored)))
    dataset = pydicom.dcmread(path)
    assert dataset[tag].value
    assert build(scan_datasets([dataset])).batch.equals(build(scan_files([str(path)]).table).batch)
    assert encode(dataset[tag].value, vr) == (stored.encode(), vr)


def rows(*datasets: Dataset) -> list[dict[str, object]]:
    """Rows of Datasets, the columns that have a value."""
    found = build(scan_datasets(list(datasets))).batch.to_pylist()
    return [{name: value for name, value in row.items() if value} for row in found]


@pytest.mark.parametrize(
    ("representation", "value"), [(0, 5), (0, 1024), (0, 65535), (1, 5), (1, -5), (1, -2000), (0, -5), (1, 40_000)]
)
def test_numbers_of_us_or_ss_follow_the_pixel_representation(representation: int, value: int) -> None:
    inner, item, dataset = Dataset(), Dataset(), Dataset()
    dataset.PixelRepresentation, dataset.SmallestImagePixelValue = representation, value
    item.LUTDescriptor = [256, value, 16]
    inner.PixelRepresentation, inner.PixelPaddingValue = 1 - representation, 7 - 14 * (1 - representation)
    dataset.ModalityLUTSequence, dataset.SourceImageSequence = [item], [inner]
    (row,) = rows(dataset)
    assert row["SmallestImagePixelValue"] == value
    assert row["ModalityLUTSequence"][0]["LUTDescriptor"] == [256, value, 16]
    assert row["SourceImageSequence"][0]["PixelPaddingValue"] == 7 - 14 * (1 - representation)


def test_numbers_of_us_or_ss_are_those_of_the_file(tmp_path) -> None:
    dataset, path = Dataset(), tmp_path / "signed.dcm"
    dataset.PixelRepresentation, dataset.SmallestImagePixelValue, dataset.PixelPaddingValue = 1, -5, -2000
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    before = build(scan_datasets([dataset])).batch
    assert before.equals(build(scan_files([str(path)]).table).batch)
    assert before.to_pylist()[0]["PixelPaddingValue"] == -2000


@pytest.mark.parametrize(
    ("vr", "stored", "value"),
    [("US", b"\1\0", -1), ("US", b"\0\0", 65535), ("US", b"\2\0", 65535), ("IS", b"1 ", -1), ("IS", b"0 ", 65535),
     ("UL", b"\1\0\0\0", -1), ("UL", bytes(4), 65535), ("LO", b"0 ", 65535), ("FD", b"\0\0\0\0\0\0\xf0?", -1)],
)  # fmt: skip
def test_a_pixel_representation_may_be_stored_with_another_vr(tmp_path, vr: str, stored: bytes, value: int) -> None:
    path = tmp_path / "representation.dcm"
    path.write_bytes(explicit_file(explicit(0x00280103, vr, stored), explicit(0x00280106, "UN", b"\xff\xff")))
    assert build(scan_files([str(path)]).table).batch.to_pylist()[0]["SmallestImagePixelValue"] == value
    dataset = pydicom.dcmread(path, force=True)
    dataset[0x00280106] = pydicom.DataElement(0x00280106, "US or SS", value)  # as one sets it by its keyword
    assert rows(dataset)[0]["SmallestImagePixelValue"] == value


@pytest.mark.parametrize(("second", "expected"), [(b"", 65535), (b"\0\0", 65535), (b"\1\0", -1)])
@pytest.mark.parametrize("inside", [False, True])
def test_the_last_of_two_pixel_representations_counts(tmp_path, second: bytes, expected: int, inside: bool) -> None:
    first = b"\0\0" if second == b"\1\0" else b"\1\0"
    value = explicit(0x00280106, "UN", b"\xff\xff")
    both = explicit(0x00280103, "US", first) + explicit(0x00280103, "US", second) + value
    path = tmp_path / "twice.dcm"
    path.write_bytes(explicit_file(explicit(0x00081140, "SQ", item(both)) if inside else both))
    (row,) = build(scan_files([str(path)]).table).batch.to_pylist()
    assert [row] == build(scan_datasets([pydicom.dcmread(path)])).batch.to_pylist()
    assert not compare(path).differences
    assert (row["ReferencedImageSequence"][0] if inside else row)["SmallestImagePixelValue"] == expected


def test_a_pixel_representation_that_has_items_says_nothing_even_where_there_is_no_value() -> None:
    dataset = Dataset()
    dataset[0x00280103] = pydicom.DataElement(0x00280103, "SQ", Sequence([Dataset()]))
    tag = Tag(0x00280106)
    dataset[tag] = RawDataElement(tag, None, 0, b"", 0, is_implicit_VR=True, is_little_endian=True)
    table = scan_datasets([dataset])
    assert (len(table), len(table.arena)) == (2, 0)


def latin_1(tmp_path: Path) -> Dataset:
    path = tmp_path / "latin-1.dcm"
    inner = explicit(0x0040A160, "UT", b"Gr\xfc\xdfe ")
    path.write_bytes(
        explicit_file(
            explicit(0x00080005, "CS", b"ISO_IR 100"),
            explicit(0x00080080, "LO", b"M\xfcller"),
            explicit(0x0040A730, "SQ", item(inner)),
        )
    )
    return pydicom.dcmread(path, force=True)


def test_text_that_was_read_keeps_its_meaning_when_the_character_set_changes(tmp_path) -> None:
    dataset = latin_1(tmp_path)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ContentSequence[0].SpecificCharacterSet = "ISO_IR 144"
    (row,) = rows(dataset)
    assert row["InstitutionName"] == "Müller"
    assert row["ContentSequence"][0]["TextValue"] == "Grüße"


def test_an_item_that_is_moved_keeps_its_meaning(tmp_path) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet, dataset.ContentSequence = "ISO_IR 192", latin_1(tmp_path).ContentSequence
    assert rows(dataset)[0]["ContentSequence"][0]["TextValue"] == "Grüße"


def chinese(tmp_path: Path) -> Path:
    """PS3.5 annex K."""
    path, name = tmp_path / "chinese.dcm", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab= "
    inner = explicit(0x00400254, "LO", b"\x1b$)A\xd5\xc5")
    path.write_bytes(
        explicit_file(
            explicit(0x00080005, "CS", b"\\ISO 2022 IR 58 "),
            explicit(0x00100010, "PN", name),
            explicit(0x00400275, "SQ", item(inner)),
        )
    )
    return path


@pytest.mark.parametrize("character_set", ["", "ISO_IR 192"])
def test_text_that_pydicom_has_decoded_keeps_no_escape_sequence(tmp_path, character_set: str) -> None:
    dataset = pydicom.dcmread(chinese(tmp_path))
    if character_set:
        dataset.SpecificCharacterSet = character_set
    assert all(element.value is not None for element in dataset.iterall())
    (row,) = rows(dataset)
    name = {part: value for part, value in row["PatientName"]["Ideographic"].items() if value}
    assert name == {"FamilyName": "张", "GivenName": "小东"}
    assert row["RequestAttributesSequence"][0]["PerformedProcedureStepDescription"] == "张"
    assert character_set or not compare(dataset).differences


@pytest.mark.parametrize("touched", [False, True])
def test_elements_after_an_encapsulated_pixel_data_are_not_read(tmp_path, touched: bool) -> None:
    path = tmp_path / "encapsulated.dcm"
    frames = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + frames
    parts = (text(0x00100020, "LO", "ID"), pixels, text(0xFFFCFFFC, "LO", "behind"))
    path.write_bytes(b"".join((meta("1.2.840.10008.1.2.4.50"), IDENTITY, *parts)))
    dataset = pydicom.dcmread(path, force=True)
    if touched:
        assert dataset.PixelData
    table = scan_datasets([dataset])
    assert 0xFFFCFFFC not in table.tag
    assert 0x7FE00010 in table.tag


@pytest.mark.parametrize(
    ("tag", "vr", "stored", "expected"),
    [
        (0x00281101, "OW", b"\0\1\xff\xff\0\3", [1, 65535, 3]),
        (0x0018605A, "OF", b"\x3f\xc0\0\0", [1.5]),
        (0x00189087, "OD", b"\x40\x04" + bytes(6), 2.5),
        (0x00280009, "OW", b"\1\2\3\4", [0x01020304]),
        (0x00280010, "OB", b"\1\2", 0x0201),  # bytes have no order
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_bytes_that_pydicom_has_read_from_big_endian(
    tmp_path, tag: int, vr: str, stored: bytes, expected, inside
) -> None:
    path, value = tmp_path / "big.dcm", explicit(tag, vr, stored, order=">")
    if inside:
        held = b"\xff\xfe\xe0\0" + len(value).to_bytes(4, "big") + value
        value = explicit(0x00081140, "SQ", held, order=">")
    path.write_bytes(meta(BIG_ENDIAN) + value)
    dataset = pydicom.dcmread(path)
    assert all(element.value is not None for element in dataset.iterall())
    batch = build(scan_datasets([dataset])).batch
    assert batch.equals(build(scan_files([str(path)]).table).batch)
    (row,) = batch.to_pylist()
    assert (row["ReferencedImageSequence"][0] if inside else row)[dictionary.lookup(tag).keyword] == expected


def test_a_time_zone_that_is_no_text_is_none() -> None:
    other, dataset = Dataset(), Dataset()
    other.TimezoneOffsetFromUTC, dataset.AcquisitionDateTime = "+0500", "20240131120000"
    dataset.add_new(0x00080201, "US", 1)
    alone, together = rows(dataset), rows(other, dataset)
    assert alone == together[1:]
    assert alone[0]["AcquisitionDateTime"].hour == 12


def test_deferred_values_are_read(tmp_path) -> None:
    path = tmp_path / "deferred.dcm"
    dataset = nested()
    dataset.add_new(0x0040A160, "UT", "long text " * 100)
    dataset.save_as(path, enforce_file_format=False)
    deferred = pydicom.dcmread(path, defer_size=50, force=True)
    assert build(scan_datasets([deferred])).batch.equals(build(scan_files([str(path)]).table).batch)


def test_a_dataset_read_from_memory_is_like_its_file(tmp_path) -> None:
    path = tmp_path / "same.dcm"
    nested().save_as(path, enforce_file_format=False)
    dataset = pydicom.dcmread(io.BytesIO(path.read_bytes()), force=True)
    assert build(scan_datasets([dataset])).batch.equals(build(scan_files([str(path)]).table).batch)


def test_a_dataset_without_text_that_holds_an_escape_byte() -> None:
    dataset = Dataset()
    dataset.DopplerCorrectionAngle = 6.103608948110131e16  # FD; one of its bytes is 1B
    assert build(scan_datasets([dataset])).batch.to_pylist()[0]["DopplerCorrectionAngle"] == 6.103608948110131e16
