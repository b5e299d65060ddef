"""What HomedWords and GatheredPlaces refuse; tests/ledger/test_gathered.py has what they do."""

from __future__ import annotations

import numpy as np
import pytest

from tidal._ext.gathered_places import GatheredPlaces, HomedWords
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet

MIX = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95  # index.pxd
TAG = 0x12345678
WORDS = np.array([5, 6, 7], np.uint64)
COLUMNS = np.ones(3, np.float32), np.arange(3, dtype=np.int64)


def u32(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint32)


def shard_set(count: int) -> ShardSet:
    return ShardSet([Shard((10**9,), True, True, True) for _ in range(count)])


@pytest.mark.parametrize("words", [np.zeros(0, np.uint64), np.zeros(2**24 + 1, np.uint64)])
def test_a_dictionary_of_no_words_or_too_many(words: np.ndarray) -> None:
    with pytest.raises(ValueError, match="words"):
        HomedWords(words, 4)


@pytest.mark.parametrize("shards", [0, 257])
def test_shards_out_of_range(shards: int) -> None:
    with pytest.raises(ValueError, match="shards"):
        HomedWords(WORDS, shards)


def test_words_ranked_for_other_shards() -> None:
    with pytest.raises(ValueError, match="words for 3 shards, not 2"):
        GatheredPlaces(shard_set(2)).add(u32([0, 1, 2]), HomedWords(WORDS, 3), *COLUMNS)


def test_a_place_beyond_the_words_changes_nothing() -> None:
    shards = shard_set(2)
    gathered = GatheredPlaces(shards)
    with pytest.raises(ValueError, match="place 3 in a dictionary of 3 words"):
        gathered.add(u32([0, 3, 1]), HomedWords(WORDS, 2), *COLUMNS)
    gathered.apply()
    assert (len(gathered), shards.clock) == (0, None)


@pytest.mark.parametrize("count", [2, 4])
def test_columns_of_different_lengths(count: int) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        GatheredPlaces(shard_set(1)).add(u32([0] * count), HomedWords(WORDS, 1), *COLUMNS)


def test_words_that_no_event_names_get_no_record() -> None:
    shard = Shard((10**9,), True, True, True)
    shards = ShardSet([shard])
    gathered = GatheredPlaces(shards)
    gathered.add(u32([]), HomedWords(WORDS, 1), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert len(gathered) == 0
    gathered.add(u32([2, 0, 2]), HomedWords(WORDS, 1), *COLUMNS)
    assert (len(gathered), shards.clock) == (3, None)
    gathered.apply()
    assert (len(gathered), shards.clock) == (0, 2)
    assert shards.counts(WORDS, 3, 2).tolist() == [1, 0, 2]
    assert sorted(shard.records()["entity_id"].tolist()) == [5, 7]


def test_records_are_made_in_the_order_of_the_words_with_the_times_of_their_own_events() -> None:
    rng = np.random.default_rng(3)
    words = rng.permutation(np.arange(1, 3_001, dtype=np.uint64))
    places = rng.permutation(np.arange(0, 3_000, 3, dtype=np.uint32))
    times = np.arange(len(places), dtype=np.int64)
    shard = Shard((10**9,), True, True, True)
    shards = ShardSet([shard])
    gathered = GatheredPlaces(shards)
    gathered.add(places, HomedWords(words, 1), np.ones(len(places), np.float32), times)
    gathered.apply()
    records = shard.records()
    assert records["entity_id"].tolist() == words[::3].tolist()
    assert records["last_time"].tolist() == times[np.argsort(places)].tolist()


def mixed(entity_id: int) -> int:
    """tidal_mix() of index.pxd."""
    product = (entity_id ^ MIX[0]) * MIX[1]
    folded = (product >> 64) ^ (product & (2**64 - 1))
    return folded ^ (folded >> 29)


def least(factor: int, modulus: int, low: int, high: int) -> int | None:
    """The least x with low <= factor * x % modulus <= high, by Euclid's steps; None if there is none."""
    if low == 0:
        return 0
    factor %= modulus
    if factor == 0:
        return None
    if 2 * factor > modulus:
        return least(modulus - factor, modulus, modulus - high, modulus - low)
    x = -(-low // factor)
    if x * factor <= high:
        return x
    if low % factor > high % factor:
        return None
    turns = least(factor - modulus % factor, factor, low % factor, high % factor)
    return None if turns is None else -(-(low + modulus * turns) // factor)


def ids_of_one_tag(count: int) -> np.ndarray:
    """Ids whose hashes have the same upper half, which somebody who chooses ids can find as well."""
    found: list[int] = []
    upper = 1
    folded = TAG
    for _ in range(3):
        folded = TAG ^ (folded >> 29)
    while len(found) < count:
        upper += 7919
        start = (upper << 32) * MIX[1]
        low = ((folded ^ (start >> 96)) << 32) - start & (2**64 - 1)
        if low + 2**32 <= 2**64:
            lower = least(MIX[1], 2**64, low, low + 2**32 - 1)
            if lower is not None and lower < 2**32:
                entity_id = (upper << 32 | lower) ^ MIX[0]
                if mixed(entity_id) >> 32 == TAG:
                    found.append(entity_id)
    return np.array(found, np.uint64)


def test_words_that_the_index_cannot_tell_from_a_known_one_get_room_and_records_of_their_own() -> None:
    ids = ids_of_one_tag(1_100)  # more than the cells of an index that has one entity
    columns = np.ones(len(ids), np.float32), np.arange(len(ids), dtype=np.int64)
    shard = Shard((10**9,), True, True, True)
    shards = ShardSet([shard])
    shards.ingest(ids[:1], *(column[:1] for column in columns))
    gathered = GatheredPlaces(shards)
    gathered.add(np.arange(len(ids), dtype=np.uint32), HomedWords(ids, 1), *columns)
    gathered.apply()
    assert len(shard) == len(ids)
    assert shards.counts(ids, 3, len(ids)).tolist() == [2] + [1] * (len(ids) - 1)
