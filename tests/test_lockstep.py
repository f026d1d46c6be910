"""The two walkers: the same ElementTable of every file, alone and in company."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_bq.scan import files, heads, rounds
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.lanes import TagSet, item_positions, words
from dicom_bq.scan.outcome import Scanned, ScanOptions
from tests import malformed
from tests.stored_elements import EXPLICIT, IMPLICIT, Items, StoredElement, part10
from tests.walkers import assert_same, both

FIXTURES = sorted(path for path in (Path(__file__).parent.parent / "fixtures" / "dicom").rglob("*") if path.is_file())


def test_walkers_agree_on_the_fixtures() -> None:
    together, alone = both(FIXTURES)
    assert_same(together, alone)
    assert alone.scalar == len(FIXTURES)
    assert together.scalar < len(FIXTURES) / 2, "most files are walked in lock-step"


@pytest.fixture(scope="module")
def corpus() -> Scanned:
    """What the scalar walker, which does not know of rounds, reads of the corpus."""
    paths = sorted(path for path in Path(os.environ["DICOM_BQ_CORPUS"]).rglob("*") if path.is_file())
    return scan_files(list(map(str, paths)), ScanOptions(lockstep=False))


@pytest.mark.corpus
@pytest.mark.skipif("DICOM_BQ_CORPUS" not in os.environ, reason="DICOM_BQ_CORPUS is not set")
def test_walkers_agree_on_the_corpus(corpus: Scanned) -> None:
    together = scan_files(files_of(corpus))
    assert_same(together, corpus)
    odd = together.scalar - len(together.skipped) - len(together.failures)
    assert odd <= 0.05 * len(together.uris), "95 % of what can be read is read in lock-step"


DEEP = frozenset(name for name in malformed.CASES if name.startswith("100,000 nested sequences"))
"""They take seconds, and test_malformed.py holds the walkers against each other on every case it reads, these too."""


@pytest.mark.parametrize("name", sorted(malformed.CASES.keys() - DEEP))
def test_walkers_agree_on_hostile_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.dcm"
    path.write_bytes(malformed.CASES[name].build())
    assert_same(*both([path]))


def test_company_changes_nothing() -> None:
    paths = FIXTURES * 3
    random.Random(1).shuffle(paths)
    assert_same(*both(paths))


def files_of(scanned: Scanned) -> list[str]:
    """The files that were scanned, in their order."""
    return sorted([*scanned.uris, *(one.uri for one in (*scanned.failures, *scanned.skipped))])


LARGE = 1 << 20
"""Bytes of a file that takes seconds; one of them will do."""
SIZES = [(512, 1024, 2048, 1 << 20), (1 << 10, 1 << 14), (700, 1 << 20)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """What the scalar walker, which does not know of rounds, reads of fixtures and hostile files."""
    folder, large, paths = tmp_path_factory.mktemp("hostile"), 0, [*FIXTURES]
    for number, (name, case) in enumerate(malformed.CASES.items()):
        data = case.build()
        large += (is_large := len(data) >= LARGE or name in DEEP)
        if not is_large or large == 1:
            paths.append(folder / f"{number}.dcm")
            paths[-1].write_bytes(data)
    assert len(paths) - len(FIXTURES) > len(malformed.CASES) / 2
    return scan_files(sorted(map(str, paths)), ScanOptions(lockstep=False))


@pytest.mark.parametrize("sizes", SIZES)
def test_walkers_agree_whatever_is_read_at_a_time(
    hostile: Scanned, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    monkeypatch.setattr(files, "READ_SIZES", sizes)
    assert_same(scan_files(files_of(hostile)), hostile)


@pytest.mark.corpus
@pytest.mark.skipif("DICOM_BQ_CORPUS" not in os.environ, reason="DICOM_BQ_CORPUS is not set")
@pytest.mark.parametrize("sizes", SIZES)
def test_walkers_agree_on_the_corpus_in_pieces(
    corpus: Scanned, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    monkeypatch.setattr(files, "READ_SIZES", sizes)
    together = scan_files(files_of(corpus))
    assert_same(together, corpus)
    assert together.scalar < corpus.scalar / 2


@pytest.mark.parametrize("later", [1, 16 << 20])
def test_walkers_agree_however_many_are_walked_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    monkeypatch.setattr(files, "LATER_ROUND_BYTES", later)
    read: list[tuple[int, int]] = []
    original = heads.read_heads
    monkeypatch.setattr(rounds, "read_heads", lambda *given: read.append((len(given[0]), given[2])) or original(*given))
    long = [tmp_path / f"{number}.dcm" for number in range(5)]
    for path in long:
        path.write_bytes(part10((StoredElement(0x0040A160, "UT", "x" * 10_000),), EXPLICIT))
    paths = list(map(str, [*FIXTURES, *long]))
    few = ScanOptions(max_round_bytes=files.READ_SIZES[0] * 3)
    assert_same(scan_files(paths, few), scan_files(paths, ScanOptions(lockstep=False)))
    assert max(count for count, size in read if size == files.READ_SIZES[0]) == 3
    assert max(count for count, size in read if size == files.READ_SIZES[1]) == (1 if later == 1 else len(long))


def test_a_long_header_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is walked twice: the pieces together are hardly more than the file."""
    read: list[int] = []
    original = heads.read_heads
    monkeypatch.setattr(rounds, "read_heads", lambda *given: read.append(given[2]) or original(*given))
    elements = [StoredElement(0x00091000 + number, "LT", "x" * 300) for number in range(1000)]
    path = tmp_path / "long.dcm"
    path.write_bytes(part10(in_order(elements), EXPLICIT))
    together, alone = both([path])
    assert_same(together, alone)
    assert together.scalar == 0
    assert read == list(files.READ_SIZES[:3])
    assert sum(read) - files.READ_SIZES[2] < path.stat().st_size < sum(read)


