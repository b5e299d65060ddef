"""PNCounter: a count that several nodes raise and lower, and that merges."""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

from tidal.errors import InvalidOption
from tidal.records import record
from tidal.regions.clock import checked_node
from tidal.regions.coding import U64_MAX, Reader, ascending, rows

_ROW: Final = struct.Struct(">HQQ")  # node, raised by, lowered by


@record
class PNCounter:
    """What each node raised and lowered a count by, in all; both only grow, so the larger is the newer.

    A merge takes the larger of each node's numbers. It is commutative, associative and idempotent, so a
    counter that arrives twice, or late, changes nothing. Values do not change: add() returns another.

    >>> here, there = PNCounter().add(1, 5), PNCounter().add(2, -2)
    >>> here.merge(there).value, here.merge(there).merge(there).value
    (3, 3)
    """

    nodes: Mapping[int, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def value(self) -> int:
        """All that was added, less all that was taken; never below 0."""
        return max(0, sum(plus - minus for plus, minus in self.nodes.values()))

    def add(self, node: int, amount: int) -> PNCounter:
        """Return the counter after a node adds an amount, which may be negative; InvalidOption for what is no
        integer, and for a total beyond 64 bits.
        """
        try:
            amount = operator.index(amount)
        except TypeError:
            raise InvalidOption(f"{amount!r} is no integer; a counter counts whole things") from None
        plus, minus = self.nodes.get(checked_node(node), (0, 0))
        after = (plus + max(0, amount), minus - min(0, amount))
        if max(after) > U64_MAX:
            raise InvalidOption(f"node {node} added {amount}: its total does not fit 64 bits")
        return PNCounter(MappingProxyType({**self.nodes, node: after}))

    def merge(self, other: PNCounter) -> PNCounter:
        """Return the larger of each node's numbers."""
        merged = dict(self.nodes)
        for node, (plus, minus) in other.nodes.items():
            mine = merged.get(node, (0, 0))
            merged[node] = (max(mine[0], plus), max(mine[1], minus))
        return PNCounter(MappingProxyType(merged))

    def encode(self) -> bytes:
        """Return the bytes of the counter; equal counters have equal bytes."""
        return rows(_ROW, [(node, *self.nodes[node]) for node in sorted(self.nodes)])

    @classmethod
    def decode(cls, data: bytes) -> PNCounter:
        """Return what encode() wrote; FormatError for anything else."""
        reader = Reader(data)
        found = list(reader.rows(_ROW))
        reader.end()
        ascending([node for node, _, _ in found])
        return cls(MappingProxyType({node: (plus, minus) for node, plus, minus in found}))
