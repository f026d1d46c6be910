"""Archives as sources: the same rows as of the files in them, and an answer for whatever is in an archive."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pkgutil
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dicom_bq
from dicom_bq.cli import main
from dicom_bq.errors import DestinationError, UsageError
from dicom_bq.inspect import inspect_file
from dicom_bq.job import survey
from dicom_bq.report import ReadReport
from dicom_bq.scan.bytesource import BytesSource, FileSource
from dicom_bq.scan.files import scan_files
from dicom_bq.scan.outcome import ScanOptions
from dicom_bq.sources import archives
from dicom_bq.sources.archives import Archives, kind_of
from dicom_bq.sources.files import expand, listing
from dicom_bq.sources.members import ArchiveLimits, Kind
from dicom_bq.sources.spool import Spool
from dicom_bq.sources.tars import tar_entries
from dicom_bq.sources.zips import zip_entries
from tests.archives import (
    MAKERS,
    make_stored_zip,
    make_tar,
    make_tar_gz,
    make_zip,
    pairs,
    patched,
    plant,
    tar_info,
)
from tests.handmade import PIXEL_DATA, explicit, explicit_file, small_file, text

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures/dicom"
LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything is in the working directory, and nothing is left in the temporary one."""
    (tmp_path / "work").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [path.name for path in (tmp_path / "work").iterdir() if path.name.startswith(".")] == []


def named(identifier: str, *parts: bytes) -> bytes:
    return explicit_file(text(0x00100020, "LO", identifier), *parts)


FILES = {"b/2.dcm": named("2"), "a/1.dcm": named("1"), "c.txt": b"no DICOM", "b/3.dcm": small_file("1.2.840.10008.1.2")}


def adds_up(report: ReadReport) -> bool:
    left_out = report.not_dicom + report.dicomdir + report.duplicates + report.filtered
    return report.found == report.exported + report.failed + left_out


def exported(*sources: str | Path, **options: object) -> tuple[ReadReport, pa.Table]:
    report = dicom_bq.export(
        [str(source) for source in sources],
        "out.parquet",
        overwrite_table=True,
        include_source_store=True,
        **options,  # type: ignore[arg-type]
    )
    assert adds_up(report)
    table = pq.read_table("out.parquet")
    Path("out.parquet").unlink()
    assert table.num_rows == report.exported
    return report, table


def failures(report: ReadReport) -> dict[str, str]:
    return {failure.uri: failure.reason for failure in report.failures}


def names_in(table: pa.Table) -> list[str]:
    return table["SourceDicomStore"].to_pylist()


# The same rows


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("workers", [1, 2])
def test_rows_are_those_of_the_files(name: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_bq.reading.BATCH_SIZE", 10)
    files = {str(path.relative_to(FIXTURES)): path.read_bytes() for path in FIXTURES.rglob("*") if path.is_file()}
    for path, content in files.items():
        plant(Path("d", path), content)
    plant(Path(name), MAKERS[name](sorted(files.items(), reverse=True)))
    plain, expected = exported("d")
    report, table = exported(name, workers=workers)
    assert [uri.removeprefix(f"{name}!/") for uri in names_in(table)] == [
        uri.removeprefix("d/") for uri in names_in(expected)
    ]
    assert table.drop_columns(["SourceDicomStore"]).to_pylist().__repr__() == (
        expected.drop_columns(["SourceDicomStore"]).to_pylist().__repr__()
    )
    assert (report.found, report.failed, report.dicomdir) == (plain.found, plain.failed, plain.dicomdir)
    assert report.problems == plain.problems
    assert {uri.partition("!/")[2]: reason for uri, reason in failures(report).items()} == {
        uri.removeprefix("d/"): reason for uri, reason in failures(plain).items()
    }


@pytest.mark.parametrize("path", sorted(FIXTURES.rglob("*.dcm")), ids=lambda path: path.stem)
def test_gzip_of_every_fixture(path: Path) -> None:
    plant(Path("x.dcm"), path.read_bytes())
    plant(Path("z/x.dcm.gz"), gzip.compress(path.read_bytes()))
    plain, packed = survey("x.dcm"), survey("z/x.dcm.gz")
    assert packed.schema == plain.schema
    assert packed.problems == plain.problems
    assert list(failures(packed).values()) == list(failures(plain).values())


def test_in_the_order_of_uris_among_other_files() -> None:
    plant(Path("d/a.zip"), make_zip(FILES))
    plant(Path("d/a.zip b.dcm"), named("b"))
    plant(Path("d/a.zip-b.dcm"), named("b"))
    plant(Path("d/a.dcm.gz"), gzip.compress(named("a")))
    plant(Path("d/a/z.tar"), make_tar(FILES))
    found = list(expand(["d"]))
    assert found == sorted(found)
    assert found[:2] == ["d/a.dcm.gz!/a.dcm", "d/a.zip b.dcm"]
    assert len(found) == 2 + 4 + 1 + 4
    _, table = exported("d")
    assert names_in(table) == sorted(names_in(table))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("a/1.dcm", ["a/1.dcm"]),
        ("./a/1.dcm", ["a/1.dcm"]),
        ("**.dcm", ["a/1.dcm", "b/2.dcm", "b/3.dcm"]),
        ("b/**", ["b/2.dcm", "b/3.dcm"]),
        ("b/", ["b/2.dcm", "b/3.dcm"]),
        ("b/?.dcm", ["b/2.dcm", "b/3.dcm"]),
        ("*/1.dcm", ["a/1.dcm"]),
        ("*", ["c.txt"]),
        ("", ["a/1.dcm", "b/2.dcm", "b/3.dcm", "c.txt"]),
    ],
)
def test_some_members(name: str, member: str, expected: list[str]) -> None:
    plant(Path("d", name), MAKERS[name](FILES))
    assert list(expand([f"d/{name}!/{member}"])) == [f"d/{name}!/{path}" for path in expected]
    assert list(expand([f"d/{name}!/{member}", "d"])) == list(expand(["d"]))


