"""Runs the measurements of a suite in turns, each in its own process, and holds every one to its rows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import corpus, machine, reference
from benchmarks.contenders import load
from benchmarks.corpus import Corpus
from benchmarks.corpus.sets import SETS
from benchmarks.plan import Measurement, Suite

Result = dict[str, Any]
Say = Callable[[str], None]
ROOT = Path(__file__).parents[1]
MOST_EXPECTED = 4000
"""Files of a set that the oracle converts, which takes it milliseconds each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How carefully, and on how much.

    Attributes:
        quick: Small sets of files, and the oracle on a sample of them.
        files: How many files of every set; None for the set's own number.
        cache: Where corpora are kept.
        seed: Of the corpora.
        foreign: Cores that other processes may use during a run that counts.
        patience: Seconds to wait for a quiet machine before a run; then it is measured anyway, and marked.
        retries: Runs repeated because others took the machine.
    """

    quick: bool = False
    files: int | None = None
    cache: Path = field(default_factory=corpus.default_cache)
    seed: int = corpus.SEED
    foreign: float = 0.05
    patience: float = 60.0
    retries: int = 3

    def obtain(self, name: str) -> Corpus:
        """The corpus of a set, of this size and seed."""
        return corpus.obtain(name, self.files or SETS[name].files[self.quick], self.cache, self.seed)

    def expected(self, files: Corpus) -> Mapping[str, str]:
        """The oracle's digests: of one file in ten when quick; else of every file, in the largest set of some."""
        count = len(files.paths) // 10 if self.quick else min(len(files.paths), MOST_EXPECTED)
        return reference.digests(files, count, self.cache)


class EndedError(Exception):
    """A contender's process ended where it should have answered."""


class Contestant:
    """A running process with one measurement, and what it has answered so far."""

    def __init__(self, measurement: Measurement, files: Corpus, process: subprocess.Popen[str]) -> None:
        self.measurement = measurement
        self.process = process
        paths = files.shuffled() if measurement.shuffled else files.paths
        self.paths = paths[:: measurement.every]
        self.result: Result = {
            "set": measurement.set,
            "contender": measurement.contender,
            "label": measurement.label,
            "title": load(measurement.contender).TITLE,
            "options": dict(measurement.options),
            "shuffled": measurement.shuffled,
            "files": len(self.paths),
            "corpus": {name: value for name, value in files.facts.items() if name != "files"},
            "missing": "",
            "runs": [],
            "problems": [],
        }

    @property
    def ours(self) -> bool:
        """Whether it is the product, whose every row must be right."""
        return self.measurement.contender.startswith("product_")

    def ask(self, **command: object) -> Result:
        """Sends a command, waits for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)  # type: ignore[no-any-return]
        self.result["missing"] = f"ended with exit code {self.process.wait()}"
        self.blame(self.result["missing"])
        raise EndedError(self.result["missing"])

    @property
    def present(self) -> bool:
        """Whether it was installed, and still runs."""
        return not self.result["missing"]

    def blame(self, problem: str) -> None:
        """Notes that what it made is not what it should be."""
        self.result["problems"].append(problem)


@contextmanager
def started(measurement: Measurement, settings: Settings) -> Iterator[Contestant]:
    """A contestant, prepared but not yet run; `result["missing"]` says why when it cannot be."""
    files = settings.obtain(measurement.set)
    with ExitStack() as stack:
        list_file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".txt"))
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )
        )
        stack.callback(_stop, process)
        contestant = Contestant(measurement, files, process)
        list_file.write("\n".join(contestant.paths))
        list_file.flush()
        with suppress(EndedError):
            whole = not measurement.shuffled and measurement.every == 1
            options = {"directory": str(files.root) if whole else "", **measurement.options}
            answer = contestant.ask(paths=list_file.name, contender=measurement.contender, options=options)
            contestant.result["missing"] = answer.get("missing", "")
            contestant.result["imports_kib"] = answer.get("peak_kib", 0)
        yield contestant


def _stop(process: subprocess.Popen[str]) -> None:
    """Lets the process end by itself, so that it removes its files; not for long."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def run_suite(suite: Suite, settings: Settings, say: Say) -> list[Result]:
    """All measurements of a suite: a warm-up each, then `repeats` rounds of one run each."""
    with ExitStack() as stack:
        contestants = []
        for measurement in suite.measurements:
            contestant = stack.enter_context(started(measurement, settings))
            if not contestant.present:
                say(f"  {measurement.label}: left out, {contestant.result['missing']}")
            contestants.append(contestant)
        _each(contestants, _warm, settings)
        _compare([contestant.result for contestant in contestants if contestant.ours and contestant.present])
        for number in range(suite.repeats):
            turn = number % len(contestants)
            _each(contestants[turn:] + contestants[:turn], _timed, settings)
            say(f"  round {number + 1} of {suite.repeats} done")
        _each(contestants, _finish, settings)
        return [contestant.result for contestant in contestants]


