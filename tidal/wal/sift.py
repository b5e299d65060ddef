"""A segment read past its damage: every batch and seal in it that proves itself, and the holes between.

What opens a store stops at the first bad byte, and must. What looks at a damaged store goes on here: a frame
carries its own hash, in which its place and its segment are, so one that is found behind damage is
as it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tidal.errors import FormatError, FormatTooNew
from tidal.format.frame import FRAME_MAGIC, Frame, claimed_end, decode_frame
from tidal.format.segment import SEAL, SEAL_MAGIC, LogIdentity, Seal, SegmentHeader, decode_seal
from tidal.wal.segments import has_data

SEARCH_EFFORT: Final = 8  # times the data's size may be hashed in search of what is good behind damage

_MAGIC_PREFIX = b"Tdl"  # of frames and of seals
_GUESS_UNITS = 16  # frames that a guess at a lost header is tried on


class SealAt(NamedTuple):
    """A good seal, and where it lies."""

    offset: int
    end: int
    seal: Seal


class TooNew(NamedTuple):
    """A frame or seal whose hash is good, and which only a newer tidal understands."""

    offset: int
    end: int
    reason: str


class Hole(NamedTuple):
    """Bytes in which nothing proves itself; ``searched`` is False where it cost too much to be sure."""

    offset: int
    end: int
    reason: str
    searched: bool = True


Bad = TooNew | Hole
Unit = Frame | SealAt | Bad


def sift(data: memoryview, start: int, identity: bytes) -> Iterator[Unit]:
    """Yield what lies in data from ``start`` on, in order and without a gap; zeros at the end are left out.

    ``identity`` is the segment's, as SegmentHeader.identity packs it. Frames are checked by their hash, not
    decoded, and not held against each other: that one continues the other is for the caller to ask. Behind
    damage the magic is looked for byte by byte, as no length there can be believed. That search is bounded:
    bytes may be made so that each of them seems to begin a long batch.
    """
    raw = data.obj if isinstance(data.obj, bytes) and len(data.obj) == len(data) else bytes(data)
    effort_left = SEARCH_EFFORT * len(data)
    hole: Hole | None = None
    position = start
    while position < len(data):
        try:
            unit = _unit_at(data, position, identity)
        except FormatError as error:
            if hole is None:
                hole = Hole(position, len(data), str(error))
            effort_left -= _claimed_bytes(data, position)
            position = raw.find(_MAGIC_PREFIX, position + 1)
            if position < 0 or effort_left < 0:
                hole = hole._replace(searched=position < 0)
                break
            continue
        if hole is not None:
            yield hole._replace(end=position)
            hole = None
        yield unit
        position = unit.end
    if hole is not None and has_data(data[hole.offset :]):
        yield hole


def guess_header(
    data: memoryview, base_seq: int, logs: Iterable[LogIdentity], previous: bytes
) -> SegmentHeader | None:
    """Return what a damaged header must have said, if a frame proves one of these guesses; else None.

    ``created_at`` is lost: it is 0. ``previous`` is not proven, and is returned as given.
    """
    raw = bytes(data)
    places = [raw.find(FRAME_MAGIC)]
    while places[-1] >= 0 and len(places) < _GUESS_UNITS:
        places.append(raw.find(FRAME_MAGIC, places[-1] + 1))
    for log in logs:
        header = SegmentHeader(log, base_seq, 0, previous)
        for offset in places:
            try:
                if offset >= 0:
                    decode_frame(data, offset, header.identity)
                    return header
            except (FormatError, FormatTooNew):
                continue
    return None


def _unit_at(data: memoryview, offset: int, identity: bytes) -> Frame | SealAt | TooNew:
    is_seal = bytes(data[offset : offset + len(SEAL_MAGIC)]) == SEAL_MAGIC
    try:
        if is_seal:
            return SealAt(offset, offset + SEAL.size, decode_seal(data[offset:], offset, identity))
        return decode_frame(data, offset, identity)
    except FormatTooNew as error:
        return TooNew(offset, offset + SEAL.size if is_seal else claimed_end(data, offset), str(error))


def _claimed_bytes(data: memoryview, offset: int) -> int:
    try:
        return claimed_end(data, offset) - offset
    except FormatError:
        return 0