def test_patterns_reach_into_archives() -> None:
    plant(Path("d/a.zip"), make_zip(FILES))
    plant(Path("d/b.tar"), make_tar(FILES))
    assert list(expand(["d/*.zip"])) == list(expand(["d/a.zip"]))
    assert list(expand(["d/**"])) == list(expand(["d"]))
    assert list(expand(["d/**.txt"])) == ["d/a.zip!/c.txt", "d/b.tar!/c.txt"]
    assert list(expand(["d/*.tar!/b/?.dcm"])) == ["d/b.tar!/b/2.dcm", "d/b.tar!/b/3.dcm"]
    assert list(expand(["d/*.zip", "d/**.txt", "d/a.zip!/c.txt"])) == [*expand(["d/a.zip"]), "d/b.tar!/c.txt"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a.zip!/no.dcm", "a.zip!/no.dcm: there is no such member"),
        ("a.zip!/*.dcm", r"no file matches a.zip!/\*\.dcm"),
        ("a.zip!/**x**", r"must be the only wildcard"),
        ("b.zip!/x", "b.zip!/x does not exist"),
        ("plain.dcm!/x", "plain.dcm!/x does not exist"),
    ],
)
def test_members_that_are_not_there(source: str, message: str) -> None:
    plant(Path("a.zip"), make_zip(FILES))
    plant(Path("plain.dcm"), FILES["a/1.dcm"])
    with pytest.raises(UsageError, match=message):
        list(expand([source]))


def test_selection_and_the_json_variant() -> None:
    uids = [named(str(n), text(0x0020000D, "UI", f"1.{n}"), text(0x00080018, "UI", f"2.{n % 2}")) for n in range(4)]
    plant(Path("a.zip"), make_zip({f"{n}.dcm": content for n, content in enumerate(uids)}))
    report, table = exported("a.zip", deduplicate=True)
    assert (report.exported, report.duplicates) == (2, 2)
    plant(Path("filter"), b"/studies/1.3\n")
    report, table = exported("a.zip", filter_file="filter")
    assert names_in(table) == ["a.zip!/3.dcm"]
    assert (report.exported, report.filtered) == (1, 3)
    os.utime("a.zip", ns=(0, 1_700_000_000_123_456_000))
    _, table = exported("a.zip", schema_type="json")
    assert table["BlobStorageSize"].to_pylist() == [len(content) for content in uids]
    assert {str(time) for time in table["LastUpdated"].to_pylist()} == {"2023-11-14 22:13:20.123456+00:00"}


