"""Unusual files: one header with every leaf of a wide table, and ordinary files written oddly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from random import Random

from benchmarks.corpus import headers, people, seeds
from benchmarks.corpus.encoding import Element, Syntax, in_tag_order, value_bytes
from benchmarks.corpus.kinds import Instance

WIDE_LEAVES = 1600
SUB_FIELDS = 8  # leaves in each sequence of the wide header
WIDE_SEQUENCES = 110
LAYOUT_SEED = 7
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

SAMPLE_VALUES: dict[str, object] = {
    "AE": "STORESCP", "AS": "045Y", "AT": 0x00200032, "CS": "PRESENT", "DA": "20210304", "DS": "12.5",
    "DT": "20210304101502", "FD": 1.5, "FL": 0.25, "IS": "7", "LO": "Some text", "LT": "Long text",
    "PN": "Brown^Tom", "SH": "short", "SL": -5, "SS": -3, "ST": "short text", "SV": -9, "TM": "101502",
    "UC": "unlimited", "UI": "1.2.840.1", "UL": 70000, "UR": "http://a/b", "US": 12, "UT": "text", "UV": 9,
}  # fmt: skip


def _dictionary_leaves() -> Iterator[tuple[int, str]]:
    """Tag and VR of every current standard element outside groups 0000, 0002 and 0004 that makes a column."""
    from pydicom.datadict import DicomDictionary

    for tag, (vr, _, _, retired, keyword) in sorted(DicomDictionary.items()):
        if tag >> 16 > 0x0004 and keyword and not retired and vr in SAMPLE_VALUES:
            yield tag, vr


def wide(random: Random) -> Instance:
    """An instance whose columns have about 1,600 leaves, half of them in sequences; only its identity varies."""
    from pydicom.datadict import DicomDictionary

    leaves = list(_dictionary_leaves())
    layout = Random(LAYOUT_SEED)
    layout.shuffle(leaves)
    sequences = [tag for tag, entry in sorted(DicomDictionary.items()) if entry[0] == "SQ" and not entry[3]]
    elements: dict[int, Element] = {}
    count = 0
    for tag in layout.sample([tag for tag in sequences if tag >> 16 > 8], WIDE_SEQUENCES):
        item, leaves = leaves[:SUB_FIELDS], leaves[SUB_FIELDS:]
        count += sum(15 if vr == "PN" else 1 for _, vr in item)
        elements[tag] = Element(tag, b"SQ", (in_tag_order(dict(map(_sample, item))),))
    for leaf in leaves:
        if count >= WIDE_LEAVES:
            break
        count += 15 if leaf[1] == "PN" else 1
        elements |= dict([_sample(leaf)])
    class_uid, instance_uid = "1.2.840.10008.5.1.4.1.1.2", headers.uid(random)
    identity = headers.patient(random, people.ENGLISH) | {
        "SOPClassUID": class_uid,
        "SOPInstanceUID": instance_uid,
        "StudyInstanceUID": headers.uid(random),
        "SeriesInstanceUID": headers.uid(random),
        "SamplesPerPixel": 1,
        "PixelRepresentation": 0,
    }
    elements = in_tag_order(elements | seeds.elements(identity))
    return Instance(elements, Syntax(), class_uid, instance_uid, pixels=True, padded=False)


def _sample(leaf: tuple[int, str]) -> tuple[int, Element]:
    tag, vr = leaf
    return tag, Element(tag, vr.encode(), value_bytes(vr.encode(), SAMPLE_VALUES[vr]))


def _rewritten(content: bytes, uid: str) -> bytes:
    """The same data set in another transfer syntax, by pydicom."""
    import pydicom

    dataset = pydicom.dcmread(BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
    target = BytesIO()
    pydicom.dcmwrite(target, dataset, implicit_vr=False, little_endian=uid != BIG_ENDIAN)
    return target.getvalue()


def deflated(content: bytes) -> bytes:
    """The same file as Deflated Explicit VR Little Endian (PS3.5 A.5)."""
    return _rewritten(content, DEFLATED)


def big_endian(content: bytes) -> bytes:
    """The same file as Explicit VR Big Endian (retired, PS3.5 A.3)."""
    return _rewritten(content, BIG_ENDIAN)


def bare(content: bytes) -> bytes:
    """The data set alone, without preamble and meta information."""
    return content[144 + int.from_bytes(content[140:144], "little") :]


def cut_short(content: bytes) -> bytes:
    """All but the last third of the file's header."""
    return content[: min(len(content), 6000) * 2 // 3]


ODD: tuple[Callable[[bytes], bytes], ...] = (deflated, big_endian, bare, cut_short)
