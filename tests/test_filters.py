"""Filter files: DICOMweb paths, one a line, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.selection import read_filter
from dicom_bq.sources.filters import Filter, resource_path
from tests.fake_bigquery import FakeBigQuery

TEXT = "/studies/1\n/studies/2/series/2.1\n/studies/3/series/3.1/instances/3.1.1\n"


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n"), TEXT + TEXT])
def test_lines_end_in_lf_or_crlf(text: str) -> None:
    assert list(Filter.parse(text).lines) == [("1",), ("2", "2.1"), ("3", "3.1", "3.1.1")]


@pytest.mark.parametrize(
    ("uids", "asked_for"),
    [
        (("1", "9", "9"), True),
        (("2", "2.1", "9"), True),
        (("2", "2.2", "9"), False),
        (("3", "3.1", "3.1.1"), True),
        (("3", "3.1", "3.1.2"), False),
        (("9", "2.1", "9"), False),
        (("", "", ""), False),
    ],
)
def test_what_is_asked_for(uids: tuple[str, str, str], asked_for: bool) -> None:
    assert Filter.parse(TEXT).accepts(*uids) is asked_for


def test_an_empty_file_asks_for_nothing() -> None:
    assert not Filter.parse("").accepts("1", "1", "1")


def test_lines_without_an_instance_are_known_in_order() -> None:
    asked = Filter.parse(TEXT)
    assert list(asked.unmatched()) == TEXT.splitlines()
    asked.accepts("2", "2.1", "x")
    asked.accepts("3", "3.2", "x")
    assert list(asked.unmatched()) == ["/studies/1", "/studies/3/series/3.1/instances/3.1.1"]


def test_every_line_that_asks_for_an_instance_is_matched() -> None:
    asked = Filter.parse("/studies/1\n/studies/1/series/2\n/studies/1/series/2/instances/3\n")
    assert asked.accepts("1", "2", "3")
    assert list(asked.unmatched()) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        " /studies/1",
        "/studies/1 ",
        "/studies/",
        "/studies/1/",
        "studies/1",
        "/studies/1/series",
        "/studies/1/instances/2",
        "/studies/1 2",
        "/studies/\x00",
        "/studies/1/series/2/instances/3/frames/1",
        "/studies/" + "1" * 65,
        "# comment",
        "/studies/1\r",
        "/studies/1\u2028/studies/2",
        "/studies/\u0661",
    ],
)
def test_anything_else_is_an_error_that_names_the_line(line: str) -> None:
    with pytest.raises(UsageError, match=r"f\.txt, line 2: expected /studies/UID"):
        Filter.parse(f"/studies/1\n{line}\r\n/studies/2\n", "f.txt")


@given(st.lists(st.lists(st.from_regex(r"[!-.0-~]{1,64}", fullmatch=True), min_size=1, max_size=3), max_size=9))
def test_paths_are_read_as_they_are_written(paths: list[list[str]]) -> None:
    text = "".join(f"{resource_path(uids)}\n" for uids in paths)
    assert list(Filter.parse(text).lines) == list(dict.fromkeys(tuple(uids) for uids in paths))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "filter"
    path.write_bytes(TEXT.encode())
    assert len(read_filter(str(path)).lines) == 3
    with pytest.raises(UsageError, match="absent: No such file or directory"):
        Filter.read(str(tmp_path / "absent"))
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="filter is not UTF-8 text"):
        Filter.read(str(path))


def test_files_in_cloud_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeBigQuery(tmp_path) as fake:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", fake.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        folder = fake.create_bucket("b")
        (folder / "filter").write_bytes(TEXT.encode())
        assert len(read_filter("gs://b/filter").lines) == 3
        (folder / "bytes").write_bytes(b"\xff")
        with pytest.raises(UsageError, match="gs://b/bytes is not UTF-8 text"):
            read_filter("gs://b/bytes")
        with pytest.raises(DestinationError, match=r"gs://b/absent.*No such object"):
            read_filter("gs://b/absent")
    assert fake.bugs == []
