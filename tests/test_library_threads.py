"""The library from several threads: what one is at does not show in another, and nothing of it is left."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Barrier, Event
from typing import TypeVar

import pydicom
import pytest
from pydicom.misc import warn_and_log

import dicom_bq
from dicom_bq import reading
from dicom_bq.errors import ScanError
from dicom_bq.scan.batch import Batch
from dicom_bq.scan.bytesource import BytesSource
from dicom_bq.scan.fallback import scan_by_pydicom
from dicom_bq.scan.outcome import Failure, ScanOptions
from dicom_bq.scan.quiet import quiet
from tests.handmade import explicit_file

T = TypeVar("T")

CUT_OFF = explicit_file(b"\x42\x00\x11\x00OB\0\0\xff\xff\xff\xff")
"""A value of undefined length that nothing ends, of which pydicom warns."""


def test_a_stream_has_its_schema_once_it_has_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(explicit_file())
    stream = dicom_bq.scan(tmp_path)
    real, known = reading.Reading.report, []

    def report(self: reading.Reading, *arguments: object) -> object:
        known.append(stream._schema)  # what another thread would find at this moment
        return real(self, *arguments)

    monkeypatch.setattr(reading.Reading, "report", report)
    assert stream.schema.columns
    assert known == [None]
    assert stream.report is not None


# Silence


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What gets through to pydicom's log."""
    texts: list[str] = []
    handler, logger = logging.StreamHandler(), logging.getLogger("pydicom")
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    yield texts
    logger.removeHandler(handler)


def state() -> tuple[object, ...]:
    logger = logging.getLogger("pydicom")
    handlers, filters = list(logger.handlers), list(logger.filters)
    shown = warnings.showwarning, warnings._showwarnmsg_impl  # type: ignore[attr-defined]
    return list(warnings.filters), warnings.filters, *shown, logger.disabled, logger.level, handlers, filters


def in_thread(function: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def test_one_thread_is_quiet_and_others_are_not(said: list[str]) -> None:
    def speak() -> None:
        warn_and_log("heard")

    with quiet() as heard:
        with pytest.warns(UserWarning, match="heard"):
            in_thread(speak)
        warn_and_log("not heard")
    assert set(heard) == {"not heard"}
    assert said == ["heard"]


def test_warnings_of_others_go_by_their_own_filters() -> None:
    def speak() -> None:
        warnings.warn("to be an error", UserWarning, stacklevel=1)

    with quiet(), pytest.raises(UserWarning, match="to be an error"):
        in_thread(speak)


@pytest.mark.parametrize("first_out", [0, 1])
def test_sections_of_two_threads_leave_all_as_it_was(first_out: int) -> None:
    before = state()
    ends = [Event(), Event()]
    begun = Barrier(3, timeout=60)

    def section(number: int) -> set[str]:
        with quiet() as heard:
            begun.wait()
            ends[number].wait(60)
            warn_and_log(f"of {number}")
        return set(heard)

    with ThreadPoolExecutor(2) as threads:
        sections = [threads.submit(section, number) for number in range(2)]
        begun.wait()
        for number in (first_out, 1 - first_out):
            ends[number].set()
            assert sections[number].result() == {f"of {number}"}
    assert state() == before


def test_a_section_in_another_hears_for_itself() -> None:
    with quiet() as outer:
        with quiet() as inner:
            warn_and_log("inner")
        warn_and_log("outer")
    assert (set(outer), set(inner)) == ({"outer"}, {"inner"})


def test_filters_that_another_thread_copies_meanwhile_are_without_effect(said: list[str]) -> None:
    before = state()
    with warnings.catch_warnings(record=True) as caught:
        section = quiet()
        with section:
            copied = warnings.catch_warnings(record=True)
            copied.__enter__()
            warnings.simplefilter("always")
        warn_and_log("later")
        copied.__exit__(None, None, None)
        warnings.simplefilter("always")
        warn_and_log("last")
    assert [str(warning.message) for warning in caught] == ["last"]
    assert said == ["later", "last"]
    assert state() == before


def test_a_quiet_section_comes_before_a_filter_that_is_newer() -> None:
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet() as heard:
            warn_and_log("nothing is raised")
    assert set(heard) == {"nothing is raised"}


def test_a_file_that_pydicom_has_warned_of_before_is_cut_off_all_the_same() -> None:
    source = BytesSource(CUT_OFF)
    error = ScanError(reason="not understood", offset=0)
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("default")
            for _ in range(2):
                pydicom.dcmread(BytesIO(CUT_OFF), force=True)
                failure = scan_by_pydicom("a", source, error, Batch(), ScanOptions())
                assert isinstance(failure, Failure)
                assert "file ends inside an element" in failure.reason
    finally:
        logger.setLevel(level)


def test_a_child_of_a_process_with_a_quiet_thread_is_not_held_up(tmp_path: Path) -> None:
    program = """
import os, signal, warnings
from dicom_bq.scan import quiet
quiet._presence.lock.acquire()  # as another thread might
child = os.fork()
if child == 0:
    signal.alarm(20)
    with __import__("concurrent.futures").futures.ThreadPoolExecutor(1) as thread:
        def read():
            with quiet.quiet():
                return True
        os._exit(0 if thread.submit(read).result() else 1)
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"
