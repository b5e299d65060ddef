"""What RankedWords and GatheredPlaces refuse; tests/ledger/test_gathered.py has what they do."""

from __future__ import annotations

import numpy as np
import pytest

from tidal._ext.gathered_places import GatheredPlaces, RankedWords
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet

WORDS = np.array([5, 6, 7], np.uint64)
COLUMNS = np.ones(3, np.float32), np.arange(3, dtype=np.int64)


def u32(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint32)


def shard_set(count: int) -> ShardSet:
    return ShardSet([Shard((10**9,), True, True, True) for _ in range(count)])


@pytest.mark.parametrize("words", [np.zeros(0, np.uint64), np.zeros(2**24 + 1, np.uint64)])
def test_a_dictionary_of_no_words_or_too_many(words: np.ndarray) -> None:
    with pytest.raises(ValueError, match="words"):
        RankedWords(words, 4)


@pytest.mark.parametrize("shards", [0, 257])
def test_shards_out_of_range(shards: int) -> None:
    with pytest.raises(ValueError, match="shards"):
        RankedWords(WORDS, shards)


def test_words_ranked_for_other_shards() -> None:
    with pytest.raises(ValueError, match="ranked for 3 shards, not 2"):
        GatheredPlaces(shard_set(2)).add(u32([0, 1, 2]), RankedWords(WORDS, 3), *COLUMNS)


def test_a_place_beyond_the_words_changes_nothing() -> None:
    shards = shard_set(2)
    gathered = GatheredPlaces(shards)
    with pytest.raises(ValueError, match="place 3 in a dictionary of 3 words"):
        gathered.add(u32([0, 3, 1]), RankedWords(WORDS, 2), *COLUMNS)
    gathered.apply()
    assert (len(gathered), shards.clock) == (0, None)


@pytest.mark.parametrize("count", [2, 4])
def test_columns_of_different_lengths(count: int) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        GatheredPlaces(shard_set(1)).add(u32([0] * count), RankedWords(WORDS, 1), *COLUMNS)


def test_words_that_no_event_names_get_no_record() -> None:
    shard = Shard((10**9,), True, True, True)
    shards = ShardSet([shard])
    gathered = GatheredPlaces(shards)
    gathered.add(u32([]), RankedWords(WORDS, 1), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert len(gathered) == 0
    gathered.add(u32([2, 0, 2]), RankedWords(WORDS, 1), *COLUMNS)
    assert (len(gathered), shards.clock) == (3, None)
    gathered.apply()
    assert (len(gathered), shards.clock) == (0, 2)
    assert shards.counts(WORDS, 3, 2).tolist() == [1, 0, 2]
    assert sorted(shard.records()["entity_id"].tolist()) == [5, 7]
