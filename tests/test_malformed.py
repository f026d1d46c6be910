"""Hostile and broken files: each is a row or a counted reason, in bounded time and memory, never an exception."""

from __future__ import annotations

import faulthandler
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_bq.columns.build import build
from dicom_bq.problems import Reason
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import Scanned, ScanOptions
from tests import malformed
from tests.handmade import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    explicit,
    explicit_file,
    implicit,
    implicit_file,
    item,
    open_item,
    open_sequence,
    sequence,
    small_file,
    text,
    truncations,
)
from tests.walkers import assert_same

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures/dicom"
SECONDS = 60  # catches hangs; measures nothing, and the machine may be busy
NAME = "Odd^File"
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def no_flood() -> Iterator[None]:
    """Let what asks for gigabytes fail here, not take the machine with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8192 * MEBIBYTE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Raise in a test that takes too long; where even that is not heard, in C, print the stack and end."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        message = f"took longer than {SECONDS} s"
        raise TimeoutError(message)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    faulthandler.dump_traceback_later(2 * SECONDS, exit=True, file=sys.__stderr__)
    yield
    signal.alarm(0)
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGALRM, before)


def read(paths: Sequence[Path], *, lockstep: bool = True) -> tuple[Scanned, list[dict]]:
    """Scan and build, and hold what is true of any input: every file counted once, every element placed."""
    scanned = scan_files([str(path) for path in paths], ScanOptions(lockstep=lockstep))
    counted = [*scanned.uris, *(one.uri for one in (*scanned.failures, *scanned.skipped))]
    assert sorted(counted) == sorted(map(str, paths))
    assert all(one.reason and NAME not in one.reason for one in (*scanned.failures, *scanned.skipped))
    built = build(scanned.table)
    built.batch.validate(full=True)
    assert built.batch.num_rows == len(scanned.uris)
    assert len(built.placements) == len(scanned.table)
    return scanned, built.batch.to_pylist()


def read_twice(paths: Sequence[Path]) -> tuple[Scanned, list[dict]]:
    """Read with either walker: they must not differ, whatever the bytes."""
    scanned, rows = read(paths)
    alone, same = read(paths, lockstep=False)
    assert_same(scanned, alone)
    assert repr(rows) == repr(same)  # by text, because NaN is not equal to itself
    return scanned, rows


@pytest.mark.parametrize("name", malformed.CASES)
def test_a_hostile_file_gives_what_it_should_and_leaves_its_neighbours_alone(name: str, tmp_path: Path) -> None:
    hostile = malformed.CASES[name].make()
    before, middle, after = (tmp_path / f"{number}.dcm" for number in range(3))
    before.write_bytes(small_file(EXPLICIT))
    middle.write_bytes(hostile.data)
    after.write_bytes(small_file(IMPLICIT))
    scanned, rows = read_twice([before, middle, after])
    found = "row" if len(rows) == 3 else "failed" if scanned.failures else "not dicom"
    assert found in hostile.expectation.split(" or "), (scanned.failures, scanned.skipped)
    if hostile.expectation == "row" and NAME.encode() in hostile.data:
        assert rows[1]["PatientName"]["Alphabetic"]["FamilyName"] == "Odd"
    for row in (rows[0], rows[-1]):
        assert row["SOPInstanceUID"] == "2.25.1"
        assert row["PatientName"]["Alphabetic"]["GivenName"] == "File"


@pytest.mark.parametrize("stored", ["OB", "OW", "UN", "UT", "LT"])
@pytest.mark.parametrize("tag", [0x0040A160, 0x00291010, 0x00431027], ids=["public", "private", "known private"])
def test_a_long_value_is_never_read_from_a_neighbour(stored: str, tag: int, tmp_path: Path) -> None:
    """Values of excluded VRs are passed over without being read; what is not read must not be in a row."""
    mine, other = b"m" * 60_000, b"o" * 60_000
    paths = [tmp_path / "mine.dcm", tmp_path / "other.dcm"]
    creator = text(0x00430010, "LO", "GEMS_PARM_01") if tag >> 16 == 0x0043 else b""
    paths[0].write_bytes(explicit_file(creator, explicit(tag, stored, mine)))
    paths[1].write_bytes(explicit_file(explicit(0x0040A160, "UT", other)))
    _, rows = read(paths)
    assert rows[1]["TextValue"] == other.decode()
    kept = rows[0].get("TextValue") or "".join(
        part for one in rows[0].get("OtherElements") or [] if one["Tag"] == f"Tag_{tag:08X}" for part in one["Data"]
    )
    dropped = [entry["TagName"] for entry in rows[0]["DroppedTags"]]
    assert kept == mine.decode() if not dropped else not kept


UID = text(0x00081155, "UI", "1.2.3")
WITHOUT_VR = implicit(0x00100040, b"M ")  # which the walker refuses in explicit VR, and pydicom reads
COMMENTS = text(0x00104000, "LT", "abcdefghij")


@pytest.mark.parametrize("last", [sequence(item(COMMENTS)), open_sequence(open_item(COMMENTS)), COMMENTS[:8]])
@pytest.mark.parametrize("cut", [1, 4, 7])
def test_a_sequence_or_a_header_cut_off_is_a_failure_for_either_reader(last: bytes, cut: int, tmp_path: Path) -> None:
    """pydicom, which reads what the walker refuses, says nothing of most of these."""
    for refused in (b"", WITHOUT_VR):
        path = tmp_path / "short.dcm"
        path.write_bytes(explicit_file(refused, last)[:-cut])
        scanned, _ = read_twice([path])
        assert [failure.uri for failure in scanned.failures] == [str(path)]
        assert refused == b"" or "; pydicom: " in scanned.failures[0].reason


@pytest.mark.parametrize("cut", [0, 1, 4, 10])
def test_a_value_cut_off_is_not_taken_for_a_whole_one(cut: int, tmp_path: Path) -> None:
    """Where pydicom reads what the walker refuses, it takes what is there, or nothing."""
    data, path = explicit_file(WITHOUT_VR, COMMENTS), tmp_path / "short.dcm"
    path.write_bytes(data[: len(data) - cut])
    scanned, [row] = read_twice([path])
    expected = [Reason.READ_BY_PYDICOM, Reason.CUT_VALUE] if cut else [Reason.READ_BY_PYDICOM]
    assert [note.reason for note in scanned.table.notes] == expected
    assert scanned.table.notes[-1].tag == (0x00104000 if cut else 0)
    assert row.get("PatientComments", "") == "abcdefghij"[: 10 - cut]


@pytest.mark.parametrize("items", [item, open_item])
def test_items_in_explicit_vr_in_a_sequence_of_un_are_read_as_pydicom_reads_them(
    items: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "explicit.dcm"
    unknown = explicit(0x00081140, "UN", items(UID), UNDEFINED) + implicit(SEQUENCE_END)
    path.write_bytes(explicit_file(unknown, COMMENTS))
    scanned, [row] = read_twice([path])
    assert [note.reason for note in scanned.table.notes] == [Reason.READ_BY_PYDICOM]
    assert row["ReferencedImageSequence"][0]["ReferencedSOPInstanceUID"] == "1.2.3"
    assert row["PatientComments"] == "abcdefghij"


BAD = b"no items"  # where the dictionary says that there are some
AROUND = item(implicit(0x00081140, item(implicit(0x00081155, b"1.2.3\0") + implicit(0x0040A170, BAD))))


@pytest.mark.parametrize(
    "data",
    [
        explicit_file(text(0x00090010, "LO", "SOMEBODY"), explicit(0x0040A730, "UN", AROUND)),
        implicit_file(implicit(0x0040A730, AROUND)),
        explicit_file(
            WITHOUT_VR,
            explicit(0x0040A730, "SQ", item(sequence(item(UID + explicit(0x0040A170, "SQ", BAD))))),
        ),
    ],
    ids=["UN", "implicit", "explicit"],
)
def test_a_sequence_that_is_none_takes_no_other_with_it(data: bytes, tmp_path: Path) -> None:
    """pydicom reads each sequence when it is asked for, and so do we, where the walker refuses a file."""
    path = tmp_path / "one.dcm"
    path.write_bytes(data)
    _, [row] = read_twice([path])
    [[referenced]] = [content["ReferencedImageSequence"] for content in row["ContentSequence"]]
    assert referenced["ReferencedSOPInstanceUID"] == "1.2.3"
    [dropped] = [one for one in row["DroppedTags"] if one["TagName"] == "PurposeOfReferenceCodeSequence"]
    assert dropped["TagReference"].startswith("ContentSequence[0].ReferencedImageSequence[0].")


def test_pixel_data_cut_off_is_noted_by_either_reader(tmp_path: Path) -> None:
    pixels, notes = explicit(PIXEL_DATA, "OW", bytes(100))[:-50], []
    for number, refused in enumerate((b"", WITHOUT_VR)):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(explicit_file(refused, pixels))
        scanned, _ = read_twice([path])
        [note] = [note for note in scanned.table.notes if note.reason is Reason.SHORT_VALUE]
        notes.append((note.tag, scanned.table.tag[note.row]))
    assert notes == [(PIXEL_DATA, PIXEL_DATA)] * 2


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_file_cut_at_any_byte_is_a_row_or_a_reason(syntax: str, tmp_path: Path) -> None:
    paths = []
    for data in truncations(small_file(syntax)):
        paths.append(tmp_path / f"{len(data):04d}.dcm")
        paths[-1].write_bytes(data)
    scanned, rows = read_twice(paths)
    assert scanned.failures, "cuts inside an element are failures"
    assert len(rows) < len(paths)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.data(),
    source=st.sampled_from(
        sorted(path for path in FIXTURES.rglob("*") if path.is_file() and 132 < path.stat().st_size < 3000)
    ),
)
def test_changed_bytes_are_a_row_or_a_reason(data: st.DataObject, source: Path, tmp_path: Path) -> None:
    content = bytearray(source.read_bytes())
    changes = data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    )
    for position, value in changes:
        content[position] = value
    path = tmp_path / "changed.dcm"
    path.write_bytes(content)
    read_twice([path])


BOUNDED = """
import json, resource, sys
from dicom_bq.columns.build import build
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
import pydicom
warm_up, allowance, *paths = sys.argv[1:]
build(scan_files([warm_up]).table)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(allowance)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in paths:
    print("reading", path, file=sys.stderr)
    scanned = scan_files([path], ScanOptions(max_header_bytes=32 << 20))
    build(scanned.table)
    print(json.dumps([len(scanned.uris), len(scanned.failures), len(scanned.skipped)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets RLIMIT_AS")
def test_memory_does_not_follow_a_number_in_a_file(tmp_path: Path) -> None:
    names = [*malformed.LIARS, *malformed.malformed_large.FAILURES, "pixel data of 4 GiB"]
    (tmp_path / "warm-up").write_bytes(small_file(EXPLICIT))
    for name in names:
        (tmp_path / name).write_bytes(malformed.CASES[name].build())
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            BOUNDED,
            str(tmp_path / "warm-up"),
            str(256 * MEBIBYTE),
            *(str(tmp_path / n) for n in names),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={"ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert result.returncode == 0, result.stderr
    assert [sum(json.loads(line)) for line in result.stdout.splitlines()] == [1] * len(names)
