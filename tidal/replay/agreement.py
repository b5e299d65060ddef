"""How much two rankings of the same entities agree.

Kendall's tau-b: M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33(3), 1945,
239-251. Spearman's rho, ties by their mean rank: C. Spearman, "The proof and measurement of association
between two things", American Journal of Psychology 15(1), 1904, 72-101. Overlap at k: the share of the k best
that both have.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def kendall_tau(left: F64, right: F64) -> float:
    """Return tau-b of two measures of the same entities, -1.0 to 1.0; NaN where one of them is constant.

    (C - D) / sqrt((n0 - n1)(n0 - n2)): pairs in the same and in the other order, all pairs, pairs tied in the
    one and in the other. O(n log n).

    >>> kendall_tau(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    0.6666666666666666
    """
    n = len(left)
    x, y = (np.unique(values, return_inverse=True)[1].astype(np.int64) for values in (left, right))
    pairs = n * (n - 1) // 2
    tied_x, tied_y, tied_both = (_tied_pairs(values) for values in (x, y, x * n + y))
    order = np.lexsort((y, x))
    # Among equals in x, y rises: so what falls are pairs in the other order, and nothing else.
    other_order = _inversions(y[order])
    same_order = pairs - tied_x - tied_y + tied_both - other_order
    scale = math.sqrt((pairs - tied_x) * (pairs - tied_y))
    return (same_order - other_order) / scale if scale else math.nan


def spearman_rho(left: F64, right: F64) -> float:
    """Return Spearman's rank correlation, -1.0 to 1.0; NaN where one of the measures is constant."""
    x, y = (_mean_ranks(values) for values in (left, right))
    x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    scale = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / scale if scale else math.nan


def overlap_at(left: NDArray[np.uint64], right: NDArray[np.uint64], k: int) -> F64:
    """Return the share of the j best that are in both rankings, for each j from 1 to k: float64[k].

    Each is of ids, best first. Where a ranking is shorter than j, the rest of it counts as not shared.
    """
    shared = np.zeros(k + 1)
    place = {entity: position for position, entity in enumerate(right[:k].tolist())}
    for position, entity in enumerate(left[:k].tolist()):
        if entity in place:
            shared[max(position, place[entity]) + 1] += 1
    result: F64 = np.cumsum(shared)[1:] / np.arange(1, k + 1)
    return result


def _tied_pairs(values: NDArray[np.int64]) -> int:
    counts = np.unique(values, return_counts=True)[1].astype(object)  # Python's integers: n^2 may be large
    return int(sum(counts * (counts - 1) // 2)) if len(counts) else 0


def _inversions(values: NDArray[np.int64]) -> int:
    """Return how many pairs fall: a larger value before a smaller one. Values are 0 .. n - 1.

    Bit by bit from the highest: two values are told apart by the first bit in which they differ. Within each
    group of equal higher bits, in their order, every 0 counts the 1s before it.
    """
    total = 0
    group = np.zeros(len(values), np.int64)
    for bit in reversed(range(int(values.max(initial=0)).bit_length())):
        ones = values >> bit & 1
        before = np.cumsum(ones) - ones
        starts = np.searchsorted(group, group)
        total += int(((before - before[starts]) * (1 - ones)).sum())
        group = group * 2 + ones
        order = np.argsort(group, kind="stable")
        values, group = values[order], group[order]
    return total


def _mean_ranks(values: F64) -> F64:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: F64 = (last - (counts - 1) / 2).astype(np.float64)
    return mean[inverse]
