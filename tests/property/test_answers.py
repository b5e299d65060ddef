"""Whatever the events, and whenever it is asked, the engine answers as the twin does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.schema import Schema, SchemaBuilder
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS
from tidal.testing import Event, ModelLedger, assert_agrees
from tidal.testing.strategies import events, reading_times, schemas, splits, to_batch

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOW = 500_000 * HOUR

SCHEMA = (
    SchemaBuilder()
    .signal("view", half_life=("7d", "1h", "1s"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("like", half_life="36h", windows=("24h",))
    .signal("reward", half_life=("30d", "1d"), windows=("7d",), signed=True)
    .signal("share", windows=("1h",))
    .build()
)

LedgerOf = Callable[..., Any]


def check(ledger_of: LedgerOf, schema: Schema, given_events: Sequence[Event], *times: int) -> None:
    """Apply the events at once, and read at each of the times."""
    ledger, model = ledger_of(schema, [to_batch(schema, given_events)]), ModelLedger(schema, given_events)
    for at in times:
        assert_agrees(ledger, model, at)


@given(st.data())
def test_any_schema_and_any_events(ledger_of: LedgerOf, data: st.DataObject) -> None:
    schema = data.draw(schemas())
    given_events = data.draw(events(schema))
    ledger = ledger_of(schema, [to_batch(schema, part) for part in data.draw(splits(given_events))])
    model = ModelLedger(schema, given_events)
    for at in data.draw(st.lists(reading_times(given_events), min_size=1, max_size=4)):
        assert_agrees(ledger, model, at)


@given(st.data())
def test_answers_are_right_after_every_batch(ledger_of: LedgerOf, data: st.DataObject) -> None:
    """A read between two batches is what may leave something behind for the next."""
    given_events = data.draw(events(SCHEMA, max_size=60, entities=8))
    ledger, model = ledger_of(SCHEMA), ModelLedger(SCHEMA)
    for part in data.draw(splits(given_events)):
        ledger.apply(to_batch(SCHEMA, part))
        model.apply_batch(to_batch(SCHEMA, part))
        assert_agrees(ledger, model, data.draw(reading_times(given_events)))


def test_an_empty_ledger_answers_zero(ledger_of: LedgerOf) -> None:
    check(ledger_of, SCHEMA, [], NOW, 0, -NOW)


@pytest.mark.parametrize("start", [NOW, 0, -NOW])
@pytest.mark.parametrize("step", [MINUTE // 2, MINUTE, 7 * MINUTE, HOUR, HOUR + 1, DAY, 8 * DAY])
def test_a_steady_stream_read_at_every_edge(ledger_of: LedgerOf, start: int, step: int) -> None:
    stream = [Event("view", n % 3, 1.0 + n, start + n * step) for n in range(80)]
    end = stream[-1].timestamp
    hour = end // HOUR * HOUR
    edges = [hour + n * HOUR + d for n in (1, 23, 24, 25, 167, 168, 169) for d in (-1, 0)]
    minutes = [end // MINUTE * MINUTE + n * MINUTE + d for n in (1, 59, 60, 61) for d in (-1, 0)]
    check(ledger_of, SCHEMA, stream, start, end - 1, end, end + 1, *minutes, *edges)


@pytest.mark.parametrize(
    "late", [1, MINUTE, 59 * MINUTE, HOUR, 23 * HOUR, DAY, 167 * HOUR, 7 * DAY, 400 * DAY]
)
def test_a_late_event_is_counted_where_it_belongs(ledger_of: LedgerOf, late: int) -> None:
    for origin in (NOW, NOW - 1, NOW + MINUTE - 1):
        stream = [Event("view", 1, 1.0, origin), Event("view", 2, 1.0, origin)]
        stream += [
            Event("view", entity_id, 3.0, origin - late + d) for entity_id in (1, 3) for d in (-1, 0, 1)
        ]
        check(
            ledger_of, SCHEMA, stream, origin - late, origin, origin + MINUTE, origin + HOUR, origin + 8 * DAY
        )


def test_an_entity_only_ever_seen_late(ledger_of: LedgerOf) -> None:
    """Its last event is five thousand half-lives before the clock; a read then finds its full weight."""
    stream = [Event("view", 1, 1.0, NOW), Event("view", 2, 5.0, NOW - 40_000 * DAY)]
    check(ledger_of, SCHEMA, stream, NOW - 40_000 * DAY, NOW - 40_000 * DAY + 7 * DAY, NOW - DAY, NOW)


def test_an_idle_entity_read_in_its_own_past(ledger_of: LedgerOf) -> None:
    """The clock runs far ahead in many small steps, then a read asks for the day when entity 1 was hot."""
    stream = [Event("view", 1, 5.0, NOW)] + [Event("view", 2, 1.0, NOW + n * 7 * DAY) for n in range(1, 3000)]
    check(ledger_of, SCHEMA, stream, NOW, NOW + SECOND, NOW + DAY, NOW + 100 * DAY, NOW + 21_000 * DAY)


def test_clocks_of_types_and_entities_lie_far_apart(ledger_of: LedgerOf) -> None:
    times = (TIME_MIN_NS, -NOW, 0, NOW, TIME_MAX_NS)
    stream = [
        Event(signal.name, entity_id, 2.0, time)
        for signal, order in zip(SCHEMA, (times, times[::-1], times[2:] + times[:2], times), strict=True)
        for entity_id, time in enumerate(order)
    ]
    check(ledger_of, SCHEMA, stream, *times, *(time + HOUR for time in times[:-1]))


def test_one_entity_many_times_in_a_batch(ledger_of: LedgerOf) -> None:
    rng = np.random.default_rng(3)
    times = (NOW + rng.integers(-2 * DAY, 2 * DAY, 3000)).tolist()
    stream = [Event("view", 7, 1.0, time) for time in times] + [Event("like", 7, 0.5, time) for time in times]
    check(ledger_of, SCHEMA, stream, NOW, NOW + 2 * DAY, NOW + 3 * DAY)


def test_both_ends_of_the_id_range(ledger_of: LedgerOf) -> None:
    ids = (0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
    stream = [Event("view", entity_id, 1.0 + n, NOW + n * SECOND) for n, entity_id in enumerate(ids)]
    check(ledger_of, SCHEMA, stream, NOW, NOW + MINUTE)
    assert_agrees(ledger_of(SCHEMA), ModelLedger(SCHEMA), NOW, absent=ids)


@pytest.mark.parametrize("weight", [0.0, 1e-45, 1e-38, 1.5, 3.4028235e38])
def test_weights_at_the_ends_of_f32(ledger_of: LedgerOf, weight: float) -> None:
    stream = [Event("view", n % 2, weight, NOW + n * MINUTE) for n in range(50)]
    check(ledger_of, SCHEMA, stream, NOW, NOW + HOUR, NOW + 70 * DAY)


def test_signed_weights_cancel(ledger_of: LedgerOf) -> None:
    rng = np.random.default_rng(4)
    stream = [
        Event("reward", n % 5, float(weight), NOW + n * HOUR)
        for n, weight in enumerate(rng.normal(scale=100, size=500))
    ]
    check(ledger_of, SCHEMA, stream, NOW, NOW + 500 * HOUR, NOW + 600 * DAY)


@pytest.mark.parametrize("batch_size", [1000, 20_000])
def test_thousands_of_entities(ledger_of: LedgerOf, batch_size: int) -> None:
    """The index, the records and the window columns grow several times over."""
    rng = np.random.default_rng(5)
    size = 20_000
    ids = rng.integers(0, 2**64, 6000, dtype=np.uint64)[rng.zipf(1.3, size) % 6000].tolist()
    times = (NOW + np.sort(rng.integers(0, 9 * DAY, size)) - rng.integers(0, HOUR, size)).tolist()
    names = rng.choice(["view", "like"], size).tolist()
    stream = [Event(*row) for row in zip(names, ids, rng.exponential(size=size).tolist(), times, strict=True)]
    parts = [stream[start : start + batch_size] for start in range(0, size, batch_size)]
    ledger = ledger_of(SCHEMA, [to_batch(SCHEMA, part) for part in parts])
    assert_agrees(ledger, ModelLedger(SCHEMA, stream), NOW + 9 * DAY, k=50)
