from __future__ import annotations

import struct

import blake3
import numpy as np
import pytest

from tidal.errors import FormatError, FormatTooNew
from tidal.format import frame as fmt
from tidal.format.payload import EVENTS_PER_BATCH_MAX, EncodedPayload, encode_payload
from tidal.schema.events import EventBatch

LINK, IDENTITY, OFFSET = bytes(range(32)), b"identity" * 4 + b"four", 1_000


@pytest.fixture(scope="module")
def encoded() -> EncodedPayload:
    rows = np.arange(3)
    return encode_payload(
        EventBatch(rows.astype(np.uint64), rows.astype(np.uint8), rows.astype(np.float32), rows), 5
    )


def framed(encoded: EncodedPayload, **changes: object) -> bytes:
    """The bytes of a file that has the frame at OFFSET, and something after it."""
    place = {"first_seq": 8, "durable_seq": 7, "link": LINK, "offset": OFFSET, "identity": IDENTITY} | changes
    head, _ = fmt.encode_frame(encoded, **place)  # type: ignore[arg-type]
    return bytes(OFFSET) + head + encoded.payload + b"after"


def by_hand(
    encoded: EncodedPayload, version: int = 1, flags: int = 0, events: int = 3, first: int = 8
) -> bytes:
    """The same bytes, made from the drawing and not by the code under test."""
    head = b"TdlB" + struct.pack("<HHQIIQ", version, flags, first, events, len(encoded.payload), 7)
    digest = blake3.blake3(encoded.payload).digest()
    own = blake3.blake3(
        b"tidal log frame 1\0" + IDENTITY + struct.pack("<Q", OFFSET) + LINK + head + digest
    ).digest()
    return bytes(OFFSET) + head + own + LINK + encoded.payload + b"after"


def test_bytes_are_as_drawn(encoded: EncodedPayload) -> None:
    assert framed(encoded) == by_hand(encoded)


def test_a_frame_comes_back(encoded: EncodedPayload) -> None:
    data = memoryview(framed(encoded))
    frame = fmt.decode_frame(data, OFFSET, IDENTITY)
    assert (frame.first_seq, frame.last_seq, frame.durable_seq, frame.link) == (8, 10, 7, LINK)
    assert data[frame.payload] == encoded.payload
    assert data[frame.end :] == b"after"


def test_every_flipped_bit_is_seen(encoded: EncodedPayload) -> None:
    data = bytearray(framed(encoded))
    for bit in range(8 * OFFSET, 8 * (len(data) - len(b"after"))):
        data[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError):
            fmt.decode_frame(memoryview(data), OFFSET, IDENTITY)
        data[bit >> 3] ^= 1 << (bit & 7)


def test_a_frame_is_bound_to_its_place(encoded: EncodedPayload) -> None:
    data = memoryview(framed(encoded))
    with pytest.raises(FormatError, match="hash"):
        fmt.decode_frame(data, OFFSET, IDENTITY[::-1])
    with pytest.raises(FormatError, match="hash"):
        fmt.decode_frame(data[1:], OFFSET - 1, IDENTITY)


def test_a_cut_frame_is_refused(encoded: EncodedPayload) -> None:
    data = memoryview(framed(encoded))
    for size in range(OFFSET, len(data) - len(b"after")):
        with pytest.raises(FormatError):
            fmt.decode_frame(data[:size], OFFSET, IDENTITY)


@pytest.mark.parametrize("changes", [{"version": 2}, {"flags": 1}])
def test_a_whole_frame_of_a_newer_format_is_named_so(
    encoded: EncodedPayload, changes: dict[str, int]
) -> None:
    with pytest.raises(FormatTooNew, match="upgrade"):
        fmt.decode_frame(memoryview(by_hand(encoded, **changes)), OFFSET, IDENTITY)


@pytest.mark.parametrize(
    "changes", [{"events": 0}, {"events": EVENTS_PER_BATCH_MAX + 1}, {"first": 7}, {"first": 2**64 - 2}]
)
def test_values_that_are_never_written_are_refused(encoded: EncodedPayload, changes: dict[str, int]) -> None:
    with pytest.raises(FormatError, match="events from"):
        fmt.decode_frame(memoryview(by_hand(encoded, **changes)), OFFSET, IDENTITY)


@pytest.mark.parametrize("changes", [{"first_seq": 7}, {"first_seq": 2**64 - 3}, {"durable_seq": -1}])
def test_values_that_are_never_read_are_not_written(encoded: EncodedPayload, changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sequence"):
        framed(encoded, **changes)
