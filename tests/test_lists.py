"""Lists of sources, on stdin and in files: of any length, each file once, nothing lost that is not there."""

from __future__ import annotations

import io
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.sources import lists, runs
from dicom_bq.sources.files import expand
from dicom_bq.sources.runs import Kept, in_order
from tests.archives import make_zip, plant
from tests.handmade import explicit_file, text


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def say(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return say


def named(identifier: str) -> bytes:
    return explicit_file(text(0x00100020, "LO", identifier))


def listed(content: bytes, *others: str) -> tuple[list[str], dict[str, str]]:
    """What a list of that content stands for, besides other sources, and what cannot be read."""
    plant(Path("list.txt"), content)
    seen: list[tuple[str, str]] = []
    found = list(expand(["@list.txt", *others], unreadable=lambda uri, reason: seen.append((uri, reason))))
    assert len(seen) == len(dict(seen))
    return found, dict(seen)


@pytest.mark.parametrize(
    "content",
    [
        b"b.dcm\na.dcm\n",
        b"b.dcm\r\na.dcm",
        b"\n\nb.dcm\n  \n\r\na.dcm\n\n",
        b"b.dcm\0a.dcm\0",
        b"b.dcm\0a.dcm",
        b"\xef\xbb\xbfb.dcm\na.dcm\n",
        b"a.dcm\nb.dcm\n./a.dcm\nb.dcm\n.//b.dcm\n",
    ],
)
def test_forms_of_a_list(content: bytes, stdin: Callable[[bytes], None]) -> None:
    plant(Path("a.dcm"), b"")
    plant(Path("b.dcm"), b"")
    assert listed(content) == (["a.dcm", "b.dcm"], {})
    stdin(content)
    assert list(expand(["-"])) == ["a.dcm", "b.dcm"]


def test_names_of_any_bytes() -> None:
    names = [b"\xff\xfe.dcm", b" x", b"y ", b"#z", b"@x", b"-"]
    for name in names:
        plant(Path(os.fsdecode(name)), b"")
    found, seen = listed(b"\n".join(names))
    assert sorted(map(os.fsencode, found)) == sorted(names)
    assert seen == {}
    plant(Path("a\nb"), b"")
    assert listed(b"a\nb\0 x\0")[0] == [" x", "a\nb"]


def test_everything_that_is_a_source_may_be_listed() -> None:
    for name in ("d/1.dcm", "d/s/2.dcm", "e/3.dcm", "e/4.txt", "f.dcm"):
        plant(Path(name), b"")
    plant(Path("z/a.zip"), make_zip({"1": b"", "2": b"", "3": b""}))
    plant(Path("z/b.zip"), make_zip({"1": b"", "2": b""}))
    content = b"z/b.zip\nd\nf.dcm\ne/*.dcm\nz/a.zip!/3\nz/a.zip!/1\nd/1.dcm\nz/b.zip!/2\n"
    assert listed(content) == (
        ["d/1.dcm", "d/s/2.dcm", "e/3.dcm", "f.dcm", "z/a.zip!/1", "z/a.zip!/3", "z/b.zip!/1", "z/b.zip!/2"],
        {},
    )
    assert listed(content, "z/a.zip!/2", "e")[0] == [
        *("d/1.dcm", "d/s/2.dcm", "e/3.dcm", "e/4.txt", "f.dcm"),
        *("z/a.zip!/1", "z/a.zip!/2", "z/a.zip!/3", "z/b.zip!/1", "z/b.zip!/2"),
    ]


def test_what_is_not_there_is_a_failure_of_its_own() -> None:
    plant(Path("a.dcm"), b"")
    plant(Path("a.zip"), make_zip({"1": b""}))
    Path("broken").symlink_to("nowhere")
    os.mkfifo("pipe")
    content = (
        b"gone.dcm\na.dcm\ngone.dcm\n*.no\nno/*\n**x**\na.zip!/2\npipe\nbroken\n" + b"x" * 5000 + b"\n" + b"n/" * 3000
    )
    found, seen = listed(content)
    assert found == ["a.dcm"]
    long = {name: reason for name, reason in seen.items() if len(name) > 100}
    assert set(long.values()) == {"does not exist"}
    assert len(long) == 2
    assert {name: reason for name, reason in seen.items() if name not in long} == {
        "gone.dcm": "does not exist",
        "*.no": "no file matches",
        "no/*": "there is no directory no/",
        "**x**": "** must be the only wildcard and stand at the end or before an extension, as in DIR/** or DIR/**.dcm",
        "a.zip!/2": "there is no such member",
        "pipe": "is neither a file nor a directory",
        "broken": "cannot be reached: No such file or directory",
    }


def test_what_cannot_be_read_is_said_once_however_it_is_reached() -> None:
    for name in ("d/a.dcm", "e/b.dcm"):
        plant(Path(name), b"")
    plant(Path("d/a.zip"), make_zip({"1": b""}))
    plant(Path("d/a.zip!/c.dcm"), b"")
    os.mkfifo("d/pipe")
    Path("d/broken").symlink_to("nowhere")
    Path("d/loop").symlink_to("loop")
    Path("link").symlink_to("d")
    content = b"d/pipe\n./d/pipe\nlink/pipe\nd/broken\nd/loop\nd/a.zip\nd/gone\n./d/gone\n"
    for sources in (["d"], ["d/*"], ["e"]):
        seen: list[str] = []
        Path("list").write_bytes(content)
        list(expand(["@list", *sources], unreadable=lambda uri, reason: seen.append(uri)))  # noqa: B023
        assert sorted(seen) == ["d/a.zip", "d/broken", "d/gone", "d/loop", "d/pipe"]


def test_a_nul_in_a_line_far_down() -> None:
    plant(Path("a.dcm"), b"")
    found, seen = listed(b"a.dcm\n" * 20_000 + b"a\0b\n")
    assert found == ["a.dcm"]
    assert seen == {"a\0b": "is not a path"}


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n", b"\0\0"])
def test_an_empty_list_is_an_error(content: bytes, stdin: Callable[[bytes], None]) -> None:
    with pytest.raises(UsageError, match=r"list\.txt: the list is empty"):
        listed(content)
    stdin(content)
    with pytest.raises(UsageError, match="stdin: the list is empty"):
        list(expand(["-"]))


def test_lists_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no: the list cannot be read: No such file or directory"):
        expand(["@no"])
    Path("d").mkdir()
    with pytest.raises(UsageError, match="d: the list cannot be read: Is a directory"):
        expand(["@d"])
    monkeypatch.setattr(lists, "LONGEST_ENTRY", 100_000)
    with pytest.raises(UsageError, match=r"list\.txt: not a list of paths"):
        listed(b"x" * 200_000)


def test_a_file_that_begins_with_an_at_sign(stdin: Callable[[bytes], None]) -> None:
    plant(Path("@x"), b"")
    plant(Path("x"), b"@x\n")
    plant(Path("-"), b"")
    assert list(expand(["@x"])) == ["@x"]
    assert list(expand(["./-"])) == ["-"]
    stdin(b"-\n")
    assert list(expand(["-", "-"])) == ["-"]


def test_a_link_to_a_listed_file_is_not_followed() -> None:
    for name in ("out/1.dcm", "out/2.dcm", "in/3.dcm"):
        plant(Path(name), b"")
    Path("in/1").symlink_to("../out/1.dcm")
    Path("in/2").symlink_to("../out/2.dcm")
    Path("in/d").symlink_to("../out")
    Path("l").symlink_to("out/1.dcm")
    assert listed(b"l\nout/1.dcm\n")[0] == ["l"]
    assert listed(b"out/1.dcm\nl\n")[0] == ["out/1.dcm"]
    assert listed(b"out/1.dcm\n", "in")[0] == ["in/2", "in/3.dcm", "out/1.dcm"]
    Path("in/2").unlink()
    assert listed(b"out/1.dcm\n", "in")[0] == ["in/3.dcm", "in/d/2.dcm", "out/1.dcm"]


def test_lists_have_an_identity(stdin: Callable[[bytes], None]) -> None:
    plant(Path("list"), b"a")
    first = lists.identity("@list")
    assert lists.identity("@./list") == first
    plant(Path("list"), b"ab")
    assert lists.identity("@list") != first
    assert lists.identity("@gone") == str(Path("gone").absolute())
    assert lists.is_known("@list")
    assert lists.is_known("@gone")
    os.mkfifo("pipe")
    assert not lists.is_known("-")
    assert not lists.is_known("@pipe")
    assert lists.identity("-") == lists.identity("@pipe") == "-"


def test_a_list_from_a_named_pipe(tmp_path: Path) -> None:
    plant(Path("d/1.dcm"), named("1"))
    os.mkfifo("pipe")
    program = "import sys; from dicom_bq.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "export", "@pipe", "x.parquet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        Path("pipe").write_text("d\n")
        try:
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "1 file found: 1 exported" in said


def test_an_export_by_a_list(tmp_path: Path) -> None:
    for number in range(20):
        plant(Path(f"d/{number:02}.dcm"), named(str(number)))
    wanted = [f"d/{number:02}.dcm" for number in (13, 2, 7, 19)]
    program = "import sys; from dicom_bq.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "export", "-", "out.parquet", "--workers", "2"],
        input="\0".join([*wanted, "gone.dcm"]).encode(),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"5 files found: 4 exported, 0 not DICOM, 0 DICOMDIR, 1 failed" in done.stderr
    assert b"gone.dcm: does not exist (unreadable)" in done.stderr
    assert pq.read_table("out.parquet")["PatientID"].to_pylist() == ["2", "7", "13", "19"]


def test_the_library_takes_lists() -> None:
    for number in range(3):
        plant(Path(f"{number}.dcm"), named(str(number)))
    plant(Path("list"), b"2.dcm\n0.dcm\n")
    assert dicom_bq.to_arrow("@list")["PatientID"].to_pylist() == ["0", "2"]
    with pytest.raises(UsageError, match="no: the list cannot be read"):
        dicom_bq.scan("@no")


# Long ones


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100, 1003])
def test_sorting_in_runs(count: int) -> None:
    items = [(f"{number % 37}\udcff", number, "é" * (number % 5)) for number in range(count)]
    random.Random(count).shuffle(items)
    assert list(in_order(iter(items), run=10)) == sorted(items)