ITEM_TAG = b"\xfe\xff\x00\xe0"
values = st.sampled_from(
    [
        StoredElement(0x00080060, "CS", "MR"),
        StoredElement(0x00091010, "OB", ITEM_TAG + b"\x04\x00\x00\x00" + ITEM_TAG),  # tags by chance
        StoredElement(0x00100010, "PN", "A^B"),
        StoredElement(0x00280010, "US", (5,)),
        StoredElement(0x00282000, "OB", ITEM_TAG * 5),
        StoredElement(0x0040A160, "UT", "x" * 300),
        StoredElement(0x00420011, "OB", bytes(9000)),  # passed over
        StoredElement(0x00420013, "SQ", Items(items=())),
        StoredElement(0x7FE00010, "OW", bytes(9000)),
    ]
)
sequences = st.builds(
    lambda items: StoredElement(0x00081140, "SQ", Items(items=items)),
    st.lists(st.lists(values, max_size=4), max_size=3),
)


def in_order(elements: list[StoredElement]) -> tuple[StoredElement, ...]:
    return tuple(sorted({element.tag: element for element in elements}.values(), key=lambda element: element.tag))


def tidy(element: StoredElement) -> StoredElement:
    if not isinstance(element.value, Items):
        return element
    items = tuple(in_order([tidy(inner) for inner in item]) for item in element.value.items)
    return StoredElement(element.tag, element.vr, Items(items=items))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(st.lists(st.one_of(values, sequences), max_size=8), min_size=1, max_size=4),
    syntax=st.sampled_from([EXPLICIT, IMPLICIT]),
    cut=st.integers(0, 400),
    sizes=st.sampled_from([files.READ_SIZES, *SIZES]),
)
def test_item_tags_by_chance_are_proved_wrong(
    tmp_path: Path, data: list[list[StoredElement]], syntax: object, cut: int, sizes: tuple[int, ...]
) -> None:
    paths = []
    for number, elements in enumerate(data):
        path = tmp_path / f"{number}.dcm"
        whole = part10(in_order([tidy(element) for element in elements]), syntax)  # type: ignore[arg-type]
        path.write_bytes(whole[: len(whole) - cut] if number % 2 else whole)
        paths.append(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "READ_SIZES", sizes)
        assert_same(*both(paths))


def test_item_positions_are_all_even_ones_of_the_tag() -> None:
    arena = np.frombuffer(b"\0\0" + ITEM_TAG + b"\0" + ITEM_TAG + b"\0" * 33, np.uint8)
    assert item_positions(arena, big_endian=False).tolist() == [2]
    turned = np.frombuffer(b"\xff\xfe\xe0\x00" + b"\0" * 32, np.uint8)
    assert item_positions(turned, big_endian=True).tolist() == [0]


def test_words_are_unaligned_and_little_endian() -> None:
    arena = np.arange(20, dtype=np.uint8)
    assert int(words(arena)[3]) == int.from_bytes(bytes(range(3, 11)), "little")


def test_a_tag_set_has_its_members_and_no_others() -> None:
    tags = frozenset({0x00081140, 0x7FE00010, 0x00100010})
    asked = np.array([(tag & 0xFFFF) << 16 | tag >> 16 for tag in (*tags, 0x00081141, 0x11400008, 1, 0)], np.uint32)
    assert TagSet.of(tags).has(asked).tolist() == [True] * 3 + [False] * 4


def test_text_under_an_excluded_tag_is_read_or_the_file_is_cut_off(tmp_path: Path) -> None:
    """(0042,0011) Encapsulated Document stored as LO: no value of an excluded VR, so it is not passed over."""
    path = tmp_path / "text.dcm"
    whole = part10([StoredElement(0x00080005, "CS", "ISO_IR 100"), StoredElement(0x00420011, "LO", "abcdefgh")])
    path.write_bytes(whole[:-2])
    together, alone = both([path])
    assert_same(together, alone)
    assert together.failures[0].reason.startswith("file ends inside the element")
