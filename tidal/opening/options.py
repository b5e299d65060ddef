"""What a store on disk is opened with: what the caller asked for, and what it is built on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Literal, Protocol

from tidal.durable import FileSystem, OsFileSystem
from tidal.format.segment import STORE_ID_BYTES
from tidal.ledger import SHARDS_DEFAULT
from tidal.records import record
from tidal.schema import Schema
from tidal.storage import SqliteEngine, StorageEngine
from tidal.wal import SyncPolicy
from tidal.wal.writer import SEGMENT_BYTES_DEFAULT

Recovery = Literal["strict", "absolute"]


class EngineOpener(Protocol):
    """Opens the engine of the entities; with ``create`` it makes what is not there."""

    def __call__(
        self, fs: FileSystem, path: Path, *, create: bool = False, read_only: bool = False
    ) -> StorageEngine: ...


def open_sqlite(
    fs: FileSystem, path: Path, *, create: bool = False, read_only: bool = False
) -> StorageEngine:
    """The engine of every store but those of tests that replace the file system."""
    return SqliteEngine(path, create=create, read_only=read_only, fs=fs)


def new_store_id() -> bytes:
    """Sixteen random bytes."""
    return os.urandom(STORE_ID_BYTES)


@record
class StoreOptions:
    """What open() was told about a store on disk."""

    schema: Schema | None = None
    sync: SyncPolicy = field(default_factory=SyncPolicy)
    shards: int = SHARDS_DEFAULT
    read_only: bool = False
    recovery: Recovery = "strict"
    region: int | None = None  # of a new store, or what an old one must be of; None: 0, or any
    shard: int | None = None


@record
class Wiring:
    """What a store is built on. Tests put in others: of the engine too, as SQLite opens its own files."""

    fs: FileSystem = field(default_factory=OsFileSystem)
    engine: EngineOpener = open_sqlite
    segment_bytes: int = SEGMENT_BYTES_DEFAULT
    new_store_id: Callable[[], bytes] = new_store_id
