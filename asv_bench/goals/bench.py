"""What every measurement is given, and the taking of times turn by turn."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bench:
    """Sizes, and a folder on the disk that is to be measured."""

    folder: Path
    events: int  # of one stream
    entities: int  # of the large streams
    passes: int

    def new_folder(self) -> Path:
        """Return a new folder; it goes when the run ends."""
        return Path(tempfile.mkdtemp(dir=self.folder))


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Call ``work`` with 0, 1, ..., each in a thread of its own; one alone in this thread."""
    if count == 1:
        work(0)
        return
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def alternate(passes: int, works: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Call all, turn by turn, and return the median of what each returned.

    A machine drifts; in turns it drifts for all of them alike. Each turn has another order, the same in every
    run: some works leave less behind for the next one than others, of memory that is at hand above all.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    orders = random.Random(0)
    for _ in range(passes):
        for name in orders.sample(list(works), len(works)):
            taken[name].append(works[name]())
    return {name: statistics.median(values) for name, values in taken.items()}
