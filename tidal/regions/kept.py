"""Negatives and named values in the key-value engine of a store: one record each, of the user or by name."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from tidal.errors import CorruptStore, FormatError
from tidal.regions.coding import Reader
from tidal.regions.negatives import (
    Entries,
    Entry,
    HardNegatives,
    NegativeKey,
    checked_negative,
    decode_entry,
    encode_entry,
)
from tidal.regions.values import NamedValues, Value, ValueKey, Values, checked_key, decode_value
from tidal.storage import KEYSPACES, StorageEngine
from tidal.storage.keys import Tag, decode_key, encode_key

_USERS: Final = KEYSPACES["user"]
_ITEMS: Final = KEYSPACES["item"]
# These are part of the key format: they are on disk and do not change.
_NEGATIVE: Final = struct.Struct(">BBQ")  # "n", sort, target
_NEGATIVE_MARK: Final = ord("n")
_VALUE_MARK: Final = b"region"  # at the id 0, which the values have no use for


class KeptState:
    """Keeps what regions share in an engine: each call returns once it would survive a power cut.

    ``path`` is the engine's file, for errors.
    """

    def __init__(self, engine: StorageEngine, path: Path) -> None:
        self._engine, self._path = engine, path

    def keep_entries(self, entries: Entries) -> None:
        """Keep negatives."""
        with self._engine.batch() as batch:
            for key, entry in entries.items():
                suffix = _NEGATIVE.pack(_NEGATIVE_MARK, key.sort, key.target_id)
                batch.put(_USERS, encode_key(key.user_id, Tag.REL, suffix), encode_entry(entry))
        self._engine.flush()

    def keep_values(self, values: Values) -> None:
        """Keep named values."""
        with self._engine.batch() as batch:
            for key, value in values.items():
                suffix = _VALUE_MARK + bytes([key.form]) + key.name
                batch.put(_ITEMS, encode_key(0, Tag.MV, suffix), value.encode())
        self._engine.flush()

    def negatives(self) -> HardNegatives:
        """Return what was kept of negatives, which is kept on. CorruptStore for a record that is none."""
        found: dict[NegativeKey, Entry] = {}
        for raw, value in self._engine.scan(_USERS):
            key = decode_key(raw)
            if key.tag is Tag.REL and key.suffix[:1] == bytes([_NEGATIVE_MARK]):
                try:
                    found[_negative_of(key.id, key.suffix)] = decode_entry(value)
                except FormatError as error:
                    raise self._corrupt(raw, error) from error
        negatives = HardNegatives(self.keep_entries)
        negatives.restore(found)
        return negatives

    def values(self) -> NamedValues:
        """Return what was kept of named values, which is kept on. CorruptStore for a record that is none."""
        prefix = encode_key(0, Tag.MV, _VALUE_MARK)
        found: dict[ValueKey, Value] = {}
        for raw, data in self._engine.scan(_ITEMS, prefix):
            try:
                key = checked_key(raw[len(prefix) : len(prefix) + 1], raw[len(prefix) + 1 :])
                found[key] = decode_value(key.form, data)
            except FormatError as error:
                raise self._corrupt(raw, error) from error
        values = NamedValues(self.keep_values)
        values.restore(found)
        return values

    def _corrupt(self, key: bytes, error: FormatError) -> CorruptStore:
        return CorruptStore(self._path, 0, f"record {key.hex()}: {error}; restore the file from a backup")


def _negative_of(user_id: int, suffix: bytes) -> NegativeKey:
    reader = Reader(suffix)
    _, sort, target_id = reader.fields(_NEGATIVE)
    reader.end()
    return checked_negative(user_id, sort, target_id)
