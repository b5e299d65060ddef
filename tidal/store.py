"""The directory of a store: where each file lies, and what makes it this store and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from blake3 import blake3

from tidal.durable import TEMPORARY_SUFFIX, FileSystem, read_file, replace_file, same_bytes, size_if_there
from tidal.errors import CorruptStore, FormatError, FormatTooNew, SchemaError
from tidal.format.following import Following, decode_following, encode_following
from tidal.format.manifest import MANIFEST_NAME
from tidal.format.segment import LogIdentity
from tidal.records import record
from tidal.schema import Schema, schema_from_json, schema_to_json

STORE_FORMAT: Final = 1

_MADE_BEFORE_THE_NAME = (MANIFEST_NAME, MANIFEST_NAME + TEMPORARY_SUFFIX)


@record
class StorePaths:
    """Every path of a store, from its base folder."""

    base: Path

    @property
    def wal(self) -> Path:
        return self.base / "wal"

    @property
    def checkpoints(self) -> Path:
        return self.base / "checkpoints"

    @property
    def archive(self) -> Path:
        return self.base / "archive"

    @property
    def items(self) -> Path:
        return self.base / "items"

    @property
    def users(self) -> Path:
        return self.base / "users"

    @property
    def creators(self) -> Path:
        return self.base / "creators"

    @property
    def cache(self) -> Path:
        return self.base / "cache"

    @property
    def exports(self) -> Path:
        return self.base / "exports"

    @property
    def quarantine(self) -> Path:
        """Damaged bytes that recovery took out of the way: never deleted by tidal."""
        return self.base / "quarantine"

    @property
    def entities(self) -> Path:
        """One database for all kinds: a batch must be atomic over them (see tidal.storage.sqlite)."""
        return self.base / "entities.sqlite"

    @property
    def identity(self) -> Path:
        """Written last when a store is made: a folder is a store once this file is there."""
        return self.base / "store.json"

    @property
    def schema(self) -> Path:
        return self.base / "schema.json"

    @property
    def origin(self) -> Path:
        """What a store was made from, where it was made by salvage() or rebuild(): their report."""
        return self.base / "origin.json"

    @property
    def following(self) -> Path:
        """There while the store takes in another's log, and no events of its own."""
        return self.base / "following.json"

    @property
    def promoted(self) -> Path:
        """What following.json was when this store became a leader: with what its epoch was claimed."""
        return self.base / "promoted.json"

    @property
    def started(self) -> Path:
        """What a store is being made from, while it is: removed before it gets its name."""
        return self.base / "started.json"

    @property
    def lock(self) -> Path:
        return self.base / "LOCK"

    @property
    def folders(self) -> tuple[Path, ...]:
        return (
            self.wal, self.checkpoints, self.archive,
            self.items, self.users, self.creators, self.cache, self.exports,
        )  # fmt: skip


@record
class StoreIdentity:
    """Which store this is. The id is hashed into every batch, so that no file of another store passes."""

    store_id: bytes
    schema: Schema
    region: int = 0
    shard: int = 0

    @property
    def log(self) -> LogIdentity:
        """Whose log it is, in no epoch."""
        return LogIdentity(self.store_id, 0, self.region, self.shard)


def store_exists(fs: FileSystem, paths: StorePaths) -> bool:
    """Return whether the folder is a store; CorruptStore if it holds a store's files but not its identity."""
    if fs.exists(paths.identity):
        return True
    for folder in (paths.wal, paths.checkpoints, paths.archive):
        if found := [name for name in fs.list_dir(folder) if name not in _MADE_BEFORE_THE_NAME]:
            if fs.exists(paths.identity):
                return True  # another process made the store just now, and wrote to it
            raise CorruptStore(
                paths.identity, 0, f"missing, but {folder / found[0]} is there; restore it from a backup"
            )
    return False


def save_following(fs: FileSystem, paths: StorePaths, following: Following) -> None:
    """Write the file that makes a store a follower, durably."""
    data = encode_following(following)
    replace_file(fs, paths.following, [data], same_bytes(fs, data, CorruptStore))


def load_following(fs: FileSystem, path: Path, store_id: bytes) -> Following:
    """Return what such a file says; CorruptStore, FormatTooNew, also of another store's."""
    try:
        following = decode_following(read_file(fs, path))
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from None
    except FormatError as error:
        raise CorruptStore(path, 0, f"{error}; restore it from a backup, or begin anew") from error
    if following.store_id != store_id:
        raise CorruptStore(path, 0, f"it is of store {following.store_id.hex()}")
    return following


def prepare_store(fs: FileSystem, paths: StorePaths, schema: Schema) -> None:
    """Make the folders and the schema file of an empty store. It is a store once it has a name."""
    for folder in (paths.base, *paths.folders):
        fs.make_dir(folder)
    fs.sync_dir(paths.base)
    fs.sync_dir(paths.base.parent)
    save_schema(fs, paths, schema)


