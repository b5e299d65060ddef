"""Kernels of columns that are used beyond one column: distinct words, codes, small weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext import columns as kernels

WORDS = st.lists(st.integers(0, 9) | st.integers(0, 2**64 - 1), max_size=200)


def u64(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


@given(st.lists(WORDS, max_size=4))
def test_distinct_words_get_codes_as_they_appear(columns: list[list[int]]) -> None:
    found = kernels.Distinct(1024)
    everything = [word for column in columns for word in column]
    for column in columns:
        assert found.add(u64(column))
    first_seen = list(dict.fromkeys(everything))
    assert found.values.tolist() == first_seen
    assert found.counts.tolist() == [everything.count(word) for word in first_seen]
    assert len(found) == len(first_seen)
    for column in columns:
        assert found.codes(u64(column)).tolist() == [first_seen.index(word) for word in column]


def test_more_distinct_words_than_there_is_room_for() -> None:
    found = kernels.Distinct(3)
    assert found.add(u64([1, 2, 3, 1]))
    assert not found.add(u64([1, 4]))
    assert not found.add(u64([1]))


def test_a_word_that_was_not_added_has_no_code() -> None:
    found = kernels.Distinct(3)
    found.add(u64([1, 2]))
    with pytest.raises(ValueError, match="not added"):
        found.codes(u64([1, 5]))


@pytest.mark.parametrize("limit", [0, 2**24 + 1])
def test_a_limit_out_of_range(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        kernels.Distinct(limit)


def test_words_that_collide_are_given_up() -> None:
    # These all hash to few cells: probing would take quadratic time.
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    found = kernels.Distinct(20_000)
    assert not found.add(u64([(i * inverse) & (2**64 - 1) for i in range(20_000)]))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 511, 513, 3_000])
def test_places_in_a_dictionary_are_joined(width: int, count: int) -> None:
    rng = np.random.default_rng(5)
    words = 256**width
    places = rng.integers(0, words, count, np.uint64)
    planes = kernels.split(places, width)
    last = int(places.max())
    for size in {words, last + 1}:
        joined = kernels.join_places(planes, count, width, size)
        assert (joined.dtype, joined.tolist()) == (np.uint32, places.tolist())
    for size in {1, last} - {0}:
        if size <= last:
            with pytest.raises(ValueError, match=f"in a dictionary of {size} words"):
                kernels.join_places(planes, count, width, size)


@pytest.mark.parametrize(
    ("have", "count", "width", "size"),
    [(7, 4, 2, 1), (8, 4, 0, 1), (20, 4, 5, 1), (0, 0, 1, 1), (8, -8, 1, 1), (4, 4, 1, 0)],
)
def test_planes_of_another_length_and_empty_dictionaries(
    have: int, count: int, width: int, size: int
) -> None:
    with pytest.raises(ValueError):
        kernels.join_places(bytes(have), count, width, size)


def test_small_weights_come_back_as_those_of_words_do() -> None:
    words = np.arange(256, dtype=np.uint64)
    plane = kernels.split(words, 1)
    assert kernels.weights_of_plane(plane, 256).tolist() == kernels.weights_of_whole(words).tolist()
    with pytest.raises(ValueError):
        kernels.weights_of_plane(plane, 255)


@given(st.lists(st.sampled_from([0, 1, 255]), max_size=200))
def test_values_that_are_all_the_same(values: list[int]) -> None:
    assert kernels.all_equal(np.array(values, np.uint8)) == (len(set(values)) <= 1)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40), st.integers(0, 2**64 - 1))
def test_words_are_the_running_sums_of_their_differences(deltas: list[int], first: int) -> None:
    words = [first]
    for delta in deltas:
        words.append((words[-1] + delta) % 2**64)
    planes = kernels.split_delta(u64(words), 4)
    assert kernels.join_delta(planes, len(words), 4, first).tolist() == words
