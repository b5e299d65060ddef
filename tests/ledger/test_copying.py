"""A copy of a ledger is its state at one moment, whatever comes before and after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidal._ext import saved
from tidal._ext.saved import widened
from tidal._ext.shard import Shard, ShardCopy
from tidal._ext.shards import ShardSet
from tidal.ledger import SignalLedger, copying
from tidal.schema import EventBatch, Schema, SchemaBuilder

HOUR = 3600 * 10**9
START = 500_000 * HOUR + HOUR // 2

SCHEMAS = {
    "all": SchemaBuilder().signal("view", half_life="1d", windows=("1h", "24h", "7d")).build(),
    "minutes": SchemaBuilder().signal("view", half_life=("1d", "2d", "3d"), windows=("1h",)).build(),
    "hours": SchemaBuilder().signal("view", half_life=("1d", "9d"), windows=("24h",)).build(),
    "none": SchemaBuilder().signal("view", half_life="1d").build(),
}


def batch(rng: np.random.Generator, size: int, entities: int, at: int) -> EventBatch:
    """Events of the minute at a time, and a few that are late, by up to nine days."""
    ages = np.where(
        rng.random(size) < 0.9, rng.integers(0, 60 * 10**9, size), rng.integers(0, 216 * HOUR, size)
    )
    ids = rng.integers(0, entities, size).astype(np.uint64)
    return EventBatch(ids, np.zeros(size, np.uint8), rng.random(size, np.float32), at - ages)


def loaded(schema: Schema, shards: int, copy: object) -> SignalLedger:
    again = SignalLedger(schema, shards=shards)
    again.load(*copy.saved())  # type: ignore[attr-defined]
    return again


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(SCHEMAS)),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 5 * HOUR)), max_size=8),
    st.integers(1, 3000),
)
def test_it_is_the_state_when_it_was_taken(
    name: str, shards: int, seed: int, steps: list[tuple[int, int]], entities: int
) -> None:
    rng, at = np.random.default_rng(seed), START
    live = SignalLedger(SCHEMAS[name], shards=shards)
    for size, later in steps:
        at += later
        live.apply(batch(rng, size, entities, at))
    copy = live.copy()
    copy.take()
    digest = live.state_digest()
    live.apply(batch(rng, 300, entities, at + HOUR))
    assert loaded(SCHEMAS[name], shards, copy).state_digest() == digest


def test_what_comes_after_the_room_was_made_is_in_it() -> None:
    rng = np.random.default_rng(1)
    live = SignalLedger(SCHEMAS["all"], shards=2)
    live.apply(batch(rng, 10, 10, START))
    copy = live.copy()
    room = copy.room
    live.apply(batch(rng, 20_000, 15_000, START + 3 * HOUR))
    copy.take()
    assert copy.room > room
    assert loaded(SCHEMAS["all"], 2, copy).state_digest() == live.state_digest()


def test_there_is_room_for_a_day_wherever_in_the_week_it_lies() -> None:
    """A ring of hours has a place for each of a week, also where it keeps those of a day alone."""
    week, ids = 500_000 // 168 * 168, np.arange(5_000, dtype=np.uint64)
    rooms = set()
    for hour in (24, 60, 100, 150):
        live = SignalLedger(SCHEMAS["hours"], shards=1)
        for at in (week + hour - 1, week + hour):
            times = np.full(len(ids), at * HOUR)
            live.apply(EventBatch(ids, np.zeros(len(ids), np.uint8), np.ones(len(ids), np.float32), times))
        rooms.add(live.copy().room)
    assert len(rooms) == 1


def test_what_comes_while_room_is_made_waits_for_no_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    live = SignalLedger(SCHEMAS["all"], shards=1)

    def make(shard: Shard) -> ShardCopy:
        made = ShardCopy(shard)
        live.apply(batch(rng, 20_000, 15_000, START))
        return made

    monkeypatch.setattr(copying, "ShardCopy", make)
    copy = live.copy()
    room = copy.room
    copy.take()
    assert copy.room == room
    assert loaded(SCHEMAS["all"], 1, copy).state_digest() == live.state_digest()


def test_nothing_is_saved_of_a_type_without_events() -> None:
    copy = SignalLedger(SCHEMAS["all"]).copy()
    copy.take()
    assert copy.saved() == ({"clocks": {}, "shards": {}}, {})


def test_numbers_take_the_bytes_that_they_need() -> None:
    live = SignalLedger(SCHEMAS["hours"], shards=1)
    ids = np.repeat(np.arange(300, dtype=np.uint64), [300, *[1] * 299])
    times = np.full(len(ids), START)
    live.apply(EventBatch(ids, np.zeros(len(ids), np.uint8), np.ones(len(ids), np.float32), times))
    copy = live.copy()
    copy.take()
    _, arrays = copy.saved()
    found = {name.removeprefix("view/0/"): (array.dtype.str, array.shape) for name, array in arrays.items()}
    assert found["total"] == found["hour_count"] == found["hour_slot"] == ("<u2", (300,))
    assert found["sums"] == ("<f8", (300, 2))
    full = live.save()[1]
    assert (full["view/0/total"].dtype, full["view/0/sums"].shape) == (np.uint64, (300, 3))
    assert full["view/0/hour_count"].tolist() == [300, *[1] * 299]


@pytest.mark.parametrize("array", [np.zeros(1, np.int8), np.zeros(1), np.zeros(1, np.uint64)])
def test_other_numbers_are_no_state(array: np.ndarray) -> None:
    live = SignalLedger(SCHEMAS["hours"], shards=1)
    live.add("view", 1, 1.0, START)
    saved = live.table("view").save()[0]
    with pytest.raises(ValueError, match="hour_count of dtype"):
        widened(saved | {"hour_count": array})


def test_the_columns_of_a_day_have_room_wherever_they_lie() -> None:
    """A day's hours lie at any of the places of a week's."""
    rng = np.random.default_rng(2)
    for start in range(0, 168, 12):
        live = SignalLedger(SCHEMAS["hours"], shards=1)
        for hour in range(24):
            live.apply(batch(rng, 1500, 1000, START + (start + hour) * HOUR))
        copy = live.copy()
        room = copy.room
        copy.take()
        assert copy.room == room  # nothing came meanwhile
        assert loaded(SCHEMAS["hours"], 1, copy).state_digest() == live.state_digest()


@pytest.mark.parametrize("step", ["fit", "take"])
def test_a_copy_that_got_no_memory_takes_nothing_into_what_it_gave_back(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Shard([HOUR], True, True, True)
    copy = ShardCopy(shard)
    ids, weights = np.arange(2_000, dtype=np.uint64), np.ones(2_000, np.float32)
    ShardSet([shard]).ingest(ids, weights, np.full(2_000, START))

    class NoMemory:
        uint8 = np.uint8

        def empty(self, *_: object) -> None:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(saved, "np", NoMemory())
        for _ in range(2):
            with pytest.raises(MemoryError):
                copy.fit() if step == "fit" else copy.take(START)
    copy.take(START)
    assert copy.arrays()["entity_id"].tolist() == ids.tolist()
