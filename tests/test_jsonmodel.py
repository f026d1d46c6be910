"""The JSON schema variant: the DICOM JSON Model, with pydicom as an independent witness."""

from __future__ import annotations

import io
import json
import math
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import dicom_bq
from dicom_bq.cli import main
from dicom_bq.columns.build import build
from dicom_bq.columns.jsonmodel import MOST_LEVELS, build_json, json_schema
from dicom_bq.errors import UsageError
from dicom_bq.problems import Problems, Reason
from dicom_bq.scan.datasets import scan_datasets
from dicom_bq.scan.files import scan_files
from tests.fake_bigquery import FakeBigQuery
from tests.handmade import EXPLICIT, IDENTITY, IMPLICIT, explicit, item, meta, sequence, text
from tests.instances import instance

CORPUS = os.environ.get("DICOM_BQ_CORPUS")
NAMES = [
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Metadata",
    "StructuredStorageSize",
    "DroppedTags",
    "StorageClass",
    "LastUpdated",
    "BlobStorageSize",
    "Type",
]


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def part10(elements: bytes) -> bytes:
    """A file, explicit VR little endian, with these elements after its UIDs."""
    made = dataset(SOPClassUID=CTImageStorage, SOPInstanceUID="1.2")
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(file := io.BytesIO(), enforce_file_format=True)
    return file.getvalue() + elements


def metadata(*datasets: Dataset, **options: Any) -> list[dict[str, Any]]:
    rows = build_json(scan_datasets(list(datasets)), [("", None)] * len(datasets), **options)
    return [json.loads(text) for text in rows.batch["Metadata"].to_pylist()]


def element(keyword: str, value: Any) -> Any:
    """``Value`` of one element."""
    (found,) = metadata(dataset(**{keyword: value}))
    return found[f"{pydicom.datadict.tag_for_keyword(keyword):08X}"].get("Value")


