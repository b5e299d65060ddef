"""The compiled shard, at its edges: what property tests of the ledger cannot reach."""

from __future__ import annotations

import math
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext.saved import RECORD_BYTES, RECORD_DTYPE, check_columns
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet, shards_of

HOUR = 3600 * 10**9
DAY = 24 * HOUR
GOLDEN_SHARDS = [2, 8, 5, 1, 6, 15, 1]  # a store's checkpoints depend on it


def ingest(shard: Shard, ids: list[int], times: list[int], weights: list[float] | None = None) -> None:
    ShardSet([shard]).ingest(
        np.array(ids, np.uint64),
        np.array(weights or [1.0] * len(ids), np.float32),
        np.array(times, np.int64),
    )


def test_the_record_is_one_cache_line() -> None:
    assert RECORD_BYTES == RECORD_DTYPE.itemsize == 64
    assert {name: RECORD_DTYPE.fields[name][1] for name in RECORD_DTYPE.names or ()} == {
        "entity_id": 0, "last_time": 8, "sums": 16, "total": 40, "windows": 48, "reserved": 60,
    }  # fmt: skip
    shard = Shard([DAY], True, True, True)
    ingest(shard, [5, 6], [0, 1])
    records = shard.records()
    assert records.__array_interface__["data"][0] % 64 == 0
    assert not records.flags.writeable


def test_powers_of_two_are_exact() -> None:
    shard = Shard([DAY], False, False, False)
    ingest(shard, [1], [1_700_000_000 * 10**9 + 123_456_789])
    start = shard.clock
    assert start is not None
    assert [ShardSet([shard]).score(1, 0, start + n * DAY) for n in (0, 1, 2, 10, 1000, 1074, 1080)] == [
        1.0, 0.5, 0.25, 2.0**-10, 2.0**-1000, 2.0**-1074, 0.0,
    ]  # fmt: skip


@given(st.integers(1_000_000, 100 * 365 * DAY), st.integers(0, 2**61))
def test_decay_is_within_three_ulp_of_libm(half_life: int, age: int) -> None:
    shard = Shard([half_life], False, False, False)
    ingest(shard, [1], [0])
    exponent = -age / half_life
    want = 2.0**exponent if exponent > -1000 else 0.0
    got = ShardSet([shard]).score(1, 0, age)
    # The exponent itself is a rounded number in the comparison: its error grows with its size.
    assert math.isclose(got, want, rel_tol=3 * sys.float_info.epsilon * max(1.0, -exponent), abs_tol=1e-300)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(1, 256))
def test_every_id_has_one_shard(ids: list[int], count: int) -> None:
    shards = shards_of(np.array(ids, np.uint64), count)
    assert shards.tolist() == [int(shards_of(np.array([i], np.uint64), count)[0]) for i in ids]
    assert all(shard < count for shard in shards.tolist())


def test_shards_are_the_same_for_ever() -> None:
    ids = np.array([0, 1, 2, 42, 2**32, 2**63, 2**64 - 1], np.uint64)
    assert shards_of(ids, 16).tolist() == GOLDEN_SHARDS
    with pytest.raises(ValueError, match="1 to 256"):
        shards_of(ids, 257)


def test_shards_are_even() -> None:
    for ids in (np.arange(100_000), np.arange(100_000) << 20, np.arange(100_000) * 2654435761):
        sizes = np.bincount(shards_of(ids.astype(np.uint64), 16), minlength=16)
        assert sizes.min() > 0.9 * 100_000 / 16


