"""A store on disk: its folder, its log and its state become a database."""

from __future__ import annotations

import contextlib
import functools
import logging
from dataclasses import replace
from typing import Final

from tidal.db import OnDisk, Settings, TidalDb
from tidal.entities import KeyNames
from tidal.errors import CorruptStore, InvalidOption, NoSpace, ReadOnly, StorageError, StoreMissing
from tidal.format.manifest import Manifest
from tidal.log import Log, MemoryLog
from tidal.meters import RECOVERY, SYNC, said
from tidal.opening.deferred import DeferredEngine, DeferredLog
from tidal.opening.loading import Loaded, load, load_seen, load_to_read
from tidal.opening.options import StoreOptions, Wiring
from tidal.opening.preparing import Preparation
from tidal.opening.refreshing import Refresh
from tidal.recovery import RecoveryReport
from tidal.schema import Schema
from tidal.storage import KEYSPACES, StorageEngine
from tidal.store import StorePaths, name_store, prepare_store, store_exists
from tidal.wal import BufferedLogWriter, LogWriter, write_manifest

_logger = logging.getLogger(__name__)

_SPACE_TO_OPEN_BYTES: Final = 1 << 20  # with less, an I/O error of SQLite is taken for what it is: no space


def open_store(paths: StorePaths, options: StoreOptions, settings: Settings, wiring: Wiring) -> TidalDb:
    """Return the database of a store's folder. Errors as tidal.open()."""
    if not store_exists(wiring.fs, paths) and (options.read_only or options.schema is None):
        need = (
            "there is nothing to read"
            if options.read_only
            else "a new store needs schema=tidal.SchemaBuilder()..."
        )
        raise StoreMissing(f"{paths.base} is not a store; {need}")
    for folder in (*paths.folders, paths.quarantine):
        wiring.fs.list_dir(folder)  # refuses links and other owners before anything goes through it
    if options.read_only:
        return _open_to_read(paths, options, settings, wiring)
    return _open_to_write(paths, options, settings, wiring)


def _open_to_read(paths: StorePaths, options: StoreOptions, settings: Settings, wiring: Wiring) -> TidalDb:
    """Nothing in the folder is changed, no lock is taken; another process may write meanwhile."""
    fs, began = wiring.fs, settings.monotonic()
    loaded = load_to_read(fs, paths, options, settings)
    report = loaded.found.report
    open_engine = functools.partial(wiring.engine, fs, paths.entities, read_only=True)
    engine = open_engine()
    names = KeyNames(engine)
    names.adopt(loaded.found.new_keys)
    refresh = Refresh(fs, paths, options, settings, open_engine, loaded)
    took = _note_recovery(settings, report, began)
    disk = OnDisk(fs, paths, loaded.identity, None, report, refresh, recovery_seconds=took)
    log = MemoryLog(report.last_seq)
    return TidalDb(loaded.schema, loaded.ledger, loaded.sessions, log, engine, names, settings, disk)


def _open_to_write(paths: StorePaths, options: StoreOptions, settings: Settings, wiring: Wiring) -> TidalDb:
    fs, began = wiring.fs, settings.monotonic()
    with contextlib.ExitStack() as undo:
        fs.make_dir(paths.base)  # where it is there, it is looked at
        lock = fs.lock(paths.lock)
        undo.callback(lock.release)
        if options.schema is not None and not store_exists(fs, paths):  # again: now nobody else can make it
            _create(paths, options.schema, wiring, options.region or 0, options.shard or 0)
        if fs.exists(paths.following):
            raise ReadOnly(
                f"{paths.base} follows another store: open it with tidal.open_follower(), which can "
                "promote() it, or with read_only=True"
            )
        loaded = load(fs, paths, options, settings)
        _check_place(paths, options, loaded)
        seen = load_seen(fs, paths, settings, loaded)
        preparation = Preparation(
            fs,
            paths,
            loaded.found,
            grown=loaded.grown,
            open_engine=lambda: _open_engine(paths, wiring),
            open_log=lambda manifest: _open_log(paths, options, settings, wiring, loaded, manifest),
        )
        log: Log
        engine: StorageEngine
        try:
            writable = preparation.run()
        except NoSpace as error:
            engine = DeferredEngine(preparation, wiring.engine(fs, paths.entities, read_only=True))
            log = DeferredLog(preparation, loaded.found)
            report = _without_space(loaded.found.report, error)
        else:
            engine, log, report = writable.engine, writable.log, preparation.report
        undo.callback(engine.close)
        undo.callback(log.close)
        names = KeyNames(engine)
        names.adopt(loaded.found.new_keys)
        took = _note_recovery(settings, report, began)
        end = loaded.found.log_end()
        disk = OnDisk(fs, paths, loaded.identity, lock, report, log_end=end, recovery_seconds=took)
        db = TidalDb(loaded.schema, loaded.ledger, loaded.sessions, log, engine, names, settings, disk, seen)
        preparation.on_done = functools.partial(setattr, db, "recovery")
        undo.pop_all()
        return db


