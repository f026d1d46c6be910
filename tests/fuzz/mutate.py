"""Changes to files at the level of elements, one table of small functions; each takes the file as a tree.

What is drawn comes from a ``random.Random``, so libFuzzer's seed, hypothesis and a plain loop can all drive it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import TypeAlias

from tests.fuzz.tree import (
    ITEM,
    ITEM_END,
    KNOWN,
    SEQUENCE_END,
    SYNTAXES,
    TRANSFER_SYNTAX,
    File,
    Node,
    parse,
    walk,
    write,
)
from tests.handmade import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, JPEG_BASELINE, PIXEL_DATA, SEQUENCE, UNDEFINED

Change: TypeAlias = Callable[[File, random.Random, File], None]

UIDS = (
    EXPLICIT,
    IMPLICIT,
    BIG_ENDIAN,
    DEFLATED,
    JPEG_BASELINE,
    "1.2.840.10008.1.2.4.95",
    "1.2.3",
    "",
    "1.2.840.10008.1.2\0\0",
)
CHARACTER_SETS = (
    b"", b"ISO_IR 100", b"ISO_IR 144", b"ISO_IR 192", b"GB18030 ", b"GBK ", b"ISO_IR 13 ", b"ISO_IR 6", b"nonsense",
    b"\\ISO 2022 IR 87", b"ISO 2022 IR 6\\ISO 2022 IR 149 ", b"ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159 ",
    b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\\ISO 2022 IR 58",
    b"ISO_IR 192\\ISO 2022 IR 87", b"ISO_IR_192", b"\xff\xfe", b"\\\\\\",
)  # fmt: skip
TAGS = (
    0x00080005, 0x00080016, 0x00080018, 0x00080201, 0x00080008, 0x00080020, 0x00080030, 0x0008002A, 0x00080060,
    SEQUENCE, 0x00081155, 0x00100010, 0x00100020, 0x00101010, 0x00181063, 0x00201206, 0x00280009, 0x00280010,
    0x00280103, 0x00280106, 0x00281201, 0x00290010, 0x00291010, 0x00431027, 0x00430010, 0x00090010, 0x000910E7,
    0x0040A730, 0x0040A160, 0x00420011, 0x50000005, 0x60000010, 0x60003000,
    0x601E0022, 0x00020010, 0x00020002, 0x00020000,
    PIXEL_DATA, 0x7FE00008, 0x7FE00009, 0x7FE20001, 0xFFFCFFFC, 0, 0x00080000, 0x00080001, 0x00041220, 0x00041130,
    ITEM, ITEM_END, SEQUENCE_END, 0xFFFFFFFF, 0xFFFE0000, 0x00020013, 0x04000561, 0x00189073, 0x00720076, 0x00880200,
)  # fmt: skip
VALUES = (
    b"", b" ", b"\0", b"\\", b"\\\\", b"A\0B ", b"^^^^^", b"===", b"a=b=c=d", b"19991231", b"19990230", b"1999-12-31",
    b"00000000", b"235960", b"075454.", b"20200101120000.1234567+1400", b"1e400 ", b"-0", b"nan ", b"1_000 ",
    b"9" * 30,
    b"\x1b$B;3ED\x1b(B^", b"\x1b$)C\xb0\xa1", b"\xff\xfe", b"\xc3\x28", b"\x81\x30\x81\x30", b"\x1b",
    b"\x1b(", b"\xed\xa0\x80\xf4\x90\x80\x80",
    b"\xfe\xff\0\xe0\0\0\0\0", b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\0\0\xc0\x7f", b"\0\0\x80\xff", b"\1\0\0\0\0\0\xf0\x7f", b"\0" * 64, bytes(range(256)),
    b"ACME 1.0", b"SIEMENS CSA HEADER",
    b"1.2.840.10008.1.3.10", b"+0100 ", b"045Y", b"x" * 300,
)  # fmt: skip
LENGTHS = (
    0, 1, 2, 3, 4, 7, 8, 9, 12, 64, 255, 256, 0x7FFF, 0xFFFE, 0xFFFF, 0x10000, 1 << 20, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFF0,
    0xFFFFFFFE, UNDEFINED,
)  # fmt: skip
VRS = (*sorted(KNOWN), b"  ", b"\0\0", b"ZZ", b"sq", b"OX", b"\xff\xff")


@cache
def dictionary_tags() -> tuple[int, ...]:
    """All tags of the data dictionary."""
    from pydicom._dicom_dict import DicomDictionary

    return tuple(sorted(DicomDictionary))


def a_tag(rng: random.Random) -> int:
    """A tag that means something to somebody, mostly."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(dictionary_tags())
    if kind == 1:
        return rng.choice((0x0009, 0x0029, 0x6002, 0x5004, 0x7FE1, 0x2001)) << 16 | rng.choice(
            (0x10, 0x1001, 0x10FF, 0x3000)
        )
    return rng.choice(TAGS)