def test_the_columns_are_the_healthcare_apis_in_its_order() -> None:
    schema = json_schema()
    assert [column.name for column in schema.columns] == NAMES
    kinds = {column.name: column.kind for column in schema.columns}
    assert kinds["Metadata"] == "JSON NULLABLE"
    assert kinds["DroppedTags"] == "STRING REPEATED"
    assert kinds["LastUpdated"] == "TIMESTAMP NULLABLE"
    assert {kinds[name] for name in ("StructuredStorageSize", "BlobStorageSize")} == {"INTEGER NULLABLE"}
    with_source = [column.name for column in json_schema(include_source_store=True).columns]
    assert with_source == [*NAMES[:3], "SourceDicomStore", *NAMES[3:]]


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientID", "x\\y ", ["x", "y"]),
        ("ImageType", ["A", "", "B"], ["A", None, "B"]),
        ("ImageComments", "a\\b", ["a\\b"]),
        ("PatientName", "Doe^Jane=Ide=Pho", [{"Alphabetic": "Doe^Jane", "Ideographic": "Ide", "Phonetic": "Pho"}]),
        ("PatientName", "=Ide", [{"Ideographic": "Ide"}]),
        ("OtherPatientNames", ["A^B", "C"], [{"Alphabetic": "A^B"}, {"Alphabetic": "C"}]),
        ("StudyDate", "20200131", ["20200131"]),
        ("Rows", 512, [512]),
        ("FrameIncrementPointer", [0x00181063, 0x00181065], ["00181063", "00181065"]),
        ("PatientSize", "", None),
        ("ReferencedImageSequence", [], None),
    ],
)
def test_values(keyword: str, value: Any, expected: Any) -> None:
    assert element(keyword, value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("-0.50", "-0.50"),
        ("1E3", "1E3"),
        ("+1.5", "1.5"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("007", "7.0"),
        ("0.1234567890123456", "0.1234567890123456"),
        ("1234567890.123456", "1234567890.123456"),
        ("99999999999999999", '"99999999999999999"'),
        ("1e999", '"1e999"'),
        ("nan", '"nan"'),
        ("1,5", '"1,5"'),
        ("1_0", '"1_0"'),
    ],
)
def test_decimal_strings_are_numbers_when_no_digit_is_lost(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(part10(b"\x28\x00\x30\x00DS" + len(text).to_bytes(2, "little") + text.encode()))
    scanned = scan_files([str(path)])
    rows = build_json(scanned.table, [(uri, None) for uri in scanned.uris])
    assert f'"00280030":{{"vr":"DS","Value":[{expected}]}}' in rows.batch["Metadata"][0].as_py()


def test_floats_that_are_no_numbers_are_text() -> None:
    values = [1.5, math.nan, math.inf, -math.inf]
    assert element("DopplerCorrectionAngle", 0.1) == [0.1]
    made = dataset()
    made.add_new(0x00720074, "FD", values)
    assert metadata(made)[0]["00720074"]["Value"] == [1.5, "NaN", "Infinity", "-Infinity"]


def test_large_integers_are_exact() -> None:
    made = dataset()
    made.add_new(0x00720083, "UV", [2**64 - 1, 0])
    made.add_new(0x00720082, "SV", [-(2**63)])
    found = metadata(made)[0]
    assert found["00720083"]["Value"] == [2**64 - 1, 0]
    assert found["00720082"]["Value"] == [-(2**63)]


def test_attributes_are_in_ascending_order_at_every_level() -> None:
    item = dataset(CodeMeaning="b", CodeValue="a")
    made = dataset(PatientID="x", StudyDate="20200101", AnatomicRegionSequence=[item, Dataset()])
    rows = build_json(scan_datasets([made]), [("", None)])
    text = rows.batch["Metadata"][0].as_py()
    assert list(json.loads(text)) == ["00080020", "00082218", "00100020"]
    assert '"Value":[{"00080100":{"vr":"SH","Value":["a"]},"00080104":{"vr":"LO","Value":["b"]}},{}]' in text


def test_text_is_utf_8_and_says_so() -> None:
    made = dataset(SpecificCharacterSet="ISO_IR 100", PatientName="Müller")
    found = metadata(made)[0]
    assert found["00080005"]["Value"] == ["ISO_IR 192"]
    assert found["00100010"]["Value"] == [{"Alphabetic": "Müller"}]


def test_bulk_data_is_left_out_and_listed() -> None:
    icon = dataset(Rows=1, PixelData=b"ab")
    icon["PixelData"].VR = "OB"
    made = dataset(IconImageSequence=[icon], PixelData=b"abcd", SOPInstanceUID="1.2")
    made["PixelData"].VR = "OW"
    made.private_block(0x0009, "ACME", create=True).add_new(1, "OB", b"xy")
    rows = build_json(scan_datasets([made]), [("", None)])
    assert rows.batch["DroppedTags"].to_pylist() == [["Tag_00091001", "IconImageSequence[0].PixelData", "PixelData"]]
    found = json.loads(rows.batch["Metadata"][0].as_py())
    assert "7FE00010" not in found
    assert found["00090010"] == {"vr": "LO", "Value": ["ACME"]}
    assert rows.problems.of(Reason.EXCLUDED_VR) == 3
    paths = {problem.path for problem in rows.problems.counts}
    assert paths == {"PixelData", "IconImageSequence.PixelData", "Tag_00091001"}


def test_sequences_over_a_limit_are_dropped_whole(tmp_path: Path) -> None:
    large = [{"ReferencedSOPInstanceUID": "1." * 30 + "1"}] * 2
    path = instance(tmp_path, "1", ReferencedImageSequence=large, AnatomicRegionSequence=[{"CodeValue": "a"}])
    scanned = scan_files([str(path)])
    rows = build_json(scanned.table, [(uri, None) for uri in scanned.uris], max_sequence_bytes=100)
    assert rows.batch["DroppedTags"].to_pylist() == [["ReferencedImageSequence"]]
    assert list(json.loads(rows.batch["Metadata"][0].as_py()))[-1] == "00082218"
    assert rows.problems.of(Reason.SEQUENCE_TOO_LARGE) == 1


def from_file(
    path: Path, *parts: bytes, syntax: str = EXPLICIT
) -> tuple[dict[str, Any], list[str], Problems, Problems]:
    """Metadata and DroppedTags of a file, and the problems that are counted here and in the flattened variant."""
    path.write_bytes(meta(syntax) + IDENTITY + b"".join(parts))
    scanned = scan_files([str(path)])
    rows = build_json(scanned.table, [(str(path), None)])
    (row,) = rows.batch.to_pylist()
    return json.loads(row["Metadata"]), row["DroppedTags"], rows.problems, build(scanned.table).problems


OPAQUE, OPAQUE_ITEM = explicit(0x00091001, "OB", b"ab"), item(explicit(0x00091001, "OB", b"ab"))
NUMBER, NUMBER_ITEM = explicit(0x00091001, "US", b"\5\0"), item(explicit(0x00091001, "US", b"\5\0"))


@pytest.mark.parametrize(
    ("parts", "value", "dropped"),
    [
        ((NUMBER, OPAQUE), None, ["Tag_00091001"]),
        ((OPAQUE, NUMBER), {"vr": "US", "Value": [5]}, []),
        ((NUMBER, explicit(0x00091001, "US")), {"vr": "US"}, []),
        ((explicit(0x00091001, "SQ", OPAQUE_ITEM), NUMBER), {"vr": "US", "Value": [5]}, []),
        (
            (explicit(0x00091001, "SQ", OPAQUE_ITEM), explicit(0x00091001, "SQ", NUMBER_ITEM)),
            {"vr": "SQ", "Value": [{"00091001": {"vr": "US", "Value": [5]}}]},
            [],
        ),
    ],
)
def test_the_last_of_two_elements_with_one_tag_counts(tmp_path, parts, value, dropped) -> None:
    found, tags, problems, flattened = from_file(tmp_path / "two.dcm", *parts)
    assert (found.get("00091001"), tags) == (value, dropped)
    assert problems.of(Reason.DUPLICATE) == flattened.of(Reason.DUPLICATE) == 1
    assert problems.of(Reason.EXCLUDED_VR) == len(dropped)


NOTED = (
    Reason.ASSUMED_LATIN_1, Reason.CUT_VALUE, Reason.DUPLICATE, Reason.OTHER_SYNTAX, Reason.READ_BY_PYDICOM,
    Reason.REPAIRED_NUL, Reason.SHORT_VALUE, Reason.UNDECODABLE,
)  # fmt: skip


@pytest.mark.parametrize(
    ("part", "reason", "syntax"),
    [
        (text(0x00100020, "LO", "A\0B "), Reason.REPAIRED_NUL, EXPLICIT),
        (text(0x00100020, "LO", "AB\0\0"), None, EXPLICIT),
        (explicit(0x00100020, "LO", b"\xe9a"), Reason.ASSUMED_LATIN_1, EXPLICIT),
        (text(0x00080005, "CS", "ISO_IR 192") + explicit(0x00100020, "LO", b"\xe9a"), Reason.UNDECODABLE, EXPLICIT),
        (explicit(0x7FE00010, "OW", b"ab", 400), Reason.SHORT_VALUE, EXPLICIT),
        (b"", Reason.OTHER_SYNTAX, IMPLICIT),
        (sequence(item(text(0x00100020, "LO", "A ") + text(0x00100020, "LO", "C "))), Reason.DUPLICATE, EXPLICIT),
    ],
)
def test_what_is_met_is_counted_as_in_the_flattened_variant(tmp_path, part: bytes, reason: Reason, syntax: str) -> None:
    *_, problems, flattened = from_file(tmp_path / "met.dcm", part, syntax=syntax)
    counts, expected = (
        {problem: count for problem, count in each.counts.items() if problem.reason in NOTED}
        for each in (problems, flattened)
    )
    assert counts == expected
    assert [problem.reason for problem in counts] == ([reason] if reason else [])


def nested(depth: int) -> bytes:
    """A file of Content Sequences inside each other, of undefined length (PS3.5 7.5.1)."""
    head = bytes.fromhex("4000 30A7 5351 0000 FFFFFFFF FEFF00E0 FFFFFFFF")
    tail = bytes.fromhex("FEFF0DE0 00000000 FEFFDDE0 00000000")
    return part10(head * depth + bytes.fromhex("4000 60A1 5554 0000 02000000") + b"ab" + tail * depth)


def test_depth_is_bounded_and_never_recursed_on(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(nested(MOST_LEVELS))
    (tmp_path / "y.dcm").write_bytes(nested(5_000))
    scanned = scan_files([str(tmp_path / "x.dcm"), str(tmp_path / "y.dcm")])
    assert scanned.failures == ()
    rows = build_json(scanned.table, [(uri, None) for uri in scanned.uris])
    whole, cut = rows.batch["Metadata"].to_pylist()
    assert whole.count("0040A730") == MOST_LEVELS
    assert '"vr":"UT","Value":["ab"]' in whole
    assert cut.count("0040A730") == MOST_LEVELS
    assert [len(tags) for tags in rows.batch["DroppedTags"].to_pylist()] == [0, 1]
    assert rows.problems.of(Reason.TOO_DEEP_FOR_JSON) == 1
    assert rows.batch["SOPInstanceUID"].to_pylist() == ["1.2", "1.2"]


def test_sizes_and_times_are_the_files(tmp_path: Path) -> None:
    path = instance(tmp_path, "1.5", StudyInstanceUID="1.6", PatientName="Müller", SpecificCharacterSet="ISO_IR 100")
    os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    table = dicom_bq.to_arrow([path, pydicom.dcmread(path)], schema_type="json", include_source_store=True)
    row, in_memory = table.to_pylist()
    assert row["LastUpdated"] == datetime(2020, 9, 13, 12, 26, 40, 123456, UTC)
    assert row["BlobStorageSize"] == path.stat().st_size == in_memory["BlobStorageSize"]
    assert row["StructuredStorageSize"] == len(row["Metadata"].encode()) > len(row["Metadata"])
    assert (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"]) == ("1.6", None, "1.5")
    assert (row["Type"], row["StorageClass"], row["SourceDicomStore"]) == ("INSERT", None, str(path))


def witness(made: Dataset) -> dict[str, Any]:
    """What pydicom makes of a data set, in the form of ours where the standard leaves a choice."""

    def convert(node: Dataset) -> dict[str, Any]:
        converted = {}
        for one in node:
            if one.VR in {"OB", "OW", "UN", "OD", "OF", "OL", "OV"} and not one.is_empty:
                continue
            if one.VR == "SQ":
                body: dict[str, Any] = {"Value": [convert(item) for item in one.value]} if one.value else {}
            else:
                body = json.loads(json.dumps(one.to_json_dict(None, 1024)))
            converted[f"{int(one.tag):08X}"] = {"vr": one.VR} | {key: body[key] for key in ("Value",) if key in body}
        return converted

    return convert(made)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "PatientID": st.text("AZaz09 _^", max_size=20).map(str.strip),
            "ImageType": st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL"]), max_size=4),
            "Rows": st.integers(0, 2**16 - 1),
            "ReferencePixelX0": st.integers(-(2**31), 2**31 - 1),
            "DopplerCorrectionAngle": st.floats(allow_nan=False, allow_infinity=False),
            "PixelSpacing": st.lists(st.sampled_from([0.5, 1, 1.25, 300]), min_size=2, max_size=2),
            "InstanceNumber": st.integers(-(2**31), 2**31 - 1),
        },
    ),
    st.integers(0, 3),
)
def test_pydicom_agrees(values: dict[str, Any], depth: int) -> None:
    made = dataset(**values)
    for number in range(depth):
        made = dataset(ContentSequence=[made, Dataset()], TextValue=f"level {number}")
    assert _canonical(metadata(made)[0]) == _canonical(witness(made))


