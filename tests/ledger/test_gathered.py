"""Large batches, whose events are gathered by entity: the state is that of the same events in small ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tidal.ledger import SignalLedger
from tidal.schema import EventBatch, Schema, SchemaBuilder
from tidal.schema.events import NOTE_TYPE_ID

SECOND = 10**9
HOUR = 3600 * SECOND
START = 1_700_000_000 * SECOND
ENTITIES = 100_000  # more than GATHERED_ENTITIES_MIN
EVENTS = 400_000  # the last three quarters of them are gathered
SMALL = 20_000

ALL = ("1h", "24h", "7d")


def schema(windows: tuple[str, ...] = ALL, half_lives: tuple[str, ...] = ("7d",)) -> Schema:
    return SchemaBuilder().signal("view", half_life=half_lives, windows=windows).build()


def stream(seconds: float, *, late: float = 0.0, skew: int = 1, types: int = 1) -> EventBatch:
    """Events that last so long, some of them up to two hours late."""
    rng = np.random.default_rng(3)
    entities = (ENTITIES * rng.random(EVENTS) ** skew).astype(np.uint64)
    times = START + np.sort(rng.integers(0, max(1, int(seconds * SECOND)), EVENTS))
    times[rng.random(EVENTS) < late] -= rng.integers(0, 2 * HOUR)
    return EventBatch(
        entities * np.uint64(0x9E3779B97F4A7C15),
        rng.integers(0, types, EVENTS).astype(np.uint8),
        rng.standard_normal(EVENTS).astype(np.float32),
        times,
    )


def in_small_ones(events: EventBatch) -> list[EventBatch]:
    return [events.rows(start, start + SMALL) for start in range(0, len(events), SMALL)]


def twins(events: EventBatch, schema: Schema, shards: int) -> tuple[SignalLedger, SignalLedger]:
    """Return the ledgers of the events applied together and in small batches."""
    together, one_by_one = SignalLedger(schema, shards=shards), SignalLedger(schema, shards=shards)
    together.apply(events)
    for batch in in_small_ones(events):
        one_by_one.apply(batch)
    return together, one_by_one


def counters(ledger: SignalLedger) -> list[dict[str, int]]:
    names = ("entities", "events", "late", "saturated")
    return [{name: it[name] for name in names} for it in ledger.stats().values()]


def index_bytes(ledger: SignalLedger) -> int:
    return ledger.stats()["view"]["index_bytes"]


def were_gathered(ledger: SignalLedger, events: EventBatch) -> bool:
    """Whether the records of a shard were made in another order than that of the events."""
    entities, first = np.unique(events.entity_id, return_index=True)
    orders = [first[np.searchsorted(entities, it["entity_id"])] for it in ledger.table("view").records()]
    return any(bool((np.diff(order) < 0).any()) for order in orders)


@pytest.mark.parametrize("shards", [1, 3, 4, 256])
@pytest.mark.parametrize("late", [0.0, 0.1])
@pytest.mark.parametrize("seconds", [40.0, 8 * 3600.0, 9 * 24 * 3600.0])
def test_the_state_is_that_of_small_batches(seconds: float, late: float, shards: int) -> None:
    events = stream(seconds, late=late)
    together, one_by_one = twins(events, schema(), shards)
    assert together.state_digest() == one_by_one.state_digest()
    assert counters(together) == counters(one_by_one)
    assert (counters(together)[0]["late"] > 0) == (late > 0)
    assert not were_gathered(one_by_one, events)
    if shards < 64:  # as many as events are gathered in at most
        assert were_gathered(together, events)
        assert index_bytes(together) == index_bytes(one_by_one)  # though it is made before it is filled


@pytest.mark.parametrize("windows", [(), ("1h",), ("24h",), ("7d",), ("1h", "7d")])
@pytest.mark.parametrize("half_lives", [("7d",), ("1h", "1d"), ("1s", "1d", "30d")])
def test_with_other_windows_and_half_lives(windows: tuple[str, ...], half_lives: tuple[str, ...]) -> None:
    events = stream(12 * 3600.0, late=0.05, skew=3)
    together, one_by_one = twins(events, schema(windows, half_lives), 4)
    assert together.state_digest() == one_by_one.state_digest()
    assert counters(together) == counters(one_by_one)


def test_events_of_several_types_with_notes_between_them() -> None:
    both = SchemaBuilder().signal("view", half_life="1d").signal("like", half_life="7d").build()
    events = stream(3600.0, types=2)
    events.type_id[::1000] = NOTE_TYPE_ID
    notes = tuple(b"note" for _ in range(0, EVENTS, 1000))
    together, one_by_one = twins(replace(events, notes=notes), both, 4)
    assert together.state_digest() == one_by_one.state_digest()
    assert sum(it["events"] for it in counters(together)) == EVENTS - len(notes)


def test_many_small_batches_are_gathered_together() -> None:
    events = stream(3600.0, late=0.1)
    together, one_by_one = twins(events, schema(), 4)
    as_a_list = SignalLedger(schema())
    as_a_list.apply_all(in_small_ones(events))
    assert were_gathered(as_a_list, events)
    assert not were_gathered(one_by_one, events)
    assert as_a_list.state_digest() == together.state_digest()
    assert counters(as_a_list) == counters(together)


def test_they_may_come_to_a_state_that_is_there() -> None:
    before, after = stream(3600.0), stream(7200.0, late=0.2)
    together, one_by_one = twins(before, schema(), 4)
    later = replace(after, timestamp=after.timestamp + 3 * HOUR)
    together.expect({0: int(later.timestamp.max())})
    together.apply(later)
    for batch in in_small_ones(later):
        one_by_one.apply(batch)
    assert together.state_digest() == one_by_one.state_digest()
    assert counters(together) == counters(one_by_one)
    again = SignalLedger(schema())
    again.load(*together.save())
    assert again.state_digest() == together.state_digest()


def test_a_count_that_is_full_stays_so() -> None:
    events = stream(600.0)
    full = SignalLedger(schema(), shards=2)
    full.apply(events.rows(0, SMALL))
    meta, arrays = full.save()
    for number in range(2):
        for ring in ("minute", "hour"):
            arrays[f"view/{number}/{ring}_count"][::7] = 2**32 - 2
    both = []
    for batches in ([events.rows(SMALL, EVENTS)], in_small_ones(events)[1:]):
        ledger = SignalLedger(schema(), shards=2)
        ledger.load(meta, arrays)
        for batch in batches:
            ledger.apply(batch)
        both.append(ledger)
    assert both[0].state_digest() == both[1].state_digest()
    assert counters(both[0]) == counters(both[1])
    assert counters(both[0])[0]["saturated"] > 0
