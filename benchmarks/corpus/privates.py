"""Private elements as vendors write them: blocks, creators first, a sequence now and then (PS3.5 7.8)."""

from __future__ import annotations

from random import Random

from benchmarks.corpus import seeds
from benchmarks.corpus.encoding import Element, in_tag_order

FIRST_GROUP, FIRST_BLOCK = 0x0071, 0x10
BLOCK_SIZE, BLOCKS = 60, 4  # elements a block, blocks a group
SEQUENCE_EVERY = 40
VALUES = (
    (b"LO", b"PHASE_A "),
    (b"IS", b"12"),
    (b"DS", b"0.1250"),
    (b"SH", b"AX1 "),
    (b"US", b"\x07\x00"),
    (b"FD", b"\x00\x00\x00\x00\x00\x00\xf8\x3f"),
    (b"CS", b"NORMAL"),
    (b"SL", b"\xff\xff\xff\xff"),
    (b"DA", b"20210304"),
    (b"TM", b"101502.5"),
    (b"UI", b"1.3.12.2"),
    (b"LO", b"a\\b\\c "),
    (b"OB", b"\1\2\3\4" * 8),
    (b"FL", b"\x00\x00\x80\x3f"),
    (b"ST", b"free text "),
    (b"UL", b"\x10\x27\x00\x00"),
    (b"DS", b"1\\2\\3 "),
)


def block(count: int, random: Random) -> dict[int, Element]:
    """`count` private elements besides their creators; one in four differs from series to series."""
    made: dict[int, Element] = {}
    for index in range(count):
        tag = _tag(index)
        creator = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        made.setdefault(creator, Element(creator, b"LO", b"DICOMBQ BENCH %02d" % (index // BLOCK_SIZE)))
        vr, value = random.choice(VALUES) if index % 4 == 0 else VALUES[index % len(VALUES)]
        is_sequence = index % SEQUENCE_EVERY == SEQUENCE_EVERY - 1
        made[tag] = _sequence(tag, index) if is_sequence else Element(tag, vr, value)
    return made


def _tag(index: int) -> int:
    group = FIRST_GROUP + 2 * (index // (BLOCK_SIZE * BLOCKS))
    return group << 16 | (FIRST_BLOCK + index // BLOCK_SIZE % BLOCKS) << 8 | index % BLOCK_SIZE


def _sequence(tag: int, index: int) -> Element:
    item = seeds.elements({"CodeMeaning": f"Step {index}", "TextValue": "private"})
    return Element(tag, b"SQ", (in_tag_order(item),))
