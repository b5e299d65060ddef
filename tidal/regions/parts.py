"""What regions share, each as a part of one form: signals, hard negatives, and values by name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from tidal.errors import FormatError
from tidal.regions.clock import HybridClock
from tidal.regions.coding import Reader, ascending, blob, rows
from tidal.regions.negatives import (
    Delta,
    HardNegatives,
    decode_delta,
    encode_delta,
    encode_vector,
    read_vector,
)
from tidal.regions.register import LWWRegister
from tidal.regions.signals import CrdtSignalState, NodeState, Version, head_of
from tidal.regions.values import (
    DIGEST_BYTES,
    NamedValues,
    Values,
    decode_values,
    digest_of,
    encode_values,
    read_key,
)

_VERSION_ROW: Final = struct.Struct(">HQQ32s32s")


class Lack(NamedTuple):
    """Something that another region lacks. ``owner``: the node that made it, None where several may have;
    ``since``: what the other has of it, by which its progress is seen; ``thing``: what will be sent, in
    short, where that is the same for whoever lacks it.
    """

    part: str
    owner: int | None
    since: bytes
    encode: Callable[[], bytes]
    thing: bytes | None = None


class Part(Protocol):
    """A state that merges: what it has in short, what another lacks of it, and what comes from another."""

    def summary(self) -> bytes:
        """Return in few bytes what is here, for lacking() of another region."""

    def lacking(self, name: str, theirs: bytes) -> Iterator[Lack]:
        """Yield what somebody with this summary lacks. FormatError for what is no summary."""

    def decode(self, data: bytes) -> Any:
        """Return what Lack.encode() wrote, checked as a whole. FormatError, ClockSkew; nothing is taken."""

    def take(self, decoded: Any) -> bool:
        """Merge what decode() returned; return whether that changed anything."""


class SignalsPart:
    """The ledgers of all nodes. ``stores``: the ids of those stores that are known before their states come,
    such as this node's own.
    """

    def __init__(self, state: CrdtSignalState, *, stores: Mapping[int, bytes] | None = None) -> None:
        self.state, self._stores = state, dict(stores or {})

    def summary(self) -> bytes:
        return rows(_VERSION_ROW, [(node, *version) for node, version in self.state.versions().items()])

    def lacking(self, name: str, theirs: bytes) -> Iterator[Lack]:
        there = read_versions(theirs)
        for node, state in self.state.nodes.items():
            known = there.get(node)
            if known is None or known < state.version:
                since = b"" if known is None else _VERSION_ROW.pack(node, *known)
                yield Lack(name, node, since, state.encode, _VERSION_ROW.pack(node, *state.version))

    def decode(self, data: bytes) -> NodeState | None:
        head = head_of(data)
        mine = self.state.nodes.get(head.node)
        known = self._stores.get(head.node) if mine is None else mine.store_id
        if known not in (None, head.store_id):
            raise FormatError(f"node {head.node} is another store than before: two regions have one number")
        if mine is not None and mine.version >= head.version:
            return None  # of what comes twice, only the beginning is looked at
        return NodeState.decode(data, self.state.schema)

    def take(self, decoded: NodeState | None) -> bool:
        return decoded is not None and self.state.offer(decoded)


def read_versions(summary: bytes) -> dict[int, Version]:
    """Return which state of each node somebody has, from his summary of signals."""
    reader = Reader(summary)
    found = list(reader.rows(_VERSION_ROW))
    reader.end()
    ascending([node for node, *_ in found])
    return {node: Version(*version) for node, *version in found}


class NegativesPart:
    """What users never want to see again. Stamps are held to the clock, which learns of them."""

    def __init__(self, state: HardNegatives, clock: HybridClock) -> None:
        self.state, self._clock = state, clock

    def summary(self) -> bytes:
        return encode_vector(self.state.vector())

    def lacking(self, name: str, theirs: bytes) -> Iterator[Lack]:
        reader = Reader(theirs)
        there, here = read_vector(reader), self.state.vector()
        reader.end()
        if any(node not in there or there[node] < stamp for node, stamp in here.items()):
            yield Lack(name, None, theirs, lambda: encode_delta(self.state.delta(there)))

    def decode(self, data: bytes) -> Delta:
        delta = decode_delta(data)
        for stamp in delta.upto.values():
            self._clock.check(stamp)
        return delta

    def take(self, decoded: Delta) -> bool:
        for stamp in decoded.upto.values():
            self._clock.restore(stamp)
        return self.state.absorb(decoded)


class ValuesPart:
    """Counters and registers by name. Stamps of registers are held to the clock, which learns of them."""

    def __init__(self, state: NamedValues, clock: HybridClock) -> None:
        self.state, self._clock = state, clock

    def summary(self) -> bytes:
        return b"".join(
            bytes([key.form]) + blob(key.name) + digest_of(value) for key, value in self.state.items().items()
        )

    def lacking(self, name: str, theirs: bytes) -> Iterator[Lack]:
        there = {}
        reader = Reader(theirs)
        while reader.left:
            key = read_key(reader)
            there[key] = bytes(reader.take(DIGEST_BYTES))
        other = {
            key: value for key, value in self.state.items().items() if there.get(key) != digest_of(value)
        }
        if other:
            yield Lack(name, None, theirs, lambda: encode_values(other))

    def decode(self, data: bytes) -> Values:
        values = decode_values(data)
        for value in values.values():
            if isinstance(value, LWWRegister):
                self._clock.check(value.stamp)
        return values

    def take(self, decoded: Values) -> bool:
        for value in decoded.values():
            if isinstance(value, LWWRegister):
                self._clock.restore(value.stamp)
        return self.state.absorb(decoded)
