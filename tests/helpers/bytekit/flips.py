"""Every bit of a segment flipped, one at a time, and given to the decoder that a reader gives it to.

A segment is cut into *units*: header, frames, seal. What a decoder says of a unit depends on that unit, on
the identity in the header, and, where a length was flipped, on the bytes behind; never on the units before. A
reader goes through them in order, so the first unit that is refused is where it stops:
tests/faults/test_bit_flips.py shows that for whole scans.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tidal.errors import FormatError
from tidal.format.frame import decode_frame
from tidal.format.segment import SEAL, SEAL_MAGIC, SEGMENT_HEADER, decode_seal, decode_segment_header


class Unit(NamedTuple):
    """Bytes of a segment with a hash of their own."""

    offset: int
    end: int


def units(data: memoryview) -> Iterator[Unit]:
    """Yield the units of a good segment in order; together they are all of its bytes."""
    identity = decode_segment_header(data)[0].identity
    yield Unit(0, SEGMENT_HEADER.size)
    offset = SEGMENT_HEADER.size
    while offset < len(data):
        if data[offset : offset + 4] == SEAL_MAGIC:
            decode_seal(data[offset:], offset, identity)
            end = offset + SEAL.size
        else:
            end = decode_frame(data, offset, identity).end
        yield Unit(offset, end)
        offset = end


def accepted_flips(data: bytearray, unit: Unit) -> list[int]:
    """Flip each bit of a unit in turn; return the bits of the segment whose flip no decoder refused.

    Whatever a decoder raises that is not FormatError goes through: it would go through a reader, too.
    """
    view = memoryview(data)
    identity = decode_segment_header(view)[0].identity
    if not accepts(view, unit.offset, identity):
        raise AssertionError(f"the unit at {unit.offset} is refused as it is")
    offset, found = unit.offset, []
    for bit in range(8 * offset, 8 * unit.end):
        place, mask = bit >> 3, 1 << (bit & 7)
        data[place] ^= mask
        if accepts(view, offset, identity):
            found.append(bit)
        data[place] ^= mask
    return found


def accepts(data: memoryview, offset: int, identity: bytes) -> bool:
    """Return whether the decoder that a reader asks at this offset takes what is there."""
    try:
        if not offset:
            decode_segment_header(data)
        elif data[offset : offset + 4] == SEAL_MAGIC:
            decode_seal(data[offset:], offset, identity)
        else:
            decode_frame(data, offset, identity)
    except FormatError:
        return False
    return True
