"""What the columns behind the windows take, and that they say the same in each of their forms."""

from __future__ import annotations

import numpy as np
import pytest

from tidal._ext.gathered_ids import GatheredIds
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet

MINUTE = 60 * 10**9
NOW = 1_000_000 * MINUTE
LOOSE_BYTES = 4
ENTRY_BYTES = 8


def one_shard() -> tuple[ShardSet, Shard]:
    shard = Shard((10**9,), True, False, False)
    return ShardSet([shard]), shard


def feed(shards: ShardSet, ids: np.ndarray, minute: int) -> None:
    ones = np.ones(len(ids), np.float32)
    shards.ingest(ids.astype(np.uint64), ones, np.full(len(ids), NOW + minute * MINUTE))


def columns_of(shard: Shard) -> dict[int, dict[int, int]]:
    """The counts of each entity by minute, as they are saved."""
    saved = shard.save(NOW)
    found, start = {}, 0
    for minute, end in zip(saved["minute_bucket"], saved["minute_end"], strict=True):
        slots, counts = saved["minute_slot"][start:end], saved["minute_count"][start:end]
        assert (np.diff(slots.astype(np.int64)) > 0).all()
        found[int(minute) - NOW // MINUTE] = dict(
            zip(saved["entity_id"][slots].tolist(), counts.tolist(), strict=True)
        )
        start = end
    return found


@pytest.mark.parametrize("minute", [0, -1])
def test_many_events_of_few_entities_take_little(minute: int) -> None:
    """In the running minute and in one that is over."""
    shards, shard = one_shard()
    feed(shards, np.arange(10), 0)
    before = shard.stats()["column_bytes"]
    for _ in range(100):
        feed(shards, np.arange(10).repeat(200), minute)
    assert shard.stats()["column_bytes"] - before < 50_000  # of 200,000 events
    times = 20_000 + (minute == 0)
    assert columns_of(shard)[minute] == dict.fromkeys(range(10), times)


def test_a_minute_that_turns_is_made_compact() -> None:
    shards, shard = one_shard()
    feed(shards, np.arange(100).repeat(20), 0)  # at once: it is compacted when it turns, and not before
    assert shard.stats()["column_bytes"] >= 2000 * LOOSE_BYTES
    feed(shards, np.arange(1), 1)
    assert 100 * ENTRY_BYTES <= shard.stats()["column_bytes"] < 150 * ENTRY_BYTES
    assert columns_of(shard)[0] == dict.fromkeys(range(100), 20)


def test_a_minute_of_few_among_many_turns_without_a_visit_to_all() -> None:
    shards, shard = one_shard()
    feed(shards, np.arange(100_000), 0)
    feed(shards, np.arange(50), 1)
    before = shard.stats()["column_bytes"]
    feed(shards, np.arange(50), 2)
    assert shard.stats()["column_bytes"] < before + 50 * ENTRY_BYTES
    feed(shards, np.arange(10), 1)  # late: loose beside loose
    minute = {id_: 1 + (id_ < 10) for id_ in range(50)}
    assert columns_of(shard)[1] == minute
    assert shards.counts(np.arange(100_000, dtype=np.uint64), 0, NOW + 61 * MINUTE).sum() == 50


def test_gathered_events_have_columns_as_large_as_they_will_be() -> None:
    shards, shard = one_shard()
    gathered = GatheredIds(shards, 0)
    ids = np.arange(60_000, dtype=np.uint64)
    for minute in range(4):
        times = NOW + minute * MINUTE + np.arange(len(ids)) * (MINUTE // len(ids))
        gathered.add(ids, np.ones(len(ids), np.float32), times)
    gathered.apply()
    events = 4 * len(ids)
    assert events * LOOSE_BYTES <= shard.stats()["column_bytes"] < events * LOOSE_BYTES * 1.1
    assert columns_of(shard) == {minute: dict.fromkeys(range(60_000), 1) for minute in range(4)}
    # Where nothing is gathered any more, nothing is expected.
    feed(shards, ids[:5], 0)
    feed(shards, ids[:5], -30)
    assert shard.stats()["column_bytes"] < events * LOOSE_BYTES * 1.1
