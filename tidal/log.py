"""The log as the database sees it; in memory it only counts."""

from __future__ import annotations

import threading
from typing import Protocol

from tidal.schema.events import EventBatch


class Log(Protocol):
    """Gives events their sequences and makes them durable."""

    @property
    def last_seq(self) -> int: ...

    @property
    def durable_seq(self) -> int: ...

    @property
    def head_hash(self) -> bytes: ...

    @property
    def bytes_written(self) -> int: ...

    def append(self, batch: EventBatch) -> tuple[int, int]:
        """Return the first and last sequence of the events, which a killed process no longer loses."""

    def commit(self, seq: int) -> None:
        """Return when the events up to seq are as durable as the sync policy says."""

    def flush(self) -> int:
        """Return the last sequence once all events up to it would survive a power cut."""

    def close(self) -> None: ...


class MemoryLog:
    """The log of a database without a directory."""

    bytes_written = 0
    head_hash = b""

    def __init__(self, last_seq: int = 0) -> None:
        self.last_seq = last_seq
        self._lock = threading.Lock()

    @property
    def durable_seq(self) -> int:
        return self.last_seq

    def append(self, batch: EventBatch) -> tuple[int, int]:
        return self.number(len(batch))

    def number(self, events: int) -> tuple[int, int]:
        """Return the first and last sequence of the next events."""
        with self._lock:
            first = self.last_seq + 1
            self.last_seq += events
            return first, self.last_seq

    def commit(self, seq: int) -> None:
        """Return at once."""

    def flush(self) -> int:
        return self.last_seq

    def close(self) -> None:
        """Do nothing."""
