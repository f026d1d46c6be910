"""Settings of the command's own processes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from dicom_bq.memory import UNWANTED as UNWANTED_PACKAGES

PROGRAM = """
import sys
from dicom_bq import memory
memory.settle()
import numpy, pyarrow
assert pyarrow.array(numpy.arange(3)).to_pylist() == [0, 1, 2]
assert pyarrow.default_memory_pool().backend_name == "system"
assert "pandas" not in sys.modules
try:
    import pandas
except ModuleNotFoundError as error:
    assert error.name == "pandas"
else:
    raise AssertionError
"""


def test_pyarrow_does_without_pandas_where_it_is_installed() -> None:
    assert importlib.util.find_spec("pandas")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


UNWANTED = """
import importlib, sys, types
from dicom_bq import memory

def found():
    names = []
    for name in memory.UNWANTED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            assert error.name == name
        else:
            names.append(name)
            del sys.modules[name]
    return names

assert found() == list(memory.UNWANTED)
memory.settle()
assert found() == []
import pydicom.charset
assert "numpy" in sys.modules
sys.modules["google"] = types.ModuleType("google")
print(*found())
"""


def test_what_is_unwanted_is_not_imported_but_by_who_has_a_use_for_it(tmp_path: Path) -> None:
    """Modules of those names stand in for the packages, so the test needs none of them."""
    for name in UNWANTED_PACKAGES:
        (tmp_path / f"{name}.py").write_text("")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", UNWANTED]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "requests\n"