def a_value(rng: random.Random) -> bytes:
    """A value that is doubtful in some VR."""
    return rng.choice(VALUES) * rng.choice((1, 1, 1, 2)) + rng.choice((b"", b"", b" ", b"\0"))


def a_node(rng: random.Random) -> Node:
    """An element out of nothing."""
    return Node(a_tag(rng), rng.choice(VRS), a_value(rng))


def somewhere(file: File, rng: random.Random) -> tuple[list[Node], int] | None:
    """A node in the file, mostly of the data set."""
    places = [*walk(file.data)] if rng.randrange(8) or not file.meta else [*walk(file.meta)]
    return rng.choice(places) if places else None


def _of_one(change: Callable[[Node, random.Random], None]) -> Change:
    """A change of one node."""

    def changed(file: File, rng: random.Random, _other: File) -> None:
        place = somewhere(file, rng)
        if place:
            change(place[0][place[1]], rng)

    return changed


def _tag(node: Node, rng: random.Random) -> None:
    node.tag = rng.choice((a_tag(rng), node.tag + 1, node.tag ^ 1 << rng.randrange(32))) & 0xFFFFFFFF


def _vr(node: Node, rng: random.Random) -> None:
    node.vr = rng.choice(VRS)


def _length(node: Node, rng: random.Random) -> None:
    size = len(node.value)
    node.claim = rng.choice((rng.choice(LENGTHS), size + rng.randrange(-4, 13), None))
    node.claim = node.claim and max(0, node.claim)
    node.closed = rng.random() < 0.5


def _value(node: Node, rng: random.Random) -> None:
    node.value = a_value(rng)


def _bytes(node: Node, rng: random.Random) -> None:
    if isinstance(node.value, bytes) and node.value:
        value, at = bytearray(node.value), rng.randrange(len(node.value))
        value[at] = rng.choice((rng.randrange(256), 0x1B, 0x5C, 0x5E, 0x3D, 0, 0xFF))
        node.value = bytes(value) + (b"" if rng.randrange(3) else b"!")


def _numbers(node: Node, rng: random.Random) -> None:
    code = rng.choice(["<H", ">H", "<L", "<l", "<Q", "<f", "<d", ">d"])
    size = struct.calcsize(code)
    raw = b"".join(rng.randbytes(size) if rng.randrange(2) else b"\xff" * size for _ in range(rng.randrange(4)))
    node.value = raw + bytes(rng.choice((0, 0, 0, 1)))


def _undefine(node: Node, rng: random.Random) -> None:
    """A sequence or item of undefined length, or of a defined one."""
    if isinstance(node.value, list):
        node.claim = None if node.claim == UNDEFINED else UNDEFINED
        node.closed = rng.random() < 0.9


def _nest(node: Node, rng: random.Random) -> None:
    """The element becomes a sequence that holds it."""
    inside = Node(node.tag, node.vr, node.value, node.claim, node.closed)
    for _ in range(rng.choice((1, 1, 1, 2, 14, 17))):
        claim = rng.choice((None, UNDEFINED))
        one = Node(ITEM, b"", [inside], claim)
        vr = rng.choice((b"SQ", b"SQ", b"SQ", b"UN"))
        inside = Node(
            rng.choice((SEQUENCE, 0x0040A730, 0x00291010, a_tag(rng))), vr, [one] * rng.choice((1, 1, 2)), claim
        )
    node.tag, node.vr, node.value, node.claim, node.closed = inside.tag, inside.vr, inside.value, inside.claim, True


def _delete(file: File, rng: random.Random, _other: File) -> None:
    place = somewhere(file, rng)
    if place:
        del place[0][place[1] : place[1] + rng.choice((1, 1, 3))]


def _duplicate(file: File, rng: random.Random, _other: File) -> None:
    place = somewhere(file, rng)
    if place:
        nodes, at = place
        to = rng.choice((at, len(nodes), rng.randrange(len(nodes) + 1)))
        nodes[to:to] = deepcopy(nodes[at : at + 1]) * rng.choice((1, 1, 2, 30))


def _swap(file: File, rng: random.Random, _other: File) -> None:
    one, two = somewhere(file, rng), somewhere(file, rng)
    if one and two:
        one[0][one[1]], two[0][two[1]] = deepcopy(two[0][two[1]]), deepcopy(one[0][one[1]])


