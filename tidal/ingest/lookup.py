"""Entities of a read: ids or keys, as people pass them -> u64 ids."""

from __future__ import annotations

from typing import Any

from tidal.ingest.columns import read_column
from tidal.ingest.convert import ids
from tidal.ingest.keys import KeyResolver, ResolveKeys
from tidal.ingest.refused import Refusals
from tidal.schema.events import U64


def entity_ids(source: Any, kind: str, resolve_keys: ResolveKeys) -> U64:
    """Return the ids of a list or array of ids or keys, uint64[n]; InvalidEvent names the first that is
    neither.
    """
    column = read_column("ids", source)
    if not len(column):
        return column.values.astype("uint64")
    refusals = Refusals()
    found = ids(column, refusals, required=True)
    refusals.raise_first()
    return KeyResolver(resolve_keys).resolve(kind, found)
