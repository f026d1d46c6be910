"""The results as a reader wants them: Markdown tables of ratios, rates and times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.plan import REFERENCE

Result = Mapping[str, Any]
# Facts of an outcome that a reader should see when they are not 0.
NOTED = {"refused": "refused", "failed": "reported as unreadable", "scalar": "not walked in lock-step"}


def markdown(machine: Mapping[str, Any], suites: Mapping[str, Sequence[Result]], titles: Mapping[str, str]) -> str:
    """The whole report."""
    parts, references = [_machine(machine)], _references(suites.values())
    for name, results in suites.items():
        table = TABLES[name](results) if name in TABLES else _table(results, references | _references([results]))
        parts.append(f"### {titles[name]}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _machine(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"Python {machine['python']}, {packages}; {machine['time']}, commit {machine['commit']}.\n"
        "Medians (fastest - slowest); each in its own process, taking turns; warm page cache unless said."
    )


def _references(suites: Iterable[Sequence[Result]]) -> dict[str, Result]:
    """The naive result of each set of files, the first in these suites."""
    found: dict[str, Result] = {}
    for results in suites:
        for result in results:
            if result.get("contender") == REFERENCE and result.get("runs"):
                found.setdefault(result["set"], result)
    return found


def _table(results: Sequence[Result], references: Mapping[str, Result]) -> str:
    lines = [
        "| files | what | files/s | us/file | CPU us/file | x naive | by CPU | rows checked | MiB over imports |",
        "|---|---|--:|--:|--:|--:|--:|---|--:|",
        *(_line(result, references.get(result["set"])) for result in results),
    ]
    return "\n".join(lines)


def _per_file(result: Result, key: str) -> float:
    return float(result[key]) / int(result["files"])


def _line(result: Result, naive: Result | None) -> str:
    name = _name(result)
    if result["missing"]:
        return f"| {result['set']} | {name} | - | - | - | - | - | {result['missing']} | - |"
    low, high = (result["files"] / result[key] for key in ("slowest", "fastest"))
    wall, cpu = _per_file(result, "seconds"), _per_file(result, "cpu_seconds")
    cells = (
        result["set"],
        name,
        f"**{result['files_per_second']:,.0f}** ({low:,.0f} - {high:,.0f})",
        f"{wall * 1e6:,.1f}",
        f"{cpu * 1e6:,.1f}",
        f"{_per_file(naive, 'seconds') / wall:,.1f}" if naive else "-",
        f"{_per_file(naive, 'cpu_seconds') / cpu:,.1f}" if naive else "-",
        _checked(result),
        f"{(result['peak_kib'] - result['imports_kib']) / 1024:,.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _name(result: Result) -> str:
    options = [f"{name} {value}" for name, value in result["options"].items()]
    order = ["shuffled"] if result["shuffled"] else []
    noisy = [] if result["missing"] or result["quiet"] else ["**machine not quiet**"]
    return ", ".join([result["title"], *options, *order, *noisy])


def _checked(result: Result) -> str:
    """What was held against the oracle, and how it came out."""
    if result["problems"]:
        return "**WRONG**: " + "; ".join(result["problems"])
    facts = result["facts"]
    notes = [f"{facts[name]:,} {text}" for name, text in NOTED.items() if facts.get(name)]
    oracle = result.get("oracle")
    rows = f"{result['rows']:,} read, no rows made"
    if oracle:
        rows = f"{result['rows']:,}; {oracle['equal']:,} of {oracle['checked']:,} as the oracle's"
    return "; ".join([rows, *notes])


def _startup(results: Sequence[Result]) -> str:
    lines = ["| command | ms | fastest - slowest |", "|---|--:|--:|"]
    for result in results:
        spread = f"{result['fastest'] * 1e3:.0f} - {result['slowest'] * 1e3:.0f}"
        lines.append(f"| {result['command']}{_wrong(result)} | {result['seconds'] * 1e3:.0f} | {spread} |")
    return "\n".join(lines)


def _stages(results: Sequence[Result]) -> str:
    """One column a set of files; microseconds a file."""
    sets = list(dict.fromkeys(result["set"] for result in results))
    found = {(result["stage"], result["set"]): result["us_per_file"] for result in results}
    stages = list(dict.fromkeys(result["stage"] for result in results))
    lines = [f"| stage, us/file | {' | '.join(sets)} |", f"|---{'|--:' * len(sets)}|"]
    lines += [f"| {stage} | {' | '.join(f'{found[stage, name]:,.1f}' for name in sets)} |" for stage in stages]
    total = [f"**{sum(found[stage, name] for stage in stages):,.1f}**" for name in sets]
    return "\n".join([*lines, f"| all | {' | '.join(total)} |"])


def _memory(results: Sequence[Result]) -> str:
    lines = ["| what | files | peak MiB | of it imports | files/s |", "|---|--:|--:|--:|--:|"]
    for result in results:
        cells = ("-", "-", "-")
        if "peak_kib" in result:
            peak, imports = (f"{result[key] / 1024:,.0f}" for key in ("peak_kib", "imports_kib"))
            cells = (peak, imports, f"{result['files'] / result['seconds']:,.0f}")
        lines.append(f"| {result['title']}{_wrong(result)} | {result['files']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _wrong(result: Result) -> str:
    return "".join(f" **WRONG**: {problem}" for problem in result["problems"])


TABLES: Mapping[str, Callable[[Sequence[Result]], str]] = {
    "startup": _startup,
    "stages": _stages,
    "memory": _memory,
}
