"""The best of all are found by the bounds of blocks, and are those that a look at every record finds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet

SECOND = 10**9
HOUR = 3600 * SECOND
START = 1_700_000_000 * SECOND
HALF_LIVES = [2 * HOUR, 30 * 24 * HOUR]
KS = (0, 1, 7, 100, 10_000)
HOURLY, ALL = 0, 3  # windows


class Fed:
    """A shard, and what to feed it with: the same for each seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.shard = Shard(HALF_LIVES, True, True, True)
        self.shards = ShardSet([self.shard])
        self.now = START
        self.entities = 300

    def batch(self, count: int) -> None:
        """Events of few popular and many other entities, some of them new, a tenth up to two hours late."""
        ids = (self.entities * self.random.random(count) ** 3).astype(np.uint64) * np.uint64(7919)
        weights = self.random.choice(np.array([1, 1, 2.5, -1], np.float32), count)
        times = self.now + np.sort(self.random.integers(0, 30 * SECOND, count))
        late = self.random.random(count) < 0.1
        times[late] -= self.random.integers(0, 2 * HOUR, int(late.sum()))
        self.shards.ingest(ids, weights, times)
        self.now += 30 * SECOND

    def ids(self) -> NDArray[np.uint64]:
        return self.shard.records()["entity_id"].copy()


def best(ids: NDArray[np.uint64], values: NDArray[np.float64], k: int) -> tuple[list[int], list[float]]:
    order = np.lexsort((ids, -values))[:k]
    return ids[order].tolist(), values[order].tolist()


def check_scores(fed: Fed, t: int) -> None:
    for position in range(len(HALF_LIVES)):
        values = fed.shards.scores(fed.ids(), position, t)
        for k in KS:
            found = fed.shard.top_scores(k, position, t)
            assert (found[0].tolist(), found[1].tolist()) == best(fed.ids(), values, k)


def check_counts(fed: Fed, t: int, roll: bool) -> None:
    for window in (HOURLY, 1, 2, ALL):
        values = fed.shards.counts(fed.ids(), window, t, False).astype(np.float64)
        kept = values > 0
        for k in KS:
            found = fed.shard.top_counts(k, window, t, roll)
            assert (found[0].tolist(), found[1].tolist()) == best(fed.ids()[kept], values[kept], k)


def check_all(fed: Fed) -> None:
    check_scores(fed, fed.now)
    check_counts(fed, fed.now, roll=False)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_are_found_between_events(seed: int) -> None:
    fed = Fed(seed)
    for step in range(24):
        fed.batch(int(fed.random.integers(1, 400)))
        fed.shards.add(int(fed.random.integers(0, 50)) * 7919, 3.0, fed.now)
        fed.entities += int(fed.random.integers(0, 300))  # rows that no block had
        if step % 3 == 0:
            fed.now += int(fed.random.choice([0, 90 * SECOND, HOUR, 25 * HOUR]))
        check_scores(fed, fed.now)
        check_counts(fed, fed.now, roll=step % 2 == 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_are_found_at_other_times(seed: int) -> None:
    """In the past of some records or of all, and in a time in which windows are over."""
    fed = Fed(seed)
    for _ in range(6):
        fed.batch(500)
        fed.now += 20 * 60 * SECOND
        fed.shard.top_scores(1, 0, fed.now)
        fed.shard.top_counts(1, 0, fed.now, True)
        for t in (START - 1, fed.now - 25 * 60 * SECOND, fed.now + HOUR, fed.now + 800 * 24 * HOUR):
            check_scores(fed, t)
            check_counts(fed, max(t, fed.shards.clock or 0), roll=False)


def test_the_best_are_found_when_sums_have_several_landmarks() -> None:
    fed = Fed(9)
    for _ in range(5):
        fed.batch(800)
        fed.now += 40 * 24 * HOUR  # 512 half-lives are 42 days
        check_scores(fed, fed.now)


def test_events_that_marked_no_block_are_found() -> None:
    """What a merge adds is not marked; it counts as events."""
    fed, other = Fed(1), Fed(2)
    fed.batch(2_000)
    other.batch(2_000)
    check_all(fed)
    clock = max(fed.shards.clock or 0, other.shards.clock or 0)
    fed.shards.advance(clock)
    fed.shard.merge(other.shard.save(clock), clock)
    check_all(fed)


def test_a_count_that_fell_is_not_taken_for_what_it_was() -> None:
    """The blocks that were the most popular ones an hour ago hold nothing any more."""
    shard = Shard([], True, False, False)
    shards = ShardSet([shard])
    ids = np.arange(5_000, dtype=np.uint64)  # forty blocks

    def check(t: int) -> None:
        values = shards.counts(ids, HOURLY, t).astype(np.float64)
        for k in (1, 5, 20):
            found = shard.top_counts(k, HOURLY, t, True)
            assert (found[0].tolist(), found[1].tolist()) == best(ids[values > 0], values[values > 0], k)

    shards.ingest(ids, np.ones(5_000, np.float32), np.full(5_000, START - 30 * 24 * HOUR))
    for hour in range(4):
        popular = np.repeat(ids[1_000 * hour : 1_000 * hour + 300], 9 - 2 * hour)
        times = np.full(len(popular), START + hour * HOUR)
        shards.ingest(popular, np.ones(len(popular), np.float32), times)
        check(START + hour * HOUR)
        check(START + hour * HOUR + 59 * 60 * SECOND)
        check(START + hour * HOUR + 61 * 60 * SECOND)


@pytest.mark.parametrize("seed", [17, 42, 59])
def test_sums_that_differ_by_a_rounding_and_read_alike_rank_by_id(seed: int) -> None:
    """Each entity has the same events, and adds them up in another order; they lie in eight blocks."""
    random = np.random.default_rng(seed)
    shard = Shard([HOUR], False, False, False)
    shards = ShardSet([shard])
    weights, times = random.random(7).astype(np.float32), START + random.integers(0, 600 * SECOND, 7)
    ids = np.arange(1024, dtype=np.uint64)
    for entity in ids:
        order = random.permutation(7)
        shards.ingest(np.full(7, entity), weights[order], times[order])
    for minute in range(30):
        now = START + (600 + minute * 37) * SECOND
        values = shards.scores(ids, 0, now)
        for k in (1, 3, 5):
            found = shard.top_scores(k, 0, now)[0].tolist()
            assert found == ids[np.lexsort((ids, -values))[:k]].tolist()