def test_library_and_commands_take_members(capsys: pytest.CaptureFixture[str]) -> None:
    plant(Path("a.tar.gz"), make_tar_gz(FILES))
    assert dicom_bq.to_arrow("a.tar.gz!/a/1.dcm")["PatientID"].to_pylist() == ["1"]
    assert dicom_bq.infer_schema("a.tar.gz!/**.dcm") == dicom_bq.infer_schema(["a.tar.gz!/a/", "a.tar.gz!/b/"])
    stream = dicom_bq.scan("a.tar.gz!/b/**")
    assert pa.table(stream)["PatientID"].to_pylist() == ["2", None]
    assert main(["schema", "a.tar.gz", "--quiet"]) == 0
    assert main(["schema", "diff", "a.tar.gz", "a.tar.gz"]) == 0
    capsys.readouterr()
    assert main(["inspect", "a.tar.gz!/a/1.dcm", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["uri"] == "a.tar.gz!/a/1.dcm"
    assert main(["inspect", "a.tar.gz!/no"]) == 2
    assert main(["inspect", "a.tar.gz"]) == 2
    assert "an archive of several files: name one of them" in capsys.readouterr().err
    assert main(["inspect", "no.zip"]) == 2


def test_inspect_of_members_that_cannot_be_exported() -> None:
    cut = FILES["a/1.dcm"][:-3]
    plant(Path("cut.dcm"), cut)
    plant(Path("x.dcm.gz"), gzip.compress(cut))
    assert inspect_file("x.dcm.gz").outcome == inspect_file("cut.dcm").outcome
    assert inspect_file("x.dcm.gz").elements == inspect_file("cut.dcm").elements
    plant(Path("a.zip"), patched(make_zip({"x.dcm": cut}), CENTRAL, 8, "<H", 1))
    assert inspect_file("a.zip!/x.dcm").outcome == "encrypted (unreadable)"
    plant(Path("empty.zip"), make_zip({}))
    with pytest.raises(UsageError, match=r"empty\.zip: an archive of no files"):
        inspect_file("empty.zip")


# What an archive is


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.zip", make_zip({}), Kind.ZIP),
        ("a.ZIP", b"#!/bin/sh\n" + make_zip(FILES), Kind.ZIP),
        ("a.zip", FILES["a/1.dcm"], None),
        ("a.zip", b"", None),
        ("a.tar", make_tar({}), Kind.TAR),
        ("a.tar", b"x" * 1024, None),
        ("a.tar.gz", make_tar_gz(FILES), Kind.TAR_GZ),
        ("a.tgz", gzip.compress(FILES["a/1.dcm"], mtime=0), Kind.GZ),
        ("a.tgz", make_tar_gz(FILES)[:20], Kind.TAR_GZ),
        ("a.gz", gzip.compress(b"", mtime=0), Kind.GZ),
        ("a.gz", make_zip(FILES), None),
        ("a.dcm", make_zip(FILES), None),
        ("zip", make_zip(FILES), None),
    ],
)
def test_name_and_content_make_an_archive(name: str, content: bytes, kind: Kind | None) -> None:
    assert kind_of(str(plant(Path(name), content))) is kind


def test_files_that_are_only_named_like_archives_are_read() -> None:
    for name in ("a.zip", "b.tar", "c.gz", "d.tgz"):
        plant(Path("d", name), FILES["a/1.dcm"])
    report, table = exported("d")
    assert names_in(table) == ["d/a.zip", "d/b.tar", "d/c.gz", "d/d.tgz"]
    assert report.found == 4


def test_archives_in_archives_are_files_that_are_not_dicom() -> None:
    plant(
        Path("a.zip"), make_zip({"x.dcm": FILES["a/1.dcm"], "b.zip": make_zip(FILES), "c.tar.gz": make_tar_gz(FILES)})
    )
    report, _ = exported("a.zip")
    assert (report.found, report.exported, report.not_dicom) == (3, 1, 2)


def test_a_directory_with_the_name_of_an_archive_s_members() -> None:
    plant(Path("d/a.zip"), make_zip({"x.dcm": FILES["a/1.dcm"]}))
    plant(Path("d/a.zip!/x.dcm"), FILES["b/2.dcm"])
    report, table = exported("d")
    assert (table["PatientID"].to_pylist(), names_in(table)) == (["2"], ["d/a.zip!/x.dcm"])
    assert list(failures(report)) == ["d/a.zip"]
    with pytest.raises(UsageError, match="beside it is a directory"):
        expand(["d/a.zip"])


# Names


NAMES = ["/etc/passwd", "../../x.dcm", "a\\b.dcm", "x y.dcm", "é.dcm", "C:\\x", "a//b", "-", "*.dcm", "!/!/x", "a\nb"]


@pytest.mark.parametrize("make", [make_stored_zip, make_tar])
def test_names_are_only_names(make: object) -> None:
    archive = "a.zip" if make is make_stored_zip else "a.tar"
    plant(Path(archive), make([(name, named(str(n))) for n, name in enumerate(NAMES)]))  # type: ignore[operator]
    _, table = exported(archive)
    by_name = dict(zip(names_in(table), table["PatientID"].to_pylist(), strict=True))
    assert by_name == {f"{archive}!/{name}": str(n) for n, name in enumerate(NAMES)}
    assert not Path("../../x.dcm").exists()
    for n, name in enumerate(NAMES):
        assert dicom_bq.to_arrow(f"{archive}!/{name}")["PatientID"].to_pylist()[-1] is not None, n


