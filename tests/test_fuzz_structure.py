"""Data sets that hypothesis draws, changed at the level of elements, and shrunk when something is wrong."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import variants
from tests.fuzz import checks
from tests.fuzz.minimise import minimised
from tests.fuzz.mutate import CHANGES, mutate, mutate_bytes
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import Pool, kind_of
from tests.fuzz.tree import parse, walk, write
from tests.handmade import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, explicit, explicit_file, small_file
from tests.stored_elements import part10
from tests.strategies import deep_items, disordered_items, items, syntaxes

generated = settings(
    max_examples=int(os.environ.get("DICOM_BQ_EXAMPLES", "40")),
    derandomize="DICOM_BQ_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
data_sets = st.one_of(items(), deep_items(), disordered_items())


@pytest.fixture
def good(tmp_path: Path) -> list[checks.Good]:
    return variants.neighbours(tmp_path)


@generated
@given(
    item=data_sets,
    other=data_sets,
    syntax=syntaxes(),
    changes=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4),
    rng=st.randoms(use_true_random=False),
)
def test_changed_elements(
    item: object, other: object, syntax: object, changes: list[str], rng: random.Random, tmp_path: Path,
    good: list[checks.Good],
) -> None:  # fmt: skip
    file, donor = (parse(part10(one, syntax)) for one in (item, other))  # type: ignore[arg-type]
    for name in changes:
        CHANGES[name](file, rng, donor)
    path = tmp_path / "changed.dcm"
    path.write_bytes(write(file))
    checks.walkers_agree([str(path)])
    checks.rows_hold([str(path)], good)
    checks.oracle_agrees(str(path))


@generated
@given(many=st.lists(st.tuples(data_sets, syntaxes()), min_size=2, max_size=6), rng=st.randoms(use_true_random=False))
def test_changed_files_in_company(many: list, rng: random.Random, tmp_path: Path, good: list[checks.Good]) -> None:
    paths = []
    for number, (item, syntax) in enumerate(many):
        paths.append(str(tmp_path / f"{number}.dcm"))
        Path(paths[-1]).write_bytes(mutate(part10(item, syntax), rng))
    checks.walkers_agree(paths)
    checks.rows_hold(paths, good, {"numeric_strings": rng.choice(["text", "typed"])})


# The fuzzer itself


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_tree_is_the_file_it_was_read_from(syntax: str) -> None:
    data = small_file(syntax)
    file = parse(data)
    assert file.tail == b""
    assert len([*walk(file.data)]) >= 3
    assert parse(write(file)) == file
    assert write(file) == data or syntax == DEFLATED


def test_seeds_are_small_and_mostly_understood() -> None:
    found = seeds()
    assert len(found) > 80
    assert sum(write(parse(data)) == data for data in found) > 0.9 * len(found)


@pytest.mark.parametrize("change", [mutate, mutate_bytes])
def test_changes_depend_on_the_seed_alone_and_differ(change: object) -> None:
    data = small_file(EXPLICIT)
    made = [[change(data, random.Random(seed)) for seed in range(60)] for _ in range(2)]  # type: ignore[operator]
    assert made[0] == made[1]
    assert len(set(made[0])) > 50


def test_a_bug_is_found_named_and_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walker that cannot stand one element: among many inputs, the one that has it is the finding."""
    real = checks.both

    def broken(paths: list[str]) -> object:
        if any(b"\x10\x00\x20\x00LO" in Path(path).read_bytes() for path in paths):
            raise ZeroDivisionError
        return real(paths)

    monkeypatch.setattr(checks, "both", broken)
    findings = tmp_path / "findings"
    findings.mkdir()
    pool = Pool("scanner", tmp_path, findings, random.Random(0))
    for number in range(pool.size):
        pool.add(explicit_file(explicit(0x00100020 if number == 7 else 0x00100021, "LO", b"value"), bytes(300)))
    assert pool.executions == pool.size
    (found,) = findings.glob("*.dcm")
    assert found.read_bytes() == b"\x10\x00\x20\x00LO"
    assert "ZeroDivisionError" in found.with_suffix(".txt").read_text()
    assert list(pool.kinds.values()) == [1]


def test_minimised_keeps_what_shows() -> None:
    assert minimised(b"xxxx-needle-xxxx" * 3, lambda data: b"needle" in data) == b"needle"


def test_kinds_name_laws_and_places() -> None:
    assert kind_of(checks.WrongError("each file is found once: 3")) == "WrongError: each file is found once"
    with pytest.raises(ZeroDivisionError, match="division") as caught:
        1 / 0  # noqa: B018
    assert kind_of(caught.value).startswith("ZeroDivisionError at test_fuzz_structure.py")
