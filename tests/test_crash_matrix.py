"""A few runs of the crash matrix; ``python -m tests.crash --runs 100`` makes many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.crash.matrix import DESTINATIONS, DISPOSITIONS, SIGNALS, Case, Field, field_of


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with field_of(tmp_path_factory.mktemp("crash"), files=300, seed=5) as field:
        yield field


@pytest.mark.slow
@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("number", range(3))
def test_a_stopped_export_is_done_or_not_and_can_be_run_again(field: Field, destination: str, number: int) -> None:
    for signal in SIGNALS:
        field.run(Case(destination, DISPOSITIONS[number], signal, 1 + number % 2))


def test_the_matrix_notices_what_is_wrong(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that has lost rows is neither the old nor the new one."""
    monkeypatch.setattr(Field, "_rows", lambda *_: Counter({"old-00001": 1}))
    with pytest.raises(AssertionError, match="neither the old nor the new one"):
        field.run(Case("table.parquet", "write-append", SIGNALS[0], 1))