def test_names_that_are_not_utf8() -> None:
    raw = make_stored_zip({"aa.dcm": named("1")}).replace(b"aa.dcm", b"a\xff.dcm")
    plant(Path("a.zip"), raw)
    plant(Path("a.tar"), make_tar({os.fsdecode(b"a\xff.dcm"): named("1")}, tarfile.GNU_FORMAT))
    assert [os.fsencode(uri) for uri in expand(["a.tar", "a.zip"])] == [b"a.tar!/a\xff.dcm", b"a.zip!/a\xff.dcm"]
    _, table = exported("a.tar", "a.zip")
    assert names_in(table) == [r"a.tar!/a\xff.dcm", r"a.zip!/a\xff.dcm"]


@pytest.mark.parametrize("make", [make_stored_zip, make_tar])
def test_members_with_one_name_are_files_of_their_own(make: object) -> None:
    contents = [("x.dcm", named("1")), ("y", named("y")), ("./x.dcm", named("2")), ("x.dcm", named("3"))]
    archive = "a.zip" if make is make_stored_zip else "a.tar"
    with pytest.warns(UserWarning, match="Duplicate") if make is make_stored_zip else pytest.MonkeyPatch.context():
        plant(Path(archive), make(contents))  # type: ignore[operator]
    _, table = exported(archive)
    assert list(zip(names_in(table), table["PatientID"].to_pylist(), strict=True)) == [
        (f"{archive}!/x.dcm", "1"),
        (f"{archive}!/x.dcm!2", "2"),
        (f"{archive}!/x.dcm!3", "3"),
        (f"{archive}!/y", "y"),
    ]
    assert dicom_bq.to_arrow(f"{archive}!/x.dcm!3")["PatientID"].to_pylist() == ["3"]


def test_names_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_NAMESAKES", 2)
    plant(Path("a.tar"), make_tar([*[("x", named("1"))] * 5, ("x!2", named("2")), ("x!9", named("3"))]))
    report, table = exported("a.tar")
    assert names_in(table) == ["a.tar!/x", "a.tar!/x!2", "a.tar!/x!3", "a.tar!/x!9"]
    assert sorted(failures(report).values()) == [
        "another member has its name",
        "one of more than 2 members whose names are taken",
        "one of more than 2 members whose names are taken",
    ]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_in_tars(form: int) -> None:
    name = "/".join(["d" * 30] * 6) + "/x.dcm"
    plant(Path("a.tar"), make_tar({name: named("1"), "é" * 40: named("2")}, form))
    _, table = exported("a.tar")
    assert names_in(table) == [f"a.tar!/{name}", f"a.tar!/{'é' * 40}"]


# Members that are no files


def test_odd_members_of_tars() -> None:
    kinds = {
        "hard": tarfile.LNKTYPE,
        "soft": tarfile.SYMTYPE,
        "pipe": tarfile.FIFOTYPE,
        "device": tarfile.CHRTYPE,
        "sparse": tarfile.GNUTYPE_SPARSE,
        "other": b"Z",
        "directory": tarfile.DIRTYPE,
    }
    extra = [tar_info(name, type=kind, linkname="x.dcm") for name, kind in kinds.items()]
    plant(Path("a.tar"), make_tar({"x.dcm": named("1"), "z.dcm": named("2")}, tarfile.GNU_FORMAT, extra))
    report, table = exported("a.tar")
    assert names_in(table) == ["a.tar!/x.dcm", "a.tar!/z.dcm"]
    assert failures(report) == {
        "a.tar!/hard": "a link, which is not followed in an archive",
        "a.tar!/soft": "a link, which is not followed in an archive",
        "a.tar!/pipe": "not a regular file",
        "a.tar!/device": "not a regular file",
        "a.tar!/sparse": "a sparse file, which is not supported",
        "a.tar!/other": "of a kind that is not supported",
    }


def test_odd_members_of_zips() -> None:
    file = Path("a.zip")
    with zipfile.ZipFile(file, "w") as archive:
        for name, mode in {
            "link": stat.S_IFLNK,
            "pipe": stat.S_IFIFO,
            "x.dcm": stat.S_IFREG,
            "d/": stat.S_IFDIR,
        }.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, b"" if name == "d/" else named("1"))
        archive.writestr(zipfile.ZipInfo("content/"), b"x")
        archive.writestr("bz2", named("1"), zipfile.ZIP_BZIP2)
    report, table = exported("a.zip")
    assert names_in(table) == ["a.zip!/x.dcm"]
    assert failures(report) == {
        "a.zip!/link": "a link, which is not followed in an archive",
        "a.zip!/pipe": "not a regular file",
        "a.zip!/content/": "a directory with content",
        "a.zip!/bz2": "compressed by a method that is not supported (number 12)",
    }