def _each(contestants: Sequence[Contestant], step: Callable[[Contestant, Settings], None], settings: Settings) -> None:
    """One step of all that are present; one that ends on the way is out, and the others go on."""
    for contestant in contestants:
        if contestant.present:
            with suppress(EndedError):
                step(contestant, settings)


def _warm(contestant: Contestant, settings: Settings) -> None:
    """The run that is not timed: rows counted, each compared with the oracle's."""
    answer = contestant.ask(do="warm")
    result = contestant.result
    result |= {name: answer[name] for name in ("rows", "digest", "facts", "peak_kib")}
    _check_rows(contestant, answer["rows"])
    if not answer["digests"]:
        return
    expected = settings.expected(settings.obtain(contestant.measurement.set))
    checked = expected.keys() & answer["digests"].keys()
    equal = sum(answer["digests"][key] == expected[key] for key in checked)
    result["oracle"] = {"checked": len(checked), "equal": equal}
    if contestant.ours and equal < len(checked):
        contestant.blame(f"{len(checked) - equal} of {len(checked)} rows are not the oracle's")


def _check_rows(contestant: Contestant, rows: int) -> None:
    failed = int(contestant.result["facts"].get("failed", 0))
    if rows + failed != contestant.result["files"]:
        contestant.blame(f"{rows} rows and {failed} failures from {contestant.result['files']} files")


def _compare(results: Sequence[Result]) -> None:
    """The product makes the same rows of the same files, whatever the batch size, order or destination."""
    first: dict[tuple[str, int], Result] = {}
    for result in results:
        other = first.setdefault((result["set"], result["files"]), result)
        if result["digest"] != other["digest"]:
            result["problems"].append(f"rows differ from those of {other['label']}")


def _timed(contestant: Contestant, settings: Settings) -> None:
    """One run that counts: repeated while others take the machine, and marked if they do not stop."""
    session = contestant.process.pid
    for _ in range(settings.retries):
        machine.wait_until_quiet(session, settings.foreign, settings.patience)
        before = machine.Clock.read(session)
        answer = contestant.ask(do="run")
        after = machine.Clock.read(session)
        foreign = after.foreign_since(before)
        if foreign <= settings.foreign:
            break
    passes = answer["passes"]
    # Pool processes that are not waited for show in the session only, which counts in ticks of 10 ms.
    cpu = max(answer["cpu"], (after.session - before.session - 0.05) / passes)
    run = {"wall": answer["wall"], "cpu": cpu, "foreign": round(foreign, 3), "passes": passes}
    contestant.result["runs"].append(run)
    _check_rows(contestant, answer["rows"])
    if not answer["same"]:
        contestant.blame("rows differ from run to run")


def _finish(contestant: Contestant, settings: Settings) -> None:
    """Medians and spread."""
    result = contestant.result
    walls = sorted(run["wall"] for run in result["runs"])
    result |= {
        "seconds": median(walls),
        "fastest": walls[0],
        "slowest": walls[-1],
        "cpu_seconds": median(run["cpu"] for run in result["runs"]),
        "files_per_second": result["files"] / median(walls),
        "quiet": all(run["foreign"] <= settings.foreign for run in result["runs"]),
    }
    result["problems"] = sorted(set(result["problems"]))