def _canonical(node: Any) -> Any:
    """A comparison that forgives: 1 and 1.0; an empty name or text for null."""
    if isinstance(node, dict):
        return {key: _canonical(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_canonical(value) for value in node]
    return float(node) if isinstance(node, int | float | Decimal) else (node or None)


@pytest.mark.parametrize("out", ["x.duckdb", "x.parquet", "parts"])
def test_other_destinations_keep_it_and_append_to_it(tmp_path: Path, out: str) -> None:
    for number in range(3):
        instance(tmp_path / "in", f"1.{number}", PatientName="Doe^Jane", StudyInstanceUID="7")
    target = str(tmp_path / out)
    for disposition in ("write-empty", "write-append"):
        assert (
            main(
                [
                    "export",
                    str(tmp_path / "in"),
                    target,
                    "--schema-type",
                    "json",
                    "--write-disposition",
                    disposition,
                    "-q",
                ]
            )
            == 0
        )
    source = f"'{target}/*.parquet'" if out == "parts" else f"'{target}'"
    with duckdb.connect(target if out == "x.duckdb" else ":memory:") as connection:
        relation = "dicom" if out == "x.duckdb" else f"read_parquet({source})"
        query = "SELECT SOPInstanceUID, Metadata::JSON->'00100010'->'Value'->0->>'Alphabetic' FROM "
        found = connection.sql(query + relation + " ORDER BY 1").fetchall()
    assert found == [(f"1.{number}", "Doe^Jane") for number in range(3) for _ in range(2)]


def test_bigquery_loads_it_as_newline_delimited_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    instance(
        tmp_path / "in", "1.1", PatientName='Mü\u2028ller"', SpecificCharacterSet="ISO_IR 192", StudyInstanceUID="7"
    )
    instance(tmp_path / "in", "1.2", PixelData=b"ab", BitsAllocated=8)
    with FakeBigQuery(tmp_path / "fake") as fake:
        fake.create_dataset("ds")
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)
        command = ["export", str(tmp_path / "in"), "bq://p1.ds.t", "--schema-type", "json", "-q"]
        assert main(command) == 0
        assert main([*command, "--write-disposition", "write-append"]) == 0
        assert main(["export", str(tmp_path / "in"), "bq://p1.ds.t", "--write-disposition", "write-append", "-q"]) == 3
        rows = fake.rows("ds.t")
        configs = fake.load_configs()
        resource = fake.table("ds.t").resource
    assert fake.bugs == []
    assert [field["name"] for field in resource["schema"]["fields"]] == NAMES
    assert resource["clustering"] == {"fields": NAMES[:3]}
    assert [config["sourceFormat"] for config in configs] == ["NEWLINE_DELIMITED_JSON"] * 2
    assert "parquetOptions" not in configs[0]
    expected = dicom_bq.to_arrow(tmp_path / "in", schema_type="json").to_pylist()
    for row in (*rows, *expected):
        row["Metadata"] = json.loads(row["Metadata"])
    assert rows == expected * 2
    assert rows[0]["Metadata"]["00100010"]["Value"] == [{"Alphabetic": 'Mü\u2028ller"'}]
    assert rows[1]["DroppedTags"] == ["PixelData"]


def test_the_schema_command_prints_it_and_other_schemas_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = instance(tmp_path / "in", "1.1")
    assert main(["schema", str(path), "--schema-type", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema().to_bigquery()
    with pytest.raises(UsageError, match="has its own columns"):
        dicom_bq.export(path, tmp_path / "x.parquet", schema=json_schema(), schema_type="json")


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS, reason="DICOM_BQ_CORPUS is not set")
def test_every_file_of_the_corpus_is_json(tmp_path: Path) -> None:
    assert CORPUS is not None
    flat, nested_ = str(tmp_path / "flat.parquet"), str(tmp_path / "json.parquet")
    assert main(["export", CORPUS, flat, "-q"]) == main(["export", CORPUS, nested_, "-q", "--schema-type", "json"]) == 1
    columns, rows = pq.read_table(flat), pq.read_table(nested_)
    assert rows.num_rows == columns.num_rows > 400
    for uid, metadata_ in zip(columns["SOPInstanceUID"].to_pylist(), rows["Metadata"].to_pylist(), strict=True):
        assert json.loads(metadata_).get("00080018", {}).get("Value", [None])[0] == uid
