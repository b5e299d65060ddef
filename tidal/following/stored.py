"""A follower's folder, as a database that takes in its leader's log."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from tidal.db import OnDisk, Settings
from tidal.durable import Lock
from tidal.entities import KeyNames
from tidal.errors import ReadOnly
from tidal.following.remembered import Remembered
from tidal.format.manifest import Manifest
from tidal.log import Log
from tidal.materializer import Materializer
from tidal.opening.loading import Loaded, load
from tidal.opening.options import StoreOptions, Wiring
from tidal.opening.preparing import Preparation
from tidal.records import record
from tidal.replication.continued import FollowerLog
from tidal.schema.events import EventBatch
from tidal.storage import StorageEngine
from tidal.store import StorePaths


@record
class Followed:
    """What a follower's files are, read and made fit to go on."""

    loaded: Loaded
    log: FollowerLog
    engine: StorageEngine
    names: KeyNames
    disk: OnDisk
    remembered: Remembered


def read_follower(
    paths: StorePaths, options: StoreOptions, settings: Settings, wiring: Wiring, lock: Lock, name: str
) -> Followed:
    """Return what a folder holds, whose lock is held. Errors as tidal.open(); NoSpace too."""
    fs = wiring.fs
    loaded = load(fs, paths, options, settings)
    log: FollowerLog | None = None

    def open_log(manifest: Manifest) -> Log:
        nonlocal log
        log = FollowerLog(fs, paths.wal, manifest)
        return log

    preparation = Preparation(
        fs,
        paths,
        loaded.found,
        grown=loaded.grown,
        open_engine=lambda: wiring.engine(fs, paths.entities),
        open_log=open_log,
        follow=True,
    )
    writable = preparation.run()
    assert log is not None
    with contextlib.ExitStack() as undo:
        undo.callback(writable.engine.close)
        undo.callback(log.close)
        names = KeyNames(writable.engine)
        names.adopt(loaded.found.new_keys)
        identity = replace(loaded.identity, epoch=loaded.found.epoch)  # it writes in none of its own
        disk = OnDisk(fs, paths, identity, lock, preparation.report)
        remembered = Remembered(fs, paths, identity.store_id, name)
        undo.pop_all()
    return Followed(loaded, log, writable.engine, names, disk, remembered)


class Anew:
    """A materializer that has seen events which were cut off, as recovery fills it again: from a checkpoint
    that has it, or else from the state that it had before its first event.
    """

    def __init__(self, materializer: Materializer, fresh: bytes) -> None:
        self._materializer, self._fresh = materializer, fresh
        self._begun = False

    def begin(self) -> None:
        """Become as before the first event, unless a checkpoint was restored."""
        if not self._begun:
            self.restore(self._fresh)

    def on_events(self, batch: EventBatch) -> None:
        self.begin()
        self._materializer.on_events(batch)

    def checkpoint(self) -> bytes:
        return self._materializer.checkpoint()

    def restore(self, state: bytes) -> None:
        self._begun = True
        self._materializer.restore(state)


class FollowingEngine:
    """The entities of a follower, for its readers: what they would write is the leader's to say."""

    def __init__(self, engine: StorageEngine) -> None:
        self.get, self.scan, self.close = engine.get, engine.scan, engine.close

    def put(self, keyspace: str, key: bytes, value: bytes) -> None:
        raise ReadOnly(FOLLOWS)

    def delete(self, keyspace: str, key: bytes) -> None:
        raise ReadOnly(FOLLOWS)

    def batch(self) -> Any:
        raise ReadOnly(FOLLOWS)

    def flush(self) -> None:
        """Nothing of a reader waits."""


FOLLOWS = "this store follows another; write to its leader, or promote() this one"
