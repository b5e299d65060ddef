"""The events of a workload, and what the state must be after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import tidal
from tidal.entities import entity_key_id
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch

NOW = 1_700_000_000 * 10**9
SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
LATER = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h",))
    .signal("like", half_life="1d")
    .build()
)


class SentEvent(NamedTuple):
    """Event number n, as it was given to the database."""

    signal: str
    entity: int | str
    weight: float
    time: int

    @property
    def id(self) -> int:
        return self.entity if isinstance(self.entity, int) else entity_key_id(self.entity)


def event(n: int, signal: str = "view", *, keyed: bool = False, story: int = 0) -> SentEvent:
    """The event number n: no two numbers give the same, and no two stories."""
    entity = f"item-{n % 5}" if keyed else n * 1_000_003 + story
    return SentEvent(signal, entity, float(n + 1000 * story), NOW - (7200 - 7 * n) * 10**9)


def as_batch(events: list[SentEvent]) -> EventBatch:
    """The events as the ledger takes them."""
    return EventBatch(
        np.array([it.id for it in events], np.uint64),
        np.array([LATER.signal(it.signal).type_id for it in events], np.uint8),
        np.array([it.weight for it in events], np.float32),
        np.array([it.time for it in events], np.int64),
    )


class Sent:
    """All events that a workload has submitted, in order, and in which calls."""

    def __init__(self) -> None:
        self.events: list[SentEvent] = []  # what the store is thought to hold now
        self._ever: list[SentEvent] = []  # by number, also what was lost since, and sent anew
        self.ends = [0]  # the log may end with any of these, since a call is whole or not at all
        self._digests: dict[int, bytes] = {}

    def add(self, events: Sequence[SentEvent]) -> None:
        self.events += events
        self._ever[len(self.events) - len(events) : len(self.events)] = events
        self.ends.append(len(self.events))

    def take_back(self, count: int) -> None:
        """The last events were refused: nothing of them is in the store."""
        del self.events[len(self.events) - count :]

    def slice(self, first: int, last: int) -> list[SentEvent]:
        """The events of these sequences."""
        return self._ever[first - 1 : last]

    def forget_after(self, last_seq: int) -> None:
        """The store was opened and ends here: what was sent after it and not acknowledged is gone."""
        del self.events[last_seq:]

    def digest(self, last_seq: int) -> bytes:
        """The digest of the state after events 1 .. last_seq, by a pure replay: no log and no file."""
        if last_seq not in self._digests:
            ledger = SignalLedger(LATER, shards=1)
            if last_seq:
                ledger.apply(as_batch(self._ever[:last_seq]))
            self._digests[last_seq] = ledger.state_digest()
        return self._digests[last_seq]
