"""A database on a disk in memory: each step of a workload leaves a mark of what the caller was told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

import tidal
from crashkit.events import NOW, SCHEMA, Sent, SentEvent, event
from tidal.db import Settings
from tidal.errors import CorruptionError, NoSpace, StorageError
from tidal.opening import StoreOptions, Wiring, open_store
from tidal.store import StorePaths
from tidal.testing.disk import FileEngine, MemoryDisk
from tidal.wal import parse_sync

BASE: Final = Path("/s")
# Each path made once: there are sixty in an opening, and an opening is done a million times.
_CachedPaths: Any = type(
    "_CachedPaths",
    (StorePaths,),
    {name: cached_property(it.fget) for name, it in vars(StorePaths).items() if isinstance(it, property)},
)
PATHS: Final[StorePaths] = _CachedPaths(BASE)
_SETTINGS = frozenset(field.name for field in fields(Settings))
_STORE_ID = bytes(range(16))
_ATTEMPTS = 3
SEGMENT_BYTES: Final = 1_400  # a few small batches: segments roll often


def open_on(disk: MemoryDisk, *, sync: str = "group", schema: Any = SCHEMA, **options: Any) -> tidal.TidalDb:
    """The database on this disk, through the real open_store: small segments, one shard, a fixed clock."""
    settings = {
        "wall_clock": lambda: NOW,
        "event_clock": False,
        "max_future_skew_ns": None,
        "checkpoint_bytes": None,
        "materializers": {},
        "monotonic": lambda: 0.0,
    }
    for name in _SETTINGS & options.keys():
        settings[name] = options.pop(name)
    return open_store(
        PATHS,
        StoreOptions(schema=schema, sync=parse_sync(sync), shards=1, **options),
        Settings(**settings),
        Wiring(fs=disk, engine=FileEngine, segment_bytes=SEGMENT_BYTES, new_store_id=lambda: _STORE_ID),
    )


def abandon(db: tidal.TidalDb, disk: MemoryDisk) -> None:
    """End a database as the end of its process does: nothing more is written."""
    disk.end_process()
    with contextlib.suppress(Exception):
        db._release()
    disk.begin_process()


class GaveUp(Exception):
    """A store could not be opened on a disk that fails again and again."""


class Bench:
    """A workload's database, its disk, and all that was sent and acknowledged.

    With ``tolerant`` a call may fail, as on a bad disk: the caller tries again where nothing was written, and
    where the log failed ends the process and opens the store anew, on a machine that is still on.
    """

    def __init__(
        self,
        *,
        sync: str = "group",
        keyed: bool = False,
        story: int = 0,
        faults: Any = None,
        keeps_cache: bool = False,
        **options: Any,
    ) -> None:
        self.disk = MemoryDisk(faults=faults, keeps_cache=keeps_cache)
        if faults is not None:
            faults.disk = self.disk
        self.sent = Sent()
        self.sync, self.keyed, self.story, self.options = sync, keyed, story, options
        self._checkpoints: list[int] = []
        self._held: int | None = None
        self.damaged: list[object] = []  # checkpoints that were called good when they were written
        self.signals = ("view",)
        self.tolerant = faults is not None
        self.schema = SCHEMA
        self.open()

    def open(self, *, schema: Any = None, **options: Any) -> None:
        """Open the store; what it shows must be shown by every later open."""
        self.schema = schema or self.schema

        def step() -> int:
            self.db = open_on(self.disk, sync=self.sync, schema=self.schema, **self.options | options)
            self.sent.forget_after(self.db.last_seq)
            self.damaged += self.db.recovery.damaged_checkpoints
            return self.db.last_seq

        self._do(step, opening=True)
        self.disk.mark("opened", 1)

    def _do(self, step: Callable[[], int], events: Sequence[SentEvent] = (), opening: bool = False) -> None:
        """Make one call; it returns the last sequence that is durable by it."""
        if events:
            self.sent.add(events)
            self.disk.mark("sent", len(self.sent.events))
        error: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                durable = step()
            except NoSpace:
                if not self.tolerant:
                    raise
            except (StorageError, CorruptionError) as caught:
                if not self.tolerant:
                    raise
                if not opening:
                    break
                error = caught
                self.disk.begin_process()
            except KeyboardInterrupt:
                break
            else:
                self.disk.mark("durable", max(durable, self.db.durable_seq))
                if not self.sync.startswith("buffered"):
                    self.disk.mark("written", self.db.last_seq)
                return
        else:
            self.sent.take_back(len(events))
        if opening:
            raise GaveUp(f"the store cannot be opened again: {error}")
        self.close()
        self.open()

    def _waits(self, seq: int) -> int:
        return seq if self.sync in ("group", "always") else 0

    def _events(self, count: int) -> list[SentEvent]:
        numbers = range(len(self.sent.events) + 1, len(self.sent.events) + 1 + count)
        return [
            event(n, self.signals[n % len(self.signals)], keyed=self.keyed, story=self.story) for n in numbers
        ]

    def signal(self, times: int = 1) -> None:
        """Send events one by one."""
        for _ in range(times):
            (one,) = self._events(1)
            self._do(lambda one=one: self._waits(self._signal(one, len(self.sent.events))), [one])

    def _signal(self, one: SentEvent, number: int) -> int:
        event_id = number if "dedup" in self.options else None
        return self.db.signal(one.signal, one.entity, one.weight, timestamp=one.time, event_id=event_id)

    def retry(self, times: int) -> None:
        """Send the last events again, as a caller does that heard no answer: they must count once."""
        for number in range(len(self.sent.events) - times + 1, len(self.sent.events) + 1):
            if (seq := self._signal(self.sent.events[number - 1], number)) != 0:
                raise AssertionError(f"event {number} was sent again, and taken as event {seq}")

    def ingest(self, count: int) -> None:
        """Send events in one call."""
        events = self._events(count)
        columns = {
            "signal": [it.signal for it in events],
            "entity_id": [it.entity for it in events],
            "weight": np.array([it.weight for it in events], np.float32),
            "timestamp": np.array([it.time for it in events], np.int64),
        }
        self._do(lambda: self._waits(self.db.ingest(**columns).last_seq), events)

    def put(self, entity: str, metadata: dict[str, Any]) -> None:
        def step() -> int:
            self.db.items.put(entity, metadata)
            return 0

        self._do(step)

    def flush(self) -> None:
        self._do(lambda: self.db.flush())

    def checkpoint(self) -> None:
        def step() -> int:
            self._checkpoints.append(seq := self.db.checkpoint())
            return seq

        self._do(step)

    def hold(self, name: str, seq: int) -> None:
        """Set a mark: the log after it is needed by somebody."""

        def step() -> int:
            self.db.marks.set(name, seq)
            self._held = seq
            return 0

        self._do(step)

    def archive(self) -> None:
        """Archive what may be, and retire what may be; what is needed must stay."""
        floor = sorted({0, *self._checkpoints})[-2:][0]
        if self._held is not None:
            floor = min(floor, self._held)
        self.disk.mark("floor", floor if "retention" in self.options else 0)

        def step() -> int:
            self.db.archive()
            return 0

        self._do(step)

    def close(self) -> None:
        """Close the store: all of it is durable then, under every policy."""
        in_doubt, last = self.db._recorder.failure is not None, self.db.last_seq
        if self._closed() and not in_doubt:
            self.disk.mark("durable", last)

    def _closed(self) -> bool:
        try:
            self.db.close()
        except (StorageError, CorruptionError):
            if not self.tolerant:
                raise
            self.kill()
            return False
        return True

    def release(self) -> None:
        """Close the log without a checkpoint, as a database does whose state is in doubt."""
        last = self.db.last_seq
        self.db._recorder.failure = RuntimeError("in doubt")
        if self._closed():
            self.disk.mark("durable", last)

    def kill(self) -> None:
        """End the process without a word; the machine stays on."""
        abandon(self.db, self.disk)
