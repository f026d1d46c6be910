"""The plain walker: one data set, one element after the other, no recursion.

It reads headers only - tag, VR, length (PS3.5 7.1) - and never a value, except to descend into sequences. It is
strict: what it does not understand it refuses, and the file goes to a reader that is slower and more forgiving.

A data set is walked from a buffer that may end before the data set does. The walker then says how much more it
needs and from where; it can always resume at an element of the root level, since nothing is open there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from struct import Struct
from typing import NoReturn

from dicom_bq.elements import ROOT, UNDEFINED_LENGTH
from dicom_bq.errors import ScanError, TruncatedError
from dicom_bq.scan.rows import IMPLICIT_LITTLE, Form, Mark, Rows
from dicom_bq.scan.tables import LONG, PIXEL_DATA_TAGS, SQ, UN, is_never_read, tables
from dicom_bq.scan.unstated import is_no_vr, may_end, may_follow

SEQUENCE_LEVEL = -2
"""Stands for the holding item while items themselves are expected."""

ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
DELIMITER_GROUP = 0xFFFE


class StopKind(Enum):
    """Why a walk ended."""

    END = "the data set is complete"
    MORE = "the buffer ends before the element does"
    JUMP = "a value that is not read reaches past the buffer"


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a walk ended.

    Attributes:
        kind: Why.
        position: Buffer position to go on at; for JUMP it lies past the buffer.
        need: Bytes wanted from ``position`` on, for MORE.
        kept: Buffer bytes that rows refer to.
    """

    kind: StopKind
    position: int
    need: int
    kept: int


class _Stopped(Exception):  # noqa: N818 (carries the result out of nested calls; never leaves this module)
    def __init__(self, stop: Stop) -> None:
        self.stop = stop


@dataclass(frozen=True, slots=True)
class _Codec:
    """Unpackers of one Form."""

    form: Form
    header: Struct
    length: Struct


def _codec(form: Form) -> _Codec:
    order = ">" if form.big_endian else "<"
    return _Codec(form, Struct(order + ("HHL" if form.implicit else "HH2sH")), Struct(order + "L"))


_CODECS = {form: _codec(form) for form in (Form(True), Form(False), Form(True, True), Form(False, True))}


@dataclass(slots=True)
class _Frame:
    """An open item or sequence, or the data set itself at the bottom.

    Attributes:
        end: Position where it must end at the latest.
        undefined: It ends at a delimiter, not at ``end``.
        item: What elements here are held by: an item, ``ROOT``, or ``SEQUENCE_LEVEL``.
        row: Element row of the sequence, -1 for an item.
        start: Position of its first byte.
        codec: How what is in it is encoded.
    """

    end: int
    undefined: bool
    item: int
    row: int
    start: int
    codec: _Codec


