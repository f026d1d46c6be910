"""Edges of worker processes and of the listing that no other test stood on: found by changing the product a little."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_bq import reading, workers
from dicom_bq.errors import WorkerError
from dicom_bq.listing import Listing, make_parts
from dicom_bq.parts import Part, Summary, Task
from dicom_bq.rowsfile import NO_FILE
from dicom_bq.sources.members import ArchiveError
from dicom_bq.sources.spool import Spool
from dicom_bq.spill import Spill
from dicom_bq.stats import digest_of
from dicom_bq.tally import Tally

TASK = Task(None, {}, None, rows=False)


def pool(count: int = 2, spill: Spill | None = None) -> workers.Workers:
    return workers.Workers(TASK, count, spill, reading.work)


class Hand:
    """Stands in for a worker."""

    def __init__(self, *parts: Part, ready: bool = True) -> None:
        self.parts, self.ready = deque(parts), ready

    def stop(self) -> str:
        return "signal 9 (Killed)"


def hired(pool: workers.Workers, hand: Hand) -> Any:
    worker: Any = hand
    pool._workers = [worker]
    pool._parts = [*hand.parts]
    return worker


# Parts


def test_halves_have_everything_of_the_whole_once() -> None:
    members: Any = {"a": "where a is", "c": "where c is"}
    whole = Part(["a", "b", "c"], [("u", "why")], members=members, finished=["inflated"])
    first, second = whole.halves()
    assert first.uris + second.uris == whole.uris
    assert (first.unreadable, second.unreadable) == ([("u", "why")], [])
    assert (first.finished, second.finished) == ([], ["inflated"])  # nothing is removed that the second reads
    assert first.members == second.members == members
    assert first.suspect
    assert second.suspect


def test_no_more_parts_are_in_memory_than_their_rows_have_files() -> None:
    """However long the first of them takes."""
    one = pool()
    one._parts = [Part([f"{number}"], done=number > 0) for number in range(one._most_parts)]
    listed = itertools.count()
    assert one._list(Part([f"{number}"]) for number in listed)
    assert next(listed) == 0


def test_what_has_ended_a_worker_is_read_here_only_where_there_can_be_no_worker() -> None:
    one, suspect = pool(), Part(["a"], suspect=True)
    one._parts = [suspect]
    assert one._for_here() is None
    one._most_workers = 0
    assert one._for_here() is suspect


def test_a_worker_s_answer_starts_the_count_of_ends_again() -> None:
    one = pool()
    worker = hired(one, Hand(Part(["a"], file=NO_FILE)))
    one._ends = workers.MOST_ENDS
    one._hear(worker, Summary(Tally()))
    assert one._ends == 0


def test_a_worker_more_than_may_end_is_an_error() -> None:
    one = pool()
    one._ends = workers.MOST_ENDS - 1
    one._bury(hired(one, Hand()))
    with pytest.raises(WorkerError, match=r"25 worker processes ended .* signal 9"):
        one._bury(hired(one, Hand()))


@pytest.mark.parametrize(("ready", "parts"), [(True, [["a"], ["b"], ["c"]]), (False, [["a", "b"], ["c"]])])
def test_parts_of_a_worker_that_ends_are_for_others_and_so_are_their_files(
    ready: bool, parts: list[list[str]], tmp_path: Path
) -> None:
    with Spill(str(tmp_path)) as spill:
        one = pool(spill=spill)
        files = [spill.file() for _ in range(2)]
        held = [Part(uris, file=file) for uris, file in zip((["a", "b"], ["c"]), files, strict=True)]
        one._bury(hired(one, Hand(*held, ready=ready)))
        assert one._free == files
        assert [(part.uris, part.file, part.done) for part in one._parts] == [(uris, None, False) for uris in parts]
        assert [part.suspect for part in one._parts] == [ready, *[ready] * (len(parts) - 2), False]


def test_rows_of_a_part_that_was_taken_are_gone(tmp_path: Path) -> None:
    with Spill(str(tmp_path), reuse=True) as spill:
        one, file = pool(spill=spill), spill.own()
        os.pwrite(file.descriptor, b"rows", 0)
        one._forget(Part(["a"], file=file))
        assert one._free == [file]
        assert os.fstat(file.descriptor).st_size == 0


def test_a_part_of_nothing_but_what_cannot_be_read_comes_back_at_once() -> None:
    nothing = Part([], [("a", "why")])
    assert list(pool().run(iter([nothing]))) == [nothing]


# Processes


@pytest.fixture
def _a_list_on_stdin(tmp_path: Path) -> Iterator[None]:
    before = os.dup(0)
    with (tmp_path / "list").open("w+") as file:
        os.dup2(file.fileno(), 0)
    yield
    os.dup2(before, 0)
    os.close(before)


@pytest.mark.usefixtures("_a_list_on_stdin")
def test_a_worker_has_nothing_of_this_process_but_what_it_needs() -> None:
    """Neither its stdin, which may be a list that is read here, nor the signals of its terminal."""
    worker = workers.Worker(TASK, [])
    try:
        process = worker._process.pid
        assert [Path(f"/proc/{process}/fd/{number}").readlink() for number in (0, 1)] == [Path(os.devnull)] * 2
        assert os.getpgid(process) == process
    finally:
        assert worker.stop() == "signal 9 (Killed)"
    assert worker.connection.closed


def test_a_worker_that_has_ended_is_noticed_when_it_is_listened_to() -> None:
    worker = workers.Worker(TASK, [])
    worker._process.kill()
    worker._process.wait()
    for number in range(2):
        worker.give(Part([f"{number}"]), NO_FILE)  # raises nothing
    assert [part.uris for part in worker.parts] == [["0"], ["1"]]
    worker.stop()


def test_a_worker_ends_when_nobody_is_there_to_give_it_orders() -> None:
    """Such as when this process was killed, which then can stop nobody."""
    worker = workers.Worker(TASK, [])
    try:
        assert worker.connection.recv() is None  # it has started, and waits
        worker.connection.close()
        assert worker._process.wait(10) == 0
    finally:
        worker.stop()


NOISY = """
import logging, warnings
from dicom_bq import worker

