"""HybridClock: stamps that order what happens in several regions, near to the time on the wall."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from tidal.errors import ClockSkew, FormatError, InvalidOption
from tidal.regions.coding import NODE_MAX, U64_MAX, Reader
from tidal.schema.durations import Duration, parse_duration

STAMP: Final = struct.Struct(">QIH")  # as bytes, stamps are in their own order
_LOGICAL_MAX: Final = (1 << 32) - 1


class Stamp(NamedTuple):
    """A moment, and the node that it is of; ordered by wall time (ns), then the count within it, then node.

    >>> Stamp(5, 1, 2) < Stamp(5, 2, 1)
    True
    """

    wall: int
    logical: int
    node: int

    def encode(self) -> bytes:
        """Return 14 bytes, which are in the order of the stamps."""
        return STAMP.pack(*self)

    @classmethod
    def read(cls, reader: Reader) -> Stamp:
        """Return the next stamp; FormatError where the bytes end before."""
        return cls(*reader.fields(STAMP))


NEVER: Final = Stamp(0, 0, 0)
"""Before every stamp that a clock gives."""


def checked_node(node: object) -> int:
    """Return the number of a node; InvalidOption for what is none."""
    if type(node) is not int or not 0 <= node <= NODE_MAX:
        raise InvalidOption(f"node {node!r}; a node is a number in 0 .. {NODE_MAX}")
    return node


class HybridClock:
    """A clock whose every stamp is above all that it gave or was shown, however the wall clock moves.

    ``wall_clock`` returns ns. A stamp that is more than ``max_skew`` ahead of it is refused: one region with
    a wrong clock would otherwise win every later write of the others. Safe to share by threads.

    >>> clock = HybridClock(node=1, wall_clock=lambda: 1000)
    >>> clock.tick(), clock.tick()
    (Stamp(wall=1000, logical=0, node=1), Stamp(wall=1000, logical=1, node=1))
    >>> clock.observe(Stamp(2000, 7, 2))
    >>> clock.tick()
    Stamp(wall=2000, logical=8, node=1)
    """

    def __init__(self, node: int, wall_clock: Callable[[], int], *, max_skew: Duration = "1m") -> None:
        self.node = checked_node(node)
        self.max_skew_ns = parse_duration(max_skew)
        self._wall_clock = wall_clock
        self._wall, self._logical = 0, 0
        self._lock = threading.Lock()

    def tick(self) -> Stamp:
        """Return a stamp for what happens here now."""
        physical = max(0, self._wall_clock())
        with self._lock:
            if physical > self._wall:
                self._wall, self._logical = physical, 0
            elif self._logical < _LOGICAL_MAX:
                self._logical += 1
            else:
                self._wall, self._logical = self._wall + 1, 0
            return Stamp(self._wall, self._logical, self.node)

    def check(self, stamp: Stamp) -> None:
        """Raise ClockSkew for a stamp that is too far ahead of the wall clock."""
        ahead = stamp.wall - self._wall_clock()
        if ahead > self.max_skew_ns:
            raise ClockSkew(stamp.node, ahead, self.max_skew_ns)

    def observe(self, stamp: Stamp) -> None:
        """Take note of a stamp of another node: later ticks are above it. ClockSkew as check() raises it."""
        self.check(stamp)
        self.restore(stamp)

    def restore(self, stamp: Stamp) -> None:
        """Take note of a stamp that was accepted before, by this node in an earlier life too."""
        if not 0 <= stamp.wall <= U64_MAX or not 0 <= stamp.logical <= _LOGICAL_MAX:
            raise FormatError(f"{stamp} cannot be")
        with self._lock:
            self._wall, self._logical = max((self._wall, self._logical), (stamp.wall, stamp.logical))
