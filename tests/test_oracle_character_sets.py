"""Names in the character sets that the annexes H to K of PS3.5 show, byte by byte, in oracle and product.

Both sides decode with Python's codecs by way of pydicom, so neither can vouch for the other here: what they must
say is written down.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes, python_encoding

from dicom_bq.scan.charset import DELIMITERS, FREQUENT, decode, python_encodings
from dicom_bq.scan.quiet import quiet
from tests.agreement import build_files
from tests.oracle import convert
from tests.stored_elements import StoredElement, part10

YAMADA = ("Yamada^Tarou", "山田^太郎", "やまだ^たろう")
HONG = ("Hong^Gildong", "洪^吉洞", "홍^길동")
NAMES = [
    ("ISO_IR 100", b"Buc^J\xe9r\xf4me", ("Buc^Jérôme",)),
    ("ISO_IR 101", b"W\xb3och^Jan", ("Włoch^Jan",)),
    ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", ("Διονυσιος",)),
    ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", ("قباني^لنزار",)),
    ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", ("שרון^דבורה",)),
    ("ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", ("Люкceмбypг",)),  # noqa: RUF001
    ("ISO_IR 192", "Wang^XiaoDong=王^小東".encode(), ("Wang^XiaoDong", "王^小東")),
    ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", ("Wang^XiaoDong", "王^小东")),
    ("GBK", b"Zhang^XiaoDong=\xd5\xc5^\xd0\xa1\xb6\xab", ("Zhang^XiaoDong", "张^小东")),
    (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        YAMADA,
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        ("ﾔﾏﾀﾞ^ﾀﾛｳ", *YAMADA[1:]),
    ),
    (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        HONG,
    ),
    (
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        ("Zhang^XiaoDong", "张^小东"),
    ),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", b"A=\x1b$(D0!\x1b(B", ("A", "丂")),
]
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def expected(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {
        group: dict(zip(("FamilyName", "GivenName"), name.split("^"), strict=False))
        for group, name in zip(GROUPS, names, strict=False)
    }


@pytest.mark.parametrize(("character_set", "encoded", "names"), NAMES, ids=[row[0] for row in NAMES])
def test_name(tmp_path, character_set, encoded, names):
    path = tmp_path / "name.dcm"
    elements = [StoredElement(0x00080005, "CS", character_set), StoredElement(0x00100010, "PN", encoded)]
    path.write_bytes(part10(elements))
    assert convert(path).row["PatientName"] == expected(names)
    built, _, _ = build_files([path])
    [product] = built.batch.column("PatientName").to_pylist()
    written = {group: {key: part for key, part in parts.items() if part} for group, parts in product.items() if parts}
    assert {group: parts for group, parts in written.items() if parts} == expected(names)


# ---- what is decoded without pydicom, since to import it takes time ------------------------------------------------

PROGRAM = """
import sys
import dicom_bq
assert dicom_bq.to_arrow(sys.argv[1:])["PatientName"].to_pylist()[0]["Alphabetic"]["FamilyName"] == "Buc"
assert "pydicom.charset" not in sys.modules
"""


@pytest.mark.parametrize("term", FREQUENT)
def test_frequent_terms_mean_what_pydicom_says(term):
    assert python_encodings(term.encode()) == python_encodings(f"{term} ".encode()) == tuple(convert_encodings([term]))


@given(st.lists(st.sampled_from(sorted(python_encoding.values())), min_size=1, max_size=3), st.binary(), st.booleans())
def test_decoding_without_an_escape_is_pydicoms(encodings, raw, is_name):
    raw = raw.replace(b"\x1b", b"")
    with quiet():
        expected = decode_bytes(raw, encodings, DELIMITERS["PN" if is_name else ""])
        assert decode(raw, encodings, is_name=is_name, splits=is_name) == expected


def test_nothing_of_pydicom_is_imported_for_a_name_in_latin_1(tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(
        part10([StoredElement(0x00080005, "CS", b"ISO_IR 100"), StoredElement(0x00100010, "PN", b"Buc^J\xe9r ")])
    )
    subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True)
