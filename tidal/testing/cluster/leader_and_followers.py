"""A run with a leader and two followers: chaos and promotions, then peace, then equal logs."""

from __future__ import annotations

from typing import Final

from tidal.ledger import SignalLedger
from tidal.testing.cluster.leading import SCHEMA, LogNode
from tidal.testing.cluster.lineage import Lineages
from tidal.testing.cluster.machine import PATHS, Machine
from tidal.testing.cluster.network import Faults, Network
from tidal.testing.cluster.world import NS, World
from tidal.testing.disk import Image

_NAMES: Final = ("a", "b", "c")
_CHAOS_NS: Final = 10 * NS
_ACTIONS: Final = 24
_ROUNDS_MAX: Final = 60


class LeaderAndFollowers:
    """The nodes, their network, and how the run must end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = Network(world, Faults.drawn(world), claims_seen=world.rng.random() < 0.5)
        self.lineages = Lineages(world)
        image = _new_store(world)
        self.nodes = [LogNode(world, self.network, name, image, self.lineages) for name in _NAMES]
        self.lineages.leader = self.nodes[0].name

    def run(self) -> None:
        """Do the whole run. Violation where something does not hold."""
        rng = self.world.rng
        for node in self.nodes:
            node.start()
        for _ in range(_ACTIONS):
            self.world.after(rng.randrange(_CHAOS_NS), self._act)
        for _ in range(rng.randint(1, 3)):
            self.world.after(rng.randrange(_CHAOS_NS), self._crash)
        for _ in range(rng.randint(0, 2)):
            self.world.after(rng.randrange(_CHAOS_NS), self._split)
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            self.world.after(rng.randrange(_CHAOS_NS), self._promote)
        self.world.run(until=_CHAOS_NS)
        self._calm_down()
        for _ in range(_ROUNDS_MAX):
            self.world.run(until=self.world.now + NS)
            for node in self.nodes:
                self._restart(node)
            if self._level():
                break
        self._check_end()

    # ------------------------------------------------------------------------------ what happens

    def _act(self) -> None:
        leaders = [node for node in self.nodes if node.shipper is not None]
        if leaders:
            self.world.rng.choice(leaders).act()

    def _crash(self) -> None:
        rng = self.world.rng
        node = rng.choice(self.nodes)
        if node.up:
            node.stop(how=rng.choice(("kill", "power", "midst")))
            self.world.after(rng.randrange(1, 4 * NS), lambda: self._restart(node))

    def _restart(self, node: LogNode) -> None:
        """Start a node again: a leader leads again, unless another has followed it."""
        if not node.up:
            node.start()

    def _split(self) -> None:
        rng = self.world.rng
        alone = rng.choice(self.nodes).name
        self.world.note(f"network: {alone} is cut off")
        self.network.split({alone})
        self.world.after(rng.randrange(1, 6 * NS), self.network.heal)

    def _promote(self) -> None:
        followers = [node for node in self.nodes if node.db is not None]
        if len(followers) > 1:  # who is left tells older leaders that there is a later one
            max(followers, key=lambda it: it.position).promote()

    def _calm_down(self) -> None:
        self.world.note("calm")
        self.network.faults = Faults()
        self.network.heal()
        for node in self.nodes:
            self._restart(node)

    # ------------------------------------------------------------------------------ how it ends

    def _level(self) -> bool:
        leaders = [node for node in self.nodes if node.shipper is not None]
        if len(leaders) != 1 or leaders[0].machine.db is None:
            return False
        last = leaders[0].machine.db.last_seq
        return all(
            node is leaders[0]
            or (node.db is not None and node.db.last_seq == last and _end(node) == _end(leaders[0]))
            for node in self.nodes
        )

    def _check_end(self) -> None:
        leaders = [node for node in self.nodes if node.shipper is not None]
        self.world.check(len(leaders) == 1, f"{[node.name for node in leaders]} lead in the end")
        (leader,) = leaders
        db = leader.machine.db
        assert db is not None
        events = self.lineages.events[self.lineages.last]
        self.world.check(db.last_seq == len(events), f"{db.last_seq} events in the end, not {len(events)}")
        replay = SignalLedger(SCHEMA, shards=1)
        for entity, weight, time in events:
            replay.add("view", entity, weight, time)
        wal = _log_of(leader)
        for node in self.nodes:
            assert node.machine.db is not None
            same = node.machine.db._ledger.state_digest() == replay.state_digest()
            self.world.check(same, f"{node.name} does not have the state of a replay")
            self.world.check(
                _same(_log_of(node), wal), f"the log of {node.name} is not that of {leader.name}"
            )
        self.world.take_in(b"".join(name.encode() + data for name, data in sorted(wal.items())))
        self.world.note(f"all have {len(events)} events, and the same log")


def _new_store(world: World) -> Image:
    """Return a disk with an empty store."""
    machine = Machine(world, "new", SCHEMA, sync="group")
    machine.open().close()
    return machine.disk.image()


def _end(node: LogNode) -> bytes:
    db = node.machine.db
    assert db is not None
    return db._log.head_hash


def _same(theirs: dict[str, bytes], wal: dict[str, bytes]) -> bool:
    """Return whether a follower's log is the leader's: without what follows the last event, at most."""
    last = max(theirs, default="")
    return theirs.keys() <= wal.keys() and all(
        wal[name].startswith(data) if name == last else wal[name] == data for name, data in theirs.items()
    )


def _log_of(node: LogNode) -> dict[str, bytes]:
    """Return the segments of a node's log, by name."""
    prefix = f"{PATHS.wal}/"
    return {
        name: data
        for name, data in node.machine.disk.image().files.items()
        if name.startswith(prefix) and name.endswith(".seg")
    }
