"""Events gathered by entity before they are applied: the state is that of the same batches one by one.

Each test runs twice: with ids, and with places in a dictionary.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import tidal.ledger.gathering
from tidal.errors import SchemaError
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch, Schema, SchemaBuilder
from tidal.schema.events import NOTE_TYPE_ID, CodedIds

SECOND = 10**9
HOUR = 3600 * SECOND
START = 1_700_000_000 * SECOND
ENTITIES = 20_000
ENTITIES_MIN = 5_000  # before they are gathered
EVENTS = 100_000
SMALL = 2_000

ALL = ("1h", "24h", "7d")


@pytest.fixture(autouse=True)
def _few_entities_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidal.ledger.gathering, "ENTITIES_MIN", ENTITIES_MIN)


@pytest.fixture(params=["ids", "places"], autouse=True)
def _either_form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "places":
        monkeypatch.setattr(sys.modules[__name__], "prepared", in_codes)


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
    together, alone = SignalLedger(schema, shards=shards), SignalLedger(schema, shards=shards)
    gather(together, in_small_ones(events))
    one_by_one(alone, in_small_ones(events))
    return together, alone


def gather(ledger: SignalLedger, batches: list[EventBatch]) -> None:
    with ledger.gathering() as gathering:
        for batch in prepared(batches):
            gathering.add(batch)


def prepared(batches: list[EventBatch]) -> list[EventBatch]:
    return batches


def in_codes(batches: list[EventBatch]) -> list[EventBatch]:
    """Return the batches with places in a dictionary, those of each third of them in another one.

    A dictionary has more words than are used, in any order. One batch is left as it is.
    """
    rng = np.random.default_rng(8)
    coded = []
    for third in range(3):
        ids = np.arange(third, ENTITIES + third, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        words = rng.permutation(ids)
        order = np.argsort(words)
        for batch in batches[third * len(batches) // 3 : (third + 1) * len(batches) // 3]:
            places = order[np.minimum(np.searchsorted(words, batch.entity_id, sorter=order), ENTITIES - 1)]
            if (words[places] == batch.entity_id).all():
                batch = replace(batch, entities=CodedIds(places.astype(np.uint32), words))
            coded.append(batch)
    return coded


def one_by_one(ledger: SignalLedger, batches: list[EventBatch]) -> None:
    for batch in batches:
        ledger.apply(batch)


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
    together, alone = twins(events, schema(), shards)
    assert together.state_digest() == alone.state_digest()
    assert counters(together) == counters(alone)
    assert (counters(together)[0]["late"] > 0) == (late > 0)
    assert not were_gathered(alone, events)
    if shards < 64:  # as many as events are gathered in at most
        assert were_gathered(together, events)
        assert index_bytes(together) <= index_bytes(alone)  # though it is made before it is filled


@pytest.mark.parametrize("windows", [(), ("1h",), ("24h",), ("7d",), ("1h", "7d")])
@pytest.mark.parametrize("half_lives", [("7d",), ("1h", "1d"), ("1s", "1d", "30d")])
def test_with_other_windows_and_half_lives(windows: tuple[str, ...], half_lives: tuple[str, ...]) -> None:
    events = stream(12 * 3600.0, late=0.05, skew=3)
    together, alone = twins(events, schema(windows, half_lives), 4)
    assert together.state_digest() == alone.state_digest()
    assert counters(together) == counters(alone)


@pytest.mark.parametrize("windows", [(), ("24h",), ALL])
def test_events_that_come_backwards_in_time(windows: tuple[str, ...]) -> None:
    """The newest of each shard is the first of those that are applied last."""
    events = stream(3600.0)
    events.timestamp[-16_000:] = events.timestamp[-16_000:][::-1].copy()
    together, alone = twins(events, schema(windows), 4)
    assert together.newest() == alone.newest() == int(events.timestamp.max())
    assert together.state_digest() == alone.state_digest()
    assert counters(together) == counters(alone)


def test_events_of_several_types_with_notes_between_them() -> None:
    both = SchemaBuilder().signal("view", half_life="1d").signal("like", half_life="7d").build()
    events = stream(3600.0, types=2)
    events.type_id[::1000] = NOTE_TYPE_ID
    notes = tuple(b"note" for _ in range(0, EVENTS, 1000))
    together, alone = twins(replace(events, notes=notes), both, 4)
    assert together.state_digest() == alone.state_digest()
    assert sum(it["events"] for it in counters(together)) == EVENTS - len(notes)


@pytest.mark.parametrize("most", [1, 300_000, 10**9])
def test_they_may_be_applied_in_any_number_of_times(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    events = stream(3600.0, late=0.1)
    together, alone = twins(events, schema(), 4)
    monkeypatch.setattr(tidal.ledger.gathering, "GATHERED_BYTES", most)
    again = SignalLedger(schema())
    gather(again, [events.rows(start, start + 1_700) for start in range(0, EVENTS, 1_700)])
    assert were_gathered(again, events)
    assert again.state_digest() == together.state_digest() == alone.state_digest()
    assert counters(again) == counters(together)


def test_two_threads_may_gather_into_one_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index grows often meanwhile: each applies few events, and half of the entities are the other's."""
    events = stream(3600.0)
    monkeypatch.setattr(tidal.ledger.gathering, "ENTITIES_MIN", 0)
    monkeypatch.setattr(tidal.ledger.gathering, "GATHERED_BYTES", 20_000)
    together, alone = SignalLedger(schema(), shards=2), SignalLedger(schema(), shards=2)
    batches = [events.rows(start, start + 500) for start in range(0, EVENTS, 500)]
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(gather, together, batches[first::2]) for first in range(2)]:
            future.result()
    one_by_one(alone, batches)
    at = int(events.timestamp.max())
    for window in ("1h", "all"):
        both = [
            ledger.counts("view", np.unique(events.entity_id), window, at=at) for ledger in (together, alone)
        ]
        assert both[0].tolist() == both[1].tolist()
    assert [it["events"] for it in counters(together)] == [EVENTS]


def test_after_an_error_nothing_waits() -> None:
    events = stream(3600.0)
    ledger = SignalLedger(schema())
    gather(ledger, in_small_ones(events.rows(0, 50_000)))
    digest = ledger.state_digest()
    with pytest.raises(SchemaError, match="id 7"), ledger.gathering() as gathering:
        gathering.add(events.rows(50_000, 75_000))
        gathering.add(replace(events, type_id=np.full(EVENTS, 7, np.uint8)))
    assert ledger.state_digest() == digest
    gather(ledger, in_small_ones(events.rows(50_000, EVENTS)))
    assert ledger.state_digest() == twins(events, schema(), 4)[1].state_digest()


def test_they_may_come_to_a_state_that_is_there() -> None:
    before, after = stream(3600.0), stream(7200.0, late=0.2)
    together, alone = twins(before, schema(), 4)
    later = replace(after, timestamp=after.timestamp + 3 * HOUR)
    together.expect({0: int(later.timestamp.max())})
    gather(together, [later])
    one_by_one(alone, in_small_ones(later))
    assert together.state_digest() == alone.state_digest()
    assert counters(together) == counters(alone)
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
    for apply in (gather, one_by_one):
        batches = in_small_ones(events)[1:]
        ledger = SignalLedger(schema(), shards=2)
        ledger.load(meta, arrays)
        apply(ledger, batches)
        both.append(ledger)
    assert both[0].state_digest() == both[1].state_digest()
    assert counters(both[0]) == counters(both[1])
    assert counters(both[0])[0]["saturated"] > 0