def test_directories_of_old_tars() -> None:
    """Before POSIX a directory was a file without content whose name ends in a slash."""
    plant(Path("a.tar"), make_tar({"d/": b"", "d/1.dcm": named("1"), "e/": b"x"}))
    report, table = exported("a.tar")
    assert (names_in(table), failures(report)) == (["a.tar!/d/1.dcm"], {"a.tar!/e/": "a directory with content"})


@pytest.mark.parametrize(("name", "member"), [("n.tgz", "n"), ("n.dcm.gz", "n.dcm"), (".gz", ".gz")])
def test_names_of_single_compressed_files(name: str, member: str) -> None:
    plant(Path("d", name), gzip.compress(named("1")))
    _, table = exported("d")
    assert names_in(table) == [f"d/{name}!/{member}"]


def test_encrypted_members() -> None:
    plant(Path("a.zip"), patched(make_zip({"x.dcm": named("1"), "y.dcm": named("2")}), CENTRAL, 8, "<H", 1))
    report, table = exported("a.zip")
    assert (names_in(table), failures(report)) == (["a.zip!/y.dcm"], {"a.zip!/x.dcm": "encrypted"})


# Damage


def outcomes(path: Path) -> ReadReport:
    """What becomes of an archive; there may be nothing in it."""
    plant(Path("beside.dcm"), named("beside"))
    report, table = exported(path, "beside.dcm")
    assert "beside" in table["PatientID"].to_pylist()
    return report


SMALL = {"1.dcm": named("1"), "2.dcm": named("2"), "t": b"x"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_every_truncation(name: str) -> None:
    content = MAKERS[name](SMALL)
    plant(Path("beside.dcm"), named("beside"))
    step = 1 if len(content) < 2000 else 61
    for end in range(0, len(content), step):
        plant(Path(name), content[:end])
        report = survey([name, "beside.dcm"])
        assert adds_up(report)
        assert report.exported >= 1, end
        is_plain = kind_of(name) is None
        is_whole = report.exported == 3 and name == "a.tar"  # all but zeros at its end
        assert report.failed >= 1 or is_whole or (is_plain and report.not_dicom == 1), end


def test_every_truncation_of_a_gzip_file() -> None:
    content = gzip.compress(named("1", text(0x00104000, "LT", "x" * 300)))
    plant(Path("beside.dcm"), named("beside"))
    for end in range(len(content)):
        plant(Path("x.dcm.gz"), content[:end])
        report = survey(["x.dcm.gz", "beside.dcm"])
        assert adds_up(report)
        assert (report.found, report.exported) == (2, 1)


@pytest.mark.parametrize("name", ["deflated.zip", "stored.ZIP", "a.tar", "a.tar.gz"])
def test_changed_bytes(name: str) -> None:
    content = MAKERS[name]({"1.dcm": named("1")})
    plant(Path("beside.dcm"), named("beside"))
    for at in range(0, len(content), max(1, len(content) // 150)):
        for value in {0, 0xFF, content[at] ^ 1} - {content[at]}:
            plant(Path(name), content[:at] + bytes([value]) + content[at + 1 :])
            report = survey([name, "beside.dcm"])
            assert adds_up(report)
            assert report.exported + report.failed + report.not_dicom >= 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (make_zip(SMALL)[:-30], "damaged: it has no directory at its end, so it may be cut off"),
        (patched(make_zip(SMALL), END, 10, "<H", 9), "damaged: its directory breaks off after 3 of 9 members"),
        (patched(make_zip(SMALL), END, 12, "<L", 1 << 30), "damaged: its directory is not where it should be"),
        (patched(make_zip(SMALL), END, 4, "<H", 2), "one of several parts, which cannot be read by itself"),
    ],
)
def test_damaged_zips_fail_once(content: bytes, reason: str) -> None:
    report = outcomes(plant(Path("a.zip"), content))
    assert failures(report) == {"a.zip": reason}
    assert report.failed == 1


@pytest.mark.parametrize("cut", [1, 512, 1024, 1100])
def test_tars_that_are_cut_off_give_what_is_there(cut: int) -> None:
    content = make_tar({"1.dcm": named("1")})[: 512 + 512 * -(-len(named("1")) // 512)]
    second = make_tar({"2.dcm": named("2")})
    report, table = exported(plant(Path("a.tar"), content + second[:cut]))
    assert "a.tar!/1.dcm" in names_in(table)
    assert list(failures(report)) in (["a.tar"], ["a.tar!/2.dcm", "a.tar"], ["a.tar", "a.tar!/2.dcm"])


def test_a_damaged_tar_gz_gives_what_is_before_the_damage() -> None:
    content = bytearray(gzip.compress(make_tar({f"{n:03}.dcm": named(str(n)) + os.urandom(5000) for n in range(60)})))
    content[-100_000:-99_000] = bytes(1000)
    report = outcomes(plant(Path("a.tar.gz"), bytes(content)))
    assert report.exported > 10
    assert "deflated archive is damaged" in failures(report)["a.tar.gz"]


@pytest.mark.parametrize("offset", [20, 24, 42])
@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("make", [make_zip, make_stored_zip])
def test_lies_about_sizes_and_places(offset: int, value: int, make: object) -> None:
    content = make({"1.dcm": named("1"), "2.dcm": named("2")})  # type: ignore[operator]
    report = outcomes(plant(Path("a.zip"), patched(content, CENTRAL, offset, "<L", value)))
    assert report.found == 3
    assert report.exported >= 2


@pytest.mark.parametrize(
    "size", [b"99999999999\0", b"-0000000001\0", b"xxxxxxxxxxx\0", b"\x80" + b"\xff" * 11, b"\xff" * 12]
)
def test_lies_about_sizes_in_tars(size: bytes) -> None:
    header = bytearray(make_tar({"1.dcm": named("1")}))
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:512]) - sum(header[148:156]) + 8 * 32)
    report = outcomes(plant(Path("a.tar"), bytes(header)))
    assert report.failed >= 1


