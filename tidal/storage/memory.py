"""The storage engine in memory: for a database without a folder, and for tests."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator

from tidal.errors import StoreClosed
from tidal.storage.engine import Changes, WriteBatch, check_keyspace
from tidal.storage.keys import KEYSPACES, prefix_end


class MemoryEngine:
    """A StorageEngine in dicts. Nothing outlives the object.

    get and put are O(1); a scan sorts the keyspace once after keys came or went, then costs what it yields.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[bytes, bytes]] = {name: {} for name in KEYSPACES.values()}
        self._sorted: dict[str, list[bytes]] = {}  # keys in order; dropped when the set of keys changes
        self._closed = False

    def get(self, keyspace: str, key: bytes) -> bytes | None:
        check_keyspace(keyspace)
        with self._lock:
            self._check_open()
            return self._values[keyspace].get(key)

    def put(self, keyspace: str, key: bytes, value: bytes) -> None:
        with self.batch() as batch:
            batch.put(keyspace, key, value)

    def delete(self, keyspace: str, key: bytes) -> None:
        with self.batch() as batch:
            batch.delete(keyspace, key)

    def scan(
        self, keyspace: str, prefix: bytes = b"", *, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        check_keyspace(keyspace)
        return self._scan(keyspace, max(prefix, start), prefix_end(prefix))

    def batch(self) -> WriteBatch:
        return WriteBatch(self._apply)

    def flush(self) -> None:
        with self._lock:
            self._check_open()

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _scan(self, keyspace: str, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        with self._lock:
            self._check_open()
            values = self._values[keyspace]
            if (keys := self._sorted.get(keyspace)) is None:
                keys = self._sorted[keyspace] = sorted(values)
            stop = len(keys) if end is None else bisect_left(keys, end)
            pairs = [(key, values[key]) for key in keys[bisect_left(keys, first) : stop]]
        yield from pairs

    def _apply(self, changes: Changes) -> None:
        with self._lock:
            self._check_open()
            for keyspace, pairs in changes.items():
                values = self._values[keyspace]
                for key, value in pairs.items():
                    if (value is None) == (key in values):
                        self._sorted.pop(keyspace, None)
                    if value is None:
                        values.pop(key, None)
                    else:
                        values[key] = value

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the storage engine is closed")
