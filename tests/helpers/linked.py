"""A leader and its follower, or two regions, each with a metrics port; a broker's stream as it is seen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import tidal
from tidal.following import FollowerDb
from tidal.links import IngestSeen
from tidal.transports import InProcessTransport

HERE: Final = "127.0.0.1:0"
SCHEMA: Final = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
STREAM: Final = IngestSeen(
    "orders", position=40, pending=2, events=900, duplicates=3, dead_letters=1, missing=0
)


class Pair:
    """A leader with 5 events, and a follower called "copy" that has them. ``late`` is by how many ns the
    follower's clock is ahead.
    """

    def __init__(self, folder: Path, **health: object) -> None:
        self.late = 0
        self.transport = InProcessTransport()
        self.leader = tidal.open(folder / "leader", schema=SCHEMA, sync="os", metrics=HERE)
        self.shipping = self.leader.ship(self.transport, followers=["copy"], name="a")
        self.follower: FollowerDb = tidal.open_follower(
            folder / "copy",
            self.transport,
            name="copy",
            clock=lambda: time.time_ns() + self.late,
            metrics=HERE,
            health=tidal.HealthLimits(**health),  # type: ignore[arg-type]
        )
        self.follower.wait_for(self.leader.ingest(signal="view", entity_id=[1, 2, 1, 3, 1]).last_seq)

    def close(self) -> None:
        self.follower.close()
        with contextlib.suppress(tidal.StaleEpoch):
            self.leader.close()


@contextlib.contextmanager
def linked_pair(folder: Path, **health: object) -> Iterator[Pair]:
    """A leader and its follower, ``health`` the follower's limits."""
    pair = Pair(folder, **health)
    try:
        yield pair
    finally:
        pair.close()


class Regions:
    """Regions 1 and 2, which exchange; the first has 3 events, the second 1. ``limits`` are of health."""

    def __init__(self, folder: Path, **limits: object) -> None:
        self.transport = InProcessTransport()
        health = tidal.HealthLimits(**limits)  # type: ignore[arg-type]
        self.dbs = [
            tidal.open(folder / str(number), schema=SCHEMA, sync="os", metrics=HERE, health=health)
            for number in (1, 2)
        ]
        self.dbs[0].ingest(signal="view", entity_id=[1, 2, 1])
        self.dbs[1].signal("view", 1)
        self.regions = [self.region(number) for number in (1, 2)]
        self.links = [tidal.RegionLink(it, self.transport) for it in self.regions]

    def region(self, number: int, interval: str = "10ms") -> tidal.Region:
        return tidal.Region(self.dbs[number - 1], region=number, members=(1, 2), interval=interval)

    def agree(self) -> bool:
        """Whether each counts all that the other has."""
        first, second = self.regions[0].members()[2], self.regions[1].members()[1]
        return (first.seq, first.lag, second.seq, second.lag) == (1, 0, 3, 0)

    def close(self) -> None:
        for link in self.links:
            link.close()
        for db in self.dbs:
            db.close()


@contextlib.contextmanager
def linked_regions(folder: Path, **limits: object) -> Iterator[Regions]:
    """Two regions, ``limits`` of the health of both."""
    made = Regions(folder, **limits)
    try:
        yield made
    finally:
        made.close()