def name_store(fs: FileSystem, paths: StorePaths, store_id: bytes, region: int = 0, shard: int = 0) -> None:
    """Write the identity, which makes the prepared folder a store."""
    data = encode_identity(store_id, region, shard)
    replace_file(fs, paths.identity, [data], same_bytes(fs, data, CorruptStore))


def encode_identity(store_id: bytes, region: int = 0, shard: int = 0) -> bytes:
    """Return the bytes of store.json. A store by itself is region 0, shard 0, which need not be said."""
    body: dict[str, object] = {"format": STORE_FORMAT, "store_id": store_id.hex()}
    if region or shard:
        body |= {"region": region, "shard": shard}
    return json.dumps({**body, "blake3": _digest(body)}, indent=2).encode() + b"\n"


def encode_place(log: LogIdentity) -> bytes:
    """Return the bytes of store.json of a store with this log, whatever its epoch."""
    return encode_identity(log.store_id, log.region, log.shard)


def decode_identity(data: bytes) -> bytes:
    """Return the store id in the bytes of store.json; FormatError for what is none, or FormatTooNew."""
    return decode_place(data).store_id


def decode_place(data: bytes) -> LogIdentity:
    """Return whose log a store has, by the bytes of store.json, in epoch 0. Errors as decode_identity."""
    try:
        body = json.loads(data)
        if body.pop("blake3") != _digest(body):
            raise ValueError("its hash does not match")
        # Only now: a damaged number must not be taken for a newer format.
        if type(body["format"]) is not int or body["format"] < STORE_FORMAT:
            raise ValueError(f"format is {body['format']!r}")
        if body["format"] > STORE_FORMAT:
            raise FormatTooNew(f"format {body['format']}; this tidal reads {STORE_FORMAT}: upgrade it")
        store_id = bytes.fromhex(body["store_id"])
        region, shard = body.get("region", 0), body.get("shard", 0)
        if type(region) is not int or type(shard) is not int:
            raise ValueError(f"region {region!r}, shard {shard!r}")
        return LogIdentity(store_id, 0, region, shard)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"not a store's identity: {error}") from error


def load_store(fs: FileSystem, paths: StorePaths) -> StoreIdentity:
    """Return what the identity and schema files say. Raises CorruptStore or FormatTooNew; changes nothing."""
    try:
        log = decode_place(read_file(fs, paths.identity))
    except FormatTooNew as error:
        raise FormatTooNew(f"{paths.identity}: {error}") from None
    except FormatError as error:
        raise CorruptStore(paths.identity, 0, f"{error}; restore it from a backup") from error
    if not fs.exists(paths.schema):
        raise CorruptStore(paths.schema, 0, "missing; restore it from a backup")
    try:
        schema = schema_from_json(read_file(fs, paths.schema))
    except SchemaError as error:
        raise CorruptStore(paths.schema, 0, f"{error}; restore it from a backup") from error
    return StoreIdentity(log.store_id, schema, log.region, log.shard)


def save_schema(fs: FileSystem, paths: StorePaths, schema: Schema) -> None:
    """Replace the schema file, durably."""
    data = schema_to_json(schema)
    replace_file(fs, paths.schema, [data], same_bytes(fs, data, CorruptStore))


def _digest(body: dict[str, object]) -> str:
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


JOBS_FOLDER: Final = "jobs"  # within exports
DISK_USAGE: Final = ("log", "archive", "checkpoints", "entities", "quarantine", "exports", "total")


def disk_usage(fs: FileSystem, paths: StorePaths) -> dict[str, int]:
    """Return the bytes of the files of each kind in DISK_USAGE; other processes may change them meanwhile."""
    folders = {
        "log": paths.wal, "archive": paths.archive, "checkpoints": paths.checkpoints,
        "quarantine": paths.quarantine,
    }  # fmt: skip
    usage = {
        kind: sum(_size(fs, folder / name) for name in fs.list_dir(folder))
        for kind, folder in folders.items()
    }
    entities = paths.entities.name  # and what SQLite keeps beside it
    names = (name for name in fs.list_dir(paths.base) if name.startswith(entities))
    usage["entities"] = sum(_size(fs, paths.base / name) for name in names)
    jobs = paths.exports / JOBS_FOLDER
    usage["exports"] = sum(_size(fs, jobs / name) for name in fs.list_dir(jobs)) if fs.exists(jobs) else 0
    usage["total"] = sum(usage.values())
    return {kind: usage[kind] for kind in DISK_USAGE}


def _size(fs: FileSystem, path: Path) -> int:
    return size_if_there(fs, path) or 0  # removed between the two looks
