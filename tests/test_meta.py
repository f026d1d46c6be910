"""The house itself: what imports what, how large things are, what is public, what is documented."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import pickle
import pkgutil
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

import dicom_bq
from dicom_bq import errors
from dicom_bq.cli import dicom_bq as command_line
from dicom_bq.commands.options import READ_OPTIONS
from dicom_bq.read_options import ReadOptions

PACKAGE = Path(dicom_bq.__file__).parent
RULES = PACKAGE.parent / "vr_rules"
MODULES = sorted([*PACKAGE.rglob("*.py"), *RULES.rglob("*.py")])

HOMES = {
    "click": {"cli", "commands"},
    "duckdb": {"destinations.duckdb"},
    "google": {"destinations.bigquery"},
    "pydicom": {"dictionary", "scan"},
    "requests": {"destinations.bigquery"},
}
"""Packages that only some modules import, by the beginnings of those modules' names."""

ROOMS = (
    {"vr_rules"},
    {
        "column",
        "elements",
        "errors",
        "journal",
        "memory",
        "problems",
        "processors",
        "progress",
        "remembered",
        "rowsfile",
        "spans",
        "state",
        "stats",
    },
    {"jobfiles", "seen"},
    {"dictionary"},
    {"mapping"},
    {"keywords", "schema_fields", "schema_limits", "schema_merge", "rules"},
    {"typemaps"},
    {"schema"},
    {"conform"},
    {"sources", "scan"},
    {"columns", "outcomes"},
    {"report"},
    {"destinations"},
    {"operations"},
    {"selection", "tally"},
    {"spill"},
    {"parts"},
    {"report_record"},
    {"chunks"},
    {"jobdir"},
    {"listing", "workers"},
    {"read_options"},
    {"reading"},
    {"worker"},
    {"stream"},
    {"jobrun"},
    {"display", "inspect", "job", "plan", "views"},
    {"commands"},
    {"cli"},
    {"__init__", "__main__"},
)
"""From the ground up; a room imports those below it, and modules of its own."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def imports(path: Path, *, deferred: bool) -> set[str]:
    """Full names that a module imports when it runs; ``deferred`` those inside functions too."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.FunctionDef) and not deferred:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.module, f"relative import in {path}"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


@cache
def known_modules() -> frozenset[str]:
    return frozenset(module_name(path).removesuffix(".__init__") for path in MODULES)


def imported_modules(path: Path, *, deferred: bool) -> set[str]:
    """Modules of ours that a module imports."""
    names = imports(path, deferred=deferred)
    return {
        name if name in known_modules() else name.rpartition(".")[0]
        for name in names
        if name.split(".")[0] in {"dicom_bq", "vr_rules"}
    }


def room(module: str) -> int:
    parts = module.split(".")
    name = "vr_rules" if parts[0] == "vr_rules" else (parts[1] if len(parts) > 1 else "__init__")
    levels = [level for level, names in enumerate(ROOMS) if name in names]
    assert levels, f"give {module} a place in ROOMS"
    return levels[0]


# Imports

