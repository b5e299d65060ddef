"""The log as the database sees it; in memory it only counts."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tidal._ext.calls import Counter
from tidal.errors import StorageError
from tidal.schema.events import EventBatch


class Log(Protocol):
    """Gives events their sequences and makes them durable."""

    @property
    def ready(self) -> bool:
        """Whether anything can be written: a store that was opened on a full disk is not prepared yet."""

    @property
    def last_seq(self) -> int: ...

    @property
    def durable_seq(self) -> int: ...

    @property
    def head_hash(self) -> bytes: ...

    @property
    def bytes_written(self) -> int: ...

    @property
    def unsynced_bytes(self) -> int:
        """Bytes that a power cut may take."""

    @property
    def error(self) -> StorageError | None:
        """The failure after which nothing more is written, or None."""

    def append(self, batch: EventBatch) -> tuple[int, int]:
        """Return the first and last sequence of the events, which a killed process no longer loses."""

    def commit(self, seq: int) -> None:
        """Return when the events up to seq are as durable as the sync policy says."""

    def settle(self) -> int:
        """Return the last sequence once all events up to it are in the log, durable or not."""

    def flush(self) -> int:
        """Return the last sequence once all events up to it would survive a power cut."""

    def sync_within(self, seconds: float) -> bool:
        """Start a sync of all that was appended; return whether it ended in this time."""

    def forget(self, through_seq: int) -> tuple[Path, ...]:
        """Remove the sealed segments that end at or below a sequence; return their paths."""

    def close(self) -> None: ...


class MemoryLog:
    """The log of a database without a directory."""

    ready = True
    bytes_written = 0
    unsynced_bytes = 0
    head_hash = b""
    error: StorageError | None = None

    def __init__(self, last_seq: int = 0) -> None:
        self.counter = Counter(last_seq)

    @property
    def last_seq(self) -> int:
        return self.counter.last

    @property
    def durable_seq(self) -> int:
        return self.counter.last

    def append(self, batch: EventBatch) -> tuple[int, int]:
        return self.counter.take(len(batch))

    def commit(self, seq: int) -> None:
        """Return at once."""

    def settle(self) -> int:
        return self.last_seq

    def flush(self) -> int:
        return self.last_seq

    def sync_within(self, seconds: float) -> bool:
        return True

    def forget(self, through_seq: int) -> tuple[Path, ...]:
        return ()

    def close(self) -> None:
        """Do nothing."""
