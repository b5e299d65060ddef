"""Clients of a simulated run with regions: they send operations of sessions until those are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from tidal.regions import SessionOp, session_operation
from tidal.testing.cluster.network import Network
from tidal.testing.cluster.world import BEGIN_NS, NS, World

OPERATIONS: Final = "sessions"  # the channel to the homes of sessions
MARKS: Final = "session marks"  # and from them
_NAME: Final = "clients"
_SESSIONS: Final = 3
_AGAIN_NS: Final = NS // 2
_HASH_BYTES: Final = 32

SimEvent = tuple[int, float, int]  # entity, weight, time


class Step(NamedTuple):
    """One operation of a session, and the event that it counts as, if it is one."""

    op: SessionOp
    event: SimEvent | None


class Clients:
    """All clients, who do not crash; each session has a home, whose store its operations are for."""

    def __init__(self, world: World, network: Network, homes: Sequence[int], entities: int) -> None:
        self.world, self.network = world, network
        rng = world.rng
        self.home = {session_id: rng.choice(homes) for session_id in range(1, _SESSIONS + 1)}
        self.steps = {session_id: _steps(world, session_id, entities) for session_id in self.home}
        self.marks = dict.fromkeys(self.home, 0)  # up to which all is durable, as a home said
        self._begun = dict.fromkeys(self.home, 0)  # how many operations were made so far
        network.join(_NAME, self.receive, frozenset({MARKS}))
        for session_id in self.home:
            world.after(rng.randrange(5 * NS), lambda at=session_id: self._go_on(at))  # type: ignore[misc]

    def due(self, home: int) -> list[SessionOp]:
        """Return the operations that one region may still be sent."""
        return [
            step.op
            for session_id, steps in self.steps.items()
            if self.home[session_id] == home
            for step in steps[self.marks[session_id] : self._begun[session_id]]
        ]

    @property
    def done(self) -> bool:
        """Whether all operations of all sessions are known to be there."""
        return all(mark == len(self.steps[at]) for at, mark in self.marks.items())

    def _go_on(self, session_id: int) -> None:
        """Make another operation or none, and send one that is not known to be there: not always the next."""
        steps, rng = self.steps[session_id], self.world.rng
        self._begun[session_id] = begun = min(len(steps), self._begun[session_id] + rng.randrange(3))
        if self.marks[session_id] == len(steps):
            return
        if self.marks[session_id] < begun:
            op = steps[rng.randrange(self.marks[session_id], begun)].op
            self.network.send(_NAME, OPERATIONS, sealed(op))
        self.world.after(_AGAIN_NS, lambda: self._go_on(session_id))

    def receive(self, channel: str, data: bytes) -> None:
        """Take a message of the network."""
        if (mark := unsealed(data)) is not None:
            self.marks[mark.session_id] = max(self.marks[mark.session_id], mark.seq)


def _steps(world: World, session_id: int, entities: int) -> list[Step]:
    rng = world.rng
    bodies: list[tuple[bytes, SimEvent | None]] = [
        (session_operation("open", user_id=1, agent="a", timestamp=BEGIN_NS), None)
    ]
    for _ in range(rng.randrange(1, 6)):
        time = BEGIN_NS + rng.randrange(NS)
        if rng.random() < 0.5:
            bodies.append((session_operation("annotate", entity_id=1, note="so", timestamp=time), None))
        else:
            event = (rng.randrange(entities), rng.choice((1.0, 0.5)), time)
            entity, weight, _ = event
            data = session_operation("signal", signal="view", entity_id=entity, weight=weight, timestamp=time)
            bodies.append((data, event))
    bodies.append((session_operation("close", timestamp=BEGIN_NS + NS), None))
    return [Step(SessionOp(session_id, seq, data), event) for seq, (data, event) in enumerate(bodies, 1)]


def sealed(op: SessionOp) -> bytes:
    """Return the bytes of an operation, or of a mark, so that a changed one is seen."""
    data = op.encode()
    return data + blake3(data).digest()


def unsealed(data: bytes) -> SessionOp | None:
    """Return what was sealed, None for a message that was changed on its way."""
    body, digest = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
    return SessionOp.decode(body) if blake3(body).digest() == digest else None
