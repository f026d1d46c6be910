"""Every prefix of ten small files: a row or a reason, whatever byte the file ends before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import variants
from tests.handmade import truncations

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "dicom"
FILES = {
    "odd/old/no-meta.dcm": "nothing but a data set",
    "odd/old/no-preamble.dcm": "meta information at byte 0",
    "odd/character-sets/japanese-iso-2022-ir-13-87.dcm": "code extensions",
    "odd/character-sets/delimiter-bytes-gb18030.dcm": "delimiters as trail bytes",
    "odd/structure/un-elements.dcm": "sequences in UN",
    "odd/structure/private-sequences-implicit.dcm": "implicit VR, private elements, nesting",
    "odd/structure/every-vr.dcm": "a value of each VR",
    "dupont/ct-thorax/photograph-jpeg.dcm": "encapsulated, also in an icon",
    "dupont/ct-thorax/screenshot-deflated.dcm": "deflated",
    "yamada/us-abdomen/liver-big-endian.dcm": "big endian",
}
"""File, and what is in it."""
ORACLE_EVERY = 7


@pytest.mark.parametrize("name", FILES)
def test_every_prefix(name: str, tmp_path: Path) -> None:
    data = (FIXTURES / name).read_bytes()
    counts = variants.check([*truncations(data), data], tmp_path, oracle_every=ORACLE_EVERY)
    assert counts.variants == len(data) + 1
    assert 0 < counts.rows < counts.variants / 2, "a prefix is a row only where it ends with an element"
