"""open(): from a path and options to a database."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np

from tidal.db import OnDisk, Settings, TidalDb
from tidal.durable import FileSystem, Lock, OsFileSystem
from tidal.entities import KeyNames
from tidal.errors import CorruptStore, ReadOnly, SchemaError, StoreMissing
from tidal.format.segment import LogIdentity
from tidal.ledger import SHARDS_DEFAULT, SignalLedger
from tidal.log import Log, MemoryLog
from tidal.materializer import Materializer
from tidal.recovery import recover
from tidal.schema import Duration, Schema, SchemaBuilder, merge_schemas, parse_duration
from tidal.storage import KEYSPACES, MemoryEngine, SqliteEngine, StorageEngine
from tidal.store import StorePaths, evolve_schema, load_store, name_store, prepare_store, store_exists
from tidal.wal import LogWriter, SyncPolicy, parse_sync

Clock = Literal["system", "event"] | Callable[[], int]

CHECKPOINT_BYTES_DEFAULT: Final = 64 << 20


def open(
    path: str | os.PathLike[str] | None = None,
    *,
    schema: Schema | None = None,
    sync: str | SyncPolicy = "group",
    clock: Clock = "system",
    max_future_skew: Duration | None = "10m",
    shards: int = SHARDS_DEFAULT,
    materializers: Mapping[str, Materializer] | None = None,
    checkpoint_bytes: int | None = CHECKPOINT_BYTES_DEFAULT,
    read_only: bool = False,
    file_system: FileSystem | None = None,
) -> TidalDb:
    """Return a database: durable in the folder ``path``, or in memory without one.

    - ``schema``: needed for a new store and in memory. An existing store knows its schema; a given one may
      add signal types, and is refused (SchemaMismatch) for any other difference.
    - ``sync``: when an event is acknowledged: ``"group"`` (synced to disk, the default), ``"always"``,
      ``"interval:50ms"``, ``"os"``; see tidal.SyncPolicy for what each may lose.
    - ``clock``: what "now" is: ``"system"`` the wall clock, ``"event"`` the newest event time (for history),
      or a function returning ns since the epoch.
    - ``max_future_skew``: how far an event may lie ahead of the wall clock; None: any distance.
    - ``shards``: parts of each signal type's state that threads may change at once.
    - ``materializers``: further state derived from the log, by name; see tidal.Materializer.
    - ``checkpoint_bytes``: log written between two checkpoints; None: only by ``checkpoint()`` and at close.
    - ``read_only``: see what the log holds now; no byte is changed, no lock taken, writes raise ReadOnly.
    - ``file_system``: what all files are reached through; the machine's own by default.

    Raises StoreLocked, StoreMissing, CorruptLog, CorruptCheckpoint, MissingSegment, FormatTooNew,
    SchemaError, StorageError; in each case the store is as it was.

    >>> import tidal
    >>> schema = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
    >>> with tidal.open(schema=schema) as db:
    ...     db.signal("view", 42)
    ...     db.count("view", 42, "1h")
    1
    1
    """
    _check_schema(schema)
    settings = Settings(
        wall_clock=_wall_clock(clock),
        event_clock=clock == "event",
        max_future_skew_ns=None if max_future_skew is None else parse_duration(max_future_skew),
        checkpoint_bytes=checkpoint_bytes,
        materializers=dict(materializers or {}),
    )
    if path is None:
        if schema is None:
            raise SchemaError("a database in memory needs schema=; build one with tidal.SchemaBuilder()")
        if read_only:
            raise ReadOnly("a database in memory that only reads could never hold anything; give a path")
        engine: StorageEngine = MemoryEngine()
        return TidalDb(
            schema, SignalLedger(schema, shards=shards), MemoryLog(), engine, KeyNames(engine), settings
        )
    return _open_store(
        StorePaths(Path(path)),
        schema,
        parse_sync(sync),
        shards,
        settings,
        read_only,
        file_system or OsFileSystem(),
    )


def _check_schema(schema: object) -> None:
    if schema is not None and not isinstance(schema, Schema):
        hint = "; finish it with .build()" if isinstance(schema, SchemaBuilder) else ""
        raise SchemaError(f"schema= is a {type(schema).__name__}, not a tidal.Schema{hint}")


def _wall_clock(clock: Clock) -> Callable[[], int]:
    if callable(clock):
        if not isinstance(now := clock(), int | np.integer):  # time.time() counts seconds, as a float
            raise ValueError(f"the clock returned {now!r}; it must return ns since the epoch as an int")
        return clock
    if clock not in ("system", "event"):
        raise ValueError(f'clock={clock!r} is not known; use "system", "event" or a function returning ns')
    return time.time_ns


def _open_store(
    paths: StorePaths,
    schema: Schema | None,
    sync: SyncPolicy,
    shards: int,
    settings: Settings,
    read_only: bool,
    fs: FileSystem,
) -> TidalDb:
    exists = store_exists(fs, paths)
    if not exists and (read_only or schema is None):
        need = (
            "there is nothing to read" if read_only else "a new store needs schema=tidal.SchemaBuilder()..."
        )
        raise StoreMissing(f"{paths.base} is not a store; {need}")
    with contextlib.ExitStack() as undo:
        lock: Lock | None = None
        if not read_only:
            if not exists:
                fs.make_dir(paths.base)
            lock = fs.lock(paths.lock)
            undo.callback(lock.release)
            if schema is not None and not store_exists(
                fs, paths
            ):  # asked again, now that nobody else can make it
                _create(fs, paths, schema)
        store = load_store(fs, paths)
        if schema is not None and read_only:
            merge_schemas(store.schema, schema)  # refuses what differs; what it would add has no events yet
        elif schema is not None:
            store = evolve_schema(fs, paths, store, schema)
        engine = SqliteEngine(paths.entities, read_only=read_only, fs=fs)
        undo.callback(engine.close)
        names = KeyNames(engine)
        ledger = SignalLedger(store.schema, shards=shards)
        identity = LogIdentity(store.store_id, 0)
        found = recover(fs, paths, identity, ledger, names, settings.materializers, read_only=read_only)
        log: Log
        if read_only:
            log = MemoryLog(found.report.last_seq)
        else:
            identity = LogIdentity(store.store_id, found.epoch + 1)
            log = LogWriter(
                fs,
                paths.wal,
                identity=identity,
                next_seq=found.report.last_seq + 1,
                previous_hash=found.head_hash,
                sync=sync,
                wall_clock=settings.wall_clock,
                monotonic=time.monotonic,
            )
            undo.callback(log.close)
        disk = OnDisk(fs, paths, identity, lock, found.report)
        db = TidalDb(store.schema, ledger, log, engine, names, settings, disk)
        undo.pop_all()
        return db


def _create(fs: FileSystem, paths: StorePaths, schema: Schema) -> None:
    """Make an empty store; a crash on the way leaves no store, and no obstacle to making it again."""
    prepare_store(fs, paths, schema)
    engine = SqliteEngine(paths.entities, create=True, fs=fs)
    try:
        if any(True for keyspace in KEYSPACES.values() for _ in engine.scan(keyspace)):
            raise CorruptStore(
                paths.identity, 0, f"missing, but {paths.entities} has records; restore it from a backup"
            )
    finally:
        engine.close()
    name_store(fs, paths, secrets.token_bytes(16))
