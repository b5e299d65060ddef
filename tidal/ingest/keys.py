"""String keys -> ids, each distinct key that a good row uses once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tidal.errors import KeyCollision
from tidal.ingest.convert import Ids
from tidal.schema.events import U64, NewKey


class ResolveKeys(Protocol):
    """Returns the id of each key, and the keys of this kind that have no stored name yet.

    For the kind None (sessions, event ids) nothing is stored, so no name is new.
    """

    def __call__(self, kind: str | None, keys: Sequence[str], /) -> tuple[U64, tuple[NewKey, ...]]: ...


class KeyResolver:
    """Resolves the keys of one ingest call and remembers which names are new, over all its batches."""

    def __init__(self, resolve_keys: ResolveKeys) -> None:
        self._resolve_keys = resolve_keys
        self._seen: dict[tuple[str, int], str] = {}
        self._new: list[NewKey] = []

    def resolve(self, kind: str | None, ids: Ids, rows: NDArray[np.bool_] | None = None) -> U64:
        """Return the ids of the given rows (default all), and 0 in rows that are null or not given."""
        if ids.valid is not None:
            rows = ids.valid if rows is None else rows & ids.valid
        if ids.texts is None:
            values: U64 = ids.values
            return values if rows is None else np.where(rows, values, np.uint64(0))
        used = np.zeros(len(ids.texts), np.bool_)
        used[ids.values if rows is None else ids.values[rows]] = True
        codes = np.flatnonzero(used).tolist()
        if not codes:
            return np.zeros(len(ids.values), np.uint64)
        table = np.zeros(len(ids.texts), np.uint64)
        table[codes], new_keys = self._resolve_keys(kind, [ids.texts[code] for code in codes])
        for new in new_keys:
            self._add(new)
        result: U64 = table[ids.values]
        if rows is not None:
            result[~rows] = 0
        return result

    def take_new_keys(self) -> tuple[NewKey, ...]:
        """Return the names that are new since the last call of this."""
        new, self._new = tuple(self._new), []
        return new

    def _add(self, new: NewKey) -> None:
        # A name becomes known to the store only when its batch is logged: until then it comes back as new.
        other = self._seen.get((new.kind, new.id))
        if other is None:
            self._seen[new.kind, new.id] = new.key
            self._new.append(new)
        elif other != new.key:
            raise KeyCollision(
                f"the {new.kind} keys {other!r} and {new.key!r} have the same id {new.id}; rename one of them"
            )
