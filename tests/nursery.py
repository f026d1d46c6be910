"""Command lines in processes of their own, which kill themselves where they are told to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# A process that has imported everything, and forks one for each command: a start takes 50 ms in place of a second.
NURSERY = """
import importlib.util, json, os, pkgutil, signal, sys
import google.cloud.bigquery, pyarrow.parquet, pydicom, dicom_bq
from dicom_bq.cli import main

for module in pkgutil.walk_packages(dicom_bq.__path__, "dicom_bq."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
# What each child would otherwise load, or make, for itself.
import duckdb, encodings.ascii, html.entities, pyarrow.pandas_compat
from dicom_bq.scan.lanes import tag_sets
tag_sets()
dicom_bq.schema_from_keywords(["PatientName"]).to_bigquery()
dicom_bq.TableSchema.from_bigquery([{"name": "PatientName", "type": "STRING"}])

def kill_at(when, name, number=1):
    parts = name.split(".")
    module = next(".".join(parts[:n]) for n in range(len(parts), 0, -1) if is_module(".".join(parts[:n])))
    owner = importlib.import_module("dicom_bq." + module)
    for part in name.removeprefix(module + ".").split(".")[:-1]:
        owner = getattr(owner, part)
    original = getattr(owner, parts[-1])
    calls = 0
    def killed(*arguments, **options):
        nonlocal calls
        calls += 1
        result = original(*arguments, **options) if when == "after" or calls != number else None
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, parts[-1], killed)

def is_module(name):
    try:
        return importlib.util.find_spec("dicom_bq." + name) is not None
    except ModuleNotFoundError:
        return False

print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        output = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(order["environment"])
        exec(order["code"])
        if order["point"]:
            kill_at(*order["point"])
        os._exit(main(order["arguments"]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Nursery:
    """Runs command lines, each in a process of its own.

    Attributes:
        process: The one that forks. environment: Of the commands. log: What they write. code: That is run before them.
    """

    process: subprocess.Popen[str]
    environment: dict[str, str]
    log: Path
    code: str = ""

    def run(
        self,
        *arguments: str,
        point: tuple[str, str] | tuple[str, str, int] | None = None,
        born: Callable[[int], None] = id,
    ) -> int:
        """The exit code of a command, or minus the signal that killed it; ``born`` is told its process ID."""
        order = {
            "arguments": arguments,
            "point": point,
            "environment": self.environment,
            "code": self.code,
            "log": str(self.log),
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        born(int(self.process.stdout.readline()))
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()
