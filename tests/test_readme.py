"""The README's commands, queries, examples and tables are true."""

from __future__ import annotations

import doctest
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

import vr_rules
from dicom_bq.cli import dicom_bq as command_line
from dicom_bq.cli import main
from dicom_bq.problems import Reason

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is not beside the tests")


def blocks(*languages: str) -> list[tuple[str, str, str]]:
    """Line before the fence, language, and content of the code blocks."""
    found = re.findall(
        r"(?:^([^\n]*)\n)?^```(\w+)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [block for block in found if block[1] in languages]


def marked(marker: str) -> list[str]:
    return [content for before, _, content in blocks("sh", "text") if before == f"<!-- {marker} -->"]


def queries() -> Iterator[tuple[str, str]]:
    """SQL of each query, and the output that follows it."""
    for (before, _, command), (_, kind, output) in itertools.pairwise(blocks("sh", "text")):
        if before == "<!-- query -->":
            assert kind == "text"
            found = re.fullmatch(r"query <<'SQL'\n(.*)SQL\n", command, re.DOTALL)
            assert found
            yield found[1], output


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The table that command one makes, its exit code, and what it says."""
    directory = tmp_path_factory.mktemp("readme")
    (directory / "fixtures").symlink_to(ROOT / "fixtures")
    arguments = shlex.split(marked("command one")[0].split("&&")[-1])
    assert arguments[:2] == [".venv/bin/dicom-bq", "export"]
    program = "import sys; from dicom_bq.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments[1:]],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return directory / "demo.duckdb", done.returncode, done.stderr


def without_time_and_place(line: str) -> str:
    return re.sub(r"; [0-9.]+ s, [0-9,]+ files/s|/\S+/", "", line)


def test_command_one(demo: tuple[Path, int, str]) -> None:
    _, code, said = demo
    assert code == 1
    (shown,) = marked("output of command one")
    lines = [without_time_and_place(line) for line in said.splitlines()]
    expected = [without_time_and_place(line) for line in shown.splitlines()]
    assert expected[-1] == "..."
    assert lines[: len(expected) - 1] == expected[:-1]


@pytest.mark.parametrize(("sql", "output"), list(queries()), ids=["path", "studies", "private"])
def test_queries_give_their_output(demo: tuple[Path, int, str], sql: str, output: str) -> None:
    with duckdb.connect(str(demo[0]), read_only=True) as database:
        rows = database.sql(sql).fetchall()
    assert len(rows) > 1
    assert "".join("  ".join(map(str, row)) + "\n" for row in rows) == output


def test_command_two_is_the_tests() -> None:
    (command,) = marked("command two")
    assert ".venv-test/bin/pytest" in command


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    text = "\n".join(content for _, _, content in blocks("python"))
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", str(README), 0)
    assert len(test.examples) > 15
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    assert runner.run(test).failed == 0


def test_docstring_examples() -> None:
    import dicom_bq.job
    import dicom_bq.sources.names
    import dicom_bq.sources.patterns

    for module in (dicom_bq.job, dicom_bq.sources.names, dicom_bq.sources.patterns):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_table_of_types() -> None:
    text = README.read_text(encoding="utf-8")
    table = text.partition("<!-- types -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    written = {}
    for line in table:
        codes, *types = (cell.strip() for cell in line.strip("|").split("|"))
        for quoted, plain in re.findall(r'"([^"]+)"|([A-Z]{2})', codes):
            written[quoted or plain] = tuple(None if kind == "-" else kind for kind in types)
    rules = vr_rules.load().vr
    assert written == {code: (rule.bigquery, rule.arrow, rule.duckdb) for code, rule in rules.items()}


def test_every_command_and_option_is_mentioned() -> None:
    text = README.read_text(encoding="utf-8")
    for name, command in command_line.commands.items():
        assert f"dicom-bq {name}" in text
        below = command.commands.values() if isinstance(command, click.Group) else [command]
        for parameter in itertools.chain.from_iterable(one.params for one in below):
            if isinstance(parameter, click.Option):
                assert parameter.opts[0] in text


def test_commands_shown_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for _, _, content in blocks("sh"):
        for line in re.findall(r"^dicom-bq (.*)$", content, re.MULTILINE):
            words = shlex.split(line.partition("#")[0])
            path = list(itertools.takewhile(lambda word: word.islower() and not word.startswith("-"), words))
            assert main([*path, "--help"]) == 0
            usage = capsys.readouterr().out
            assert all(word in usage for word in words if word.startswith("--"))


def test_reasons_are_not_values() -> None:
    assert all("{" not in reason.value for reason in Reason)


@pytest.mark.skipif(not (ROOT / "dicom_bq").exists(), reason="the tests are not in a checkout")
def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert {"LICENSE", "CHANGELOG.md", "fixtures/README.md", "dicom_bq/", "vr_rules/"} <= set(links)
    assert all((ROOT / link).exists() for link in links)