def test_window_counts_stop_at_their_limit_and_say_so() -> None:
    """Four billion events in a week: the record holds no more, so it counts what it left out."""
    shard = Shard([], False, False, True)
    hour = 500_000
    saved = {
        "entity_id": np.array([7], np.uint64),
        "last_time": np.array([hour * HOUR], np.int64),
        "sums": np.zeros((1, 3)),
        "total": np.array([2**32 - 2], np.uint64),
        "minute_bucket": np.zeros(0, np.int64),
        "minute_end": np.zeros(0, np.int64),
        "minute_slot": np.zeros(0, np.uint32),
        "minute_count": np.zeros(0, np.uint32),
        "hour_bucket": np.array([hour], np.int64),
        "hour_end": np.array([1], np.int64),
        "hour_slot": np.array([0], np.uint32),
        "hour_count": np.array([2**32 - 2], np.uint32),
    }
    shard.merge(saved, hour * HOUR)
    shards = ShardSet([shard])
    ingest(shard, [7] * 3, [hour * HOUR] * 3)
    assert shards.count_of(7, 2, hour * HOUR) == 2**32 - 1
    assert shards.count_of(7, 3, hour * HOUR) == 2**32 + 1
    assert shard.stats()["saturated"] == 2
    # What was left out never entered a column, so the count falls to zero and not below.
    assert shards.count_of(7, 2, (hour + 168) * HOUR) == 0
    ingest(shard, [8], [(hour + 168) * HOUR])
    assert shards.count_of(7, 2, (hour + 168) * HOUR) == 0


def test_columns_of_several_lengths_are_refused() -> None:
    shard = Shard([DAY], True, False, False)
    with pytest.raises(ValueError, match="lengths"):
        ShardSet([shard]).ingest(np.zeros(2, np.uint64), np.zeros(1, np.float32), np.zeros(2, np.int64))
    for count in (0, 257):
        with pytest.raises(ValueError, match="1 to 256"):
            ShardSet([shard] * count)
    with pytest.raises(ValueError, match="half-lives"):
        Shard([1, 2, 3, 4], False, False, False)
    with pytest.raises(ValueError, match="negative"):
        shard.top_scores(-1, 0, 0)
    with pytest.raises(ValueError, match="1 of 0 records"):
        shard.scores(np.empty(1), 0, 0)
    with pytest.raises(ValueError, match="1 of 0 records"):
        shard.counts(np.empty(1, np.uint64), 0, 0)
    assert shard.clock is None and len(shard) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hour_slot", np.array([9], np.uint32)),
        ("hour_end", np.array([2], np.int64)),
        ("hour_count", np.zeros(0, np.uint32)),
        ("total", np.zeros(0, np.uint64)),
        ("last_time", np.array([10**18], np.int64)),
        ("hour_bucket", np.array([6], np.int64)),
    ],
)
def test_state_that_does_not_add_up_is_refused(name: str, value: np.ndarray) -> None:
    good = Shard([DAY], False, True, False)
    ingest(good, [1], [5 * HOUR])
    saved = good.save(5 * HOUR)
    check_columns(saved, "hour", 1, 5 * HOUR)
    target = Shard([DAY], False, True, False)
    with pytest.raises(ValueError):
        target.merge(saved | {name: value}, 5 * HOUR)
    assert len(target) == 0


def test_a_read_that_took_its_time_before_the_clock_moved_turns_nothing_back() -> None:
    """As when another thread ingests a newer minute between the two steps of a read of now."""
    minute = 60 * 10**9
    shard = Shard([], True, True, True)
    shards = ShardSet([shard])
    shards.add(1, 1.0, 100 * minute)
    shard.roll(98 * minute)
    assert shards.count_of(1, 0, 98 * minute, True) == 1
    shards.add(1, 1.0, 100 * minute)
    shard.roll(101 * minute)
    assert [shards.count_of(1, 0, at * minute) for at in (101, 158, 159, 160)] == [2, 2, 2, 0]


def test_points_are_read_while_a_batch_is_applied() -> None:
    """Readers never see a record between two of its fields: count and sum rise together."""
    shards = ShardSet([Shard([], True, True, True) for _ in range(3)])
    n = 400_000
    ids, stop = np.zeros(n, np.uint64), threading.Event()
    torn: list[tuple[float, int, float]] = []

    def read() -> None:
        while not stop.is_set():
            low, count, high = shards.score(0, 0, 0), shards.count_of(0, 3, 0), shards.score(0, 0, 0)
            if not low <= count <= high:
                torn.append((low, count, high))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        shards.ingest(ids, np.ones(n, np.float32), np.zeros(n, np.int64))
    stop.set()
    reader.join()
    assert torn == []
    assert shards.count_of(0, 3, 0) == 3 * n


