"""Rank agreement, held to the definitions, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.replay.agreement import kendall_tau, overlap_at, spearman_rho

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=40)


def tau_b(left: list[int], right: list[int]) -> float:
    """The definition: every pair is looked at."""
    same = other = tied_left = tied_right = 0
    n = len(left)
    for i in range(n):
        for j in range(i):
            x, y = left[i] - left[j], right[i] - right[j]
            tied_left += x == 0
            tied_right += y == 0
            same += x * y > 0
            other += x * y < 0
    pairs = n * (n - 1) / 2
    scale = math.sqrt((pairs - tied_left) * (pairs - tied_right))
    return (same - other) / scale if scale else math.nan


@given(PAIRS)
def test_kendall(pairs: list[tuple[int, int]]) -> None:
    left, right = map(list, zip(*pairs, strict=True))
    got = kendall_tau(np.array(left, float), np.array(right, float))
    assert got == pytest.approx(tau_b(left, right), nan_ok=True)


@given(PAIRS)
def test_spearman_is_what_pandas_says(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(column, float) for column in zip(*pairs, strict=True))
    got = spearman_rho(left, right)
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert math.isnan(got)
    else:
        ranks = (pd.Series(column).rank() for column in (left, right))
        assert got == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_the_same_the_reverse_and_nothing() -> None:
    rng = np.random.default_rng(0)
    values = rng.permutation(5000).astype(float)
    assert kendall_tau(values, values) == spearman_rho(values, values) == 1.0
    assert kendall_tau(values, -values) == spearman_rho(values, -values) == -1.0
    assert abs(kendall_tau(values, rng.permutation(values))) < 0.05
    assert math.isnan(kendall_tau(np.zeros(0), np.zeros(0)))
    assert math.isnan(spearman_rho(np.zeros(0), np.zeros(0)))


@given(st.permutations(range(12)), st.permutations(range(12)), st.integers(1, 15), st.integers(0, 12))
def test_overlap(left: list[int], right: list[int], k: int, cut: int) -> None:
    one, other = left, right[:cut]
    got = overlap_at(np.array(one, np.uint64), np.array(other, np.uint64), k)
    assert got.tolist() == pytest.approx([len(set(one[:j]) & set(other[:j])) / j for j in range(1, k + 1)])
