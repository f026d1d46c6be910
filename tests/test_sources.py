"""Sources to URIs: order, wildcards, links, each file once, odd things reported."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import socket
import string
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dicom_bq
from dicom_bq.cli import main
from dicom_bq.errors import UsageError
from dicom_bq.inspect import inspect_file
from dicom_bq.report import ReadReport
from dicom_bq.sources.files import as_text, expand, listing, printable
from dicom_bq.sources.patterns import parse
from dicom_bq.sources.runs import in_order
from dicom_bq.sources.spool import Spool
from tests.instances import instance

NAMES = st.text("ab.-", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., None]:
    def plant(*names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return plant


def listed(*sources: str | os.PathLike[str]) -> list[str]:
    return list(expand(sources))


def test_directory_is_listed_in_the_order_of_its_uris(tree: Callable[..., None]) -> None:
    tree("d/a/z", "d/a-b/x", "d/a.dcm", "d/b", "d/.hidden", "d/a/y/deep/er")
    found = listed("d")
    assert found == sorted(found)
    assert found == ["d/.hidden", "d/a-b/x", "d/a.dcm", "d/a/y/deep/er", "d/a/z", "d/b"]


def test_spellings_of_a_directory(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/e/x")
    for spelling in ("d", "d/", "./d", "d//", "d/.", ".//d/./"):
        assert listed(spelling) == ["d/e/x"]
    assert listed(".") == listed("") == ["d/e/x"]
    assert listed(tmp_path / "d") == [f"{tmp_path}/d/e/x"]
    assert listed(f"/.{tmp_path}//d") == [f"{tmp_path}/d/e/x"]


def test_listing_streams(tree: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    tree("d/a/1", "d/b/1", "d/c/1")
    opened: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(str(path)) or scandir(path))
    assert next(expand(["d"])) == "d/a/1"
    assert opened == ["d/", "d/a/"]


def test_directories_nest_deeper_than_python_recurses(tmp_path: Path) -> None:
    parts = ["d"] * 1100
    (tmp_path / "top").mkdir()
    here = os.open(tmp_path / "top", os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=here)
        below = os.open(part, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT, dir_fd=here))
    os.close(here)
    try:
        assert listed("top") == ["/".join(["top", *parts, "x"])]
    finally:
        subprocess.run(["rm", "-rf", "top"], check=True)  # pytest's own cleaning recurses


# Wildcards: https://cloud.google.com/healthcare-api/docs/how-tos/dicom-import-export


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("d/*", ["d/.x", "d/CT1.dcm", "d/CT12.dcm", "d/[1].dcm"]),
        ("d/CT*.dcm", ["d/CT1.dcm", "d/CT12.dcm"]),
        ("d/CT?.dcm", ["d/CT1.dcm"]),
        ("d/CT??.dcm", ["d/CT12.dcm"]),
        ("d/[1].???", ["d/[1].dcm"]),
        ("d/*/*", ["d/s/CT1.dcm", "d/s/a.txt"]),
        ("d/*/CT?.dcm", ["d/s/CT1.dcm"]),
        ("*/*/t/*", ["d/s/t/CT3.dcm"]),
        (
            "d/**",
            ["d/.x", "d/CT1.dcm", "d/CT12.dcm", "d/[1].dcm", "d/s/CT1.dcm", "d/s/a.txt", "d/s/t/CT3.dcm"],
        ),
        ("d/s**", ["d/s/CT1.dcm", "d/s/a.txt", "d/s/t/CT3.dcm"]),
        ("d/**.dcm", ["d/CT1.dcm", "d/CT12.dcm", "d/[1].dcm", "d/s/CT1.dcm", "d/s/t/CT3.dcm"]),
        ("d/s/**.dcm", ["d/s/CT1.dcm", "d/s/t/CT3.dcm"]),
        ("**.txt", ["d/s/a.txt"]),
        ("./d/s/*.txt", ["d/s/a.txt"]),
    ],
)
def test_wildcards(tree: Callable[..., None], pattern: str, expected: list[str]) -> None:
    tree("d/CT1.dcm", "d/CT12.dcm", "d/[1].dcm", "d/.x", "d/s/CT1.dcm", "d/s/a.txt", "d/s/t/CT3.dcm")
    assert listed(pattern) == sorted(expected)


@pytest.mark.parametrize("pattern", ["d/**/x", "d/**x", "d/*/**", "d/**.d*m", "d/?**", "d/**/*.dcm", "**/**"])
def test_two_stars_elsewhere_are_refused(tree: Callable[..., None], pattern: str) -> None:
    tree("d/x")
    with pytest.raises(UsageError, match=re.escape(pattern) + r": \*\* must be the only wildcard"):
        expand([pattern])


def test_extension_does_not_overlap_what_is_before_the_stars(tree: Callable[..., None]) -> None:
    tree("a.dcm", "a.d/x.dcm", "a.dx.dcm")
    assert listed("a.d**.dcm") == ["a.d/x.dcm", "a.dx.dcm"]


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join)), st.text("ab.?*", min_size=1, max_size=5))
def test_one_level_patterns_agree_with_fnmatch(paths: list[str], pattern: str) -> None:
    if "**" in pattern or not set(pattern) & set("*?"):
        return
    asked = parse("d/" + pattern)[1]
    assert [path for path in paths if asked.takes(path)] == [
        path for path in paths if "/" not in path and fnmatch.fnmatchcase(path, pattern)
    ]


@given(st.lists(st.sampled_from([*string.ascii_lowercase[:3], "*", "?", "/"]), max_size=8).map("".join))
def test_a_directory_that_holds_a_match_is_entered(text: str) -> None:
    if "**" in text or not set(text) & set("*?"):
        return
    directory, pattern = parse(text)
    example = (text[len(directory) :]).replace("*", "ab").replace("?", "c")
    assert pattern.takes(example)
    levels = example.split("/")[:-1]
    assert all(pattern.enters("/".join(levels[: end + 1])) for end in range(len(levels)))


def test_a_path_that_exists_is_no_pattern(tree: Callable[..., None]) -> None:
    tree("a*.dcm", "ab.dcm", "d?/x", "de/x")
    assert listed("a*.dcm") == ["a*.dcm"]
    assert listed("d?") == ["d?/x"]


# What is missing


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no", "no does not exist"),
        ("no/x", "no/x does not exist"),
        ("no/*.dcm", r"no/\*\.dcm: there is no directory no/"),
        ("gs://bucket/x.dcm", "gs:/bucket/x.dcm does not exist"),
    ],
)
def test_missing_source_is_said_before_anything_is_listed(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expand([".", source])


def test_pattern_without_a_match(tree: Callable[..., None]) -> None:
    tree("d/x")
    with pytest.raises(UsageError, match=r"no file matches d/\*\.dcm"):
        listed("d/*.dcm")


def test_empty_directory_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert listed("empty") == []


def test_pipe_as_a_source() -> None:
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="pipe is neither a file nor a directory"):
        expand(["pipe"])


# Each file once


@pytest.mark.parametrize(
    "sources",
    [
        ("d", "d"),
        ("d", "./d/"),
        ("d/s", "d"),
        ("d", "d/a.dcm", "d/s/b.dcm"),
        ("d", "d/*.dcm", "d/**.dcm", "d/s/?.dcm"),
        ("d/**", "d/*.dcm"),
        ("d/*.dcm", "d/a*", "d/s/*"),
        ("d/a.dcm", "d/s/b.dcm", "./d/a.dcm"),
    ],
)
def test_sources_that_overlap(tree: Callable[..., None], tmp_path: Path, sources: tuple[str, ...]) -> None:
    tree("d/a.dcm", "d/s/b.dcm")
    assert listed(*sources) == ["d/a.dcm", "d/s/b.dcm"]
    absolute = listed(*sources, *(f"{tmp_path}/{source}" for source in sources))
    assert sorted(Path(path).resolve() for path in absolute) == [tmp_path / "d/a.dcm", tmp_path / "d/s/b.dcm"]


def test_sources_are_merged_in_order(tree: Callable[..., None]) -> None:
    tree("b/1", "a/x1", "a/y2", "a/x3", "c.dcm", "a.dcm")
    assert listed("c.dcm", "b", "a/x*", "a/y*", "a.dcm") == ["a.dcm", "a/x1", "a/x3", "a/y2", "b/1", "c.dcm"]


def test_links_that_loop(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/s/x")
    (tmp_path / "d/s/up").symlink_to("..")
    (tmp_path / "d/self").symlink_to("self")
    seen: list[tuple[str, str]] = []
    assert list(expand(["d"], unreadable=lambda uri, reason: seen.append((uri, reason)))) == ["d/s/x"]
    assert seen == [("d/self", "cannot be reached: Too many levels of symbolic links")]


def test_links_are_followed_once(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/a.dcm", "out/b.dcm", "out/deep/c.dcm", "other/e.dcm")
    (tmp_path / "d/inside").symlink_to("a.dcm")
    (tmp_path / "d/l1").symlink_to(tmp_path / "out")
    (tmp_path / "d/l2").symlink_to(tmp_path / "out")
    (tmp_path / "d/l3").symlink_to(tmp_path / "out/b.dcm")
    (tmp_path / "d/l4").symlink_to("../other/e.dcm")
    (tmp_path / "d/l5").symlink_to("../other/e.dcm")
    (tmp_path / "out/back").symlink_to(tmp_path / "d")
    assert listed("d") == ["d/a.dcm", "d/l1/b.dcm", "d/l1/deep/c.dcm", "d/l4"]
    assert listed("d", "out") == ["d/a.dcm", "d/l4", "out/b.dcm", "out/deep/c.dcm"]


def test_links_under_patterns(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/a.dcm", "out/b.dcm", "out/s/c.dcm")
    (tmp_path / "d/l.dcm").symlink_to("a.dcm")
    (tmp_path / "d/l").symlink_to(tmp_path / "out")
    (tmp_path / "out/up").symlink_to(tmp_path / "d")
    assert listed("d/*.dcm") == ["d/a.dcm"]
    assert listed("d/*/*.dcm") == ["d/l/b.dcm"]
    assert listed("d/**.dcm") == ["d/a.dcm", "d/l/b.dcm", "d/l/s/c.dcm"]


def test_a_directory_that_two_links_lead_to_comes_once(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("store/2024/06/one.dcm", "store/two.dcm", "p/a/b/z.dcm", "p/x.dcm")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/latest").symlink_to("../store/2024/06")
    (tmp_path / "d/store").symlink_to("../store")
    (tmp_path / "p/a/b/up").symlink_to("../..")
    for source in ("d", "d/**", "d/**.dcm"):
        assert listed(source) == ["d/latest/one.dcm", "d/store/two.dcm"]
    for source in ("p/a", "p/a/**", "p/a/**.dcm"):
        assert listed(source) == ["p/a/b/up/x.dcm", "p/a/b/z.dcm"]


def test_an_archive_that_two_links_lead_to_comes_once(tmp_path: Path) -> None:
    for folder in ("d", "store/s"):
        (tmp_path / folder).mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "store/s/ok.zip", "w") as archive:
        archive.writestr("x.dcm", b"x")
    (tmp_path / "d/a.zip").symlink_to("../store/s/ok.zip")
    (tmp_path / "d/b").symlink_to("../store")
    assert listed("d") == listed("d/**") == ["d/a.zip!/x.dcm"]


def test_a_directory_that_a_pattern_covers_too_comes_once(tree: Callable[..., None]) -> None:
    tree("d/1.dcm", "d/e/2.dcm")
    assert listed("d/e", "d/**") == listed("d/**", "d/e") == ["d/1.dcm", "d/e/2.dcm"]
    assert listed("d/e", "d/*/*") == listed("d/e", "d/*/*.dcm") == ["d/e/2.dcm"]


PLACES = ["d", "d/e", "d/e/f", "out", "out/g", "out/g/h"]
LINKS = st.dictionaries(
    st.tuples(st.sampled_from(PLACES), st.sampled_from("klm")), st.sampled_from([*PLACES, "d/1", "out/g/2"]), max_size=6
)
SOURCES = ["d", "d/e", "out/g", "d/**", "d/e/**", "out/**"]


@given(links=LINKS, sources=st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3))
@settings(max_examples=300)
def test_however_links_lead_each_file_comes_once(
    tmp_path_factory: pytest.TempPathFactory, links: dict[tuple[str, str], str], sources: list[str]
) -> None:
    root = tmp_path_factory.mktemp("links")
    for place in PLACES:
        (root / place).mkdir(exist_ok=True)
        for name in "12":
            (root / place / name).touch()
    for (place, name), target in links.items():
        (root / place / name).symlink_to(root / target)
    found = [os.path.realpath(path) for path in listed(*(root / source for source in sources))]
    assert sorted(found) == sorted(reached([root / source.removesuffix("/**") for source in sources]))


def reached(directories: list[Path]) -> set[str]:
    """Real paths of all files in directories, however links lead."""
    waiting, entered, files = [os.path.realpath(path) for path in directories], set[str](), set[str]()
    while waiting:
        directory = waiting.pop()
        if directory not in entered:
            entered.add(directory)
            for path in map(os.path.realpath, Path(directory).iterdir()):
                (waiting.append if Path(path).is_dir() else files.add)(path)
    return files


def test_root_that_is_a_link(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("real/x")
    (tmp_path / "link").symlink_to("real")
    assert listed("link") == ["link/x"]
    assert listed("link", "real") in (["link/x"], ["real/x"])


def test_what_is_excluded(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/a", "d/out/part-0.parquet", "d/out.duckdb", "d/s/b")
    (tmp_path / "d/s/link").symlink_to("../out.duckdb")
    (tmp_path / "d/s/links").symlink_to("../out")
    exclude = [str(tmp_path / "d/out"), "d/out.duckdb"]
    assert list(expand(["d"], exclude=exclude)) == ["d/a", "d/s/b"]
    assert list(expand(["d/out.duckdb", "d/a"], exclude=exclude)) == ["d/a"]


def test_where_archives_are_inflated_to_is_no_source(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/a", "d/spool/x", "d/spool-x/y")
    (tmp_path / "d/link").symlink_to("spool")
    spool = Spool("d/spool")
    assert [uri for uri, _ in listing(["d"], spool=spool)] == ["d/a", "d/spool-x/y"]
    assert [uri for uri, _ in listing(["d/**"], spool=spool)] == ["d/a", "d/spool-x/y"]


# Odd things


def test_odd_things_are_reported_and_never_opened(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("d/a")
    os.mkfifo("d/pipe")
    (tmp_path / "d/broken").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("d/socket")
        seen: dict[str, str] = {}
        assert list(expand(["d"], unreadable=seen.__setitem__)) == ["d/a"]
    assert seen == {
        "d/broken": "link to nothing",
        "d/pipe": "not a regular file",
        "d/socket": "not a regular file",
    }


def test_directory_that_cannot_be_listed(tree: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    tree("d/a", "d/secret/b", "d/z")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if "secret" in path:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may list anything, so the system is made to refuse
    seen: dict[str, str] = {}
    assert list(expand(["d"], unreadable=seen.__setitem__)) == ["d/a", "d/z"]
    assert seen == {"d/secret/": "cannot list the directory: Permission denied"}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"CT\xff\xe9.dcm")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).touch()
    (found,) = listed("d")
    assert os.fsencode(found) == b"d/CT\xff\xe9.dcm"
    assert listed(found) == listed("d/*.dcm") == [found]
    assert printable(found) == r"d/CT\xff\xe9.dcm"
    assert printable("é.dcm") == "é.dcm"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\rb\t", r"a\rb\t"),
        ("\x1b[31m\x07\x7f", r"\x1b[31m\x07\x7f"),
        ("\x85\x9b", r"\x85\x9b"),
        ("\u2028\u2029\u202e\u2066\u200f\u061c", r"\u2028\u2029\u202e\u2066\u200f\u061c"),
        ("日本 \u200d.dcm", "日本 \u200d.dcm"),
    ],
)
def test_controls_in_a_name_are_escaped_for_people_and_not_in_data(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert as_text(name) == name


FORGED = "bad\n  200 exported\x1b[31m\u2028.dcm"


@pytest.mark.parametrize("where", ["a file", "a member", "a duplicate"])
def test_a_name_forges_no_line(where: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    readable = instance(tmp_path / "d", "1.2.3").read_bytes()
    content = readable if where == "a duplicate" else readable[:-1]
    if where == "a member":
        with zipfile.ZipFile("d/a.zip", "w") as archive:
            archive.writestr(FORGED, content)
    else:
        (tmp_path / "d" / FORGED).write_bytes(content)
    main(["export", "d", "o.parquet", "--report", "r.json", "--include-source-store", "--deduplicate"])
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert not any(line.startswith("  200 exported") for line in said.splitlines())
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    name = f"d/a.zip!/{FORGED}" if where == "a member" else f"d/{FORGED}"
    if where == "a duplicate":
        assert [skipped["uri"] for skipped in report["skipped"]] == [name]
        main(["export", f"d/{FORGED}", "p.parquet", "--include-source-store"])
        assert pq.read_table("p.parquet")["SourceDicomStore"].to_pylist() == [name]
    else:
        assert [failure["uri"] for failure in report["failures"]] == [name]
        assert inspect_file(name).to_dict()["uri"] == name
        assert inspect_file(name).to_text().splitlines()[-1].startswith(printable(name))
    with pytest.raises(UsageError, match=r"x\\xff does not exist"):
        expand([os.fsdecode(b"x\xff")])


def test_links_under_a_pattern_of_fixed_depth_give_no_file_twice(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("out/b.dcm", "out/c.dcm", "d/a.dcm", "e/x")
    for name in ("d/l1", "d/l2", "e/l"):
        (tmp_path / name).symlink_to(tmp_path / "out")
    (tmp_path / "d/file.dcm").symlink_to(tmp_path / "out/b.dcm")
    assert listed("d/*/*.dcm") == ["d/l1/b.dcm", "d/l1/c.dcm"]
    assert listed("d/*/*.dcm", "e/*/*") == ["d/l1/b.dcm", "d/l1/c.dcm"]
    assert listed("d/*/*.dcm", "out") == ["out/b.dcm", "out/c.dcm"]
    assert listed("d/*/*.dcm", "out/b.dcm") == ["d/l1/c.dcm", "out/b.dcm"]
    assert listed("d/*/*.dcm", "out/*.dcm") == ["out/b.dcm", "out/c.dcm"]
    assert listed("d/*.dcm", "d/*/*.dcm") == ["d/a.dcm", "d/l1/b.dcm", "d/l1/c.dcm"]
    assert listed("d") == ["d/a.dcm", "d/file.dcm", "d/l1/c.dcm"]


def test_a_link_to_a_file_that_is_a_source(tree: Callable[..., None], tmp_path: Path) -> None:
    tree("out/b.dcm", "out/c.dcm", "d/a.dcm")
    (tmp_path / "d/l.dcm").symlink_to(tmp_path / "out/b.dcm")
    (tmp_path / "d/links").symlink_to(tmp_path / "out")
    assert listed("d", "out/b.dcm") == ["d/a.dcm", "d/links/c.dcm", "out/b.dcm"]
    assert listed("d/**", "out/b.dcm") == ["d/a.dcm", "d/links/c.dcm", "out/b.dcm"]


def test_odd_things_are_said_once(tree: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    tree("d/a.dcm", "d/secret/b.dcm", "d/t/c.dcm")
    os.mkfifo("d/pipe.dcm")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if "secret" in path:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    seen: list[str] = []
    sources = ["d/*.dcm", "d/p*", "d/**.dcm", "d/*/*.dcm"]
    assert list(expand(sources, unreadable=lambda uri, reason: seen.append(uri))) == ["d/a.dcm", "d/t/c.dcm"]
    assert sorted(seen) == ["d/pipe.dcm", "d/secret/"]


def test_a_directory_that_breaks_off_gives_what_was_read(
    tree: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("d/a", "d/b", "d/c")
    scandir = os.scandir

    class Broken:
        def __init__(self, path: str) -> None:
            self.entries = sorted(scandir(path), key=lambda entry: entry.name)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            yield from self.entries[:2]
            raise OSError(5, "Input/output error")

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Broken)
    seen: list[tuple[str, str]] = []
    assert list(expand(["d"], unreadable=lambda uri, reason: seen.append((uri, reason)))) == ["d/a", "d/b"]
    assert seen == [("d/", "cannot list the directory: Input/output error")]


# From listing to report


def adds_up(report: ReadReport) -> bool:
    left_out = report.not_dicom + report.dicomdir + report.duplicates + report.filtered
    return report.found == report.exported + report.failed + left_out


@pytest.mark.parametrize("workers", [1, 2])
def test_odd_things_in_an_export(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_bq.reading.BATCH_SIZE", 3)
    for number in range(8):
        instance(tmp_path / "d", f"1.{number}", PatientID=str(number))
    odd = tmp_path / "d" / os.fsdecode(b"\xff\xe9.dcm")
    odd.write_bytes((tmp_path / "d/1.0.dcm").read_bytes())
    (tmp_path / "d/loop").symlink_to(".")
    (tmp_path / "d/self").symlink_to("self")
    (tmp_path / "d/again.dcm").symlink_to("1.1.dcm")
    (tmp_path / "d/nothing").symlink_to("nowhere")
    (tmp_path / "d/null").symlink_to("/dev/null")
    os.mkfifo("d/pipe")
    (tmp_path / "d/empty").touch()
    report = dicom_bq.export(["d", "d/*.dcm", "d/1.3.dcm"], "x.parquet", workers=workers, include_source_store=True)
    assert adds_up(report)
    assert (report.found, report.exported, report.not_dicom, report.failed) == (14, 9, 1, 4)
    assert {failure.uri: failure.reason for failure in report.failures} == {
        "d/nothing": "link to nothing",
        "d/null": "not a regular file",
        "d/pipe": "not a regular file",
        "d/self": "cannot be reached: Too many levels of symbolic links",
    }
    rows = pq.read_table("x.parquet")["SourceDicomStore"].to_pylist()
    assert rows == [*(f"d/1.{number}.dcm" for number in range(8)), r"d/\xff\xe9.dcm"]


@pytest.mark.parametrize("fault", [FileNotFoundError(2, "No such file or directory"), OSError(5, "Input/output error")])
def test_files_that_vanish_or_cannot_be_read(tmp_path: Path, fault: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        instance(tmp_path / "d", f"1.{number}", PatientID=str(number))
    opened = os.open

    def refuse(path: str, *arguments: int, **more: int) -> int:
        if str(path).endswith("1.3.dcm"):
            raise fault
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    report = dicom_bq.export("d", "x.parquet")
    assert adds_up(report)
    assert (report.found, report.exported) == (5, 4)
    assert [(one.uri, one.code, one.reason) for one in report.failures] == [("d/1.3.dcm", "unreadable", fault.strerror)]


def test_large_directories_are_sorted_in_runs(tree: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    tree(*(f"d/{number}" for number in range(100)), *(f"d/{number}-/x" for number in range(0, 100, 3)))
    expected = listed("d")
    monkeypatch.setattr("dicom_bq.sources.walk.in_order", lambda items: in_order(items, run=7))
    assert listed("d") == expected == sorted(expected)