def serve(_):
    warnings.warn("CANARY")
    logging.getLogger("pydicom").warning("CANARY")
    raise ValueError("CANARY")

worker._serve = serve
worker.main(0)
"""


def test_a_worker_says_nothing() -> None:
    """What Python says of a bug, and pydicom of a file, quotes values; stderr is the user's."""
    done = subprocess.run(
        [sys.executable, "-c", NOISY],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (70, b"", b"")


# The listing


def test_what_cannot_be_read_is_listed_too() -> None:
    listing = Listing((part for part in (Part(["a"], [("b", "why"), ("c", "why")]), Part([]))), Spool())
    assert len(list(listing.run())) == 2
    assert (listing.listed, listing.done) == (3, True)


def test_each_part_has_what_was_met_since_the_one_before() -> None:
    unreadable: list[tuple[str, str]] = []
    spool = Spool()

    def files() -> Iterator[tuple[str, None]]:
        for name in "abc":
            unreadable.append((f"not {name}", "why"))
            yield name, None
            spool.finished.append(f"inflated {name}")

    first, second = make_parts(files(), unreadable, spool, 2, {})
    assert (first.uris, first.finished) == (["a", "b"], ["inflated a", "inflated b"])
    assert (second.uris, second.finished) == (["c"], ["inflated c"])
    assert [uri for part in (first, second) for uri, _ in part.unreadable] == ["not a", "not b", "not c"]


def test_parts_of_an_earlier_run_are_as_large_as_they_were() -> None:
    """And begin where they began, whatever has come before them."""
    done = {digest_of(["/c"]): 3, digest_of(["/h"]): 1}
    parts = make_parts(((f"/{name}", None) for name in "abcdefghi"), [], Spool(), 2, done)
    assert [part.uris for part in parts] == [["/a", "/b"], ["/c", "/d", "/e"], ["/f", "/g"], ["/h"], ["/i"]]


def test_nothing_is_inflated_any_more_for_a_listing_that_nobody_wants() -> None:
    spool = Spool()
    run = Listing((part for part in (Part(["a"]), Part(["b"]))), spool).run()
    next(run)
    spool._check_wanted()
    run.close()
    with pytest.raises(ArchiveError, match="nobody wants to read it any more"):
        spool._check_wanted()
