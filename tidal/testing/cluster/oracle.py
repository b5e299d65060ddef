"""RegionOracle: what one region was told and said, so that no run may take it back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tidal.regions import LWWRegister, PNCounter, Region, Stamp
from tidal.regions.clock import NEVER
from tidal.regions.negatives import Entry, NegativeKey, Vector
from tidal.testing.cluster.sessions import SimEvent
from tidal.testing.cluster.world import World


class Taken(NamedTuple):
    """An operation of a session that came from elsewhere: which, and the event that it counts as, if any."""

    session_id: int
    seq: int
    event: SimEvent | None


def signals_of(events: Iterable[SimEvent | Taken]) -> Iterator[SimEvent]:
    """Yield the events that count, of what a log has."""
    for it in events:
        event = it.event if isinstance(it, Taken) else it
        if event is not None:
            yield event


@dataclass
class RegionOracle:
    """The acknowledged writes of one region, in its own order.

    ``events`` has also what was written and never called durable, until a crash shows what is left of it.
    """

    world: World
    number: int
    events: list[SimEvent | Taken] = field(default_factory=list)
    durable_seq: int = 0
    entries: dict[NegativeKey, Entry] = field(default_factory=dict)
    counters: dict[str, PNCounter] = field(default_factory=dict)
    registers: dict[str, LWWRegister] = field(default_factory=dict)
    last_stamp: Stamp = NEVER

    def __post_init__(self) -> None:
        self._doubted: RegionOracle | None = None  # as it is if an operation that was cut off was done
        self._in_doubt = False

    # ------------------------------------------------------------------------------ what was acknowledged

    def took(self, steps: Sequence[Taken], last_seq: int, durable_seq: int) -> None:
        """Take note of operations of a session that were taken in: each is the next one of its session."""
        for step in steps:
            before = [
                it.seq for it in self.events if isinstance(it, Taken) and it.session_id == step.session_id
            ]
            known = step.seq == max(before, default=0) + 1
            self.world.check(known, f"region {self.number} took {step} after {before}")
            self.recorded([step], len(self.events) + 1, 0)
        self.world.check(last_seq == len(self.events), f"region {self.number}: sequence {last_seq}")
        self.durable(durable_seq)

    def recorded(self, events: Sequence[SimEvent | Taken], last_seq: int, durable_seq: int) -> None:
        """Take note of events that were recorded."""
        self.events += events
        self._note(f"{len(events)} events to {last_seq}, durable to {durable_seq}")
        self.world.check(last_seq == len(self.events), f"region {self.number}: sequence {last_seq}")
        self.durable(durable_seq)

    def durable(self, seq: int) -> None:
        """Take note of what is called durable."""
        if not self._in_doubt:
            self.durable_seq = max(self.durable_seq, seq)

    def told(self, region: Region) -> None:
        """Take note of what others were told: that must be as durable as what callers are told."""
        version = region._signals.versions().get(self.number)
        self.durable(0 if version is None else version.seq)

    def negated(self, key: NegativeKey, on: bool, stamp: Stamp, before: Vector) -> None:
        """Take note of a hide or of its end. Its stamp is above all that the region knew."""
        self._note(f"{'hides' if on else 'shows'} {tuple(key)} at {tuple(stamp)}")
        newest = max([*before.values(), self.last_stamp])
        self.world.check(stamp > newest, f"region {self.number} stamped {stamp}, and knew {newest}")
        self._at.entries[key] = self.entries.get(key, Entry()).merge(
            Entry(stamp) if on else Entry(None, stamp)
        )
        self._at.last_stamp = stamp

    def added(self, name: str, amount: int) -> None:
        """Take note of what was added to a counter."""
        self._note(f"adds {amount} to {name}")
        self._at.counters[name] = self.counters.get(name, PNCounter()).add(self.number, amount)

    def wrote(self, name: str, value: bytes, stamp: Stamp) -> None:
        """Take note of a register that was written."""
        self._note(f"writes {value.hex()} to {name} at {tuple(stamp)}")
        self.world.check(
            stamp > self.last_stamp, f"region {self.number} stamped {stamp} after {self.last_stamp}"
        )
        self._at.registers[name] = LWWRegister(value, stamp)
        self._at.last_stamp = stamp

    # ------------------------------------------------------------------------------ crashes

    @contextlib.contextmanager
    def in_doubt(self) -> Iterator[None]:
        """What is done inside was never acknowledged: after the crash it was done whole, or not at all."""
        self._in_doubt = True
        self._doubted = RegionOracle(
            self.world, self.number, self.events, self.durable_seq,
            dict(self.entries), dict(self.counters), dict(self.registers), self.last_stamp,
        )  # fmt: skip
        try:
            yield
        finally:
            self._in_doubt = False

    def recovered(self, region: Region) -> None:
        """Check that a store which was opened again has all that was acknowledged, and nothing else."""
        last = region.db.last_seq
        self._note(f"opens with {last} events; durable were {self.durable_seq} of {len(self.events)}")
        known = self.durable_seq <= last <= len(self.events)
        self.world.check(known, f"region {self.number} has {last} events, {self.durable_seq} were durable")
        del self.events[last:]
        self.durable_seq = region.db.durable_seq
        doubted, self._doubted = self._doubted, None
        if self._lost(region) is not None and doubted is None:
            self.world.check(False, f"region {self.number} lost {self._lost(region)}")
        if doubted is not None and doubted._lost(region) is None:
            self.entries, self.counters = doubted.entries, doubted.counters
            self.registers, self.last_stamp = doubted.registers, doubted.last_stamp
        self.world.check(self._lost(region) is None, f"region {self.number} lost {self._lost(region)}")

    def _lost(self, region: Region) -> str | None:
        """Return what of the acknowledged values a region does not have, None where all is there."""
        for key, entry in self.entries.items():
            if (there := region._negatives._entry(key)).merge(entry) != there:
                return f"{entry} of {tuple(key)}"
        for name, counter in self.counters.items():
            if region._values.counter(name).nodes.get(self.number) != counter.nodes[self.number]:
                return f"{counter} of {name}"
        for name, register in self.registers.items():
            if (kept := region._values.register(name)).merge(register) != kept:
                return f"{register} of {name}"
        return None

    @property
    def _at(self) -> RegionOracle:
        """Where to note an operation."""
        return self._doubted if self._in_doubt and self._doubted is not None else self

    def _note(self, line: str) -> None:
        self.world.note(f"region{self.number} {line}{' (in doubt)' if self._in_doubt else ''}")