def _check_place(paths: StorePaths, options: StoreOptions, loaded: Loaded) -> None:
    store, wanted = loaded.store, (options.region, options.shard)
    if any(want not in (None, is_) for want, is_ in zip(wanted, (store.region, store.shard), strict=True)):
        raise InvalidOption(
            f"{paths.base} is region {store.region}, shard {store.shard}, not region={options.region}, "
            f"shard={options.shard}; leave both out"
        )


def _note_recovery(settings: Settings, report: RecoveryReport, began: float) -> float:
    """Return the seconds in which a store was opened; they are counted, and the log says what was found."""
    seconds, store = settings.monotonic() - began, settings.meters.store
    found = {
        "last_seq": report.last_seq,
        "checkpoint_seq": report.checkpoint_seq,
        "replayed_events": report.replayed_events,
        "clean_shutdown": report.clean_shutdown,
    }
    settings.meters.took(RECOVERY, seconds, **found)
    if report.torn is not None:
        size, first = report.torn.size, report.torn.first_dropped_seq
        about = said("torn", store=store, bytes=size, first_dropped_seq=first)
        _logger.warning("the log had an end that a crash left unfinished; it was cut off", extra=about)
    if not report.clean and report.torn is None:
        about = said(
            "damage", store=store, checkpoints=len(report.damaged_checkpoints), missing=len(report.missing)
        )
        _logger.warning("the store had damage that it could be opened with; run tidalctl verify", extra=about)
    for note in report.notes:
        _logger.warning("%s", note, extra=said("note", store=store))
    return seconds


def _without_space(report: RecoveryReport, error: NoSpace) -> RecoveryReport:
    note = (
        f"no space to make the store ready for writing ({error}); it can be read, and each write tries again"
    )
    return replace(report, notes=(*report.notes, note))


def _open_engine(paths: StorePaths, wiring: Wiring) -> StorageEngine:
    try:
        return wiring.engine(wiring.fs, paths.entities)
    except NoSpace:
        raise
    except StorageError as error:
        if wiring.fs.free_bytes(paths.base) >= _SPACE_TO_OPEN_BYTES:
            raise
        raise NoSpace(f"{paths.entities} cannot be opened for writing: {error}") from error


def _open_log(
    paths: StorePaths,
    options: StoreOptions,
    settings: Settings,
    wiring: Wiring,
    loaded: Loaded,
    manifest: Manifest,
) -> LogWriter:
    last_seq, head_hash = loaded.found.log_end()
    writer = BufferedLogWriter if options.sync.buffers else LogWriter
    return writer(
        wiring.fs,
        paths.wal,
        identity=manifest.log,
        next_seq=last_seq + 1,
        previous_hash=head_hash,
        sync=options.sync,
        wall_clock=settings.wall_clock,
        monotonic=settings.monotonic,
        segment_bytes=wiring.segment_bytes,
        manifest=manifest,
        on_sync=functools.partial(settings.meters.took, SYNC),
    )


def _create(paths: StorePaths, schema: Schema, wiring: Wiring, region: int, shard: int) -> None:
    """Make an empty store; a crash on the way leaves no store, and no obstacle to making it again."""
    fs = wiring.fs
    prepare_store(fs, paths, schema)
    engine = wiring.engine(fs, paths.entities, create=True)
    try:
        if any(True for keyspace in KEYSPACES.values() for _ in engine.scan(keyspace)):
            raise CorruptStore(
                paths.identity, 0, f"missing, but {paths.entities} has records; restore it from a backup"
            )
    finally:
        engine.close()
    store_id = wiring.new_store_id()
    empty = Manifest(store_id, epoch=0, clean=True, region=region, shard=shard)
    write_manifest(fs, paths.wal, empty)
    name_store(fs, paths, store_id, region, shard)
