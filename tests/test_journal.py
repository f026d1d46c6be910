"""A journal: what it says was on disk before, whatever became of its writer."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dicom_bq.journal import Journal

ENTRIES: list[dict[str, Any]] = [{"a": 1}, {"b": ["\udcff", "\u00e9"], "c": "\n"}, {"d": {"e": None}}]


def written(path: Path, entries: list[dict[str, Any]] = ENTRIES) -> bytes:
    with Journal(path) as journal:
        list(journal.entries())
        for entry in entries:
            journal.append(entry)
    return path.read_bytes()


def read(path: Path) -> list[dict[str, Any]]:
    with Journal(path) as journal:
        return [entry for _, entry in journal.entries()]


def test_every_length_of_a_journal(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    ends = [len(line) for line in whole.splitlines(keepends=True)]
    for length in range(len(whole) + 1):
        path = tmp_path / "cut"
        path.write_bytes(whole[:length])
        count = sum(sum(ends[: number + 1]) <= length for number in range(len(ends)))
        assert read(path) == ENTRIES[:count]
        written(path, [{"new": length}])
        assert read(path) == [*ENTRIES[:count], {"new": length}]
        path.unlink()


def test_every_byte_of_a_journal(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    for place in range(len(whole)):
        path = tmp_path / "changed"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found = read(path)
        assert found == ENTRIES[: len(found)]
        assert len(found) < len(ENTRIES)


def test_entries_can_be_read_again(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with Journal(tmp_path / "j") as journal:
        places = [place for place, _ in journal.entries()]
        places.append(journal.append({"last": 1}))
        assert [journal.read(place) for place in places] == [*ENTRIES, {"last": 1}]
        (tmp_path / "j").write_bytes(b"x" * 200)
        with pytest.raises(OSError, match="changed by another program"):
            journal.read(places[0])


def test_a_full_disk_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(descriptor: int, data: bytes, offset: int, write: Any = os.pwrite) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, "full")
        return int(write(descriptor, data[: len(data) // 2], offset))

    written(tmp_path / "j")
    with Journal(tmp_path / "j") as journal:
        assert len(list(journal.entries())) == 3
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", half)
            with pytest.raises(OSError, match="full"):
                journal.append({"lost": 1})
        journal.append({"kept": 1})
    assert read(tmp_path / "j") == [*ENTRIES, {"kept": 1}]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "made" / "j") as first:
        with pytest.raises(BlockingIOError, match="unavailable"):
            Journal(tmp_path / "made" / "j")
        first.remove()
        with Journal(tmp_path / "made" / "j") as second:  # another one
            assert list(second.entries()) == []
