"""Routers: every id belongs to one shard, the same one for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import InvalidEntity, InvalidOption
from tidal.sharding import ShardRouter

ID_MAX = (1 << 64) - 1
IDS = [0, 1, 2, 3, 41, 42, 1000, 1 << 32, 1 << 63, ID_MAX - 1, ID_MAX]

# Stores were filled by these: another answer would not find what is in them.
GOLDEN = {
    2: [1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0],
    3: [1, 2, 1, 0, 0, 1, 1, 1, 1, 2, 2],
    7: [2, 2, 4, 2, 6, 5, 0, 6, 6, 0, 0],
    16: [15, 1, 14, 13, 9, 5, 8, 8, 11, 1, 0],
    65_536: [52655, 23745, 22222, 36845, 51529, 28309, 49480, 312, 62427, 43041, 11296],
}


@pytest.mark.parametrize("shards", GOLDEN)
def test_hashes_are_golden(shards: int) -> None:
    router = ShardRouter.hashed(shards)
    assert router.shards_of(np.array(IDS, np.uint64)).tolist() == GOLDEN[shards]
    assert [router.shard_of(id) for id in IDS] == GOLDEN[shards]


@given(st.lists(st.integers(0, ID_MAX), min_size=1), st.integers(1, 65_536))
def test_a_hash_is_as_in_plain_integers(ids: list[int], shards: int) -> None:
    """SplitMix64's finaliser, by another hand."""

    def mixed(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) & ID_MAX
        x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & ID_MAX
        x = ((x ^ x >> 27) * 0x94D049BB133111EB) & ID_MAX
        return x ^ x >> 31

    found = ShardRouter.hashed(shards).shards_of(np.array(ids, np.uint64))
    assert found.tolist() == [mixed(id) % shards for id in ids]


def test_hashes_are_even() -> None:
    """Ids that ascend, as those of most tables do."""
    counts = np.bincount(ShardRouter.hashed(16).shards_of(np.arange(160_000, dtype=np.uint64)))
    assert 9_500 < counts.min() <= counts.max() < 10_500


@given(st.sets(st.integers(1, ID_MAX), max_size=20), st.lists(st.integers(0, ID_MAX)))
def test_ranges_cover_every_id(starts: set[int], ids: list[int]) -> None:
    bounds = [0, *sorted(starts)]
    router = ShardRouter.ranges(bounds)
    wanted = [0, ID_MAX, *bounds, *(start - 1 for start in starts), *ids]
    for id, shard in zip(wanted, router.shards_of(np.array(wanted, np.uint64)).tolist(), strict=True):
        assert bounds[shard] <= id
        assert shard == len(bounds) - 1 or id < bounds[shard + 1]


def test_keys_go_where_their_ids_go() -> None:
    router = ShardRouter.hashed(8)
    assert router.shard_of("sku:85123A") == router.shard_of(8686700507223753918)
    assert {ShardRouter.single().shard_of(id) for id in IDS} == {0}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ShardRouter.hashed(0),
        lambda: ShardRouter.hashed(65_537),
        lambda: ShardRouter.hashed(True),
        lambda: ShardRouter.ranges([]),
        lambda: ShardRouter.ranges([1, 5]),
        lambda: ShardRouter.ranges([0, 5, 5]),
        lambda: ShardRouter("single", 2),
        lambda: ShardRouter("hashed", 2, (0,)),
        lambda: ShardRouter("other", 2),
        lambda: ShardRouter.parse("hashed:04"),
        lambda: ShardRouter.parse("ranges:5"),
        lambda: ShardRouter.parse("hashed"),
        lambda: ShardRouter.parse("single:2"),
    ],
)
def test_what_is_no_router_is_refused(make: Any) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_what_is_no_entity_is_refused() -> None:
    for entity in (-1, 1 << 64, 1.5, None):
        with pytest.raises(InvalidEntity):
            ShardRouter.hashed(2).shard_of(entity)  # type: ignore[arg-type]


@given(st.one_of(st.integers(1, 99).map(ShardRouter.hashed), st.just(ShardRouter.ranges([0, 9, ID_MAX]))))
def test_a_router_is_read_as_it_was_written(router: ShardRouter) -> None:
    assert ShardRouter.parse(str(router)) == router
