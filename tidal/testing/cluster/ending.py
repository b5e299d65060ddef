"""How a run with regions must end: all equal, and equal to a pure replay of what was acknowledged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from tidal.ledger import SignalLedger
from tidal.regions import LWWRegister, PNCounter, Region
from tidal.regions.negatives import Entry, NegativeKey
from tidal.testing.cluster.oracle import signals_of
from tidal.testing.cluster.regions import ENTITIES, MEMBERS, SCHEMA, RegionNode
from tidal.testing.cluster.world import BEGIN_NS, NS, World

_TOLERANCE: Final = 1e-9  # of a score: a sum of floats in another order
_READ_AT: Final = BEGIN_NS + 3600 * NS
_WINDOWS: Final = ("1h", "24h", "all")


def agree(nodes: Sequence[RegionNode]) -> bool:
    """Return whether each region has all of itself to tell, and knows that the others have the same."""
    summaries = {node.number: node.open._exchange._engine.summary() for node in nodes}
    for node in nodes:
        version = node.open._signals.versions().get(node.number)
        if version is None or version.seq != len(node.oracle.events):
            return False
        heard = [node.open._exchange.summaries.get(other) for other in MEMBERS if other != node.number]
        if any(summary != summaries[node.number] for summary in heard if summary is not None):
            return False
    return all(it == summaries[MEMBERS[0]] for it in summaries.values())


def check_end(world: World, nodes: Sequence[RegionNode]) -> None:
    """Raise Violation unless all regions have the same state, to the bit, and it is that of the replay."""
    first = nodes[0].open
    for node in nodes:
        region = node.open
        for part in ("_signals", "_negatives"):
            same = getattr(region, part).encode() == getattr(first, part).encode()
            world.check(same, f"regions {first.region} and {region.region} do not have the same {part}")
        same = region._values.items() == first._values.items()
        world.check(same, f"regions {first.region} and {region.region} do not have the same values")
        _check_signals(world, nodes, region)
        _check_negatives(world, nodes, region)
        _check_values(world, nodes, region)
    world.take_in(first._signals.encode() + first._negatives.encode())
    world.note("all regions have the same, and what was acknowledged")


def _check_signals(world: World, nodes: Sequence[RegionNode], region: Region) -> None:
    replay = SignalLedger(SCHEMA, shards=1)
    for node in nodes:
        for entity, weight, time in signals_of(node.oracle.events):
            replay.add("view", entity, weight, time)
    for entity in range(ENTITIES):
        for window in _WINDOWS:
            have = region.count("view", entity, window, at=_READ_AT)
            want = replay.count("view", entity, window, at=_READ_AT)
            world.check(have == want, f"region {region.region}: {have} of {entity} in {window}, not {want}")
        score, expected = (it.score("view", entity, at=_READ_AT) for it in (region, replay))
        close = math.isclose(score, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        world.check(close, f"region {region.region}: score {score} of {entity}, not {expected}")


def _check_negatives(world: World, nodes: Sequence[RegionNode], region: Region) -> None:
    expected: dict[NegativeKey, Entry] = {}
    for node in nodes:
        for key, entry in node.oracle.entries.items():
            expected[key] = expected.get(key, Entry()).merge(entry)
    for key, entry in expected.items():
        there = region._negatives._entry(key)
        world.check(there == entry, f"region {region.region}: {there} of {tuple(key)}, not {entry}")
    world.check(len(region._negatives) == len(expected), f"region {region.region} has negatives of nobody")


def _check_values(world: World, nodes: Sequence[RegionNode], region: Region) -> None:
    counters: dict[str, PNCounter] = {}
    registers: dict[str, LWWRegister] = {}
    for node in nodes:
        for name, counter in node.oracle.counters.items():
            counters[name] = counters.get(name, PNCounter()).merge(counter)
        for name, register in node.oracle.registers.items():
            registers[name] = registers.get(name, LWWRegister()).merge(register)
    for name, counter in counters.items():
        there = region._values.counter(name)
        world.check(there == counter, f"region {region.region}: {there} of {name}, not {counter}")
    for name, register in registers.items():
        kept = region._values.register(name)
        world.check(kept == register, f"region {region.region}: {kept} of {name}, not {register}")
