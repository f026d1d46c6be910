"""The benchmarks' own parts on a handful of files: same bytes every time, rows held to the oracle, figures drawn."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pyarrow as pa
import pydicom
import pytest

from benchmarks import __main__ as command
from benchmarks import chart, content, corpus, naive_rows, reference, report, stages
from benchmarks.contenders import NotInstalledError, dcmtk_dump, load, names
from benchmarks.corpus.sets import SETS
from benchmarks.harness import Result, Settings, run_suite
from benchmarks.plan import QUICK, SUITES, Measurement, Suite
from tests import oracle

FILES = 24


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpora")


def _elements(dataset: pydicom.Dataset) -> int:
    """Elements at any depth, Pixel Data and padding aside, as the corpus counts them."""
    count = 0
    for element in dataset:
        if element.tag not in (0x7FE00010, 0xFFFCFFFC):
            count += 1
        if element.VR == "SQ":
            count += sum(map(_elements, element.value))
    return count


@pytest.mark.parametrize("name", ["typical", "encapsulated", "odd"])
def test_the_same_seed_writes_the_same_bytes(name: str, cache: Path, tmp_path: Path) -> None:
    first, again = corpus.obtain(name, FILES, cache), corpus.obtain(name, FILES, tmp_path)
    assert first.facts == again.facts
    assert [Path(one).read_bytes() for one in first.paths] == [Path(one).read_bytes() for one in again.paths]
    assert corpus.obtain(name, FILES, tmp_path, seed=1).facts["sha256"] != first.facts["sha256"]


def test_a_corpus_is_written_once_and_shuffled_the_same_way(cache: Path) -> None:
    first = corpus.obtain("typical", FILES, cache)
    written = Path(first.paths[0]).stat().st_mtime_ns
    second = corpus.obtain("typical", FILES, cache)
    assert Path(second.paths[0]).stat().st_mtime_ns == written
    assert len(first.paths) == FILES
    assert list(first.paths) == sorted(first.paths)
    assert first.shuffled() == second.shuffled() != first.paths
    assert sorted(first.shuffled()) == list(first.paths)


@pytest.mark.parametrize("name", ["typical", "encapsulated", "private", "charsets"])
def test_pydicom_reads_every_file_and_counts_the_same_elements(name: str, cache: Path) -> None:
    files = corpus.obtain(name, FILES, cache)
    counted = 0
    for path in files.paths:
        dataset = pydicom.dcmread(path)
        counted += _elements(dataset) + corpus.META_ELEMENTS
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert counted / len(files.paths) == pytest.approx(files.facts["mean_elements"], abs=0.01)


def test_the_wide_file_has_the_leaves_it_promises(cache: Path) -> None:
    files = corpus.obtain("wide", 110, cache)
    wide = next(path for path in files.paths if path.endswith("w.dcm"))
    schema = oracle.convert(wide).columns
    leaves = sum(15 if pydicom.datadict.dictionary_VR(path[-1]) == "PN" else 1 for path in schema
                 if path[-1] in pydicom.datadict.keyword_dict)  # fmt: skip
    assert leaves >= 1600


def test_an_enhanced_object_has_about_seventy_elements_a_frame(cache: Path) -> None:
    files = corpus.obtain("multiframe", 1, cache)
    dataset = pydicom.dcmread(files.paths[0], stop_before_pixels=True)
    assert len(dataset.PerFrameFunctionalGroupsSequence) == 500
    assert 65 <= _elements(dataset) / 500 <= 75


def _row(name: str, **values: Any) -> dict[str, Any]:
    return {"SOPInstanceUID": name, **values}


def test_a_digest_depends_on_values_and_on_nothing_else() -> None:
    rows = [_row("1", A=["x", ""], B={"C": 1.5, "D": None}), _row("2", A=None)]
    whole = content.row_digests([pa.Table.from_pylist(rows)])
    apart = content.row_digests(
        [pa.Table.from_pylist([_row("2")]), pa.Table.from_pylist([{"A": ["x", ""], **_row("1", B={"C": 1.5})}])]
    )
    assert whole == apart
    assert content.combined(whole.values()) == content.combined(reversed(list(apart.values())))
    for changed in (_row("1", A=["x"], B={"C": 1.5}), _row("1", A=["x", ""], B={"C": 1.25}), _row("1", B={"C": 1.5})):
        assert content.row_digests([pa.Table.from_pylist([changed])])["1"] != whole["1"]


def test_two_rows_of_one_instance_are_not_taken_for_one() -> None:
    with pytest.raises(ValueError, match="SOPInstanceUID 1 is there twice"):
        content.row_digests([pa.Table.from_pylist([_row("1"), _row("1", A=2)])])


@pytest.mark.parametrize("name", ["typical", "charsets", "private"])
def test_the_naive_rows_are_the_oracles(name: str, cache: Path) -> None:
    for path in corpus.obtain(name, FILES, cache).paths[::3]:
        assert content.prune(naive_rows.row(path)) == content.prune(oracle.convert(path).row)


def _run(cache: Path, *contenders: str, **more: Any) -> list[Result]:
    measurements = tuple(Measurement("typical", contender, **more) for contender in contenders)
    settings = Settings(files=8, cache=cache, patience=0.0, retries=1)
    return run_suite(Suite("few files", measurements, repeats=1), settings, lambda text: None)


@pytest.fixture(scope="module")
def results(cache: Path) -> list[Result]:
    return _run(cache, "floor_read", "product_batches", "naive")


def test_the_harness_counts_hashes_and_compares_the_rows_of_every_contender(results: list[Result]) -> None:
    floor, product, naive = results
    assert [result["problems"] for result in results] == [[], [], []]
    assert floor["rows"] == product["rows"] == naive["rows"] == 8
    assert product["oracle"] == naive["oracle"] == {"checked": 8, "equal": 8}
    assert product["digest"] == naive["digest"] != ""
    assert all(len(result["runs"]) == 1 and result["files_per_second"] > 0 for result in results)


def test_rows_that_are_not_the_oracles_are_a_problem(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference.digests(corpus.obtain("typical", 8, cache), 8, cache)
    wrong = {key: "0" * 32 if index == 3 else digest for index, (key, digest) in enumerate(right.items())}
    monkeypatch.setattr(reference, "digests", lambda *_: wrong)
    (result,) = _run(cache, "product_batches")
    assert result["problems"] == ["1 of 8 rows are not the oracle's"]
    assert command._verdict({"peers": [result]}, None) == 1


def test_what_is_not_installed_is_left_out_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotInstalledError, match="apt-get install dcmtk"):
        dcmtk_dump.prepare({})


def test_plans_name_contenders_and_sets_that_exist() -> None:
    measurements = [one for suites in (SUITES, QUICK) for suite in suites.values() for one in suite.measurements]
    assert {one.contender for one in measurements} == set(names())
    assert {one.set for one in measurements} <= set(SETS)
    assert all(load(name).TITLE for name in names())


def test_stages_are_functions_of_the_pipeline(cache: Path) -> None:
    product = load("product_batches")
    product.prepare({})
    with stages.watched() as watch:
        product.run(corpus.obtain("odd", 8, cache).paths)  # the first file is deflated: the scalar walker's
    called = {stage for stage, seconds in watch.seconds.items() if seconds > 0}
    assert called == {stage for stage, _ in stages.STAGES}


def test_the_report_and_the_chart_show_every_contender(results: list[Result]) -> None:
    machine = {"processor": "P", "cores": 2, "memory_gib": 1, "python": "3", "packages": {}, "time": "", "commit": ""}
    text = report.markdown(machine, {"peers": results}, {"peers": "Peers"})
    drawn = _texts(chart.draw(chart.speeds(results), "Files & seconds", "note", "files per second", logarithmic=True))
    for result in results:
        assert result["title"] in text
        assert result["title"].replace("`", "").replace("*", "") in drawn


def _texts(drawing: str) -> list[str | None]:
    return [element.text for element in ET.fromstring(drawing).iter() if element.tag.endswith("text")]  # noqa: S314


def test_the_chart_of_memory_has_each_number_of_files() -> None:
    measured = [
        {"contender": "product_parquet", "title": "**to Parquet**", "files": files, "peak_kib": mebibytes << 10}
        for files, mebibytes in ((1000, 206), (100_000, 221))
    ]
    drawn = _texts(chart.draw(chart.peaks(measured), "Memory", "note", "MiB", logarithmic=False))
    assert {"to Parquet: 1,000", "to Parquet: 100,000", "206", "221", "0", "100", "200", "300"} <= set(drawn)
    with pytest.raises(ValueError, match="nothing was measured"):
        chart.draw([], "Memory", "note", "MiB", logarithmic=False)


def test_too_slow_is_a_failure() -> None:
    peers = [
        {"contender": "naive", "files_per_second": 10.0},
        {"contender": "product_parquet", "files_per_second": 99.0},
    ]
    assert command._too_slow(peers, 9.9) == []
    assert command._too_slow(peers, 10) == ["9.9 times as fast as naive, 10 was asked for"]
    assert command._too_slow(peers[:1], 10) == ["--at-least needs the suite peers"]


def test_an_unknown_suite_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--quick", "pears"])
    assert "no suite pears; there are peers, shapes" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs VmHWM")
def test_a_peak_is_of_the_process_itself() -> None:
    """Linux hands the peak of a process on to those that it starts."""
    code = "from benchmarks.worker import peak_kib; print(peak_kib())"
    large = b"x" * (400 << 20)
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) << 10 < len(large)
