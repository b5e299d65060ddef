"""State is a function of the events: not of how they were cut into batches, nor of who read in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidal.ledger import SignalLedger
from tidal.schema import Schema, SchemaBuilder
from tidal.testing import Event, ModelLedger, assert_agrees
from tidal.testing.strategies import events, reading_times, schemas, splits, to_batch

HOUR = 3600 * 10**9

SCHEMA = (
    SchemaBuilder()
    .signal("view", half_life=("7d", "1h", "1s"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("reward", half_life="30d", windows=("7d",), signed=True)
    .build()
)

LedgerOf = Callable[..., Any]


def whole(schema: Schema, given_events: Sequence[Event]) -> list[Any]:
    return [to_batch(schema, given_events)]


@given(st.data())
def test_any_cut_into_batches_gives_the_same_bits(ledger_of: LedgerOf, data: st.DataObject) -> None:
    schema = data.draw(schemas())
    given_events = data.draw(events(schema, max_size=60))
    parts = data.draw(splits(given_events))
    expected = ledger_of(schema, whole(schema, given_events)).state_digest()
    assert ledger_of(schema, [to_batch(schema, part) for part in parts]).state_digest() == expected
    one_by_one = ledger_of(schema)
    for event in given_events:
        one_by_one.add(event.signal, event.entity_id, event.weight + 0.0, event.timestamp)  # -0.0 is 0.0
    assert one_by_one.state_digest() == expected


@given(st.data())
def test_a_history_whose_end_was_told_gives_the_same_bits(ledger_of: LedgerOf, data: st.DataObject) -> None:
    """Wherever it is told: before all of it or after a part, of each type or of some, the end or less."""
    schema = data.draw(schemas())
    given_events = data.draw(events(schema, max_size=60))
    parts = data.draw(splits(given_events))
    told = data.draw(st.integers(0, len(parts)))
    ledger = ledger_of(schema, [to_batch(schema, part) for part in parts[:told]])
    times = data.draw(st.permutations([e for part in parts[told:] for e in part]))
    ledger.expect({schema.signal(e.signal).type_id: e.timestamp for e in times} | {254: 0})
    for part in parts[told:]:
        ledger.apply(to_batch(schema, part))
    assert ledger.state_digest() == ledger_of(schema, whole(schema, given_events)).state_digest()
    assert_agrees(ledger, ModelLedger(schema, given_events), data.draw(reading_times(given_events)))


@given(st.data())
def test_the_digest_tells_states_apart(ledger_of: LedgerOf, data: st.DataObject) -> None:
    given_events = data.draw(events(SCHEMA, max_size=10))
    more = [*given_events, Event("view", 5, 1.0, max((e.timestamp for e in given_events), default=0))]
    few = ledger_of(SCHEMA, whole(SCHEMA, given_events)).state_digest()
    assert ledger_of(SCHEMA, whole(SCHEMA, more)).state_digest() != few


@given(st.data())
def test_the_order_of_arrival_does_not_matter(ledger_of: LedgerOf, data: st.DataObject) -> None:
    given_events = data.draw(events(SCHEMA))
    shuffled = data.draw(st.permutations(given_events))
    ledger = ledger_of(SCHEMA, [to_batch(SCHEMA, part) for part in data.draw(splits(shuffled))])
    assert_agrees(ledger, ModelLedger(SCHEMA, given_events), data.draw(reading_times(given_events)))


@given(st.data())
def test_reads_leave_no_trace(ledger_of: LedgerOf, data: st.DataObject) -> None:
    given_events = data.draw(events(SCHEMA))
    read, unread = ledger_of(SCHEMA), ledger_of(SCHEMA)
    for part in data.draw(splits(given_events)):
        for ledger in (read, unread):
            ledger.apply(to_batch(SCHEMA, part))
        before = read.state_digest()
        for at in data.draw(st.lists(reading_times(given_events), max_size=3)):
            read_everything(read, at)
        assert read.state_digest() == before == unread.state_digest()
    assert_agrees(read, ModelLedger(SCHEMA, given_events), data.draw(reading_times(given_events)))


def read_everything(ledger: Any, at: int) -> None:
    ids = to_batch(
        SCHEMA, [Event("view", entity_id, 0.0, 0) for entity_id in (0, 1, 77, 2**64 - 1)]
    ).entity_id
    for signal in SCHEMA:
        ledger.scores(signal.name, ids, at=at)
        ledger.top(signal.name, 3, by="score", at=at)
        for window in (*signal.windows, "all"):
            for now in (False, True):
                ledger.count(signal.name, 0, window, at=at, now=now)
                ledger.counts(signal.name, ids, window, at=at, now=now)
                ledger.top(signal.name, 3, by=f"count.{window}", at=at, now=now)


@given(st.data())
def test_two_ledgers_merge_into_that_of_the_union(ledger_of: LedgerOf, data: st.DataObject) -> None:
    schema = data.draw(schemas())
    ours, theirs = data.draw(events(schema)), data.draw(events(schema))
    ledger, other = ledger_of(schema, whole(schema, ours)), ledger_of(schema, whole(schema, theirs))
    before = other.state_digest()
    ledger.merge(other)
    assert other.state_digest() == before
    assert_agrees(ledger, ModelLedger(schema, [*ours, *theirs]), data.draw(reading_times([*ours, *theirs])))


@given(st.data())
def test_a_merged_ledger_goes_on(ledger_of: LedgerOf, data: st.DataObject) -> None:
    first, second, third = (data.draw(events(SCHEMA, max_size=20)) for _ in range(3))
    ledger = ledger_of(SCHEMA, whole(SCHEMA, first))
    ledger.merge(ledger_of(SCHEMA, whole(SCHEMA, second)))
    ledger.apply(to_batch(SCHEMA, third))
    every = [*first, *second, *third]
    assert_agrees(ledger, ModelLedger(SCHEMA, every), data.draw(reading_times(every)))


@given(st.data(), st.integers(1, 6))
def test_ledgers_of_other_shard_counts_merge(ledger_of: LedgerOf, data: st.DataObject, shards: int) -> None:
    ours, theirs = data.draw(events(SCHEMA)), data.draw(events(SCHEMA, entities=8))
    other = SignalLedger(SCHEMA, shards=shards)
    other.apply(to_batch(SCHEMA, theirs))
    ledger = ledger_of(SCHEMA, whole(SCHEMA, ours))
    ledger.merge(other)
    assert_agrees(ledger, ModelLedger(SCHEMA, [*ours, *theirs]), data.draw(reading_times([*ours, *theirs])))


@given(st.data())
def test_merging_nothing_changes_nothing(ledger_of: LedgerOf, data: st.DataObject) -> None:
    given_events = data.draw(events(SCHEMA))
    ledger = ledger_of(SCHEMA, whole(SCHEMA, given_events))
    before = ledger.state_digest()
    ledger.merge(ledger_of(SCHEMA))
    assert ledger.state_digest() == before


@given(st.data())
def test_all_entities_read_as_each_of_them_does(ledger_of: LedgerOf, data: st.DataObject) -> None:
    given_events = data.draw(events(SCHEMA, entities=8))
    ledger = ledger_of(SCHEMA, whole(SCHEMA, given_events))
    at, now = data.draw(reading_times(given_events)), data.draw(st.booleans())
    for signal in SCHEMA:
        read = ledger.read(signal.name, at=at, now=now)
        ids = read["entity_id"]
        assert read["score"].tolist() == ledger.scores(signal.name, ids, at=at).tolist()
        for window in (*signal.windows, "all"):
            assert read[f"count.{window}"].tolist() == ledger.counts(signal.name, ids, window, at=at).tolist()
        if signal.velocity:
            rates = ledger.velocities(signal.name, ids, "24h", at=at)
            assert read["velocity.24h"].tolist() == rates.tolist()
