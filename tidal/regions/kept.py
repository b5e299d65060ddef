"""Negatives and named values in the key-value engine of a store: one record each, of the user or by name."""

from __future__ import annotations

import struct
from typing import Final

from tidal.regions.negatives import (
    Entries,
    Entry,
    HardNegatives,
    NegativeKey,
    decode_entry,
    encode_entry,
)
from tidal.regions.values import NamedValues, Value, ValueKey, Values, decode_value
from tidal.storage import KEYSPACES, StorageEngine
from tidal.storage.keys import Tag, decode_key, encode_key

_USERS: Final = KEYSPACES["user"]
_ITEMS: Final = KEYSPACES["item"]
# These are part of the key format: they are on disk and do not change.
_NEGATIVE: Final = struct.Struct(">BBQ")  # "n", sort, target
_NEGATIVE_MARK: Final = ord("n")
_VALUE_MARK: Final = b"region"  # at the id 0, which the values have no use for


class KeptState:
    """Keeps what regions share in an engine: each call returns once it would survive a power cut."""

    def __init__(self, engine: StorageEngine) -> None:
        self._engine = engine

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
        """Return what was kept of negatives, which is kept on. FormatError for a record that is none."""
        found: dict[NegativeKey, Entry] = {}
        for raw, value in self._engine.scan(_USERS):
            key = decode_key(raw)
            if key.tag is Tag.REL and key.suffix[:1] == bytes([_NEGATIVE_MARK]):
                _, sort, target_id = _NEGATIVE.unpack(key.suffix)
                found[NegativeKey(key.id, sort, target_id)] = decode_entry(value)
        negatives = HardNegatives(self.keep_entries)
        negatives.restore(found)
        return negatives

    def values(self) -> NamedValues:
        """Return what was kept of named values, which is kept on. FormatError for a record that is none."""
        prefix = encode_key(0, Tag.MV, _VALUE_MARK)
        found: dict[ValueKey, Value] = {}
        for raw, data in self._engine.scan(_ITEMS, prefix):
            form, *name = raw[len(prefix) :]
            found[ValueKey(form, bytes(name))] = decode_value(form, data)
        values = NamedValues(self.keep_values)
        values.restore(found)
        return values
