"""Product and oracle on generated data sets, written in every syntax and read by both.

An ordinary run tries the same 60 examples each time; `DICOM_BQ_EXAMPLES=3000` in the environment looks longer, and
elsewhere every time.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dicom_bq.columns.build import build
from dicom_bq.scan.datasets import scan_datasets
from tests.agreement import batch_differences, build_files, compare
from tests.oracle import OracleCannotRead, convert, differences
from tests.stored_elements import BIG_ENDIAN, EXPLICIT, IMPLICIT, Item, StoredElement, Syntax, dataset, part10
from tests.strategies import deep_items, disordered_items, items, syntaxes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
generated = settings(
    max_examples=int(os.environ.get("DICOM_BQ_EXAMPLES", "60")),
    derandomize="DICOM_BQ_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def written(folder: Path, item: Item, syntax: Syntax, name: str = "instance.dcm") -> Path:
    path = folder / name
    path.write_bytes(part10(item, syntax))
    return path


@generated
@given(item=items(), syntax=syntaxes())
@example(item=(StoredElement(0x60000050, "OW", b"\0\1\0\2"),), syntax=BIG_ENDIAN)  # words, of a repeating group
@example(item=(StoredElement(0x7FE20001, "FD", (0.5,)),), syntax=BIG_ENDIAN)  # a group that looks turned round
def test_files(tmp_path, item, syntax):
    assert compare(written(tmp_path, item, syntax), show_values=True).differences == ()


@generated
@given(item=items(broken=False), syntax=syntaxes())
def test_files_of_conforming_writers(tmp_path, item, syntax):
    found = compare(written(tmp_path, item, syntax), show_values=True)
    assert found.differences == ()
    assert found.skipped == ""


@generated
@given(item=deep_items(), syntax=syntaxes())
def test_deep_sequences(tmp_path, item, syntax):
    found = compare(written(tmp_path, item, syntax), show_values=True)
    assert found.differences == ()
    assert found.skipped == ""


@generated
@given(item=items(broken=False))
@example(item=(StoredElement(0x00280120, "US", (0x1B81,)),))  # an escape character, and no text around it
def test_data_sets_built_in_memory(tmp_path, item):
    built = build(scan_datasets([dataset(item)]))
    from_file, _, _ = build_files([written(tmp_path, item, EXPLICIT)])
    [row], [file_row] = built.batch.to_pylist(), from_file.batch.to_pylist()
    assert differences(row, file_row, show_values=True) == []
    assert built.schema == from_file.schema
    assert compare(dataset(item), show_values=True).differences == ()


@generated
@given(item=items(), syntax=syntaxes())
def test_data_sets_read_by_pydicom(tmp_path, item, syntax):
    path = written(tmp_path, item, syntax)
    from_file, _, refused = build_files([path])
    built = build(scan_datasets([pydicom.dcmread(path)]))
    assert refused == ""
    [row], [file_row] = built.batch.to_pylist(), from_file.batch.to_pylist()
    assert differences(row, file_row, show_values=True) == []
    assert built.schema == from_file.schema


@generated
@example(many=[((StoredElement(0x00080005, "CS", ""),), IMPLICIT)] * 2)
@given(many=st.lists(st.tuples(items(), syntaxes()), min_size=2, max_size=5))
def test_a_batch_is_its_instances(tmp_path, many):
    paths = [written(tmp_path, *one, f"{number}.dcm") for number, one in enumerate(many)]
    try:
        expected = [convert(path) for path in paths]
    except OracleCannotRead:
        return
    built, table, refused = build_files(paths)
    assert refused == ""
    assert batch_differences(built, table, expected, show_values=True) == []


@generated
@given(item=disordered_items(), syntax=syntaxes())
def test_elements_out_of_order_and_twice(tmp_path, item, syntax):
    # With undefined lengths, a sequence where the dictionary says OB can send the product to pydicom as its
    # fallback, where the order of the stream is lost.
    path = written(tmp_path, item, replace(syntax, undefined_length=False))
    assert compare(path, show_values=True, drops_in_order=False).differences == ()


@generated
@given(item=items(), syntax=syntaxes(), share=st.floats(0, 1))
def test_files_cut_anywhere(tmp_path, item, syntax, share):
    path = written(tmp_path, item, syntax)
    whole, beginning = path.read_bytes(), len(part10((), syntax))
    path.write_bytes(whole[: beginning + int((len(whole) - beginning) * share)])
    assert compare(path, show_values=True).differences == ()
