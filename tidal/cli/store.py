"""How commands open a store, and how they find entities and times in it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidal.cli.times import parse_time
from tidal.db import TidalDb
from tidal.durable import OsFileSystem
from tidal.entities import EntityStore, entity_key_id
from tidal.errors import InvalidEntity
from tidal.opening import open as open_db
from tidal.schema.events import ID_MAX
from tidal.store import StorePaths, store_exists


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity as the store knows it; without a key it is named by its id only."""

    id: int
    key: str | None
    metadata: dict[str, Any] | None


def add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--db", type=Path, required=True, metavar="DIR", help="the store's directory")


def add_time_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at",
        metavar="TIME",
        help='read as of a time, "2011-12-09 12:50" (UTC) or "now"; left out: the time of the newest event',
    )


def has_store(path: Path) -> bool:
    """Return whether a directory is a store."""
    return store_exists(OsFileSystem(), StorePaths(path))


def is_follower(path: Path) -> bool:
    """Return whether a store takes in another's log, and no events of its own."""
    return OsFileSystem().exists(StorePaths(path).following)


def open_to_read(path: Path) -> TidalDb:
    """Return the store, opened without the right to change a byte; now is the time of its newest event."""
    return open_db(path, clock="event", read_only=True)


def time_option(text: str | None) -> int | None:
    """Return the time that --at names, in ns; None if it was left out."""
    return time.time_ns() if text == "now" else parse_time(text) if text is not None else None


def entities_of(db: TidalDb, kind: str) -> EntityStore:
    return {"item": db.items, "user": db.users, "creator": db.creators}[kind]


def find_entity(db: TidalDb, kind: str, text: str) -> Entity | None:
    """Return the entity that has this key, else the one with this number as its id, or None."""
    try:
        entity = entity_key_id(text)
    except InvalidEntity:
        return None
    key = db.key_of(entity, kind=kind)
    metadata = entities_of(db, kind).get(entity)
    if key != text and metadata is None:
        if not text.isascii() or not text.isdecimal() or int(text) > ID_MAX:
            return None
        entity = int(text)
        key, metadata = db.key_of(entity, kind=kind), entities_of(db, kind).get(entity)
    return Entity(entity, key, metadata)


def titles_of(db: TidalDb, kind: str, ids: Sequence[int]) -> list[str | None]:
    """Return the title in each entity's metadata, where there is one."""
    store = entities_of(db, kind)
    found = (store.get(entity) for entity in ids)
    return [str(metadata["title"]) if metadata and "title" in metadata else None for metadata in found]
