from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext import columns as kernels
from tidal.errors import FormatError
from tidal.format import payload as fmt
from tidal.format.singles import is_single
from tidal.schema.events import NOTE_TYPE_ID, TIME_MAX_NS, TIME_MIN_NS, EventBatch, IdColumn, NewKey
from tidal.schema.spec import KINDS

u64 = st.integers(0, 2**64 - 1)
weights = st.one_of(
    st.integers(-(2**24), 2**24).map(float),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.just(-0.0),
)


@st.composite
def batches(draw: st.DrawFn) -> EventBatch:
    count = draw(st.integers(1, 40))

    def array(values: st.SearchStrategy, dtype: type) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), dtype)

    def ids() -> IdColumn | None:
        if draw(st.booleans()):
            return None
        return IdColumn(
            array(u64, np.uint64), array(st.booleans(), np.bool_) if draw(st.booleans()) else None
        )

    keys = st.builds(NewKey, st.sampled_from(KINDS), u64, st.text(max_size=20))
    types = array(st.integers(0, 254) | st.just(NOTE_TYPE_ID), np.uint8)
    noted = int(np.count_nonzero(types == NOTE_TYPE_ID))
    return EventBatch(
        array(u64, np.uint64),
        types,
        array(weights, np.float32),
        array(st.integers(TIME_MIN_NS, TIME_MAX_NS), np.int64),
        ids(),
        ids(),
        ids(),
        tuple(draw(st.lists(keys, max_size=4))),
        tuple(draw(st.lists(st.binary(max_size=30), min_size=noted, max_size=noted))),
    )


def known_ids(column: IdColumn | None, count: int) -> list[int | None]:
    if column is None:
        return [None] * count
    valid = [True] * count if column.valid is None else column.valid.tolist()
    return [value if known else None for value, known in zip(column.values.tolist(), valid, strict=True)]


def assert_same(left: EventBatch, right: EventBatch) -> None:
    for name in ("entity_id", "type_id", "timestamp"):
        a, b = getattr(left, name), getattr(right, name)
        assert a.dtype == b.dtype and np.array_equal(a, b), name
    assert left.weight.tobytes() == right.weight.tobytes()  # bit for bit: -0.0 is not 0.0
    for name in ("user_id", "session_id", "event_id"):
        a, b = known_ids(getattr(left, name), len(left)), known_ids(getattr(right, name), len(right))
        assert a == b, name
    assert left.new_keys == right.new_keys
    assert left.notes == right.notes


@given(batches(), st.integers(-(2**63), 2**63 - 1))
def test_batches_come_back(batch: EventBatch, received_at: int) -> None:
    encoded = fmt.encode_payload(batch, received_at)
    data = memoryview(encoded.payload)
    assert fmt.decode_summary(data) == encoded.summary
    assert encoded.summary == (
        int(batch.timestamp.min()),
        int(batch.timestamp.max()),
        fmt.type_set(set(batch.type_id.tolist())),
        received_at,
    )
    assert_same(fmt.decode_payload(data, len(batch)), batch)


@given(batches())
def test_encoding_is_a_function_of_the_batch(batch: EventBatch) -> None:
    assert fmt.encode_payload(batch, 5) == fmt.encode_payload(batch, 5)


@given(batches(), st.data())
def test_changed_bytes_never_crash_a_decoder(batch: EventBatch, data: st.DataObject) -> None:
    payload = bytearray(fmt.encode_payload(batch, 5).payload)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    count = data.draw(st.sampled_from([len(batch), 1, 65_536, 0, 65_537]))
    try:
        decoded = fmt.decode_payload(memoryview(payload), count)
    except FormatError:
        return
    assert len(decoded) == count and np.isfinite(decoded.weight).all()


@given(batches(), st.data())
def test_a_shorter_payload_is_refused(batch: EventBatch, data: st.DataObject) -> None:
    payload = fmt.encode_payload(batch, 5).payload
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    with pytest.raises(FormatError):
        fmt.decode_payload(memoryview(cut), len(batch))