def test_zip64() -> None:
    content = make_zip({"1.dcm": named("1")})
    at = content.index(CENTRAL)
    central = bytearray(content[at : content.index(END)])
    sizes = struct.unpack_from("<LL", central, 20)
    struct.pack_into("<LL", central, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", central, 30, 20)
    central += struct.pack("<HHQQ", 1, 16, sizes[1], sizes[0])
    end = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + len(central), 1)
    short = struct.pack("<4sHHHHLLH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    plant(Path("a.zip"), b"before it" + content[:at] + central + end + locator + short)
    _, table = exported("a.zip")
    assert table["PatientID"].to_pylist() == ["1"]


def test_an_archive_that_changes_after_it_was_listed() -> None:
    plant(Path("a.tar"), make_tar(FILES))
    files = dict(listing(["a.tar"]))
    os.utime("a.tar", ns=(1, 1))
    scanned = scan_files(list(files), members=files)  # type: ignore[arg-type]
    assert {failure.reason for failure in scanned.failures} == {"the archive has changed since it was listed"}
    Path("a.tar").unlink()
    scanned = scan_files(list(files), members=files)  # type: ignore[arg-type]
    assert {failure.reason for failure in scanned.failures} == {"No such file or directory"}


def test_an_archive_that_vanishes_or_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(Path("d/a.zip"), make_zip(FILES))
    monkeypatch.setattr(archives.os, "fstat", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        kind_of("d/a.zip")  # it is asked about at all
    monkeypatch.undo()

    def fail(*_: object) -> Iterator[object]:
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(archives, "zip_entries", fail)
    monkeypatch.chdir(Path(__file__).parent)
    seen: list[tuple[str, str]] = []
    assert list(Archives(Spool()).members(os.devnull, Kind.ZIP, lambda reason: seen.append(("", reason)))) == []
    assert seen == [("", "cannot be read: Input/output error")]


# Bounds


def limited(path: str, **limits: int) -> tuple[list[str], dict[str, str]]:
    seen: dict[str, str] = {}
    found = listing([path], unreadable=seen.__setitem__, limits=ArchiveLimits(**limits))
    return [uri for uri, _ in found], seen


def test_number_of_members() -> None:
    plant(Path("a.zip"), make_zip({f"{n}": b"" for n in range(5)}))
    found, seen = limited("a.zip", members=3)
    assert found == ["a.zip!/0", "a.zip!/1", "a.zip!/2"]
    assert seen == {"a.zip": "more than 3 members, of which the others are left out"}


def test_length_of_names() -> None:
    plant(Path("a.tar"), make_tar({"x" * 500: b"", "y": b""}))
    found, seen = limited("a.tar", name_bytes=499)
    assert found == ["a.tar!/y"]
    assert seen == {f"a.tar!/{'x' * 200}...": "a name of more than 499 bytes"}


@pytest.mark.parametrize("make", [make_zip, make_stored_zip])
def test_inflated_size_of_a_zip(make: object) -> None:
    plant(Path("a.zip"), make({"1": bytes(1000), "2": bytes(5000), "3": bytes(500)}))  # type: ignore[operator]
    found, seen = limited("a.zip", inflated_bytes=2000)
    assert found == ["a.zip!/1", "a.zip!/3"]
    assert seen == {"a.zip!/2": "past the 2,000 bytes that the members of an archive may have"}


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"inflated_bytes": 1 << 20}, "archive inflates to more than 1048576 bytes"),
        ({"ratio": 50, "ratio_from": 1 << 20}, "archive inflates to more than 50 times its size"),
    ],
)
def test_inflated_size_of_a_tar_gz(limits: dict[str, int], reason: str) -> None:
    plant(Path("a.tgz"), make_tar_gz({"1": named("1"), "2": bytes(8 << 20)}))
    found, seen = limited("a.tgz", **limits)
    assert found[0] == "a.tgz!/1"
    assert list(seen)[-1] == "a.tgz"
    assert seen["a.tgz"].startswith(reason)


