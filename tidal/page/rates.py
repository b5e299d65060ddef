"""How many events there were when: rates of now, and of the minutes before."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

SAMPLE_SECONDS: Final = 2.0
SAMPLES_MAX: Final = 301  # ten minutes, where something samples all the time
RATE_SECONDS: Final = 1.0  # a rate of less would be noise


class Sample(NamedTuple):
    """What had been counted at one moment."""

    at: float  # seconds, of a clock that never goes back
    total: int
    by_signal: Mapping[str, int]


class Rates:
    """A bounded history of counters that only grow; where one shrinks, its history begins again.

    >>> rates = Rates()
    >>> for second in range(5):
    ...     rates.add(Sample(second, 10 * second, {"view": 10 * second}))
    >>> rates.now(), rates.of("view"), rates.points(4.0)
    (10.0, 10.0, [(2.0, 10.0), (0.0, 10.0)])
    """

    def __init__(self) -> None:
        self._kept: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self._newest: deque[Sample] = deque()  # what the rates of now are made from

    def add(self, sample: Sample) -> None:
        """Take in counters, as often as there is somebody who looks."""
        if self._newest and sample.total < self._newest[-1].total:  # another state of the store
            self._kept.clear()
            self._newest.clear()
        if self._newest and sample.at <= self._newest[-1].at:
            return
        if not self._kept or sample.at - self._kept[-1].at >= SAMPLE_SECONDS:
            self._kept.append(sample)
        self._newest.append(sample)
        while len(self._newest) > 2 and sample.at - self._newest[1].at >= RATE_SECONDS:
            self._newest.popleft()

    def now(self) -> float | None:
        """Return the events a second, of all signal types; None before there were two looks."""
        if len(self._newest) < 2:
            return None
        first, last = self._newest[0], self._newest[-1]
        return (last.total - first.total) / (last.at - first.at)

    def of(self, signal: str) -> float | None:
        """Return the events a second of one signal type."""
        if len(self._newest) < 2:
            return None
        first, last = self._newest[0], self._newest[-1]
        grown = last.by_signal.get(signal, 0) - first.by_signal.get(signal, 0)
        return max(grown, 0) / (last.at - first.at)

    def points(self, now: float) -> list[tuple[float, float]]:
        """Return (seconds ago, events a second up to then), the oldest first."""
        return [
            (round(now - after.at, 1), (after.total - before.total) / (after.at - before.at))
            for before, after in pairwise(self._kept)
        ]