def simple(count: int = 3, **changes: object) -> EventBatch:
    columns = {
        "entities": np.arange(count, dtype=np.uint64),
        "type_id": np.zeros(count, np.uint8),
        "weight": np.ones(count, np.float32),
        "timestamp": np.arange(count, dtype=np.int64),
    }
    return EventBatch(**(columns | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, fmt.EVENTS_PER_BATCH_MAX + 1])
def test_counts_beyond_the_limits_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="split it"):
        fmt.encode_payload(simple(count), 0)


def test_the_largest_batch_fits() -> None:
    count = fmt.EVENTS_PER_BATCH_MAX
    encoded = fmt.encode_payload(simple(count), 0)
    assert_same(fmt.decode_payload(memoryview(encoded.payload), count), simple(count))


@pytest.mark.parametrize("weight", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_on_both_sides(weight: float) -> None:
    bad = simple(weight=np.array([1, 0.5, weight], np.float32))
    with pytest.raises(ValueError, match="not finite"):
        fmt.encode_payload(bad, 0)
    payload = bytearray(fmt.encode_payload(simple(weight=np.array([1, 0.5, 1.5], np.float32)), 0).payload)
    at = payload.index(struct.pack("<f", 1.5)[2:])
    payload[at : at + 2] = struct.pack("<f", weight)[2:]
    with pytest.raises(FormatError):
        fmt.decode_payload(memoryview(payload), 3)


def test_ids_that_are_all_known_or_all_unknown_need_no_validity() -> None:
    values = np.arange(3, dtype=np.uint64)
    batch = simple(
        user_id=IdColumn(values, np.ones(3, np.bool_)), session_id=IdColumn(values, np.zeros(3, np.bool_))
    )
    decoded = fmt.decode_payload(memoryview(fmt.encode_payload(batch, 0).payload), 3)
    assert decoded.user_id is not None and decoded.user_id.valid is None
    assert decoded.session_id is None


def test_a_key_that_is_too_long_is_refused() -> None:
    fits = simple(new_keys=(NewKey("item", 1, "x" * fmt.KEY_BYTES_MAX),))
    assert fmt.decode_payload(memoryview(fmt.encode_payload(fits, 0).payload), 3).new_keys == fits.new_keys
    with pytest.raises(ValueError, match="longest"):
        fmt.encode_payload(simple(new_keys=(NewKey("item", 1, "x" * (fmt.KEY_BYTES_MAX + 1)),)), 0)
    many = tuple(NewKey("item", i, "x" * fmt.KEY_BYTES_MAX) for i in range(257))
    with pytest.raises(ValueError, match="new keys in a batch"):
        fmt.encode_payload(simple(100, new_keys=many), 0)


def test_more_keys_than_events_can_name_are_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tuple(NewKey("item", i, "") for i in range(3 * fmt.KEYS_PER_EVENT_MAX + 1))
    with pytest.raises(ValueError, match="19 new keys for 3 events"):
        fmt.encode_payload(simple(new_keys=keys), 0)
    with monkeypatch.context() as patch:  # a writer without the check
        patch.setattr(fmt, "KEYS_PER_EVENT_MAX", 7)
        payload = fmt.encode_payload(simple(new_keys=keys), 0).payload
    with pytest.raises(FormatError, match="19 new keys"):
        fmt.decode_payload(memoryview(payload), 3)


def noted(*notes: bytes) -> EventBatch:
    return simple(len(notes), type_id=np.full(len(notes), NOTE_TYPE_ID, np.uint8), notes=notes)


def test_a_batch_without_notes_is_as_it_was_before_there_were_any() -> None:
    """The bytes of an older tidal, which the golden store has too."""
    digest = fmt.encode_payload(simple(), 5).digest.hex()
    assert digest == "46dd8f5583cb2f350500445447f685837854c7e9146526566618e6b02fa8af6e"


@pytest.mark.parametrize("notes", [(b"",), (b"", b"x" * fmt.NOTE_BYTES_MAX), (b"a", b"b", b"a")])
def test_notes_come_back(notes: tuple[bytes, ...]) -> None:
    payload = fmt.encode_payload(noted(*notes), 0).payload
    assert fmt.decode_payload(memoryview(payload), len(notes)).notes == notes


def test_notes_beyond_the_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="longest"):
        fmt.encode_payload(noted(b"x" * (fmt.NOTE_BYTES_MAX + 1)), 0)
    with pytest.raises(ValueError, match="notes in a batch"):
        fmt.encode_payload(noted(*[b"x" * fmt.NOTE_BYTES_MAX] * 129), 0)


