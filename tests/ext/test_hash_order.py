"""The order of a dictionary's places, held against sorted() by what docs/format/archive.md says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidal._ext.hash_order import SORTED_RUN_MIN, in_hash_order
from tidal._ext.shards import shards_of

PAGE = (Path(__file__).parents[2] / "docs" / "format" / "archive.md").read_text()
FLIP, FACTOR = (int(number, 16) for number in re.findall(r"`(0x[0-9a-f]{16})`", PAGE))


def bucket(word: int) -> int:
    product = (word ^ FLIP) * FACTOR
    folded = (product >> 64) ^ (product % 2**64)
    hashed = folded ^ (folded >> 29)
    return (hashed % 2**32 >> 29) * 1024 + (hashed >> 54)


def expected(words: list[int]) -> list[int]:
    found: list[int] = []
    start = 0
    for stop in range(1, len(words) + 1):
        if stop == len(words) or words[stop - 1] > words[stop]:
            run = words[start:stop]
            found += sorted(run, key=bucket) if len(run) >= SORTED_RUN_MIN else run
            start = stop
    return found


def ascending(seed: int, count: int, largest: int) -> list[int]:
    return sorted(np.random.default_rng(seed).integers(0, largest, count, np.uint64, endpoint=True).tolist())


LENGTHS = st.lists(
    st.sampled_from([1, 5, SORTED_RUN_MIN - 1, SORTED_RUN_MIN, SORTED_RUN_MIN + 1, 3 * SORTED_RUN_MIN]),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), LENGTHS, st.sampled_from([2**64 - 1, 20_000]))
def test_long_runs_are_in_the_order_of_the_page(seed: int, lengths: list[int], largest: int) -> None:
    words = [
        word for number, count in enumerate(lengths) for word in ascending(seed + number, count, largest)
    ]
    array = np.array(words, np.uint64)
    ordered = in_hash_order(array)
    assert (array.tolist() if ordered is None else ordered.tolist()) == expected(words)
    assert array.tolist() == words
    assert ordered is not None or max(lengths) < SORTED_RUN_MIN


def test_entities_of_one_shard_are_neighbours() -> None:
    ordered = in_hash_order(np.array(ascending(1, 50_000, 2**64 - 1), np.uint64))
    assert ordered is not None
    for shards in (1, 2, 4, 8):
        homes = shards_of(ordered, shards)
        assert np.count_nonzero(np.diff(homes)) == shards - 1


def test_no_words_are_refused() -> None:
    with pytest.raises(ValueError, match="0 words"):
        in_hash_order(np.zeros(0, np.uint64))
