"""The progress line: only on a terminal, only after a while, taken away again."""

from __future__ import annotations

import io

import pytest

from dicom_bq import progress
from dicom_bq.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_short_job_says_nothing(clock: list[float]) -> None:
    terminal = Terminal()
    line = ProgressLine(terminal)
    clock[0] += 1.9
    line(10, 0)
    line.clear()
    assert terminal.getvalue() == ""


def test_a_long_job_writes_one_line_over_and_over(clock: list[float]) -> None:
    terminal = Terminal()
    line = ProgressLine(terminal)
    clock[0] += 4
    line(12_000, 3)
    clock[0] += 0.1
    line(12_500, 3)
    clock[0] += 0.9
    line(15_000, 4)
    assert terminal.getvalue().split("\r\x1b[K") == [
        "",
        "12,000 files read, 3 failed, 3,000 files/s",
        "15,000 files read, 4 failed, 3,000 files/s",
    ]
    line.clear()
    line.clear()
    assert terminal.getvalue().endswith("files/s\r\x1b[K")


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Terminal(), True)])
def test_silence(clock: list[float], stream: io.StringIO, quiet: bool) -> None:
    line = ProgressLine(stream, quiet=quiet)
    clock[0] += 10
    line(1, 0)
    line.clear()
    assert stream.getvalue() == ""
