"""Sums and counts of many entities as of many moments, from one pass over events in any order.

For each entity the asked times, and the times where their windows begin, cut the time axis. An event is noted
at the first cut that is not before it: one to a count, its weight, decayed up to the next asked time, to a
sum. When all events were seen, running totals along each entity's cuts give every answer: a window's count is
the total at the asked time less that where the window begins, and a score at a time is the score at the time
before, decayed, and what was noted between. Memory is that of the moments, whatever the number of events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.schema import EventBatch, SignalType
from tidal.schema.durations import NS_PER_SECOND
from tidal.schema.measures import COUNT, SCORE, Measure
from tidal.schema.spec import ALL, WINDOW_SECONDS

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

# The buckets of each window, in ns, and how many there are: the running one included.
BUCKETS: Final[Mapping[str, tuple[int, int]]] = {
    "1h": (60 * NS_PER_SECOND, 60),
    "24h": (3600 * NS_PER_SECOND, 24),
    "7d": (3600 * NS_PER_SECOND, 168),
}


class Moments:
    """Which entities are asked about, and as of when; ``strict`` leaves out events at exactly that time.

    ``ids`` uint64[n] and ``times`` int64[n] (ns), in any order; the answers of a Tally are in that order.
    """

    def __init__(
        self, ids: NDArray[np.uint64], times: I64, windows: Sequence[str], *, strict: bool = False
    ) -> None:
        self._ids, entity = np.unique(ids, return_inverse=True)
        last = times - 1 if strict else times  # the last event that counts is not after this
        self.since_last = np.int64(1 if strict else 0)
        starts = [_before_window(times, window) for window in windows]
        stacked = np.concatenate([last, *starts])
        self._times, rank = np.unique(stacked, return_inverse=True)
        self._span = np.int64(max(len(self._times), 1))
        keys = np.tile(entity.astype(np.int64), 1 + len(windows)) * self._span + rank
        self._cuts, place = np.unique(keys, return_inverse=True)
        places = place.reshape(1 + len(windows), len(ids))
        self.at = places[0]  # of each row: the cut of its time
        self.window_starts = dict(zip(windows, places[1:], strict=True))
        self._entity = self._cuts // self._span  # of each cut
        self.first_cut = np.searchsorted(self._entity, entity)  # of each row's entity
        # Sums are only asked for at times, not where windows begin.
        self.stops, self.stop_of = np.unique(self.at, return_inverse=True)
        self.stop_times = self._times[self._cuts[self.stops] % self._span]
        self.stop_entity = self._entity[self.stops]

    @property
    def cuts(self) -> int:
        return len(self._cuts)

    def place(self, batch: EventBatch) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the events that any moment can see, and the cut of each."""
        if not len(self._ids):
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        order = np.argsort(batch.entity_id)  # neighbours in the tables are neighbours in time of look-up
        sorted_ids = batch.entity_id[order]
        entity = np.searchsorted(self._ids, sorted_ids)
        entity[entity == len(self._ids)] = 0
        known = self._ids[entity] == sorted_ids
        order, entity = order[known], entity[known]
        keys = entity * self._span + np.searchsorted(self._times, batch.timestamp[order])
        cut = np.searchsorted(self._cuts, keys)
        cut[cut == len(self._cuts)] = 0
        seen = (self._entity[cut] == entity) & (self._cuts[cut] >= keys)
        return order[seen], cut[seen]


class Tally:
    """What was seen of one signal type at the cuts of some moments."""

    def __init__(self, signal: SignalType, moments: Moments, measures: Sequence[Measure]) -> None:
        self.signal, self._moments, self._measures = signal, moments, measures
        self._counts = np.zeros(moments.cuts, np.uint32)
        self._positions = sorted({it.position for it in measures if it.what == SCORE})
        self._sums = {position: np.zeros(len(moments.stops)) for position in self._positions}

    def add(self, batch: EventBatch, rows: NDArray[np.intp], cuts: NDArray[np.intp]) -> None:
        """Note events, each at its cut; in any order."""
        np.add.at(self._counts, cuts, np.uint32(1))
        if not self._positions:
            return
        stop = np.searchsorted(self._moments.stops, cuts)
        weights = batch.weight[rows].astype(np.float64)
        age = (self._moments.stop_times[stop] - batch.timestamp[rows]).astype(np.float64)
        for position, sums in self._sums.items():
            np.add.at(sums, stop, weights * self._factor(age, position))

    def answers(self) -> dict[Measure, NDArray[Any]]:
        """Return each measure at each moment: scores and velocities float64[n], counts uint64[n]."""
        moments = self._moments
        totals = np.concatenate([[0], np.cumsum(self._counts, dtype=np.int64)])  # before each cut
        until = totals[moments.at + 1]
        found: dict[Measure, NDArray[Any]] = {}
        for measure in self._measures:
            if measure.what == SCORE:
                score = self._running(measure.position)[moments.stop_of]
                found[measure] = score * self._factor(np.float64(moments.since_last), measure.position)
                continue
            before = moments.first_cut if measure.window == ALL else moments.window_starts[measure.window] + 1
            counts = until - totals[before]
            if measure.what == COUNT:
                found[measure] = counts.astype(np.uint64)
            else:
                found[measure] = counts / WINDOW_SECONDS[measure.window]
        return found

    def _running(self, position: int) -> F64:
        """Return the decayed sum at each stop: a scan in steps of 1, 2, 4, ... stops of the same entity."""
        times, entity = self._moments.stop_times, self._moments.stop_entity
        sums = self._sums[position]
        nth = np.arange(len(entity)) - np.searchsorted(entity, entity)  # of the entity's stops, from 0
        step = 1
        while len(rows := np.flatnonzero(nth >= step)):
            age = (times[rows] - times[rows - step]).astype(np.float64)
            more = sums[rows - step] * self._factor(age, position)
            sums = sums.copy()
            sums[rows] += more
            step *= 2
        return sums

    def _factor(self, age: Any, position: int) -> Any:
        """Return what is left of a weight after some ns."""
        if not self.signal.half_lives:
            return np.ones_like(age)
        return np.exp2(-age / self.signal.half_lives[position])


def _before_window(times: I64, window: str) -> I64:
    """Return the last ns that is not in the window any more, as of each time."""
    bucket, length = BUCKETS[window]
    return (times // bucket - length + 1) * bucket - 1