def test_scores_are_read_while_windows_turn() -> None:
    """They take another lock than what turns: no score may be seen with half of an event in it.

    With an event each minute and a half-life of one, the score at the newest event is 1 + 1/2 + 1/4 + ...
    """
    minute, n, stop = 60 * 10**9, 100_000, threading.Event()
    shard = Shard([minute], True, True, True)
    shards, wrong, ids = ShardSet([shard]), [], np.full(10_000, 7, np.uint64)
    ingest(shard, [7], [0])
    seen = last = 0

    def read() -> None:
        nonlocal seen
        while not stop.is_set():
            scores = [shards.score(7, 0, 0), *shards.scores(ids, 0, 0).tolist()]
            scores += shard.top_scores(1, 0, 0)[1].tolist()
            wrong.extend(score for score in scores if not 1.0 <= score <= 2.0)
            seen += len(scores)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while seen < 300_000 or last < n:  # each chunk turns hundreds of minutes
            times = np.arange(last + 1, last + 1 + n) * minute
            shards.ingest(np.full(n, 7, np.uint64), np.ones(n, np.float32), times)
            last += n
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert shards.count_of(7, 0, last * minute) == 60
    assert shards.count_of(7, 3, last * minute) == last + 1


def test_saving_and_reading_do_not_wait_for_each_other() -> None:
    """Single reads wait for a shard with the interpreter's lock held: who has a shard must not want that."""
    shard = Shard([DAY], True, True, True)
    ingest(shard, list(range(20_000)), [HOUR] * 20_000)
    shards, stop = ShardSet([shard]), threading.Event()

    def read() -> None:
        while not stop.is_set():
            shards.score(1, 0, HOUR)
            shards.count_of(1, 1, HOUR)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(60):
            saved = shard.save(HOUR)
            Shard([DAY], True, True, True).merge(saved, HOUR)
            shard.merge(saved, HOUR)
            assert len(shard.top_counts(3, 0, HOUR)[0]) == 3
    finally:
        stop.set()
        reader.join()
    assert shards.count_of(1, 3, HOUR) == 2**60


def test_a_sum_of_minus_zero_comes_back_as_it_was() -> None:
    """An addition to a record of zeros would make 0.0 of it: other bytes than the log gives."""
    shard, copy = Shard([90 * 10**9], False, False, False), Shard([90 * 10**9], False, False, False)
    last = 1_734_479_879_999_999_999
    ingest(shard, [7, 7], [-60_000_000_001, last], [-1.0, -0.0])
    assert np.signbit(shard.save(last)["sums"][0, 0])
    copy.merge(shard.save(last), last)
    assert copy.save(last)["sums"].tobytes() == shard.save(last)["sums"].tobytes()


def test_only_events_that_come_late_are_counted_so() -> None:
    """Where the end of a history was told, all of it lies before the clock, and none of it is late."""
    minute, told = 60 * 10**9, Shard([], True, True, True)
    shards = ShardSet([told])
    assert shards.expect(9 * minute) == shards.expect(3 * minute) == shards.clock == 9 * minute
    for t in (0, 5, 6, 5, 9):
        shards.add(1, 1.0, t * minute)
    shard = Shard([], True, True, True)
    ingest(shard, [1, 1, 1], [9 * minute, 8 * minute, 9 * minute + 1])
    assert shards.count_of(1, 0, 9 * minute) == 5
    assert (told.stats()["late"], shard.stats()["late"]) == (1, 1)


def test_top_finds_what_comes_back_into_a_window_when_time_is_turned_back() -> None:
    """A read of a later now turned the windows; one of an earlier now turns them back, without an event."""
    minute, shard = 60 * 10**9, Shard([], True, True, True)
    ingest(shard, [7, 7], [0, 0])
    assert shard.top_counts(1, 0, 0, True)[1].tolist() == [2.0]
    ingest(shard, [7], [0])
    assert shard.top_counts(1, 0, 90 * minute, True)[1].tolist() == []
    assert shard.top_counts(1, 0, 0, True)[1].tolist() == [3.0]
