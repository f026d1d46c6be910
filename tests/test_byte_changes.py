"""Every single-byte change of three small files: a row or a reason, and nobody else's business."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_bq.reading import Reading
from tests import variants
from tests.fuzz import checks
from tests.handmade import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PREFIX,
    deflated,
    explicit,
    implicit,
    item,
    open_item,
    open_sequence,
    text,
)


def syntax(uid: str) -> bytes:
    return PREFIX + text(0x00020010, "UI", uid + "\0" * (len(uid) % 2))


FILES = {
    "explicit": syntax(EXPLICIT)
    + text(0x00080005, "CS", "ISO_IR 192")
    + text(0x00080020, "DA", "20240229")
    + open_sequence(open_item(text(0x00080060, "CS", "MR")))
    + explicit(0x00280010, "US", b"\4\0")
    + explicit(0x00291010, "OB", b"\1\2"),
    "implicit": syntax(IMPLICIT)
    + implicit(0x00080005, b"\\ISO 2022 IR 87")
    + implicit(0x00081140, item(implicit(0x00081155, b"2.25.2")) + implicit(0xFFFEE000, b"", 0))
    + implicit(0x00100010, b"A^B=\x1b$B;3\x1b(B")
    + implicit(0x00280010, b"\4\0"),
    "big endian": syntax(BIG_ENDIAN)
    + explicit(0x00080060, "CS", b"MR", order=">")
    + explicit(0x00280010, "US", b"\0\4", order=">")
    + explicit(0x00720076, "FL", b"\x3f\x80\0\0", order=">")
    + explicit(0x7FE00010, "OW", b"\0\1", order=">"),
}
ORACLE_EVERY = 53


def changes(data: bytes, first: int) -> Iterator[bytes]:
    """Every value of every byte from ``first`` on."""
    for position in range(first, len(data)):
        before, after = data[:position], data[position + 1 :]
        yield from (before + bytes([value]) + after for value in range(256) if value != data[position])


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_byte_has_every_value(name: str, tmp_path: Path) -> None:
    counts = variants.check(changes(FILES[name], 128), tmp_path, oracle_every=ORACLE_EVERY)
    assert counts.variants == 255 * (len(FILES[name]) - 128)
    assert 0 < counts.rows < counts.variants
    assert counts.compared > 100


def test_no_byte_of_the_preamble_matters(tmp_path: Path) -> None:
    data = FILES["explicit"]
    paths = []
    for position in range(128):
        paths.append(str(tmp_path / f"{position:03}.dcm"))
        Path(paths[-1]).write_bytes(data[:position] + b"\xff" + data[position + 1 :])
    (built,) = checks.batches(Reading(), paths)
    assert built.batch["StudyDate"].to_pylist() == [built.batch["StudyDate"][0].as_py()] * 128


def test_every_byte_of_a_deflated_data_set(tmp_path: Path) -> None:
    """Few changes leave a stream that inflates, so four values of each byte are as good as all."""
    data = syntax(DEFLATED) + deflated(FILES["explicit"][len(syntax(EXPLICIT)) :])
    some = (one for number, one in enumerate(changes(data, len(syntax(DEFLATED)))) if number % 64 == 0)
    assert variants.check(some, tmp_path, oracle_every=5).variants > 300
