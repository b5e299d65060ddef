"""Which of a group are put against which: the better against the worse, in rounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tidal.export.shapes.scores import F64
from tidal.schema.events import U64

Indices = NDArray[np.intp]


def best_first(ids: U64, scores: F64) -> Indices:
    """Return positions by falling score; equal scores by rising id."""
    return np.lexsort((ids, -scores))


def worst_first(ids: U64, scores: F64) -> Indices:
    """Return positions by rising score; equal scores by rising id."""
    return np.lexsort((ids, scores))


def pair_rounds(
    chosen: F64, rejected: F64, *, margin: float = 0.0, most: int | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Yield rounds of pairs, as positions in ``chosen`` (best first) and in ``rejected`` (worst first).

    A pair is any whose chosen score is above its rejected score, by ``margin`` at least; each comes once.
    The first round puts the best against the worst, the second best against the second worst, and so on; each
    further round moves the longer side by one. So nothing is used twice in a round, and ``most``, the number
    of pairs wanted, spreads them over the whole group. Memory: one round.
    """
    short, long = sorted((len(chosen), len(rejected)))
    if not short or not _fit(chosen[:1], rejected[:1], margin)[0]:
        return  # where the best and the worst are no pair, nothing is
    left = most
    steady = np.arange(short)
    for turn in range(long):
        moved = (steady + turn) % long
        good, bad = (steady, moved) if len(chosen) == short else (moved, steady)
        fit = _fit(chosen[good], rejected[bad], margin)
        good, bad = good[fit][:left], bad[fit][:left]
        if len(good):
            yield good, bad
        if left is not None:
            left -= len(good)
            if not left:
                return


def _fit(chosen: F64, rejected: F64, margin: float) -> NDArray[np.bool_]:
    gap = chosen - rejected
    return (gap > 0) & (gap >= margin)