@pytest.mark.parametrize("batch", [simple(notes=(b"a",)), dataclasses.replace(noted(b"a"), notes=(b"",) * 2)])
def test_notes_that_do_not_fit_their_events_are_refused_on_both_sides(
    batch: EventBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="notes for"):
        fmt.encode_payload(batch, 0)
    monkeypatch.setattr(fmt, "_check_notes", lambda batch: None)  # a writer without the check
    payload = fmt.encode_payload(batch, 0).payload
    assert not is_single(memoryview(payload))
    with pytest.raises(FormatError, match="notes"):
        fmt.decode_payload(memoryview(payload), len(batch))


@pytest.mark.parametrize("time", [TIME_MIN_NS - 1, TIME_MAX_NS + 1, -(2**63), 2**63 - 1])
def test_times_that_no_event_has_are_refused_on_both_sides(
    time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = dataclasses.replace(simple(), timestamp=np.array([0, time, 5], np.int64))
    with pytest.raises(ValueError, match="times from"):
        fmt.encode_payload(batch, 0)
    with monkeypatch.context() as patch:  # a writer without the check
        patch.setattr(fmt, "TIME_MIN_NS", -(2**63))
        patch.setattr(fmt, "TIME_MAX_NS", 2**63 - 1)
        payload = fmt.encode_payload(batch, 0).payload
    with pytest.raises(FormatError, match="bad summary"):
        fmt.decode_payload(memoryview(payload), 3)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (56, 3),  # fewer columns than are required
        (56, 200),
        (58, 1),  # reserved
        (64, 2),  # the first column's tag: now a repeated one
        (66, 1),  # a form that only weights have
        (68, 255),  # raw length
        (72, 255),  # stored length
    ],
)
def test_a_wrong_field_is_refused(offset: int, value: int) -> None:
    payload = bytearray(fmt.encode_payload(simple(), 0).payload)
    assert payload[offset] != value
    payload[offset] = value
    with pytest.raises(FormatError):
        fmt.decode_payload(memoryview(payload), 3)


def test_a_summary_that_lies_is_refused() -> None:
    payload = bytearray(fmt.encode_payload(simple(), 0).payload)
    payload[8] = 99  # the largest time
    with pytest.raises(FormatError, match="summary"):
        fmt.decode_payload(memoryview(payload), 3)


def test_type_sets() -> None:
    assert fmt.share_types(fmt.type_set({3, 250}), fmt.type_set({250}))
    assert not fmt.share_types(fmt.type_set({3}), fmt.type_set({4}))
    assert fmt.union_types(fmt.type_set({3}), fmt.type_set({4})) == fmt.type_set({3, 4})


@pytest.mark.parametrize("weight", [0.5, 2.0**24 + 2, -0.0, float("nan")])
def test_weights_that_no_integer_stands_for(weight: float) -> None:
    assert kernels.whole_weights(np.array([1, weight], np.float32)) is None


def test_whole_weights_beyond_their_range_are_refused() -> None:
    edge = np.array([2 * kernels.WHOLE_WEIGHT_MAX], np.uint64)
    assert kernels.weights_of_whole(edge).tolist() == [kernels.WHOLE_WEIGHT_MAX]
    with pytest.raises(ValueError, match="beyond"):
        kernels.weights_of_whole(edge + np.uint64(1))
