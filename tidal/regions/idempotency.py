"""IdempotencyStore: which operations were done, so that one that is sent again is not done again."""

from __future__ import annotations

import struct
from typing import Final

from blake3 import blake3

from tidal.errors import FormatError, InvalidOption
from tidal.regions.coding import Reader

KEY_BYTES: Final = 16
KEYS_MAX: Final = 100_000

_PLACE: Final = struct.Struct(">QQ")


def idempotency_key(session_id: int, seq: int, operation: bytes) -> bytes:
    """Return the key of an operation: the first 16 bytes of BLAKE3 over its session, sequence and bytes.

    >>> idempotency_key(7, 1, b"open").hex()
    '55e74db8c74f7a84f6476926de977743'
    """
    return blake3(_PLACE.pack(session_id, seq) + operation).digest(KEY_BYTES)


class IdempotencyStore:
    """The keys of the last operations, 100,000 unless told otherwise; the oldest is forgotten for a new one.

    For one thread at a time.

    >>> done = IdempotencyStore()
    >>> done.add(idempotency_key(7, 1, b"open")), done.add(idempotency_key(7, 1, b"open"))
    (True, False)
    """

    def __init__(self, most: int = KEYS_MAX) -> None:
        if type(most) is not int or not 1 <= most <= KEYS_MAX:
            raise InvalidOption(f"{most!r} keys; choose 1 to {KEYS_MAX}")
        self._most = most
        self._keys: dict[bytes, None] = {}  # the oldest first

    def add(self, key: bytes) -> bool:
        """Note an operation as done; return False if it was."""
        if len(key) != KEY_BYTES:
            raise InvalidOption(f"a key of {len(key)} bytes; make it by idempotency_key()")
        if key in self._keys:
            return False
        if len(self._keys) == self._most:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = None
        return True

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def encode(self) -> bytes:
        """Return the keys as bytes, the oldest first."""
        return b"".join(self._keys)

    @classmethod
    def decode(cls, data: bytes, most: int = KEYS_MAX) -> IdempotencyStore:
        """Return a store with what encode() wrote; FormatError for anything else."""
        store = cls(most)
        reader = Reader(data)
        while reader.left:
            if len(store) == most or not store.add(bytes(reader.take(KEY_BYTES))):
                raise FormatError(f"more than {most} keys, or one twice")
        return store
