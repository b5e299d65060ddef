"""Messages: each comes back as it was sent, and bytes that no encoder wrote are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError, FormatTooNew
from tidal.replication import messages
from tidal.replication.messages import (
    RUN_BYTES_MAX,
    Answer,
    Batch,
    Envelope,
    Heartbeat,
    Mark,
    Message,
    Offer,
    Piece,
    Records,
    Request,
    Want,
    decode_message,
    encode_message,
)

u16 = st.integers(0, (1 << 16) - 1)
u64 = st.integers(0, (1 << 64) - 1)
hashes = st.binary(min_size=32, max_size=32)
names = st.text("abcXYZ019_.-", min_size=1, max_size=64)
envelopes = st.builds(
    Envelope, st.binary(min_size=16, max_size=16), u16, u16, u64, st.integers(-(1 << 63), (1 << 63) - 1)
)


@st.composite
def batches(draw: Any) -> Batch:
    data = draw(st.binary(min_size=1, max_size=200))
    part_at = draw(st.integers(0, RUN_BYTES_MAX - len(data)))
    total = draw(st.integers(part_at + len(data), RUN_BYTES_MAX))
    first, last = sorted((draw(st.integers(1, 1 << 63)), draw(st.integers(1, 1 << 63))))
    header = draw(st.binary(min_size=128, max_size=128))
    return Batch(header, draw(u64), first, last, draw(u64), total, part_at, data)


@st.composite
def heartbeats(draw: Any) -> Heartbeat:
    last = draw(u64)
    seq, origin = draw(st.integers(0, last)), draw(st.integers(0, last))
    return Heartbeat(
        draw(st.integers(1, 1 << 63)), seq, draw(hashes), last, draw(u64), origin, draw(hashes), draw(hashes)
    )


@st.composite
def pieces(draw: Any) -> Piece:
    data = draw(st.binary(max_size=200))
    if not data:
        return Piece(draw(u64), 0, 0, b"")
    offset = draw(st.integers(0, 1 << 40))
    return Piece(draw(u64), offset, draw(st.integers(offset + len(data), 1 << 41)), data)


rows = st.tuples(st.integers(0, 255), st.binary(max_size=50), st.binary(max_size=50))
ANY: st.SearchStrategy[Message] = st.one_of(
    batches(),
    heartbeats(),
    st.builds(Mark, names, u64, u64, hashes, u64),
    st.builds(Request, names, st.sampled_from(Want), u64, hashes, u64, st.binary(max_size=50)),
    st.builds(Offer, st.binary(max_size=200)),
    pieces(),
    st.builds(Records, st.binary(max_size=50), st.booleans(), st.lists(rows, max_size=5).map(tuple)),
    st.builds(Answer, u64, hashes, st.booleans(), u64, u64, hashes),
)


@given(envelopes, ANY)
def test_a_message_comes_back_as_it_was_sent(envelope: Envelope, message: Message) -> None:
    assert decode_message(encode_message(envelope, message)) == (envelope, message)


@given(envelopes, ANY, st.data())
def test_no_byte_can_change(envelope: Envelope, message: Message, data: st.DataObject) -> None:
    good = encode_message(envelope, message)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
    for damaged in (bad, good[:place], good + b"\0"):
        with pytest.raises(FormatError):
            decode_message(damaged)


ENVELOPE = Envelope(bytes(16), 0, 0, 1, 2)


def resealed(message: Message, change: Any) -> bytes:
    """The bytes of a message, changed, with the hash that they then have."""
    body = change(bytearray(encode_message(ENVELOPE, message)[:-32]))
    return bytes(body) + messages._hash(bytes(body))


def put(place: int, value: int) -> Any:
    def change(body: bytearray) -> bytearray:
        body[place] = value
        return body

    return change


@pytest.mark.parametrize("place", [4, 5, 6, 7], ids=["version", "version", "kind", "zero"])
def test_a_newer_message_is_said_to_be(place: int) -> None:
    with pytest.raises(FormatTooNew, match="upgrade tidal"):
        decode_message(resealed(Mark("f", 1, 0, bytes(32)), put(place, 99)))


def test_a_newer_request_is_said_to_be() -> None:
    with pytest.raises(FormatTooNew, match="a request of kind 99"):
        decode_message(resealed(Request("f", Want.LOG, 0, bytes(32), 0, b""), put(44, 99)))


def test_an_answer_is_yes_or_no() -> None:
    with pytest.raises(FormatError, match="2 is neither 0 nor 1"):
        decode_message(resealed(Answer(1, bytes(32), True, 0, 0, bytes(32)), put(84, 2)))


@pytest.mark.parametrize(
    "message",
    [
        Batch(bytes(128), 0, 1, 1, 0, 0, 0, b"x"),
        Batch(bytes(128), 0, 1, 1, 0, RUN_BYTES_MAX + 1, 0, b"x"),
        Batch(bytes(128), 0, 1, 1, 0, 5, 5, b"x"),
        Batch(bytes(128), 0, 1, 1, 0, 5, 0, b""),
        Batch(bytes(128), 0, 0, 1, 0, 5, 0, b"x"),
        Batch(bytes(128), 0, 2, 1, 0, 5, 0, b"x"),
        Heartbeat(0, 1, bytes(32), 1, 0, 0, bytes(32), bytes(32)),
        Heartbeat(1, 2, bytes(32), 1, 0, 0, bytes(32), bytes(32)),
        Heartbeat(1, 1, bytes(32), 1, 0, 2, bytes(32), bytes(32)),
        Piece(1, 0, 0, b"x"),
        Piece(1, 5, 5, b"x"),
        Piece(1, 0, 5, b""),
    ],
)
def test_values_that_cannot_be_are_refused(message: Message) -> None:
    with pytest.raises(FormatError):
        decode_message(encode_message(ENVELOPE, message))


def test_what_does_not_fit_is_not_encoded() -> None:
    for message in (
        Mark("", 0, 0, bytes(32)),
        Mark("x" * 65, 0, 0, bytes(32)),
        Mark("f", 1 << 64, 0, bytes(32)),
    ):
        with pytest.raises(ValueError, match=r"fit|bytes"):
            encode_message(ENVELOPE, message)
