"""A run with three regions: chaos, then peace, then all must be as if nothing had happened."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tidal.regions import Region
from tidal.regions.clock import NEVER
from tidal.regions.negatives import SORTS, NegativeKey, Sort
from tidal.testing.cluster.ending import agree, check_end
from tidal.testing.cluster.network import Faults, Network
from tidal.testing.cluster.oracle import signals_of
from tidal.testing.cluster.regions import ENTITIES, MEMBERS, RegionNode
from tidal.testing.cluster.sessions import Clients
from tidal.testing.cluster.world import NS, World

_CHAOS_NS: Final = 10 * NS
_ACTIONS: Final = 24
_ROUNDS_MAX: Final = 60
_SORT_OF: Final[dict[int, Sort]] = {number: sort for sort, (number, _) in SORTS.items()}


class ThreeRegions:
    """The regions, their network, and what must hold of them at any time and in the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.network = Network(world, Faults.drawn(world))
        self.clients = Clients(world, self.network, MEMBERS, ENTITIES)
        self.nodes = [RegionNode(world, self.network, number, self.clients) for number in MEMBERS]
        self._held: dict[tuple[int, int, int], tuple[int, int]] = {}

    def run(self) -> None:
        """Do the whole run. Violation where something does not hold."""
        for node in self.nodes:
            node.start()
        rng = self.world.rng
        for _ in range(_ACTIONS):
            self.world.after(rng.randrange(_CHAOS_NS), self._act)
        for _ in range(rng.randint(1, 3)):
            self.world.after(rng.randrange(_CHAOS_NS), self._crash)
        for _ in range(rng.randint(0, 2)):
            self.world.after(rng.randrange(_CHAOS_NS), self._split)
        for _ in range(rng.randint(0, 2)):
            self.world.after(rng.randrange(_CHAOS_NS), self._turn_clock)
        self.world.run(until=_CHAOS_NS)
        self._calm_down()
        for _ in range(_ROUNDS_MAX):
            self.world.run(until=self.world.now + NS)
            self._check_now()
            if self.clients.done and agree(self.nodes):
                break
        self.world.check(self.clients.done, f"sessions are at {self.clients.marks}")
        check_end(self.world, self.nodes)

    # ------------------------------------------------------------------------------ what happens

    def _act(self) -> None:
        node = self.world.rng.choice(self.nodes)
        if node.region is not None:
            node.act()
            self._check_now()

    def _crash(self) -> None:
        rng = self.world.rng
        node = rng.choice(self.nodes)
        if node.region is not None:
            node.stop(how=rng.choice(("kill", "power", "midst")))
            self.world.after(rng.randrange(1, 5 * NS), lambda: self._restart(node))

    def _restart(self, node: RegionNode) -> None:
        if node.region is None:
            node.start()
            self._check_now()

    def _split(self) -> None:
        rng = self.world.rng
        alone = rng.choice(self.nodes).machine.name
        self.world.note(f"network: {alone} is cut off")
        self.network.split({alone})
        self.world.after(rng.randrange(1, 8 * NS), self.network.heal)

    def _turn_clock(self) -> None:
        rng = self.world.rng
        node = rng.choice(self.nodes)
        node.machine.skew_ns = rng.randint(-20, 20) * NS
        self.world.note(f"{node.machine.name}: the clock is {node.machine.skew_ns / NS:.0f} s off")

    def _calm_down(self) -> None:
        """End all faults but, in some runs, a link that stays cut: what goes through it must go round."""
        a, b, _ = self.world.rng.sample([node.machine.name for node in self.nodes], 3)
        kept = frozenset({(a, b), (b, a)}) if self.world.rng.random() < 1 / 3 else frozenset()
        self.world.note(f"calm; cut stays {sorted(kept)}")
        self.network.faults = Faults()
        self.network.heal(kept)
        for node in self.nodes:
            self._restart(node)

    # ------------------------------------------------------------------------------ what always holds

    def _check_now(self) -> None:
        for node in self.nodes:
            if node.region is not None:
                self._check_counts(node, node.region)
                self._check_hidden(node, node.region)

    def _check_counts(self, node: RegionNode, region: Region) -> None:
        """What a region counts is exactly its own events, and those of the others up to some sequence."""
        expected = Counter(entity for entity, _, _ in signals_of(node.oracle.events))
        for other in self.nodes:
            version = region._signals.versions().get(other.number)
            if other is node or version is None:
                continue
            place = (version.epoch, version.seq)
            before = self._held.get((node.number, node.life, other.number), (0, 0))
            self.world.check(
                before <= place, f"{node.number} went back to {place} of {other.number} from {before}"
            )
            self._held[node.number, node.life, other.number] = place
            known = version.seq <= other.oracle.durable_seq
            self.world.check(
                known, f"region {node.number} counts {version.seq} of {other.number}, not durable"
            )
            expected.update(entity for entity, _, _ in signals_of(other.oracle.events[: version.seq]))
        counts = dict(enumerate(region.counts("view", list(range(ENTITIES)), "all").tolist()))
        same = all(counts[entity] == expected[entity] for entity in counts)
        self.world.check(same, f"region {node.number} counts {counts}, and was sent {dict(expected)}")

    def _check_hidden(self, node: RegionNode, region: Region) -> None:
        """What another region hides, for all it knows, is hidden here until that has the unhide."""
        others = [it.region for it in self.nodes if it.region is not None and it is not node]
        for key in self._keys():
            entry = region._negatives._entry(key)
            seen = region._negatives.has(_SORT_OF[key.sort], key.user_id, key.target_id, region._peers())
            if entry.at_rest:
                self.world.check(
                    seen, f"region {node.number} shows {tuple(key)}, which it knows to be hidden"
                )
            if entry.on is None or entry.off is None:
                continue
            for other in others:
                there = other._negatives._entry(key)
                behind = there.off is None or there.off < entry.off
                if (
                    there.at_rest
                    and behind
                    and other._negatives.vector().get(entry.off.node, NEVER) < entry.off
                ):
                    self.world.check(
                        seen, f"region {node.number} shows {tuple(key)}, hidden in {other.region}"
                    )

    def _keys(self) -> set[NegativeKey]:
        return {key for node in self.nodes for key in node.oracle.entries}
