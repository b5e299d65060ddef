"""Anything in any order: events, reads that wander in time, saves, merges; the ledger equals the twin."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tidal.ledger import SignalLedger
from tidal.schema import SchemaBuilder
from tidal.testing import Event, ModelLedger, assert_agrees
from tidal.testing.strategies import to_batch

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
START = 400_000 * HOUR

SCHEMA = (
    SchemaBuilder()
    .signal("all", half_life=("1h", "7d", "90s"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("hours", half_life="30d", windows=("24h",), signed=True)
    .signal("minutes", windows=("1h",))
    .build()
)

# Around the edges of minutes, hours, days and the week, and now and then years away.
times = st.one_of(
    st.integers(-3 * 60, 3 * 60).map(lambda n: START + n * MINUTE),
    st.integers(-200, 200).map(lambda n: START + n * HOUR),
    st.integers(-2, 2).map(lambda n: START + n * 400 * 24 * HOUR),
).flatmap(lambda t: st.sampled_from([t - 1, t, t + 1, t + 30 * 10**9]))
events = st.lists(
    st.builds(
        Event,
        st.sampled_from(SCHEMA.names),
        st.integers(0, 5),
        st.sampled_from([0.5, 1.0, 3.0]),
        times,
    ),
    min_size=1,
    max_size=12,
)


class LedgerMachine(RuleBasedStateMachine):
    @initialize(shards=st.integers(1, 4))
    def start(self, shards: int) -> None:
        self.ledger = SignalLedger(SCHEMA, shards=shards)
        self.model = ModelLedger(SCHEMA)

    @rule(batch=events)
    def ingest(self, batch: list[Event]) -> None:
        self.ledger.apply(to_batch(SCHEMA, batch))
        for event in batch:
            self.model.apply(*event)

    @rule(batch=events)
    def ingest_one_by_one(self, batch: list[Event]) -> None:
        for event in batch:
            self.ledger.add(*event)
            self.model.apply(*event)

    @rule(at=times, signal=st.sampled_from(SCHEMA.names))
    def look_at_the_present(self, at: int, signal: str) -> None:
        """A read of now turns the windows, wherever now is; the present may also jump back."""
        window = SCHEMA.signal(signal).windows[0]
        ids = np.arange(6, dtype=np.uint64)
        want = [self.model.count(signal, entity_id, window, at) for entity_id in range(6)]
        assert self.ledger.counts(signal, ids, window, at=at, now=True).tolist() == want
        assert self.ledger.count(signal, 3, window, at=at, now=True) == want[3]

    @rule(shards=st.integers(1, 4))
    def save_and_load(self, shards: int) -> None:
        digest = self.ledger.state_digest()
        loaded = SignalLedger(SCHEMA, shards=shards)
        loaded.load(*self.ledger.save())
        if shards == self.ledger.shard_count:
            assert loaded.state_digest() == digest
        self.ledger = loaded

    @rule(batch=events, shards=st.integers(1, 3))
    def merge(self, batch: list[Event], shards: int) -> None:
        other = SignalLedger(SCHEMA, shards=shards)
        other.apply(to_batch(SCHEMA, batch))
        self.ledger.merge(other)
        for event in batch:
            self.model.apply(*event)

    @rule(at=times)
    def compare(self, at: int) -> None:
        digest = self.ledger.state_digest()
        assert_agrees(self.ledger, self.model, at)
        assert self.ledger.state_digest() == digest

    @invariant()
    def clocks_agree(self) -> None:
        if hasattr(self, "ledger"):
            for name in SCHEMA.names:
                assert self.ledger.clock(name) == self.model.clock(name)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(settings.get_profile("tidal"), max_examples=40, stateful_step_count=25)
