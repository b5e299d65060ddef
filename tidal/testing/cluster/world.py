"""World: time, chance and the record of a simulated run; one seed makes one run."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Final

from blake3 import blake3

NS: Final = 10**9
BEGIN_NS: Final = 1_700_000_000 * NS  # of the wall clock that all clocks are near to


class Violation(AssertionError):
    """A simulated run did what must not be."""


class World:
    """What happens next, and when. Nothing here asks a real clock, and all chance comes from the seed.

    >>> world = World(seed=1)
    >>> world.after(2 * NS, lambda: world.note("later"))
    >>> world.after(1 * NS, lambda: world.note("sooner"))
    >>> world.run(until=5 * NS)
    >>> world.trace
    ['    1.000000 sooner', '    2.000000 later']
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.now = 0  # ns since the run began
        self.trace: list[str] = []
        self._seen = blake3()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0  # what is due at one time happens in the order in which it was asked for

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """Do something in so many ns."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + delay, self._number, action))

    def run(self, until: int) -> None:
        """Do all that is due up to a time."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = until

    def note(self, line: str) -> None:
        """Write a line of the trace."""
        self.trace.append(f"{self.now / NS:12.6f} {line}")

    def take_in(self, data: bytes) -> None:
        """Have the digest depend on something that the trace does not show."""
        self._seen.update(data)

    def check(self, holds: bool, what: str) -> None:
        """Raise Violation unless something holds."""
        if not holds:
            self.note(f"VIOLATION: {what}")
            raise Violation(what)

    def digest(self) -> str:
        """Return the hash of the trace and all that was taken in: equal for two runs of one seed."""
        return blake3("\n".join(self.trace).encode() + self._seen.digest()).hexdigest()
