"""Pairs against all that a double loop finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidal.export.shapes.pairs import best_first, pair_rounds, worst_first

SCORES = st.lists(st.integers(-3, 3).map(float), max_size=9)
MARGIN = st.sampled_from([0.0, 1.0, 2.5])


def column(scores: list[float], *, best: bool) -> np.ndarray:
    return np.array(sorted(scores, reverse=best), np.float64)


def rounds(chosen: np.ndarray, rejected: np.ndarray, **options: object) -> list[list[tuple[int, int]]]:
    found = pair_rounds(chosen, rejected, **options)  # type: ignore[arg-type]
    return [list(zip(good.tolist(), bad.tolist(), strict=True)) for good, bad in found]


@given(SCORES, SCORES, MARGIN)
def test_each_pair_with_the_margin_comes_once(good: list[float], bad: list[float], margin: float) -> None:
    chosen, rejected = column(good, best=True), column(bad, best=False)
    found = [pair for each in rounds(chosen, rejected, margin=margin) for pair in each]
    want = {
        (i, j)
        for i, high in enumerate(chosen)
        for j, low in enumerate(rejected)
        if high > low and high - low >= margin
    }
    assert len(found) == len(set(found))
    assert set(found) == want


@given(SCORES)
def test_within_one_group_a_pair_comes_in_one_direction(scores: list[float]) -> None:
    values = np.array(scores, np.float64)
    ids = np.arange(len(values), dtype=np.uint64)
    best, worst = best_first(ids, values), worst_first(ids, values)
    found = [(int(best[i]), int(worst[j])) for each in rounds(values[best], values[worst]) for i, j in each]
    assert sorted(found) == [(i, j) for i in ids for j in ids if values[i] > values[j]]


@given(SCORES, SCORES, st.integers(1, 12))
def test_the_first_pairs_are_spread(good: list[float], bad: list[float], most: int) -> None:
    chosen, rejected = column(good, best=True), column(bad, best=False)
    every = rounds(chosen, rejected)
    some = rounds(chosen, rejected, most=most)
    assert [pair for each in some for pair in each] == [pair for each in every for pair in each][:most]
    for each in every:
        assert len({i for i, _ in each}) == len({j for _, j in each}) == len(each)
    if every:
        assert every[0][0] == (0, 0)  # the best against the worst


def test_equal_scores_are_by_rising_id() -> None:
    ids = np.array([9, 2**64 - 1, 3, 5], np.uint64)
    scores = np.array([1.0, 2.0, 1.0, 0.0])
    assert ids[best_first(ids, scores)].tolist() == [2**64 - 1, 3, 9, 5]
    assert ids[worst_first(ids, scores)].tolist() == [5, 3, 9, 2**64 - 1]
