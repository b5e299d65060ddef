"""A store's files read into live state; no byte of them is changed."""

from __future__ import annotations

from dataclasses import replace

from tidal.db import Settings
from tidal.dedup import SeenEvents
from tidal.durable import FileSystem
from tidal.format.segment import LogIdentity
from tidal.ledger import SignalLedger
from tidal.opening.beside import beside_writer
from tidal.opening.options import StoreOptions
from tidal.records import record
from tidal.recovery import Recovered, recover, replay_seen
from tidal.schema import Schema, merge_schemas
from tidal.sessions import SessionState
from tidal.store import StoreIdentity, StorePaths, load_store


@record
class Loaded:
    """A store's state, and what was found on the way."""

    store: StoreIdentity
    schema: Schema  # with the types that the caller adds
    ledger: SignalLedger
    sessions: SessionState
    found: Recovered

    @property
    def grown(self) -> Schema | None:
        """The schema that is to be saved, if it is not the saved one."""
        return None if self.schema == self.store.schema else self.schema

    @property
    def identity(self) -> LogIdentity:
        """Whose log it is, in the epoch of the next writer."""
        return replace(self.store.log, epoch=self.found.next_epoch)


def load(fs: FileSystem, paths: StorePaths, options: StoreOptions, settings: Settings) -> Loaded:
    """Return the state of a store that is there. Errors as tidal.open()."""
    store = load_store(fs, paths)
    schema = store.schema if options.schema is None else merge_schemas(store.schema, options.schema)
    if options.read_only:
        schema = store.schema  # what the given one would add has no events yet
    ledger = SignalLedger(schema, shards=options.shards)
    sessions = SessionState(settings.sessions.closed, settings.sessions.retention_ns)
    found = recover(
        fs,
        paths,
        store.log,
        ledger,
        sessions,
        settings.materializers,
        read_only=options.read_only,
        absolute=options.recovery == "absolute",
    )
    return Loaded(store, schema, ledger, sessions, found)


def load_to_read(fs: FileSystem, paths: StorePaths, options: StoreOptions, settings: Settings) -> Loaded:
    """Return the state of a store that another process may write meanwhile."""
    fresh = [(it, it.checkpoint()) for it in settings.materializers.values()]
    looked = False

    def look() -> Loaded:
        nonlocal looked
        if looked:
            for materializer, state in fresh:
                materializer.restore(state)  # it may have taken events: recovery would add them once more
        looked = True
        return load(fs, paths, options, settings)

    return beside_writer(fs, paths, look, lambda loaded: loaded.found.report.clean)


def load_seen(fs: FileSystem, paths: StorePaths, settings: Settings, loaded: Loaded) -> SeenEvents | None:
    """Return what deduplication remembers of the log, if it is asked for."""
    if settings.dedup is None:
        return None
    seen = SeenEvents(settings.dedup, loaded.store.store_id)
    replay_seen(fs, paths, loaded.identity, seen, loaded.ledger.newest(), loaded.found.report.last_seq)
    return seen
