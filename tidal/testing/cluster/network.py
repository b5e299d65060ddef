"""Network: a lossy channel between simulated nodes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tidal.errors import TransportError
from tidal.testing.cluster.world import NS, World

Receive = Callable[[str, bytes], None]

_MS: Final = NS // 1000


@dataclass
class Faults:
    """How a network treats messages: chances of 0 to 1, and delays in ns."""

    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay_least: int = 1 * _MS
    delay_most: int = 5 * _MS  # two messages within it may change places

    @classmethod
    def drawn(cls, world: World) -> Faults:
        """Return faults of a run: none of some, much of others."""
        rng = world.rng
        return cls(
            drop=rng.choice((0.0, 0.1, 0.4)),
            duplicate=rng.choice((0.0, 0.1, 0.3)),
            corrupt=rng.choice((0.0, 0.0, 0.1)),
            delay_most=rng.choice((5, 500, 4000)) * _MS,
        )


@dataclass
class Network:
    """Every message goes to every other node, if it arrives. Links that are cut carry nothing."""

    world: World
    faults: Faults = field(default_factory=Faults)
    cut: set[tuple[str, str]] = field(default_factory=set)  # from, to
    claims_seen: bool = True  # whether a leader can look up claims, cut off from the others or not
    sent: int = 0
    delivered: int = 0

    def __post_init__(self) -> None:
        self._nodes: dict[str, Receive] = {}
        self._channels: dict[str, frozenset[str]] = {}
        self._claims: dict[str, bytes] = {}

    def join(self, name: str, receive: Receive, channels: frozenset[str] = frozenset()) -> None:
        """Have messages of others delivered to a node: of these channels, or of all."""
        self._nodes[name], self._channels[name] = receive, channels

    def send(self, sender: str, channel: str, payload: bytes) -> None:
        """Send a message to all other nodes."""
        rng, faults = self.world.rng, self.faults
        for name in self._nodes:
            if name == sender or channel not in (self._channels[name] or {channel}):
                continue
            self.sent += 1
            if (sender, name) in self.cut or rng.random() < faults.drop:
                continue
            for _ in range(1 + (rng.random() < faults.duplicate)):
                data = _flipped(payload, rng.randrange(8 * len(payload))) if self._corrupts() else payload
                arrival = functools.partial(self._deliver, name, sender, channel, data)
                self.world.after(rng.randint(faults.delay_least, faults.delay_most), arrival)

    def _corrupts(self) -> bool:
        return self.faults.corrupt > 0 and self.world.rng.random() < self.faults.corrupt

    def _deliver(self, name: str, sender: str, channel: str, data: bytes) -> None:
        if (sender, name) not in self.cut:  # a link that is cut loses what is under way
            self.delivered += 1
            self.world.take_in(name.encode() + data)
            self._nodes[name](channel, data)

    def claim(self, name: str, value: bytes) -> bytes:
        """Give a name this value if it has none, and return what it has; exact, whatever is cut."""
        return self._claims.setdefault(name, value)

    def claimed(self, name: str) -> bytes | None:
        """Return what a name was given, None if nothing; TransportError in runs without."""
        if not self.claims_seen:
            raise TransportError("claims cannot be looked up in this run")
        return self._claims.get(name)

    def split(self, some: set[str]) -> None:
        """Cut all links between some nodes and the others."""
        others = self._nodes.keys() - some
        self.cut |= {(a, b) for a in some for b in others} | {(b, a) for a in some for b in others}

    def heal(self, kept: frozenset[tuple[str, str]] = frozenset()) -> None:
        """Mend all links but some."""
        self.cut = set(kept)


def _flipped(data: bytes, bit: int) -> bytes:
    byte = data[bit // 8] ^ (1 << bit % 8)
    return data[: bit // 8] + bytes([byte]) + data[bit // 8 + 1 :]