BOMB = explicit_file(explicit(0x00091001, "UN", bytes(60 << 20)))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.zip", make_zip({"x.dcm": BOMB})), ("x.gz", gzip.compress(BOMB, mtime=0))],
    ids=["zip", "gzip"],
)
def test_bombs(name: str, content: bytes) -> None:
    plant(Path(name), content)
    report, _ = outcomes(Path(name)), None
    assert report.exported == 2  # within every limit
    files = dict(listing([name]))
    for options, reason in (
        (ScanOptions(max_header_bytes=1 << 20), "header is larger than 1048576 bytes"),
        (ScanOptions(archives=ArchiveLimits(ratio=100, ratio_from=1 << 20)), "member inflates to more than 100 times"),
        (ScanOptions(archives=ArchiveLimits(inflated_bytes=1 << 20)), "member inflates to more than 1048576 bytes"),
    ):
        scanned = scan_files(list(files), options, files)  # type: ignore[arg-type]
        (failure,) = scanned.failures
        assert failure.reason.startswith(reason)


def test_members_that_share_their_bytes() -> None:
    content = bytearray(make_zip({f"{n}": named("1", text(0x00104000, "LT", "x" * 3000)) for n in range(50)}))
    first, at = content.index(CENTRAL), content.index(CENTRAL)
    stored = struct.unpack_from("<L", content, first + 20)[0]
    for _ in range(50):
        struct.pack_into("<L", content, at + 42, 0)
        at += 46 + 1 + (at != first and 0)
        at = content.find(CENTRAL, at)
        if at < 0:
            break
    padded = bytes(content[: first // 3]) + bytes(content[first:])
    end = padded.index(END)
    moved = bytearray(padded)
    struct.pack_into("<L", moved, end + 16, first // 3)
    report = outcomes(plant(Path("a.zip"), bytes(moved)))
    assert report.exported - 1 <= len(moved) // stored
    assert "overlaps other members" in failures(report).values()


def test_pixel_data_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = explicit(PIXEL_DATA, "OW", os.urandom(4 << 20))
    plant(Path("a.zip"), make_zip({"x.dcm": named("1", pixels)}))
    plant(Path("x.dcm.gz"), gzip.compress(named("1", pixels) + text(0x7FE10010, "LO", "AFTER")))
    taken: list[int] = []
    monkeypatch.setattr("dicom_bq.scan.bytesource.INFLATE_STEP", 1 << 14)
    inflater = zlib.decompressobj

    class Counting:
        def __init__(self, frame: int) -> None:
            self.inflater = inflater(frame)

        def decompress(self, data: bytes, most: int) -> bytes:
            taken.append(len(data))
            return self.inflater.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inflater, name)

    monkeypatch.setattr("dicom_bq.scan.bytesource.zlib.decompressobj", Counting)
    _, table = exported("a.zip")
    assert table["PatientID"].to_pylist() == ["1"]
    assert sum(taken) < 1 << 16
    _, table = exported("x.dcm.gz")  # whose size nobody knows
    assert [entry["Tag"] for entry in table["OtherElements"].to_pylist()[0]] == ["Tag_7FE10010"]
    assert sum(taken) > 4 << 20


def test_gzip_frames_that_follow_each_other() -> None:
    half = 50_000
    content = named("1", text(0x00104000, "LT", "x" * half))
    frames = (
        gzip.compress(content[:200]) + gzip.compress(b"") + bytes(70_000) + gzip.compress(content[200:]) + b"rubbish"
    )
    plant(Path("x.dcm.gz"), frames)
    _, table = exported("x.dcm.gz")
    assert table["PatientComments"].to_pylist() == ["x" * half]


# The spool


def test_what_archives_inflate_to_is_removed_when_it_was_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dicom_bq.reading.BATCH_SIZE", 2)
    for number in range(6):
        plant(Path(f"d/{number}.tgz"), make_tar_gz(SMALL))
    most = 0

    def watch(_: object) -> None:
        nonlocal most
        most = max(most, len(list(tmp_path.glob("work/.out.parquet.job/.dicom-bq-*/*"))))

    report = dicom_bq.export("d", "out.parquet", progress=watch, workers=1)
    assert (report.found, report.exported) == (18, 12)
    assert 1 <= most <= 2


def test_a_spool_of_the_caller_s_is_kept_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(Path("a.tgz"), make_tar_gz(FILES))
    for attempt in range(2):
        with Spool("spool") as spool:
            files = dict(listing(["a.tgz"], spool=spool))
            assert len(scan_files(list(files), members=files).uris) == 3  # type: ignore[arg-type]
        assert len(list(Path("spool").iterdir())) == 1
        if not attempt:
            monkeypatch.setattr("dicom_bq.sources.spool._copy", lambda *_: 1 / 0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS])
@pytest.mark.parametrize("fails", ["os.utime", "pathlib.Path.open", "pathlib.Path.mkdir", "tempfile.mkdtemp"])
def test_a_spool_without_room_is_no_fault_of_the_archive(
    fails: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(Path("d/a.tgz"), make_tar_gz(FILES))
    plant(Path("d/b.dcm"), named("b"))
    dicom_bq.export("d/b.dcm", "out.parquet")
    before = Path("out.parquet").read_bytes()
    refused: list[bool] = []
    reason = re.escape(f"archives cannot be inflated here for the time being: {os.strerror(number)}. Make room")
    with monkeypatch.context() as patched:
        refuse_in(patched, fails, number, ".dicom-bq-", refused)
        with pytest.raises(DestinationError, match=rf"\.out\.parquet\.job(/\.dicom-bq-\w+)?: {reason}"):
            dicom_bq.export("d", "out.parquet", overwrite_table=True)
    assert refused
    assert Path("out.parquet").read_bytes() == before
    report = dicom_bq.export("d", "out.parquet", overwrite_table=True)
    assert (report.exported, report.failed) == (4, 0)


def refuse_in(patched: pytest.MonkeyPatch, name: str, number: int, where: str, refused: list[bool]) -> None:
    """Let a function fail that is given a path, or the beginning of a name, with some text in it."""
    module, _, attribute = name.rpartition(".")
    owner = pkgutil.resolve_name(module)
    original = getattr(owner, attribute)

    def failing(*given: object, **named: object) -> object:
        if where in f"{given} {named}":
            refused.append(True)
            raise OSError(number, os.strerror(number))
        return original(*given, **named)

    patched.setattr(owner, attribute, failing)


def test_a_full_disk_ends_the_export_and_it_goes_on_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plant(Path("d/a.dcm"), named("a"))
    plant(Path("d/b.tgz"), make_tar_gz(FILES))
    command = ["export", "d", "out.parquet"]
    with monkeypatch.context() as patched:
        refuse_in(patched, "os.utime", errno.ENOSPC, ".dicom-bq-", [])
        assert main(command) == 3
    assert not Path("out.parquet").exists()
    said = capfd.readouterr().err
    assert ".out.parquet.job" in said
    assert "No space left on device. Make room" in said
    assert main(command) == 0
    assert pq.read_metadata("out.parquet").num_rows == 4


def test_an_archive_that_does_not_read_is_its_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    path = plant(Path("d/a.tgz"), make_tar_gz({"a.dcm": named("a"), "b.dcm": os.urandom(1 << 20)}))
    plant(Path("d/b.dcm"), named("b"))
    read = FileSource.read

    def failing(self: FileSource, position: int, size: int) -> bytes:
        if position and Path(f"/proc/self/fd/{self.descriptor}").readlink() == path.resolve():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(self, position, size)

    monkeypatch.setattr(FileSource, "read", failing)
    report, _ = exported("d", workers=1)
    assert failures(report)["d/a.tgz"] == "cannot be read: Input/output error"
    assert report.exported == 2


# The readers by themselves


def test_readers_agree_with_the_standard_library() -> None:
    contents = {f"d{n % 7}/{n}.dcm": named(str(n)) for n in range(3000)}
    zipped, tarred = make_zip(contents), make_tar(contents)
    entries = {entry.name: entry for entry in zip_entries(BytesSource(zipped), len(zipped))}
    assert entries.keys() == contents.keys()
    for entry in tar_entries(BytesSource(tarred), len(tarred)):
        assert tarred[entry.offset : entry.offset + entry.size] == contents[entry.name]
    assert pairs(contents)[0][0] == "d0/0.dcm"
