"""Settings of the command's own processes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

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
