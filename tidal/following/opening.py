"""open_follower(): a folder and a transport become a database that follows."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tidal.archive.marks import FOLLOWER_NAME_MAX, follower_mark
from tidal.archive.retention import FOREVER, Retain
from tidal.db import Settings
from tidal.durable import FileSystem, OsFileSystem
from tidal.following.beginning import begin
from tidal.following.follower import FollowerDb
from tidal.following.stored import Anew, Followed, read_follower
from tidal.health import HealthLimits
from tidal.ledger import SHARDS_DEFAULT
from tidal.materializer import Materializer
from tidal.opening.arguments import (
    CHECKPOINT_BYTES_DEFAULT,
    Clock,
    advice_on_damage,
    alone,
    check_shards,
    checked_folder,
    checked_settings,
    open_served,
)
from tidal.opening.options import StoreOptions, Wiring
from tidal.replication.identity import RegionId, ShardId
from tidal.replication.transport import Transport
from tidal.schema import Duration, parse_duration
from tidal.schema.durations import NS_PER_SECOND
from tidal.store import StorePaths, store_exists

if TYPE_CHECKING:
    from tidal.metrics import Metrics


def open_follower(
    path: str | os.PathLike[str],
    transport: Transport,
    *,
    name: str | None = None,
    region: int = 0,
    shard: int = 0,
    clock: Clock = "system",
    shards: int = SHARDS_DEFAULT,
    materializers: Mapping[str, Materializer] | None = None,
    checkpoint_bytes: int | None = CHECKPOINT_BYTES_DEFAULT,
    archive: bool = True,
    retain: Retain = FOREVER,
    health: HealthLimits | None = None,
    metrics: str | Metrics | None = None,
    timeout: Duration = "30s",
    file_system: FileSystem | None = None,
) -> FollowerDb:
    """Return a database in the folder ``path`` that follows the leader which ships over ``transport``.

    A folder that is there goes on from where its log ends, whether its leader is reachable or not: also the
    folder of a leader that another one has followed. A new one is begun with the leader's schema, its newest
    checkpoint and its entities, for which it must answer within ``timeout``.

    - ``name``: of this follower among all of its leader: a letter or digit, then up to 54 of
      ``A-Z a-z 0-9 _ . -``; the machine's by default.
    - ``region``, ``shard``: which log is followed.
    - ``health``: with ``lag`` and ``lag_events``, how far behind its leader is too far.
    - the others: as of tidal.open().

    Raises TransportError if the leader does not answer in time, and what tidal.open() raises of a folder.
    """
    name = socket.gethostname()[:FOLLOWER_NAME_MAX] if name is None else name
    follower_mark(name)  # its leader may be told to keep the log for it
    wait_seconds = parse_duration(timeout) / NS_PER_SECOND
    settings = checked_settings(
        clock=clock,
        max_future_skew=None,
        materializers=materializers,
        checkpoint_bytes=checkpoint_bytes,
        archive=archive,
        retain=retain,
        health=health,
    )
    check_shards(shards)
    paths = StorePaths(checked_folder("path", path))
    settings.meters.store = paths.base.name
    wiring = Wiring(file_system or OsFileSystem())
    options = StoreOptions(shards=shards)
    place = (int(RegionId(region)), int(ShardId(shard)))

    def open_it() -> FollowerDb:
        with advice_on_damage(paths.base):
            if not store_exists(wiring.fs, paths):
                begin(paths, wiring, transport, name, place, settings, wait_seconds)
            db = open_followed(paths, options, settings, wiring, name).follow(transport)
        try:
            db.wait_until_whole(wait_seconds)
        except BaseException:
            db.close()
            raise
        return db

    return open_served(metrics, open_it, alone)


def open_followed(
    paths: StorePaths, options: StoreOptions, settings: Settings, wiring: Wiring, name: str
) -> FollowerDb:
    """Return the database of a follower's folder, without a transport yet. Errors as tidal.open()."""
    fs = wiring.fs
    with contextlib.ExitStack() as undo:
        lock = fs.lock(paths.lock)
        undo.callback(lock.release)

        fresh = {key: it.checkpoint() for key, it in settings.materializers.items()}

        def read_again(cut: bool) -> Followed:
            # Where the log is as it was, materializers go on from where they are: they have seen what it has.
            anew = {key: Anew(it, fresh[key]) for key, it in settings.materializers.items() if cut}
            read = read_follower(paths, options, replace(settings, materializers=anew), wiring, lock, name)
            for it in anew.values():
                it.begin()
            return read

        followed = read_follower(paths, options, settings, wiring, lock, name)
        undo.callback(followed.engine.close)
        undo.callback(followed.log.close)
        db = FollowerDb(followed, settings, name, read_again)
        undo.pop_all()
        return db
