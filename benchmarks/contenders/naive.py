"""What one writes first: pydicom decodes each file, a dict is a row, pyarrow makes a table of the dicts.

It makes the same rows as the product, and nothing in it is optimised. It is the 1 in every ratio.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks import naive_rows
from benchmarks.contenders import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

TITLE = "naive: pydicom, dicts, `pa.Table.from_pylist`"


def prepare(options: Mapping[str, object]) -> None:
    """Imports; silences pydicom about the values it finds odd."""
    import pyarrow as pa  # noqa: F401
    import pydicom  # noqa: F401

    warnings.simplefilter("ignore")


def table(paths: Sequence[str]) -> pa.Table:
    """All files as one table. `from_pylist` takes the columns of the first row, so it is given all names."""
    import pyarrow as pa

    rows = [naive_rows.row(path) for path in paths]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.Table.from_pylist([dict.fromkeys(names) | rows[0], *rows[1:]])


def run(paths: Sequence[str]) -> Outcome:
    """Makes the table."""
    made = table(paths)
    return Outcome(made.num_rows, [made], {"columns": made.num_columns})
