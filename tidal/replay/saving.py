"""A state as a store of its own, whose history begins after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tidal.archive import ArchiveManifest, write_archive_manifest
from tidal.durable import FileSystem, replace_file
from tidal.entities import write_names
from tidal.format.manifest import Manifest
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.ledger import SignalLedger
from tidal.opening.options import new_store_id
from tidal.opening.remade import Unnamed
from tidal.recovery import copy_state, save_checkpoint
from tidal.replay.partial import Names
from tidal.schema import NewKey, Schema
from tidal.sessions import SessionLimits, SessionState
from tidal.storage import SqliteEngine
from tidal.store import StorePaths, name_store, prepare_store
from tidal.wal import write_manifest

_FIRST_EPOCH: Final = 1


def save_as_store(
    fs: FileSystem,
    target: Path,
    schema: Schema,
    ledger: SignalLedger,
    names: Names,
    last_seq: int,
    place: tuple[int, int],
    origin: Mapping[str, Any],
) -> None:
    """Make a store with this state at a sequence, and no events; ``place`` is its region and shard.

    Raises InvalidOption, StorageError.
    """
    made = Unnamed(fs, target)
    paths = StorePaths(made.making)
    identity = LogIdentity(new_store_id(), _FIRST_EPOCH, *place)
    with made:
        prepare_store(fs, paths, schema)
        _write_names(fs, paths, names)
        start_seq = last_seq + 1
        region, shard = place
        archive = ArchiveManifest(identity.store_id, start_seq=start_seq, region=region, shard=shard)
        write_archive_manifest(fs, paths.archive, archive)
        manifest = Manifest(
            identity.store_id, _FIRST_EPOCH, clean=True, start_seq=start_seq, region=region, shard=shard
        )
        write_manifest(fs, paths.wal, manifest)
        if last_seq:
            limits = SessionLimits()
            sessions = SessionState(limits.closed, limits.retention_ns)
            save_checkpoint(fs, paths, identity, copy_state(last_seq, NO_HASH, ledger.copy(), sessions, {}))
        name_store(fs, paths, identity.store_id, *place)
        replace_file(fs, paths.origin, [json.dumps(origin, indent=2).encode() + b"\n"])
        made.name()


def _write_names(fs: FileSystem, paths: StorePaths, names: Names) -> None:
    engine = SqliteEngine(paths.entities, create=True, fs=fs)
    try:
        with engine.batch() as batch:
            write_names(batch, (NewKey(kind, id, key) for (kind, id), key in names.items()))
        engine.flush()
    finally:
        engine.close()