class Walker:
    """Walks one buffer of one data set.

    Args:
        rows: Where elements go.
        data: The buffer.
        base: Arena offset of the buffer's first byte.
        form: How the data set is encoded.
        complete: Nothing follows the buffer.
        closed: Sequences of defined length are passed over, as values.
    """

    def __init__(self, rows: Rows, data: bytes, base: int, form: Form, *, complete: bool, closed: bool = False) -> None:
        self.rows = rows
        self.data = data
        self.base = base
        self.complete = complete
        self.closed = closed
        self._codec = _CODECS[form]
        self.frame = _Frame(len(data), True, ROOT, -1, 0, self._codec)
        self.stack: list[_Frame] = []
        self.resume: tuple[int, Mark] = (0, rows.mark())

    @cached_property
    def _zeros_from(self) -> int:
        """Where the zeros begin that the buffer ends with; looked for once, however many elements are nothing else."""
        return len(self.data.rstrip(b"\0"))

    def walk(self, position: int) -> Stop:
        """Walk from ``position``, the start of a root-level element.

        Raises:
            ScanError: The bytes are not a well-formed data set; ``offset`` counts in the buffer.
        """
        try:
            while True:
                position = self._special(self._run(position))
        except _Stopped as stopped:
            return stopped.stop

    def _run(self, position: int) -> int:
        """Append plain elements until something else comes; return its position. The hot loop."""
        frame, data, rows, known = self.frame, self.data, self.rows, tables()
        end, item, base, header = frame.end, frame.item, self.base, frame.codec.header.unpack_from
        last, implicit, length32 = end - 8, frame.codec.form.implicit, frame.codec.length.unpack_from
        add_item, add_tag, add_vr = rows.item.append, rows.tag.append, rows.stored_vr.append
        add_offset, add_length, codes, sequences = (
            rows.offset.append,
            rows.length.append,
            known.codes,
            known.sequences,
        )
        if item == SEQUENCE_LEVEL:
            return position
        while position <= last:
            if implicit:
                group, element, length = header(data, position)
                tag, vr, value = group << 16 | element, 0, position + 8
                if tag in sequences or (not tag and position >= self._zeros_from):
                    return position
            else:
                group, element, code, length = header(data, position)
                vr, value = codes.get(code, SQ), position + 8
                if vr & LONG:
                    if vr == SQ | LONG or position + 12 > end:
                        return position
                    length, vr, value = length32(data, value)[0], vr ^ LONG, position + 12
                elif vr == SQ:  # no VR at all: an item tag, a delimiter, or something malformed
                    return position
                tag = group << 16 | element
            following = value + length
            if group == DELIMITER_GROUP or following > end:
                return position
            add_item(item)
            add_tag(tag)
            add_vr(vr)
            add_offset(base + value)
            add_length(length)
            position = following
        return position

    def _special(self, position: int) -> int:
        """Handle what is at ``position``: an end, a delimiter, an item, a sequence, a value past the buffer."""
        frame = self.frame
        if position >= frame.end:
            return self._close_at_end(position)
        if not self.stack:
            self.resume = (position, self.rows.mark())
            if self.complete and frame.end - position < 8:
                self._end_at_padding(position)
        self._require(position, 8)
        group, element = frame.codec.header.unpack_from(self.data, position)[:2]
        if group == DELIMITER_GROUP:
            length = frame.codec.length.unpack_from(self.data, position + 4)[0]
            return self._delimiter(position, element, length)
        if frame.item == SEQUENCE_LEVEL:
            raise ScanError(reason="expected an item of a sequence, found another element", offset=position)
        return self._element(position, group << 16 | element)

    def _element(self, position: int, tag: int) -> int:
        """A sequence, a value of undefined length, a value past the buffer, or padding."""
        frame, known = self.frame, tables()
        if frame.codec.form.implicit:
            if not tag:
                self._end_at_padding(position)
            vr, value = 0, position + 8
            length: int = frame.codec.length.unpack_from(self.data, position + 4)[0]
            sequence = tag in known.sequences or (length == UNDEFINED_LENGTH and tag not in known.opaque_tags)
        else:
            vr, value, length = self._explicit(position)
            sequence = vr == SQ or (vr == UN and length == UNDEFINED_LENGTH)
        has_fragments = vr in known.opaque or vr in (0, UN)
        if length == UNDEFINED_LENGTH and tag in PIXEL_DATA_TAGS and has_fragments and not self.stack:
            self.rows.append(frame.item, tag, vr, self.base + value, length)
            self._stop(StopKind.END, value, value)
        if sequence and not (self.closed and length != UNDEFINED_LENGTH):
            return self._open_sequence(tag, vr, value, length)
        if length == UNDEFINED_LENGTH:
            return self._skip_fragments(tag, vr, value)
        if value + length > frame.end:
            self._jump(tag, vr, value, length)
            self._require(position, value - position + length)
        row = self.rows.append(frame.item, tag, vr, self.base + value, length)
        if not vr and not frame.codec.form.implicit:
            self.rows.pending.append((row, frame.codec.form))
        return value + length

    def _explicit(self, position: int) -> tuple[int, int, int]:
        """VR number, 0 where none is said, value position and length of an element of an explicit data set."""
        codec = self.frame.codec
        group, element, code, length = codec.header.unpack_from(self.data, position)
        vr = tables().codes.get(code)
        if vr is None:
            self._end_at_padding(position)
            if not self._is_unstated(position, group << 16 | element, code, length):
                raise ScanError(reason="unknown VR", offset=position)
            return 0, position + 8, length
        if vr & LONG:
            self._require(position, 12)
            return vr ^ LONG, position + 12, codec.length.unpack_from(self.data, position + 8)[0]
        return vr, position + 8, length

    def _is_unstated(self, position: int, tag: int, code: bytes, length: int) -> bool:
        """Whether an element has no VR, but a length of 16 bits behind the bytes of one: what follows it tells."""
        frame, following = self.frame, position + 8 + length
        if frame.codec.form.big_endian or not is_no_vr(code):
            return False
        is_padded = not self.stack and following >= self._zeros_from
        if not self.complete and frame.end == len(self.data) and (is_padded or following + 8 > frame.end):
            self._require(position, max(16 + length, frame.end - position + 1))
        if (is_padded and following <= frame.end) or (following == frame.end and not (frame.undefined and self.stack)):
            return may_end(code, length)
        if following + 8 > frame.end:
            return False
        group, element = frame.codec.header.unpack_from(self.data, following)[:2]
        if group == DELIMITER_GROUP:
            return frame.undefined and bool(self.stack) and element == ITEM_END and may_end(code, length)
        return may_follow(self.data, following, tag, code)

    def _end_at_padding(self, position: int) -> None:
        """Stop where nothing but zeros follows the last element, which can be told at the end of the file only."""
        if not self.stack and position >= self._zeros_from:
            if not self.complete:
                self._require(position, len(self.data) - position + 1)
            self._stop(StopKind.END, len(self.data), position)

    def _jump(self, tag: int, vr: int, value: int, length: int) -> None:
        """Stop at a value that reaches past the buffer and is not needed, such as Pixel Data."""
        if not self.stack and is_never_read(tag, vr):
            self.rows.append(self.frame.item, tag, vr, self.base + value, length)
            self._stop(StopKind.JUMP, value + length, value)

    def _open_sequence(self, tag: int, vr: int, value: int, length: int) -> int:
        """Descend into a sequence (PS3.5 7.5)."""
        frame, rows = self.frame, self.rows
        undefined = length == UNDEFINED_LENGTH
        if not undefined:
            self._require(value - 8, 8 + length)
        row = rows.append(frame.item, tag, vr, self.base + value, 0 if undefined else length)
        rows.walked.append(row)
        # PS3.5 6.2.2 note 2 and CP-246: UN of undefined length holds items in implicit VR little endian
        codec = _CODECS[IMPLICIT_LITTLE] if vr == UN else frame.codec
        self._push(_Frame(frame.end if undefined else value + length, undefined, SEQUENCE_LEVEL, row, value, codec))
        return value

    def _delimiter(self, position: int, element: int, length: int) -> int:
        """An item tag or a delimitation item (PS3.5 7.5.1, 7.5.2)."""
        frame, value = self.frame, position + 8
        if frame.item == SEQUENCE_LEVEL and element == ITEM:
            undefined = length == UNDEFINED_LENGTH
            if not undefined:
                self._require(position, 8 + length)
            self.rows.item_sequence.append(frame.row)
            item = len(self.rows.item_sequence) - 1
            end = frame.end if undefined else value + length
            self._push(_Frame(end, undefined, item, -1, value, frame.codec))
            return value
        expected = SEQUENCE_END if frame.item == SEQUENCE_LEVEL else ITEM_END
        is_last = frame.undefined or value == frame.end  # some writers say the length, and delimit all the same
        if not self.stack or not is_last or element != expected:
            raise ScanError(reason=f"unexpected delimiter (FFFE,{element:04X})", offset=position)
        self._pop(position)
        return value

    def _close_at_end(self, position: int) -> int:
        """What is open ends here because its length says so, or because the buffer does."""
        frame = self.frame
        if frame.undefined:
            if not self.stack:
                if self.complete:
                    self._stop(StopKind.END, position, position)
                self.resume = (position, self.rows.mark())
            self._require(position, 8)
        if position > frame.end:
            raise ScanError(reason="item or sequence ends inside an element", offset=position)
        self._pop(position)
        return position

    def _skip_fragments(self, tag: int, vr: int, value: int) -> int:
        """Pass over encapsulated fragments (PS3.5 A.4) that are not the data set's own Pixel Data."""
        known = tables()
        if not (vr in known.opaque or (not vr and tag in known.opaque_tags)):
            raise ScanError(reason="undefined length where the VR allows none", offset=value)
        position, codec, length = value, self.frame.codec, 0
        while True:
            self._require(position, 8)
            group, element = codec.header.unpack_from(self.data, position)[:2]
            length = codec.length.unpack_from(self.data, position + 4)[0]
            if (group, element) == (DELIMITER_GROUP, SEQUENCE_END):
                self.rows.append(self.frame.item, tag, vr, self.base + value, position - value)
                return position + 8
            if (group, element) != (DELIMITER_GROUP, ITEM) or length == UNDEFINED_LENGTH:
                raise ScanError(reason="expected a fragment of encapsulated data", offset=position)
            position += 8 + length

    def _push(self, frame: _Frame) -> None:
        self.stack.append(self.frame)
        self.frame = frame

    def _pop(self, position: int) -> None:
        if self.frame.row >= 0:
            self.rows.length[self.frame.row] = position - self.frame.start
        self.frame = self.stack.pop()

    def _require(self, position: int, size: int) -> None:
        """Be sure that ``size`` bytes from ``position`` belong to what is open, or stop and ask for more."""
        if position + size <= self.frame.end:
            return
        if self._has_vr(position):
            raise ScanError(reason="an element of a sequence of VR UN has a VR", offset=position)
        if self.frame.end < len(self.data):
            raise ScanError(reason="element reaches past the item or sequence that holds it", offset=position)
        if self.complete:
            raise TruncatedError(offset=position)
        start, mark = self.resume
        self.rows.rollback(mark)
        self._stop(StopKind.MORE, start, start, position + size - start)

    def _has_vr(self, position: int) -> bool:
        """Whether an element looks as in explicit VR where PS3.5 6.2.2 note 2 wants implicit VR: pydicom reads it."""
        return self.frame.codec is not self._codec and self.data[position + 4 : position + 6] in tables().codes

    def _stop(self, kind: StopKind, position: int, kept: int, need: int = 0) -> NoReturn:
        raise _Stopped(Stop(kind, position, need, kept))


def walk_items(data: bytes, form: Form, *, closed: bool = False) -> Rows:
    """Walk the value of a sequence by itself.

    Args:
        data: The items, without the sequence's own header.
        form: How they are encoded.
        closed: As for ``Walker``.

    Returns:
        Rows whose row 0 stands for the sequence and whose offsets count from the start of ``data``.

    Raises:
        ScanError: The bytes are not a list of items.
    """
    rows = Rows()
    rows.walked.append(rows.append(ROOT, 0, SQ, 0, len(data)))
    walker = Walker(rows, data, 0, form, complete=True, closed=closed)
    walker.stack.append(walker.frame)
    walker.frame = _Frame(len(data), False, SEQUENCE_LEVEL, 0, 0, _CODECS[form])
    walker.walk(0)
    return rows
