"""StorageEngine: what tidal asks of an embedded key-value store, and the batch that both backends share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final, Protocol

from tidal.errors import InvalidKey
from tidal.storage.keys import KEYSPACES

Changes = Mapping[str, Mapping[bytes, bytes | None]]
"""By keyspace and key: the new value, or None to delete."""

_NAMES: Final = frozenset(KEYSPACES.values())


class StorageEngine(Protocol):
    """Ordered bytes -> bytes, in the keyspaces of ``tidal.storage.keys.KEYSPACES``. Safe to share by threads.

    After a crash each put, delete and batch is there whole or not at all. What a call raises for: an unknown
    keyspace or a value that is not bytes (InvalidKey), a closed engine (StoreClosed).
    """

    def get(self, keyspace: str, key: bytes) -> bytes | None:
        """Return the value, or None."""

    def put(self, keyspace: str, key: bytes, value: bytes) -> None:
        """Store a value, replacing an earlier one."""

    def delete(self, keyspace: str, key: bytes) -> None:
        """Remove a key; fine if it is not there."""

    def scan(
        self, keyspace: str, prefix: bytes = b"", *, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in byte order, of keys with the prefix that are not below ``start``.

        The pairs are those of the moment at which the first is asked for; later changes are not seen.
        """

    def batch(self) -> WriteBatch:
        """Return changes to be made together when the ``with`` block ends, over any keyspaces."""

    def flush(self) -> None:
        """Return once all that was changed before would survive a power cut."""

    def close(self) -> None:
        """Flush and release; a second close does nothing."""


class WriteBatch:
    """Changes that become visible, and durable, all at once; none of them if the block raises.

    The last change of a key wins. Reads do not see a batch before its block has ended.
    """

    def __init__(self, apply: Callable[[Changes], None]) -> None:
        self._apply = apply
        self._changes: dict[str, dict[bytes, bytes | None]] = {}

    def put(self, keyspace: str, key: bytes, value: bytes) -> None:
        if not isinstance(value, bytes):
            raise InvalidKey(f"value of type {type(value).__name__}; encode it to bytes")
        self._set(keyspace, key, value)

    def delete(self, keyspace: str, key: bytes) -> None:
        self._set(keyspace, key, None)

    def _set(self, keyspace: str, key: bytes, value: bytes | None) -> None:
        check_keyspace(keyspace)
        if not isinstance(key, bytes):
            raise InvalidKey(f"key of type {type(key).__name__}; encode it to bytes")
        self._changes.setdefault(keyspace, {})[key] = value

    def __enter__(self) -> WriteBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        changes, self._changes = self._changes, {}
        if error is None and changes:
            self._apply(changes)


def check_keyspace(keyspace: str) -> None:
    """Raise InvalidKey unless there is such a keyspace."""
    if keyspace not in _NAMES:
        raise InvalidKey(f"no keyspace {keyspace!r}; there are {', '.join(KEYSPACES.values())}")
