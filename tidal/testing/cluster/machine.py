"""Machine: a disk, a clock that goes wrong, and the store on it; its process may end, its power be cut."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Final

from tidal.db import Settings, TidalDb
from tidal.opening import StoreOptions, Wiring, open_store
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NOTE_TYPE_ID
from tidal.sessions import SessionLimits
from tidal.store import StorePaths
from tidal.testing.cluster.world import BEGIN_NS, NS, World
from tidal.testing.disk import FileEngine, MemoryDisk, Replay
from tidal.wal import parse_sync

SEGMENT_BYTES: Final = 4_000  # small: logs have several segments
_STORE_ID_BYTES: Final = 16
PATHS: Final = StorePaths(Path("/s"))


class Counting:
    """A materializer: how many events of each entity there were, which the store must count, too."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def on_events(self, batch: EventBatch) -> None:
        self.counts.update(batch.entity_id[batch.type_id != NOTE_TYPE_ID].tolist())

    def checkpoint(self) -> bytes:
        return json.dumps(sorted(self.counts.items())).encode()

    def restore(self, state: bytes) -> None:
        self.counts = Counter(dict(json.loads(state)))


class Machine:
    """One simulated machine. Its wall clock is ``skew_ns`` off, which a run may change at any time."""

    def __init__(self, world: World, name: str, schema: Schema, *, sync: str, skew_ns: int = 0) -> None:
        self.world, self.name, self.schema, self.sync, self.skew_ns = world, name, schema, sync, skew_ns
        self.disk = MemoryDisk()
        self.db: TidalDb | None = None
        self.counting = Counting()
        self._number = sum(name.encode())  # of its store
        self._before = 0  # length of the disk's journal when the last step began

    def wall_clock(self) -> int:
        """Return what this machine takes for the time, ns."""
        return BEGIN_NS + self.world.now + self.skew_ns

    def settings(self) -> Settings:
        """Return what a store of this machine is opened with: once."""
        self.counting = Counting()
        return Settings(
            wall_clock=self.wall_clock,
            event_clock=False,
            max_future_skew_ns=None,
            checkpoint_bytes=None,
            materializers={"counting": self.counting},
            monotonic=lambda: self.world.now / NS,
            sessions=SessionLimits(closed=1),  # those that were closed are soon forgotten
        )

    def wiring(self) -> Wiring:
        """Return what a store of this machine is built on."""
        return Wiring(
            fs=self.disk,
            engine=FileEngine,
            segment_bytes=SEGMENT_BYTES,
            new_store_id=lambda: self._number.to_bytes(_STORE_ID_BYTES, "big"),
        )

    def open(self) -> TidalDb:
        """Open the store for writing."""
        options = StoreOptions(schema=self.schema, sync=parse_sync(self.sync), shards=1)
        self.db = open_store(PATHS, options, self.settings(), self.wiring())
        return self.db

    # ------------------------------------------------------------------------------ ends

    def begin_step(self) -> None:
        """Note that what follows may be cut off in its middle by cut_power(torn=True)."""
        self._before = len(self.disk.journal)

    def kill(self) -> None:
        """End the process without a word. What it wrote is still there, synced or not."""
        self._abandon()
        self.disk.begin_process()

    def cut_power(self, *, torn: bool) -> None:
        """Leave on the disk what a power cut may leave, by chance: now, or within the last step if torn."""
        self._abandon()
        journal, rng = self.disk.journal, self.world.rng
        end = rng.randint(self._before, len(journal)) if torn else len(journal)
        replay = Replay(self.disk.initial)
        for op in journal[:end]:
            replay.step(op)
        states = replay.possible()
        number = rng.choice((0, states.total - 1, rng.randrange(states.total)))
        self.world.note(f"{self.name} loses power: state {number} of {states.total}, op {end}")
        self.disk, self._before = MemoryDisk(states[number]), 0

    def _abandon(self) -> None:
        self.disk.end_process()
        if self.db is not None:
            with contextlib.suppress(Exception):
                self.db._release()
        self.db = None
