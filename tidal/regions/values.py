"""NamedValues: counters and registers by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from blake3 import blake3

from tidal.errors import FormatError, InvalidOption, LimitExceeded
from tidal.regions.clock import Stamp
from tidal.regions.coding import Reader, ascending, blob
from tidal.regions.counter import PNCounter
from tidal.regions.register import VALUE_BYTES_MAX, LWWRegister

NAME_BYTES_MAX: Final = 255
NAMES_MAX: Final = 65_536
DIGEST_BYTES: Final = 16

_COUNTER, _REGISTER = 1, 2
_VALUE_BYTES_MAX: Final = VALUE_BYTES_MAX + (1 << 21)  # a counter has 18 bytes for each of 65,536 nodes

Value = PNCounter | LWWRegister


class ValueKey(NamedTuple):
    """A value's type, as it is written, and its name in UTF-8: a counter and a register may have one name."""

    form: int
    name: bytes


Values = Mapping[ValueKey, Value]


class NamedValues:
    """Counters and registers, each merged with what has its name elsewhere. Safe to share by threads.

    ``keep`` is given each change before it counts, to make it durable; what it raises, the call does, with
    nothing changed.
    """

    def __init__(self, keep: Callable[[Values], None] = lambda changes: None) -> None:
        self._values: dict[ValueKey, Value] = {}
        self._keep = keep
        self._lock = threading.Lock()

    def counter(self, name: str) -> PNCounter:
        """Return the counter of a name, an empty one if there is none yet."""
        found = self._values.get(_key(_COUNTER, name))
        return found if isinstance(found, PNCounter) else PNCounter()

    def register(self, name: str) -> LWWRegister:
        """Return the register of a name, one that was never written if there is none yet."""
        found = self._values.get(_key(_REGISTER, name))
        return found if isinstance(found, LWWRegister) else LWWRegister()

    def update(self, name: str, change: Callable[[], Value]) -> None:
        """Put what ``change`` returns in the place of the value of a name; it is called under the lock."""
        with self._lock:
            value = change()
            self._merge({_key(_COUNTER if isinstance(value, PNCounter) else _REGISTER, name): value})

    def restore(self, values: Values) -> None:
        """Take what was kept in an earlier life."""
        with self._lock:
            self._values.update(values)

    def absorb(self, values: Values) -> bool:
        """Merge values and return whether any changed. LimitExceeded for too many names."""
        with self._lock:
            return self._merge(values)

    def _merge(self, values: Values) -> bool:
        changes: dict[ValueKey, Value] = {}
        for key, value in values.items():
            mine = self._values.get(key)
            merged = value if mine is None else _merged(mine, value)
            if merged != mine:
                changes[key] = merged
        if len(self._values.keys() | changes.keys()) > NAMES_MAX:
            raise LimitExceeded(
                f"more than {NAMES_MAX} named values; keep what is large in signals or metadata"
            )
        if changes:
            self._keep(changes)
        self._values.update(changes)
        return bool(changes)

    def stamps(self) -> list[Stamp]:
        """Return when each register was written."""
        return [it.stamp for it in self.items().values() if isinstance(it, LWWRegister)]

    def items(self) -> dict[ValueKey, Value]:
        """Return all values, in the order of their types and names."""
        with self._lock:
            return dict(sorted(self._values.items()))


def _merged(mine: Value, other: Value) -> Value:
    if isinstance(mine, PNCounter) and isinstance(other, PNCounter):
        return mine.merge(other)
    assert isinstance(mine, LWWRegister) and isinstance(other, LWWRegister)  # the type is in the key
    return mine.merge(other)


def _key(form: int, name: str) -> ValueKey:
    encoded = name.encode() if isinstance(name, str) else b""
    if not 1 <= len(encoded) <= NAME_BYTES_MAX:
        raise InvalidOption(f"{name!r}; the name of a value is text of 1 to {NAME_BYTES_MAX} bytes")
    return ValueKey(form, encoded)


def digest_of(value: Value) -> bytes:
    """Return 16 bytes by which two regions see whether they have the same value."""
    return blake3(value.encode()).digest(DIGEST_BYTES)


def encode_values(values: Values) -> bytes:
    """Return the bytes of values; equal ones have equal bytes."""
    parts = [bytes([key.form]) + blob(key.name) + blob(values[key].encode()) for key in sorted(values)]
    return b"".join(parts)


def decode_values(data: bytes) -> dict[ValueKey, Value]:
    """Return what encode_values wrote; FormatError for anything else."""
    reader = Reader(data)
    found: list[tuple[ValueKey, Value]] = []
    while reader.left:
        key = read_key(reader)
        body = reader.blob(_VALUE_BYTES_MAX)
        found.append((key, decode_value(key.form, body)))
    ascending([key for key, _ in found])
    return dict(found)


def read_key(reader: Reader) -> ValueKey:
    """Return the next type and name; FormatError for what is none."""
    return checked_key(bytes(reader.take(1)), reader.blob(NAME_BYTES_MAX))


def checked_key(form: bytes, name: bytes) -> ValueKey:
    """Return a type, which is one byte, and a name that were read; FormatError for what is none."""
    try:
        name.decode()
    except UnicodeDecodeError:
        raise FormatError("a name is not UTF-8") from None
    if len(form) != 1 or form[0] not in (_COUNTER, _REGISTER) or not name:
        raise FormatError(f"a value of type {form.hex()} with the name {name!r}")
    return ValueKey(form[0], name)


def decode_value(form: int, data: bytes) -> Value:
    """Return a value from its bytes; FormatError for what is none."""
    return PNCounter.decode(data) if form == _COUNTER else LWWRegister.decode(data)