def test_sorting_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    halfway = in_order(iter(range(100)), run=10)
    assert list(itertools.islice(halfway, 5)) == [0, 1, 2, 3, 4]
    assert list((tmp_path / "temporary").iterdir()) == []
    halfway.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("chunk", [1, 3, 10, 1000])
def test_what_is_kept_can_be_asked_for(chunk: int) -> None:
    kept = Kept(chunk)
    texts = sorted(f"{number}" for number in range(0, 200, 2))
    for one in texts:
        kept.add(one)
    assert [f"{number}" for number in range(200) if f"{number}" in kept] == [f"{number}" for number in range(0, 200, 2)]
    assert "" not in kept
    assert "999" not in kept
    assert 4 not in kept
    kept.close()


def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(DestinationError, match="/nowhere: names cannot be sorted here: No such file"):
        list(in_order(iter(range(100)), run=10))
    monkeypatch.undo()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, "pwrite", full)
    with pytest.raises(DestinationError, match=r"No space left on device\. Make room, or set TMPDIR"):
        list(in_order(iter(range(100)), run=10))


def test_long_lists_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        plant(Path(f"d/{number:03}.dcm"), b"")
    for module in ("files", "walk"):
        monkeypatch.setattr(f"dicom_bq.sources.{module}.in_order", lambda items: in_order(items, run=16))
    monkeypatch.setattr("dicom_bq.sources.files.Kept", lambda: Kept(16))
    Path("e").mkdir()
    Path("e/link").symlink_to("../d/150.dcm")
    Path("e/other").symlink_to("../d/299.dcm")
    lines = [f"d/{number:03}.dcm" for number in range(299)] * 2
    random.Random(1).shuffle(lines)
    found, seen = listed("\n".join([*lines, "gone"]).encode(), "e")
    assert found == [*(f"d/{number:03}.dcm" for number in range(299)), "e/other"]
    assert seen == {"gone": "does not exist"}
    assert list(expand(["d"])) == [f"d/{number:03}.dcm" for number in range(300)]
