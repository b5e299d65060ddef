"""SummedReads: what a database answers, over the ledgers of several nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.ledger import Ranking, SignalLedger
from tidal.ledger.table import checked_k, rank_best
from tidal.schema import Duration, Schema
from tidal.schema.measures import COUNT, SCORE, parse_measure
from tidal.schema.spec import WINDOW_SECONDS

U64 = NDArray[np.uint64]


class SummedReads:
    """Reads over the union of the events of several nodes, of which each event is of one.

    A score or count is the sum of the nodes' own, in their order: whoever has the same states reads the same
    bits. ``at`` is a time in ns; before the newest event of any node it is that event's time, as in one
    ledger with all events.
    """

    def __init__(self, schema: Schema, ledgers: Sequence[SignalLedger]) -> None:
        self.schema, self._ledgers = schema, tuple(ledgers)

    def score(
        self, signal: str, entity_id: int, *, at: int, half_life: Duration | int | None = None
    ) -> float:
        """Return the decayed score of an entity, 0.0 where unknown."""
        t = self._time(signal, at)
        return float(sum(it.score(signal, entity_id, at=t, half_life=half_life) for it in self._ledgers))

    def scores(
        self, signal: str, ids: U64, *, at: int, half_life: Duration | int | None = None
    ) -> NDArray[np.float64]:
        """Return the decayed score of each id, float64[n]."""
        declared = self.schema.signal(signal)
        return self._scores(
            signal, ids, 0 if half_life is None else declared.half_life_position(half_life), at
        )

    def count(self, signal: str, entity_id: int, window: str, *, at: int) -> int:
        """Return the events of an entity in a window, 0 where unknown."""
        t = self._time(signal, at)
        return sum(it.count(signal, entity_id, window, at=t) for it in self._ledgers)

    def counts(self, signal: str, ids: U64, window: str, *, at: int) -> U64:
        """Return the events of each id in a window, uint64[n]."""
        t = self._time(signal, at)
        return self._sum(ids, np.uint64, lambda it: it.counts(signal, ids, window, at=t))

    def velocity(self, signal: str, entity_id: int, window: str, *, at: int) -> float:
        """Return the events a second of an entity over a window."""
        self.schema.signal(signal).check_window(window, velocity=True)
        return self.count(signal, entity_id, window, at=at) / WINDOW_SECONDS[window]

    def velocities(self, signal: str, ids: U64, window: str, *, at: int) -> NDArray[np.float64]:
        """Return the events a second of each id over a window, float64[n]."""
        self.schema.signal(signal).check_window(window, velocity=True)
        rates: NDArray[np.float64] = self.counts(signal, ids, window, at=at) / WINDOW_SECONDS[window]
        return rates

    def top(self, signal: str, k: int, *, by: str = "score", at: int) -> Ranking:
        """Return the k best entities by a measure of their sums, best first; counts and velocities of zero
        are left out. O(entities of all nodes).
        """
        measure = parse_measure(self.schema.signal(signal), by)
        ids = self._entities(signal)
        if measure.what == SCORE:
            return rank_best(ids, self._scores(signal, ids, measure.position, at), checked_k(k))
        counts = self.counts(signal, ids, measure.window, at=at)
        values: NDArray[Any] = counts[counts > 0]
        best = rank_best(ids[counts > 0], values, checked_k(k))
        if measure.what == COUNT:
            return best
        return Ranking(best.ids, best.values / WINDOW_SECONDS[measure.window])

    def _scores(self, signal: str, ids: U64, position: int, at: int) -> NDArray[np.float64]:
        t = self._time(signal, at)
        return self._sum(ids, np.float64, lambda it: it.table(signal).scores(ids, position, t))

    def _entities(self, signal: str) -> U64:
        rows = [part["entity_id"] for it in self._ledgers for part in it.table(signal).records()]
        return np.unique(np.concatenate(rows)) if rows else np.empty(0, np.uint64)

    def _time(self, signal: str, at: int) -> int:
        """Return the time at which all nodes are read: not before the newest event of any."""
        self.schema.signal(signal)
        return max([at, *(clock for it in self._ledgers if (clock := it.clock(signal)) is not None)])

    def _sum(self, ids: U64, dtype: Any, part: Callable[[SignalLedger], NDArray[Any]]) -> NDArray[Any]:
        total = np.zeros(len(ids), dtype)
        for ledger in self._ledgers:
            total += part(ledger)
        return total
