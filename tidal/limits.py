"""Limits of a database: entities, memory, and bytes of the log that no sync has reached yet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

from tidal.errors import InvalidOption, LimitExceeded
from tidal.gate import Gate
from tidal.ledger import SignalLedger
from tidal.log import Log
from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND, Duration, parse_duration
from tidal.schema.events import EventBatch

UNSYNCED_BYTES_DEFAULT: Final = 64 << 20
ENTITY_BYTES: Final = 128  # reserved for a new entity: its record, cells of the index, entries of columns

BYTES_OF_STATE: Final = ("record_bytes", "index_bytes", "column_bytes")


@record
class Limits:
    """What a database may take; beyond it a call raises LimitExceeded. Nothing is dropped silently.

    - ``entities``: of all signal types together; an entity counts once for each type that it has events of.
      A call whose new entities would exceed it is refused whole, so send new and known ones apart: events
      of known entities are taken as before.
    - ``memory_bytes``: of the state, the sum of the bytes in ``stats()["signals"]``. A call with new
      entities is refused where the bytes in use, and 128 for each of them, would exceed it. Tables grow in
      steps (records by an eighth, an index to twice its size), so the bytes in use may lie above it by the
      last step. Events of known entities are taken as before: what they add is bounded by the windows.
    - ``unsynced_bytes``: of the log, written but not synced yet. Where there are more, a caller that writes
      waits for the disk, outside of all locks, so reads go on; after ``wait`` it is refused. Each writing
      thread may exceed it by one frame of the log, 65,536 events.

    None is no limit. Opening a store is never limited: what is in the log is taken. Raises InvalidOption or
    InvalidDuration for what cannot be meant.

    >>> Limits(entities=1_000_000).unsynced_bytes
    67108864
    """

    entities: int | None = None
    memory_bytes: int | None = None
    unsynced_bytes: int | None = UNSYNCED_BYTES_DEFAULT
    wait: Duration = "30s"

    def __post_init__(self) -> None:
        for name in ("entities", "memory_bytes", "unsynced_bytes"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise InvalidOption(f"tidal.Limits({name}={value!r}): choose a positive integer, or None")
        parse_duration(self.wait)


def state_bytes(ledger: SignalLedger) -> int:
    """Return the bytes that the state of a database takes, of all signal types together."""
    return sum(part[name] for part in ledger.stats().values() for name in BYTES_OF_STATE)


class Guard:
    """Holds the calls of a database to its limits. Safe to share by threads.

    Far from the limits a call takes as many places from the *credit* as it has events, which are at least
    as many as it has new entities. Where the credit ends, it is counted anew, exactly, while no other
    call is under way: so two calls at the limit do not both pass it.
    """

    def __init__(
        self, limits: Limits, ledger: SignalLedger, log: Log, monotonic: Callable[[], float]
    ) -> None:
        self.limits = limits
        self.bounds_growth = limits.entities is not None or limits.memory_bytes is not None
        self._ledger, self._log, self._monotonic = ledger, log, monotonic
        self._wait = parse_duration(limits.wait) / NS_PER_SECOND
        self._gate = Gate()
        self._lock = threading.Lock()
        self._credit = 0

    def await_sync(self) -> None:
        """Return when few enough bytes of the log are unsynced for a frame; after ``wait`` LimitExceeded."""
        limit = self.limits.unsynced_bytes
        if limit is None or self._log.unsynced_bytes <= limit:
            return
        deadline = self._monotonic() + self._wait
        while (unsynced := self._log.unsynced_bytes) > limit:
            if not self._log.sync_within(max(0.0, deadline - self._monotonic())):
                raise LimitExceeded(
                    f"{unsynced:,} bytes of the log wait for the disk, more than unsynced_bytes={limit:,}, "
                    f"and no sync ended in {self.limits.wait}: see what holds up the disk, or raise "
                    "tidal.Limits(unsynced_bytes=...) or (wait=...)"
                )

    @contextlib.contextmanager
    def growing(self, batch: EventBatch) -> Iterator[None]:
        """A block that logs and applies events; LimitExceeded before it if their new entities do not fit."""
        with self._gate.passing():
            if self._take_credit(len(batch)):
                yield
                return
        with self._gate.closed():
            self._credit = self._count_credit()
            if not self._take_credit(len(batch)):
                self._check(batch)
                self._credit = 0  # what the block adds is not taken off it
            yield

    def _take_credit(self, places: int) -> bool:
        with self._lock:
            if places > self._credit:
                return False
            self._credit -= places
            return True

    def _count_credit(self) -> int:
        room = []
        if self.limits.entities is not None:
            room.append(self.limits.entities - self._ledger.entity_count())
        if self.limits.memory_bytes is not None:
            room.append((self.limits.memory_bytes - state_bytes(self._ledger)) // ENTITY_BYTES)
        return max(0, min(room))

    def _check(self, batch: EventBatch) -> None:
        new = self._ledger.count_new(batch)
        if not new:
            return
        limits, there = self.limits, self._ledger.entity_count()
        if limits.entities is not None and there + new > limits.entities:
            raise LimitExceeded(
                f"{new:,} new entities beside the {there:,} there are would exceed "
                f"entities={limits.entities:,}; send events of known entities only, or raise "
                "tidal.Limits(entities=...)"
            )
        if limits.memory_bytes is not None:
            in_use = state_bytes(self._ledger)
            if in_use + new * ENTITY_BYTES > limits.memory_bytes:
                raise LimitExceeded(
                    f"{new:,} new entities beside the {in_use:,} bytes in use would exceed "
                    f"memory_bytes={limits.memory_bytes:,}; send events of known entities only, or raise "
                    "tidal.Limits(memory_bytes=...)"
                )
