"""The string keys of a store: metadata may have brought some that no event did."""

from __future__ import annotations

from tidal.entities import names_in
from tidal.replay.partial import Names
from tidal.replay.source import Source
from tidal.storage import KEYSPACES, SqliteEngine


def stored_names(source: Source) -> Names:
    """Return the keys in the database of a store's entities; none for a source that has no such database."""
    if source.entities is None:
        return {}
    engine = SqliteEngine(source.entities, read_only=True, fs=source.place.open())
    try:
        return {(kind, id): key for kind in KEYSPACES for id, key in names_in(engine, kind)}
    finally:
        engine.close()
