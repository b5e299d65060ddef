"""ModelLedger: the slow twin of the engine. It keeps every event and computes each answer from the list.

It transcribes the definitions, so that it can be checked by eye, and the engine against it:

    score   sum of w_i * 2 ** (-(t' - t_i) / h)   with t' = max(at, last event of that entity and type)
    1h      events with m(t') - 60  < m(t_i) <= m(t'),  m(x) = x // 60 s    with t' = max(at, clock)
    24h     events with d(t') - 24  < d(t_i) <= d(t'),  d(x) = x // 3600 s
    7d      events with d(t') - 168 < d(t_i) <= d(t')
    all     every event
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tidal.errors import UnknownMeasure
from tidal.schema.durations import NS_PER_SECOND, Duration
from tidal.schema.events import NOTE_TYPE_ID, EventBatch
from tidal.schema.spec import ALL, WINDOW_SECONDS, Schema

_MINUTE = 60 * NS_PER_SECOND
_HOUR = 3600 * NS_PER_SECOND
_BUCKETS = {"1h": (_MINUTE, 60), "24h": (_HOUR, 24), "7d": (_HOUR, 168)}  # window: (bucket in ns, how many)


class Event(NamedTuple):
    """One event: the type's name, the entity's id, its weight, its time in ns UTC."""

    signal: str
    entity_id: int
    weight: float
    timestamp: int


class ModelLedger:
    """Answers what a ledger answers, from the plain list of events; every read is O(events).

    It takes accepted events: it checks names, and neither weights nor times.

    >>> from tidal.schema import SchemaBuilder
    >>> model = ModelLedger(SchemaBuilder().signal("view", half_life="1h", windows=("1h",)).build())
    >>> model.apply("view", 42, 1.0, 0)
    >>> hour = 3600 * 10**9
    >>> model.score("view", 42, at=hour), model.count("view", 42, "1h", at=hour)
    (0.5, 0)
    """

    def __init__(self, schema: Schema, events: Iterable[Event] = ()) -> None:
        self.schema = schema
        self._events: dict[str, dict[int, list[Event]]] = {name: defaultdict(list) for name in schema.names}
        self._clock: dict[str, int | None] = dict.fromkeys(schema.names)
        for event in events:
            self.apply(*event)

    def apply(self, signal: str, entity_id: int, weight: float, timestamp: int) -> None:
        """Accept one event; its weight is rounded to f32, as the log holds it."""
        name, clock = self.schema.signal(signal).name, self._clock[signal]
        event = Event(name, int(entity_id), float(np.float32(weight)), int(timestamp))
        self._events[name][event.entity_id].append(event)
        self._clock[name] = event.timestamp if clock is None else max(clock, event.timestamp)

    def apply_batch(self, batch: EventBatch) -> None:
        """Accept the events of a batch, row by row; operations of sessions are none."""
        columns = (batch.type_id, batch.entity_id, batch.weight, batch.timestamp)
        for type_id, entity_id, weight, timestamp in zip(*(c.tolist() for c in columns), strict=True):
            if type_id != NOTE_TYPE_ID:
                self.apply(self.schema.by_id(type_id).name, entity_id, weight, timestamp)

    def clock(self, signal: str) -> int | None:
        """Return the largest event time of the type, None before its first event."""
        return self._clock[self.schema.signal(signal).name]

    def entities(self, signal: str) -> list[int]:
        """Return the ids that have an event of the type, ascending."""
        return sorted(self._events[self.schema.signal(signal).name])

    def events(self) -> Iterator[Event]:
        """Yield every event: by type in schema order, then by entity, then as they arrived."""
        for signal in self.schema:
            for entity_id in self.entities(signal.name):
                yield from self._events[signal.name][entity_id]

    def score(self, signal: str, entity_id: int, at: int, half_life: Duration | int | None = None) -> float:
        """Return the decayed sum of weights at time ``at``, 0.0 for an unknown entity."""
        return self._decayed_sum(signal, entity_id, at, half_life, lambda weight: weight)

    def magnitude(
        self, signal: str, entity_id: int, at: int, half_life: Duration | int | None = None
    ) -> float:
        """Return the decayed sum of absolute weights: what a score's rounding error is relative to."""
        return self._decayed_sum(signal, entity_id, at, half_life, abs)

    def count(self, signal: str, entity_id: int, window: str, at: int) -> int:
        """Return how many events of the entity are in the window at time ``at``."""
        self.schema.signal(signal).check_window(window)
        events, clock = self._of(signal, entity_id), self._clock[signal]
        if window == ALL or clock is None:
            return len(events)
        bucket, length = _BUCKETS[window]
        newest = max(at, clock) // bucket
        return sum(newest - length < e.timestamp // bucket <= newest for e in events)

    def velocity(self, signal: str, entity_id: int, window: str, at: int) -> float:
        """Return the window's count over its length, in events per second."""
        self.schema.signal(signal).check_window(window, velocity=True)
        return self.count(signal, entity_id, window, at) / WINDOW_SECONDS[window]

    def value(self, signal: str, entity_id: int, by: str, at: int) -> float:
        """Return a measure by name: "score", "score.30d", "count.1h", "count.all" or "velocity.24h"."""
        measure, _, argument = by.partition(".")
        if measure == "score":
            return self.score(signal, entity_id, at, argument or None)
        if measure == "count":
            return float(self.count(signal, entity_id, argument, at))
        if measure == "velocity":
            return self.velocity(signal, entity_id, argument, at)
        raise UnknownMeasure(f"{by!r} is not a measure; write score, count.<window> or velocity.<window>")

    def top(self, signal: str, k: int, by: str, at: int) -> list[tuple[int, float]]:
        """Return the ``k`` best (id, value): largest value first, equal values by ascending id.

        Counts and velocities of zero are left out.
        """
        values = [(entity_id, self.value(signal, entity_id, by, at)) for entity_id in self.entities(signal)]
        kept = [pair for pair in values if by.startswith("score") or pair[1]]
        return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:k]

    def _of(self, signal: str, entity_id: int) -> list[Event]:
        return self._events[self.schema.signal(signal).name].get(int(entity_id), [])

    def _decayed_sum(
        self,
        signal: str,
        entity_id: int,
        at: int,
        half_life: Duration | int | None,
        of: Callable[[float], float],
    ) -> float:
        events = self._of(signal, entity_id)
        declared = self.schema.signal(signal)
        position = declared.half_life_position(half_life)
        if not declared.half_lives:
            return math.fsum(of(e.weight) for e in events)
        now = max([at, *(e.timestamp for e in events)])
        h = declared.half_lives[position]
        return math.fsum(of(e.weight) * 2.0 ** (-(now - e.timestamp) / h) for e in events)
