"""Payloads of one event decoded together: as one by one, joined."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError
from tidal.format.payload import DIRECTORY, SUMMARY, decode_payload, decode_summary, encode_payload
from tidal.format.singles import decode_singles, is_single
from tidal.parts import join_batches
from tidal.schema import EventBatch, IdColumn, NewKey
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS

ID = st.integers(0, 2**64 - 1)


def column(value: int | None) -> IdColumn | None:
    return None if value is None else IdColumn(np.array([value], np.uint64))


SINGLE = st.builds(
    lambda entity, type_id, weight, time, user, session, event: EventBatch(
        np.array([entity], np.uint64),
        np.array([type_id], np.uint8),
        np.array([weight], np.float32),
        np.array([time], np.int64),
        column(user),
        column(session),
        column(event),
    ),
    ID,
    st.integers(0, 255),
    st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-9, 9).map(float),
    st.integers(TIME_MIN_NS, TIME_MAX_NS),
    st.none() | ID,
    st.none() | ID,
    st.none() | ID,
)


def payload_of(batch: EventBatch, **options: bool) -> memoryview:
    return memoryview(encode_payload(batch, 5, **options).payload)


def as_lists(batch: EventBatch) -> list[object]:
    ids = [
        None if ids is None else (ids.values.tolist(), None if ids.valid is None else ids.valid.tolist())
        for ids in (batch.user_id, batch.session_id, batch.event_id)
    ]
    parts = (batch.entity_id, batch.type_id, batch.weight, batch.timestamp)
    return [(part.dtype, part.tobytes()) for part in parts] + [*ids, batch.new_keys]


@given(st.lists(SINGLE, min_size=1, max_size=12))
def test_as_one_by_one(batches: list[EventBatch]) -> None:
    payloads = [payload_of(batch) for batch in batches]
    assert all(map(is_single, payloads))
    expected = join_batches([decode_payload(payload, 1) for payload in payloads])
    assert as_lists(decode_singles(payloads)) == as_lists(expected)


def one(weight: float = 1.0) -> EventBatch:
    return EventBatch(
        np.array([7], np.uint64),
        np.array([3], np.uint8),
        np.array([weight], np.float32),
        np.array([1000], np.int64),
        user_id=column(8),
    )


def test_other_payloads_are_not_taken() -> None:
    keyed = EventBatch(*[getattr(one(), n) for n in ("entity_id", "type_id", "weight", "timestamp")],
                       new_keys=(NewKey("item", 7, "seven"),))  # fmt: skip
    two = join_batches([one(), one()])
    for batch in (keyed, two):
        assert not is_single(payload_of(batch))
        with pytest.raises(FormatError):
            decode_singles([payload_of(one()), payload_of(batch)])


@pytest.mark.parametrize("weight", [1.0, 1.5])
def test_what_decode_payload_refuses_is_refused(weight: float) -> None:
    """Every byte changed: both take it, to the same event, or both refuse it."""
    good = bytes(payload_of(one(weight)))
    refused = 0
    for position in range(len(good)):
        for change in (1, 0x80, 0xFF):
            data = bytearray(good)
            data[position] ^= change
            payload = memoryview(bytes(data))
            try:
                expected = decode_payload(payload, 1)
            except FormatError:
                refused += 1
                with pytest.raises(FormatError):
                    decode_summary(payload)  # as a walk over the segment does
                    decode_singles([memoryview(good), payload])
            else:
                if is_single(payload):
                    found = decode_singles([memoryview(good), payload])
                    assert as_lists(found) == as_lists(join_batches([one(weight), expected]))
    assert refused > len(good)


def test_a_directory_that_is_never_written_is_not_taken() -> None:
    good = payload_of(one())
    columns = SUMMARY.unpack_from(good)[4]
    for offset in range(SUMMARY.size, SUMMARY.size + columns * DIRECTORY.size):
        data = bytearray(good)
        data[offset] ^= 4
        assert not is_single(memoryview(bytes(data))), offset
    assert not is_single(memoryview(bytes(good) + struct.pack("<Q", 0)))