HEAVY = {"duckdb", "google", "numpy", "pandas", "polars", "pyarrow", "pydicom", "requests"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["export", "--help"], ["schema", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
from dicom_bq.cli import main
code = main({arguments!r})
print(code, *sorted({{name.split(".")[0] for name in sys.modules}} & {HEAVY!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = f"import dicom_bq, sys; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"\n"


def test_vr_rules_need_the_standard_library_only() -> None:
    for path in RULES.rglob("*.py"):
        outside = {name.split(".")[0] for name in imports(path, deferred=True)} - {"vr_rules"}
        assert outside <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_other_packages_are_imported_at_home_only(path: Path) -> None:
    name = module_name(path).removeprefix("dicom_bq.")
    for imported in {name.split(".")[0] for name in imports(path, deferred=True)} & HOMES.keys():
        assert name.startswith(tuple(HOMES[imported])), f"{name} imports {imported}"


def test_every_module_has_a_room() -> None:
    for module in known_modules():
        assert room(module) >= 0


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_rooms_import_downwards_only(path: Path) -> None:
    own = module_name(path)
    for imported in imported_modules(path, deferred=True) - {"dicom_bq"}:
        assert room(imported) <= room(own), f"{own} imports {imported}"


def test_no_circular_imports() -> None:
    graph = {
        module_name(path).removesuffix(".__init__"): imported_modules(path, deferred=False) - {"dicom_bq"}
        for path in MODULES
    }
    graph["dicom_bq"] = set()
    list(graphlib.TopologicalSorter(graph).static_order())


# Size


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules_and_functions_are_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
            assert lines <= 50, f"{path}:{node.lineno} {node.name}"


# What is public


def test_exports_are_sorted_and_exist() -> None:
    assert dicom_bq.__all__ == sorted(dicom_bq.__all__)
    assert set(dicom_bq._HOMES) == set(dicom_bq.__all__)
    for name in dicom_bq.__all__:
        assert getattr(dicom_bq, name).__doc__
    assert set(dicom_bq.__all__) < set(dir(dicom_bq))


def test_type_checkers_see_what_is_exported() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: f"dicom_bq.{home}" for name, home in dicom_bq._HOMES.items()}


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dicom_bq.nothing  # noqa: B018


def test_version_is_the_package_s() -> None:
    import importlib.metadata

    try:
        installed = importlib.metadata.version("dicom-bq")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    assert dicom_bq.__version__ == installed


def test_public_things_have_docstrings() -> None:
    missing = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef))]
        for node in nodes:
            name = getattr(node, "name", "")
            if not name.startswith("_") and not ast.get_docstring(node) and not is_nested(tree, node):
                missing.append(f"{path.name}: {name}")
    assert missing == []


def is_nested(tree: ast.Module, node: ast.AST) -> bool:
    """Inside a function or a private class, so that nobody outside sees it."""
    for outer in ast.walk(tree):
        private = isinstance(outer, ast.FunctionDef) or (isinstance(outer, ast.ClassDef) and outer.name.startswith("_"))
        if private and outer is not node and any(inner is node for inner in ast.walk(outer)):
            return True
    return False


# Errors


def every_error(kind: type[errors.DicomBqError] = errors.DicomBqError) -> Iterator[type[errors.DicomBqError]]:
    for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "dicom_bq."):
        if name != "dicom_bq.__main__":
            importlib.import_module(name)
    yield kind
    for below in kind.__subclasses__():
        yield from every_error(below)


@pytest.mark.parametrize("kind", sorted(set(every_error()), key=lambda kind: kind.__name__))
def test_errors_say_their_facts_and_survive_pickling(kind: type[errors.DicomBqError]) -> None:
    told = [name for _, name, _, _ in string.Formatter().parse(kind.template) if name]
    plain = kind.__init__ is errors.DicomBqError.__init__
    names = told if plain else [name for name in inspect.signature(kind).parameters if name != "facts"]
    facts: dict[str, Any] = {name: f"<{name}>" for name in names}
    error = kind(**facts)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.facts == error.facts
    for name, fact in facts.items():
        assert name not in told or fact in str(error)
        assert getattr(again, name) == fact


# The command line


def commands(
    command: click.Command = command_line, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: "-".join(value) if type(value) is tuple else ""
)
def test_every_command_has_help_and_an_example(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help
    assert command.hidden or re.search(rf"^\s+dicom-bq {' '.join(path)}", command.help, re.MULTILINE)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help


def test_read_options_are_options_of_commands() -> None:
    def probe() -> None: ...

    for option in READ_OPTIONS:
        probe = option(probe)
    parameters = {parameter.name: parameter for parameter in probe.__click_params__}  # type: ignore[attr-defined]
    assert parameters.keys() == ReadOptions.__annotations__.keys()


# Files


def test_nothing_points_outside_the_repository() -> None:
    outside = re.compile(r"/work/|mapping\.md|\bissue [0-9]")
    found = [
        f"{path}: {match[0]}"
        for path in [*PACKAGE.rglob("*"), *RULES.rglob("*")]
        if path.suffix in {".py", ".toml"}
        for match in [outside.search(path.read_text(encoding="utf-8"))]
        if match
    ]
    assert found == []
