"""A store that was opened on a full disk: it is read, and each write first tries to prepare it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tidal.errors import StorageError
from tidal.opening.preparing import Preparation
from tidal.recovery import Recovered
from tidal.schema.events import EventBatch
from tidal.storage import StorageEngine
from tidal.storage.engine import WriteBatch


class DeferredLog:
    """The log of such a store. What asks for writing raises NoSpace until there is space, then does it."""

    def __init__(self, preparation: Preparation, found: Recovered) -> None:
        self._preparation = preparation
        self._last_seq, self._head_hash = found.log_end()
        segments, proven = found.scan.segments, found.scan.proven
        self._durable_seq = self._last_seq if proven else segments[-1].base_seq - 1

    @property
    def ready(self) -> bool:
        return self._preparation.done is not None

    @property
    def last_seq(self) -> int:
        return done.log.last_seq if (done := self._preparation.done) else self._last_seq

    @property
    def durable_seq(self) -> int:
        return done.log.durable_seq if (done := self._preparation.done) else self._durable_seq

    @property
    def head_hash(self) -> bytes:
        return done.log.head_hash if (done := self._preparation.done) else self._head_hash

    @property
    def bytes_written(self) -> int:
        return done.log.bytes_written if (done := self._preparation.done) else 0

    @property
    def unsynced_bytes(self) -> int:
        return done.log.unsynced_bytes if (done := self._preparation.done) else 0

    @property
    def error(self) -> StorageError | None:
        return done.log.error if (done := self._preparation.done) else None

    def close(self) -> None:
        """Close it, if anything was to be written."""
        if (done := self._preparation.done) is not None:
            done.log.close()

    def append(self, batch: EventBatch) -> tuple[int, int]:
        return self._preparation.run().log.append(batch)

    def commit(self, seq: int) -> None:
        self._preparation.run().log.commit(seq)

    def settle(self) -> int:
        return self._preparation.run().log.settle()

    def flush(self) -> int:
        return self._preparation.run().log.flush()

    def sync_within(self, seconds: float) -> bool:
        return self._preparation.run().log.sync_within(seconds)

    def forget(self, through_seq: int) -> tuple[Path, ...]:
        return self._preparation.run().log.forget(through_seq)


class DeferredEngine:
    """The entities of such a store: read from a copy until there is space to open them."""

    def __init__(self, preparation: Preparation, copy: StorageEngine) -> None:
        self._preparation, self._copy = preparation, copy

    def get(self, keyspace: str, key: bytes) -> bytes | None:
        return self._readable().get(keyspace, key)

    def scan(
        self, keyspace: str, prefix: bytes = b"", *, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._readable().scan(keyspace, prefix, start=start)

    def put(self, keyspace: str, key: bytes, value: bytes) -> None:
        self._preparation.run().engine.put(keyspace, key, value)

    def delete(self, keyspace: str, key: bytes) -> None:
        self._preparation.run().engine.delete(keyspace, key)

    def batch(self) -> WriteBatch:
        return self._preparation.run().engine.batch()

    def flush(self) -> None:
        self._preparation.run().engine.flush()

    def close(self) -> None:
        self._copy.close()
        if (done := self._preparation.done) is not None:
            done.engine.close()

    def _readable(self) -> StorageEngine:
        return done.engine if (done := self._preparation.done) else self._copy
