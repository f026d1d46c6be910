"""Measures dicom-bq beside pydicom and others, on a corpus that it writes itself.

Every contender runs in its own process and they take turns; the rows of every run are counted and hashed, and
compared with those of the tests' oracle, so that no figure comes from a program that made something else. The
corpus is written once, to the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import chart, corpus, machine, memory, report, stages, startup
from benchmarks.harness import Settings, run_suite
from benchmarks.plan import QUICK, REFERENCE, SUITES, Suite

EPILOG = """examples:
  python -m benchmarks --quick                        400 files, under a minute
  python -m benchmarks --out benchmarks/results       everything, written as JSON lines, Markdown and SVG
  python -m benchmarks peers processes                two suites
  python -m benchmarks --quick peers --at-least 15    exit code 1 unless 15 times as fast as naive pydicom

Peers are optional: pip install fastdicom dicomsdl python-gdcm; apt-get install dcmtk.
"""
Results = dict[str, list[dict[str, Any]]]
# Suites that are no contest: what each is called, and what measures it.
OTHERS = {
    "stages": ("Where the time goes", stages.measure),
    "memory": ("Memory", memory.measure),
    "startup": ("Start-up", startup.measure),
}
TITLES = {name: suite.title for name, suite in SUITES.items()} | {name: one[0] for name, one in OTHERS.items()}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("suites", nargs="*", metavar="SUITE", help=f"any of {', '.join(TITLES)}; default all")
    made.add_argument("--files", type=int, metavar="N", help="files of every set, instead of each set's own number")
    made.add_argument("--quick", action="store_true", help="400 files and fewer suites, under a minute")
    made.add_argument("--out", type=Path, metavar="DIR", help="write results.jsonl, results.md and charts as SVG")
    made.add_argument("--cache", type=Path, default=corpus.default_cache(), help="corpus directory (%(default)s)")
    made.add_argument("--seed", type=int, default=corpus.SEED, help="of the corpus (%(default)s)")
    made.add_argument("--patience", type=float, metavar="S", help="seconds to wait for a quiet machine before each run")
    made.add_argument("--at-least", type=float, metavar="N", help="fail unless to Parquet is N times as fast as naive")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for; 1 if rows were wrong or a ratio was not reached, 2 for an unknown suite."""
    command = parser()
    options = command.parse_args(arguments)
    suites = QUICK if options.quick else SUITES
    chosen = options.suites or [*suites, *OTHERS]
    if unknown := set(chosen) - {*suites, *OTHERS}:
        command.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join([*suites, *OTHERS])}")
    patience = options.patience if options.patience is not None else (1.0 if options.quick else 60.0)
    settings = Settings(
        options.quick, options.files, options.cache, options.seed, patience=patience, retries=1 if options.quick else 3
    )
    facts, results = machine.facts(), _measure(chosen, suites, settings)
    text = report.markdown(facts, results, TITLES)
    print(text)
    if options.out:
        _write(options.out, facts | {"settings": asdict(settings)}, results, text)
    return _verdict(results, options.at_least)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(chosen: Sequence[str], suites: Mapping[str, Suite], settings: Settings) -> Results:
    results: Results = {}
    for name in chosen:
        started = time.perf_counter()
        _say(f"{name}: {TITLES[name]}")
        if name in OTHERS:
            results[name] = OTHERS[name][1](settings)
        else:
            results[name] = run_suite(suites[name], settings, _say)
        _say(f"  {time.perf_counter() - started:.0f} s")
    return results


def _write(target: Path, facts: Mapping[str, Any], results: Results, text: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"machine": facts}, default=str)]
    lines += [json.dumps({"suite": name, **result}) for name, found in results.items() for result in found]
    (target / "results.jsonl").write_text("\n".join(lines) + "\n")
    (target / "results.md").write_text(text)
    if peers := results.get("peers"):
        elements = peers[0]["corpus"]["mean_elements"]
        note = f"{peers[0]['files']:,} files of about {elements:.0f} elements, one process, warm page cache"
        svg = chart.draw(
            chart.speeds(peers), "DICOM headers, files per second", note, "files per second", logarithmic=True
        )
        (target / "files_per_second.svg").write_text(svg)
    if peaks := results.get("memory"):
        note = "typical files, exported to Parquet by one process; the product, and naive rows"
        svg = chart.draw(
            chart.peaks(peaks), "Memory at the peak, by the number of files", note, "MiB", logarithmic=False
        )
        (target / "memory.svg").write_text(svg)


def _verdict(results: Results, at_least: float | None) -> int:
    """0, or 1 with the reasons on standard error."""
    wrong = [
        f"{name}: {result.get('label', result.get('command'))}: {problem}"
        for name, found in results.items()
        for result in found
        for problem in result["problems"]
    ]
    if at_least is not None:
        wrong += _too_slow(results.get("peers", []), at_least)
    for line in wrong:
        _say(f"WRONG  {line}")
    return 1 if wrong else 0


def _too_slow(peers: Sequence[Mapping[str, Any]], at_least: float) -> list[str]:
    rates = {result["contender"]: result.get("files_per_second", 0.0) for result in peers}
    if not {REFERENCE, "product_parquet"} <= rates.keys():
        return ["--at-least needs the suite peers"]
    ratio = rates["product_parquet"] / rates[REFERENCE]
    return [] if ratio >= at_least else [f"{ratio:.1f} times as fast as naive, {at_least:g} was asked for"]


if __name__ == "__main__":
    sys.exit(main())
