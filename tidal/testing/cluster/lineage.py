"""Lineages: what each leader recorded, epoch by epoch, and what a follower may therefore have."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tidal.db import TidalDb
from tidal.following import FollowerDb
from tidal.testing.cluster.machine import Counting
from tidal.testing.cluster.world import World

SimEvent = tuple[int, float, int]  # entity, weight, time


@dataclass
class Lineages:
    """By epoch all that its leader had: what it began with, and what it recorded.

    Of a leader that crashed all is there again that it called durable; what of the rest is there is what it
    goes on from. Only a promotion leaves out what the one before had called durable, and not sent yet.
    """

    world: World
    events: dict[int, list[SimEvent]] = field(default_factory=dict)
    durable_seq: dict[int, int] = field(default_factory=dict)
    last: int = 0  # the newest epoch
    leader: str = ""  # of it
    epoch_of: dict[str, int] = field(default_factory=dict)  # of each that leads, and does not follow

    def begin(self, name: str, epoch: int, source: int, db: TidalDb) -> None:
        """Take note of a leader of a new epoch, which goes on from what it had of another, 0 of none.

        What it led with itself and called durable must be there.
        """
        before = self.events.get(source, [])
        least = self.durable_seq.get(source, 0) if self.epoch_of.get(name) == source else 0
        has = db.last_seq
        known = least <= has <= len(before)
        self.world.check(known, f"{name} begins epoch {epoch} with {has} events, of {least} to {len(before)}")
        self.events[epoch], self.durable_seq[epoch] = before[:has], db.durable_seq
        if (
            source in self.events
        ):  # what was recovered is durable, and still of the epoch that it was written in
            self.durable_seq[source] = max(self.durable_seq[source], has)
        self.epoch_of[name] = epoch
        if epoch > self.last:
            self.last, self.leader = epoch, name
        self._check_counts(name, db, epoch)

    def follows(self, name: str, has: int) -> None:
        """Take note that a node follows with so many events. If it led, what it called durable is there."""
        if (epoch := self.epoch_of.get(name)) is not None:
            least = self.durable_seq[epoch]
            self.world.check(has >= least, f"{name} has {has} events, and called {least} durable")
            self.durable(name, has)
            del self.epoch_of[name]

    def recorded(self, name: str, events: list[SimEvent], durable_seq: int) -> None:
        """Take note of what a leader recorded."""
        self.events[self.epoch_of[name]] += events
        self.durable(name, durable_seq)

    def durable(self, name: str, seq: int) -> None:
        """Take note of what a leader called durable."""
        epoch = self.epoch_of[name]
        self.durable_seq[epoch] = max(self.durable_seq[epoch], seq)

    def check_follower(self, name: str, db: FollowerDb) -> None:
        """Raise Violation unless a follower has just the first events of the leader that wrote its last."""
        end = db._host.end
        if end.last_seq == 0:
            return
        epoch = end.epoch
        self.world.check(epoch in self.events, f"{name} has events of epoch {epoch}, in which nobody led")
        known = end.last_seq <= self.durable_seq[epoch]
        self.world.check(known, f"{name} has {end.last_seq} events of epoch {epoch}, not durable there")
        self.world.check(
            end.last_seq == db.last_seq, f"{name}: log at {end.last_seq}, state at {db.last_seq}"
        )
        self._check_counts(name, db, epoch)

    def check_grown(self, name: str, db: FollowerDb) -> None:
        """Raise Violation where a follower took what the leader that it knows does not have."""
        end, leader = db._host.end, self.events.get(db._host.epoch, [])
        same = self.events[end.epoch][: end.last_seq] == leader[: end.last_seq]
        self.world.check(same, f"{name} knows epoch {db._host.epoch}, and took {end.last_seq} of {end.epoch}")

    def _check_counts(self, name: str, db: TidalDb, epoch: int) -> None:
        expected = Counter(entity for entity, _, _ in self.events[epoch][: db.last_seq])
        ids = sorted(expected)
        counts = db.counts("view", ids, "all").tolist() if ids else []
        same = counts == [expected[it] for it in ids]
        self.world.check(same, f"{name} counts {counts} at {db.last_seq}, not {dict(expected)}")
        counting = db._settings.materializers["counting"]
        assert isinstance(counting, Counting)
        same = counting.counts == expected
        self.world.check(same, f"{name}: its materializer has {counting.counts}, not {dict(expected)}")
