"""Edges of sources that no other test stood on: each was found by changing the product a little."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.sources import lists
from dicom_bq.sources.files import expand, listing
from dicom_bq.sources.lists import identity, read_list
from dicom_bq.sources.runs import in_order
from dicom_bq.sources.spool import Spool
from tests.archives import make_tar_gz, make_zip, plant


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def listed(*sources: str, exclude: tuple[str, ...] = ()) -> tuple[list[str], list[tuple[str, str]]]:
    """What sources stand for, and what cannot be read."""
    seen: list[tuple[str, str]] = []
    found = list(expand(sources, exclude=exclude, unreadable=lambda uri, reason: seen.append((uri, reason))))
    return found, seen


# Archives


def test_a_directory_whose_name_ends_like_an_archive_s_may_be_above_one() -> None:
    plant(Path("a!/b.zip"), make_zip({"1": b"", "2": b""}))
    assert listed("a!/b.zip!/2") == (["a!/b.zip!/2"], [])


def test_a_member_s_name_has_no_dot_in_front() -> None:
    plant(Path("a.zip"), make_zip({"d/1": b"", "2": b""}))
    for member in ("./d/1", "././d/1", ".//d/1", "./d/"):
        assert listed(f"a.zip!/{member}") == (["a.zip!/d/1"], [])
    assert listed("a.zip!/./")[0] == ["a.zip!/2", "a.zip!/d/1"]


def test_members_that_a_list_names_are_no_error_if_they_are_not_there() -> None:
    plant(Path("a.zip"), make_zip({"1": b""}))
    plant(Path("list"), b"a.zip!/gone\n")
    assert listed("a.zip!/1", "@list") == (["a.zip!/1"], [("a.zip!/gone", "there is no such member")])
    plant(Path("list"), b"a.zip!/1\n")
    with pytest.raises(UsageError, match=r"a\.zip!/gone: there is no such member"):
        listed("@list", "a.zip!/gone")


def test_what_archives_inflate_to_is_no_source() -> None:
    plant(Path("d/a.tgz"), make_tar_gz({"1": b""}))
    Path("d/spool").mkdir()
    with Spool(parent="d/spool") as spool:
        assert [uri for uri, _ in listing(["d"], spool=spool)] == ["d/a.tgz!/1"]
        assert spool.directory.startswith(os.path.realpath("d/spool"))


# Names


@pytest.mark.parametrize("source", ["d", "d/*", "d/**", "*/a?b*"])
def test_a_line_may_end_in_a_name(source: str) -> None:
    plant(Path("d/a\nb"), b"")
    plant(Path("d/a\nb.zip"), make_zip({"1\n2": b""}))
    plant(Path("linked"), b"")
    Path("d/a\nb link").symlink_to("../linked")
    assert listed(source) == (["d/a\nb", "d/a\nb link", "d/a\nb.zip!/1\n2"], [])


def test_a_link_to_what_is_excluded_is_not_followed() -> None:
    plant(Path("out.parquet"), b"")
    plant(Path("parts/1"), b"")
    plant(Path("d/1"), b"")
    Path("d/file").symlink_to("../out.parquet")
    Path("d/parts").symlink_to("../parts")
    assert listed("d", exclude=("out.parquet", "parts")) == (["d/1"], [])


def test_a_directory_that_cannot_hold_a_match_is_not_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be one of millions of files, or one that may not be read."""
    plant(Path("d/yes/1.dcm"), b"")
    plant(Path("d/no/1.dcm"), b"")
    entered: list[str] = []
    scan = os.scandir

    def noted(path: str) -> Any:
        entered.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", noted)
    for pattern in ("d/y**", "d/y*/*"):
        assert listed(pattern)[0] == ["d/yes/1.dcm"]
    assert entered == ["d/", "d/yes/"] * 2


def test_a_pattern_within_a_directory_that_is_a_source_asks_for_nothing_more() -> None:
    plant(Path("d/1"), b"")
    assert listed("d", "d/*.dcm", "d/*") == (["d/1"], [])


# Lists


def test_a_list_that_was_changed_is_another(tmp_path: Path) -> None:
    plant(Path("list"), b"a")
    before = identity("@list")
    assert identity(f"@{tmp_path}/list") == before
    os.utime("list", ns=(0, 0))
    assert identity("@list") != before


def test_a_list_that_does_not_read_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match="/proc/self/mem: the list cannot be read: Input/output error"):
        list(read_list("@/proc/self/mem"))


def test_a_line_without_end_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "PIECE", 4)
    monkeypatch.setattr(lists, "LONGEST_ENTRY", 8)
    plant(Path("list"), b"aaaa\nb\n" * 9)
    assert list(read_list("@list")) == ["aaaa", "b"] * 9
    plant(Path("list"), b"a" * 9)
    with pytest.raises(UsageError, match="list: not a list of paths: a line of more than a megabyte"):
        list(read_list("@list"))


# Sorting


def test_a_disk_that_fails_under_sorted_names_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(DestinationError, match=r"names cannot be sorted here: Input/output error\. Make room"):
        next(in_order(iter(range(100)), run=10))
