"""P6: what an entity of a signal type takes, seen from outside and from inside."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from benchmarks.memory import BytesAnEntity

from goals.bench import Bench
from goals.row import Row

LIMITS = {"idle": 110, "busy": 200}
WORK = {"idle": "an entity idle for eight days", "busy": "an entity, a week of events"}


def resident(bench: Bench) -> Iterator[Row]:
    """Bytes an entity; each in a fresh process, since freed memory does not all go back."""
    for goal, state in zip(("P6", ""), LIMITS, strict=True):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            outside, inside = process.submit(_measure, bench.entities, state).result()
        yield Row(goal, WORK[state], outside, "B", "", LIMITS[state], at_most=1)
        yield Row("", "the same by stats()", inside, "B")


def _measure(entities: int, state: str) -> tuple[float, float]:
    benchmark = BytesAnEntity()
    benchmark.setup(entities, state)
    return benchmark.track_resident(entities, state), benchmark.track_own_count(entities, state)
