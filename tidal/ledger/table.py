"""All live state of one signal type: its shards, its clock, and every way to read them."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from tidal._ext.gathered_ids import GatheredIds
from tidal._ext.gathered_places import GatheredPlaces
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet
from tidal.errors import InvalidOption
from tidal.ledger.saved import SavedShard, reshard
from tidal.schema.measures import COUNT, SCORE, Measure
from tidal.schema.spec import ALL, WINDOW_SECONDS, SignalType

WINDOW_POSITIONS = {**{name: i for i, name in enumerate(WINDOW_SECONDS)}, ALL: len(WINDOW_SECONDS)}


class Ranking(NamedTuple):
    """Entities and what they were ranked by, best first; equal values by ascending id."""

    ids: NDArray[np.uint64]
    values: NDArray[np.float64]


class Table:
    """Hash-partitioned shards of one signal type. Methods may be called from any thread.

    Times are ns; ``at`` before the clock reads as the clock does (t' = max(t, clock)). ``now`` says that
    ``at`` is the present, so that turning the windows to it pays.
    """

    def __init__(self, signal: SignalType, shard_count: int) -> None:
        self.signal = signal
        keeps = [window in signal.windows for window in WINDOW_SECONDS]
        self.shards = [Shard(signal.half_lives, *keeps) for _ in range(shard_count)]
        self.shard_set = ShardSet(self.shards)  # what compiled calls use directly
        self.window_positions = {name: WINDOW_POSITIONS[name] for name in (*signal.windows, ALL)}

    @property
    def clock(self) -> int | None:
        """The newest event time in ns, or None before the first event."""
        return self.shard_set.clock

    # ------------------------------------------------------------------------------ writing

    def ingest(self, ids: NDArray[np.uint64], weights: NDArray[np.float32], times: NDArray[np.int64]) -> None:
        """Apply checked events in order. O(n); releases the GIL."""
        self.shard_set.ingest(ids, weights, times)

    def gathering_by_id(self, entities_min: int) -> GatheredIds:
        """Return what takes in many events to apply them later; at once while there are fewer entities."""
        return GatheredIds(self.shard_set, entities_min)

    def gathering_by_place(self) -> GatheredPlaces:
        """Return what takes in events whose entities are places in a dictionary, to apply them later."""
        return GatheredPlaces(self.shard_set)

    def add(self, entity_id: int, weight: float, t: int) -> None:
        """Apply one checked event."""
        self.shard_set.add(entity_id, weight, t)

    def expect(self, t: int) -> None:
        """Move the clock to t, if that is later."""
        self.shard_set.expect(t)

    # ------------------------------------------------------------------------------ reading

    def score(self, entity_id: int, position: int, at: int) -> float:
        return self.shard_set.score(entity_id, position, at)

    def count(self, entity_id: int, window: str, at: int, now: bool) -> int:
        return self.shard_set.count_of(entity_id, WINDOW_POSITIONS[window], at, now)

    def scores(self, ids: NDArray[np.uint64], position: int, at: int) -> NDArray[np.float64]:
        return self.shard_set.scores(ids, position, at)

    def counts(self, ids: NDArray[np.uint64], window: str, at: int, now: bool) -> NDArray[np.uint64]:
        return self.shard_set.counts(ids, WINDOW_POSITIONS[window], at, now)

    def values(self, ids: NDArray[np.uint64], measure: Measure, at: int, now: bool) -> NDArray[Any]:
        """Return a measure of each id: float64[n], or uint64[n] for counts."""
        if measure.what == SCORE:
            return self.scores(ids, measure.position, at)
        counts = self.counts(ids, measure.window, at, now)
        return counts if measure.what == COUNT else counts / WINDOW_SECONDS[measure.window]

    def top(self, k: int, measure: Measure, at: int, now: bool) -> Ranking:
        """Return the k best entities by a measure. Counts and velocities of zero are left out. O(n)."""
        k = min(checked_k(k), len(self))
        if measure.what == SCORE:
            parts = [shard.top_scores(k, measure.position, at) for shard in self.shards]
        else:
            position, t = WINDOW_POSITIONS[measure.window], self._not_before_clock(at)
            parts = [shard.top_counts(k, position, t, now) for shard in self.shards]
        best = rank_best(
            np.concatenate([ids for ids, _ in parts]), np.concatenate([values for _, values in parts]), k
        )
        if measure.what in (SCORE, COUNT):
            return best
        return Ranking(best.ids, best.values / WINDOW_SECONDS[measure.window])

    def records(self) -> list[NDArray[np.void]]:
        """Return the hot records of each shard as structured arrays: live, read-only, without a copy."""
        return [shard.records() for shard in self.shards]

    def values_of_first(self, rows: list[int], measure: Measure, at: int, now: bool) -> NDArray[Any]:
        """Return a measure of so many records of each shard, in the order of records(); looks no id up."""
        ends = np.cumsum([0, *rows]).tolist()
        parts = [(shard, slice(*ends[i : i + 2])) for i, shard in enumerate(self.shards)]
        if measure.what == SCORE:
            scores = np.empty(ends[-1], np.float64)
            for shard, part in parts:
                shard.scores(scores[part], measure.position, at)
            return scores
        counts = np.empty(ends[-1], np.uint64)
        position, t = WINDOW_POSITIONS[measure.window], self._not_before_clock(at)
        for shard, part in parts:
            shard.counts(counts[part], position, t, now)
        return counts if measure.what == COUNT else counts / WINDOW_SECONDS[measure.window]

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def stats(self) -> dict[str, int]:
        """Return plain counters summed over the shards."""
        parts = [shard.stats() for shard in self.shards]
        return {name: sum(part[name] for part in parts) for name in parts[0]}

    # ------------------------------------------------------------------------------ saving

    def save(self) -> list[SavedShard]:
        """Return each shard's state as plain arrays, as Shard.save() does."""
        return [] if self.clock is None else [shard.save(self.clock) for shard in self.shards]

    def merge(self, saved: list[SavedShard], clock: int) -> None:
        """Add the state of another table of the same type over other events; into an empty one: restore
        it.
        """
        clock = self.shard_set.advance(clock)
        for shard, part in zip(self.shards, reshard(saved, len(self.shards), clock), strict=True):
            shard.merge(part, clock)

    def _not_before_clock(self, at: int) -> int:
        return at if self.clock is None or at > self.clock else self.clock


def checked_k(k: SupportsIndex) -> int:
    """Return how many are asked for; InvalidOption for what is no number of things."""
    try:
        number = operator.index(k)
    except TypeError:
        raise InvalidOption(f"k is {k!r}; it must be an integer") from None
    if number < 0:
        raise InvalidOption(f"k is {number}; it must not be negative")
    return number


def rank_best(ids: NDArray[np.uint64], values: NDArray[np.float64], k: int | None) -> Ranking:
    """Return the k best of some candidates (all for None): by value, equal ones by ascending id."""
    order = np.lexsort((ids, -values))[:k]
    return Ranking(ids[order], values[order])