def _insert(file: File, rng: random.Random, _other: File) -> None:
    place = somewhere(file, rng) or (file.data, 0)
    place[0].insert(place[1], a_node(rng))


def _splice(file: File, rng: random.Random, other: File) -> None:
    place, source = somewhere(file, rng) or (file.data, 0), somewhere(other, rng)
    if source:
        nodes, at = source
        place[0][place[1] : place[1]] = deepcopy(nodes[at : at + rng.choice((1, 1, 4))])


def _in_order(file: File, _rng: random.Random, _other: File) -> None:
    file.data.sort(key=lambda node: node.tag)


def _character_set(file: File, rng: random.Random, _other: File) -> None:
    place = somewhere(file, rng)
    nodes = place[0] if place and rng.randrange(2) and place[0] is not file.meta else file.data
    if nodes and nodes[0].tag == 0x00080005:
        del nodes[0]
    nodes.insert(0, Node(0x00080005, b"CS", rng.choice(CHARACTER_SETS)))


def _syntax(file: File, rng: random.Random, _other: File) -> None:
    """Another transfer syntax, and mostly a data set that is written so."""
    uid = rng.choice(UIDS)
    file.meta[:] = [node for node in file.meta if node.tag != TRANSFER_SYNTAX]
    if rng.randrange(8):
        file.meta.append(Node(TRANSFER_SYNTAX, b"UI", uid.encode() + b"\0" * (len(uid) % 2)))
    if rng.randrange(6):
        form, file.deflated = SYNTAXES.get(uid, (SYNTAXES[DEFLATED][0], False))
        if file.form.implicit and not form.implicit:
            _give_vrs(file)
        file.form = form


def _give_vrs(file: File) -> None:
    from pydicom._dicom_dict import DicomDictionary

    for nodes, place in walk(file.data):
        node = nodes[place]
        if node.tag != ITEM and not node.vr:
            known = DicomDictionary.get(node.tag, ("UN",))[0][:2].encode()
            node.vr = b"SQ" if isinstance(node.value, list) and known != b"UN" else known


def _start(file: File, rng: random.Random, _other: File) -> None:
    file.start = rng.choice((b"", bytes(128) + b"DICM", bytes(128), bytes(rng.randrange(128)) + b"DICM"))
    if rng.randrange(2):
        file.meta.clear()


def _tail(file: File, rng: random.Random, _other: File) -> None:
    file.tail = rng.choice(
        (b"", bytes(rng.choice((1, 7, 8, 9, 512, 9000))), a_value(rng), b"\xfe\xff\x0d\xe0" + bytes(4))
    )


def _large(node: Node, rng: random.Random) -> None:
    """A value that reaches past the first bytes read of a file."""
    node.value = bytes([rng.choice((0, 0x41, 0xFE))]) * rng.choice((5_000, 8_192, 9_000, 70_000))


CHANGES: Mapping[str, Change] = {
    "tag": _of_one(_tag),
    "VR": _of_one(_vr),
    "length": _of_one(_length),
    "value": _of_one(_value),
    "bytes": _of_one(_bytes),
    "numbers": _of_one(_numbers),
    "undefined length": _of_one(_undefine),
    "nest": _of_one(_nest),
    "large": _of_one(_large),
    "delete": _delete,
    "duplicate": _duplicate,
    "swap": _swap,
    "insert": _insert,
    "splice": _splice,
    "tag order": _in_order,
    "character set": _character_set,
    "transfer syntax": _syntax,
    "start": _start,
    "tail": _tail,
}
RARE = frozenset({"large", "start", "tail", "nest", "duplicate"})
_NAMES = [name for name in CHANGES for _ in range(1 if name in RARE else 4)]


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = (), most: int = 4) -> bytes:
    """A file with one to ``most`` changes; of ``others`` parts may be taken over."""
    file = parse(data)
    other = parse(rng.choice(others)) if others and not rng.randrange(4) else file
    for _ in range(rng.randrange(most) + 1):
        CHANGES[rng.choice(_NAMES)](file, rng, other)
    changed = write(file)
    if not rng.randrange(12):
        changed = changed[: rng.randrange(len(changed) + 1)]
    return changed


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """A file with a few bytes changed, put in or taken out, wherever that is."""
    changed = bytearray(data)
    for _ in range(rng.randrange(4) + 1):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            del changed[at : at + rng.choice((1, 2, 4, 8))]
        elif kind == 1:
            changed[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 9)), a_value(rng)))
        elif at < len(changed):
            changed[at] = rng.randrange(256) if kind == 2 else changed[at] ^ 1 << rng.randrange(8)
    return bytes(changed)
