"""The directory of a store: where each file lies, and what makes it this store and no other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from tidal.durable import FileSystem, read_file, replace_file
from tidal.errors import CorruptStore, FormatTooNew, SchemaError
from tidal.format.segment import STORE_ID_BYTES
from tidal.schema import Schema, merge_schemas, schema_from_json, schema_to_json

STORE_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
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
    def lock(self) -> Path:
        return self.base / "LOCK"

    @property
    def folders(self) -> tuple[Path, ...]:
        return (
            self.wal, self.checkpoints, self.archive,
            self.items, self.users, self.creators, self.cache, self.exports,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Which store this is. The id is hashed into every batch, so that no file of another store passes."""

    store_id: bytes
    schema: Schema


def store_exists(fs: FileSystem, paths: StorePaths) -> bool:
    """Return whether the folder is a store; CorruptStore if it holds a store's files but not its identity."""
    if fs.exists(paths.identity):
        return True
    for folder in (paths.wal, paths.checkpoints):
        if found := fs.list_dir(folder):
            raise CorruptStore(
                paths.identity, 0, f"missing, but {folder / found[0]} is there; restore it from a backup"
            )
    return False


def prepare_store(fs: FileSystem, paths: StorePaths, schema: Schema) -> None:
    """Make the folders and the schema file of an empty store. It is a store once it has a name."""
    for folder in (paths.base, *paths.folders):
        fs.make_dir(folder)
    fs.sync_dir(paths.base)
    fs.sync_dir(paths.base.parent)
    replace_file(fs, paths.schema, [schema_to_json(schema)])


def name_store(fs: FileSystem, paths: StorePaths, store_id: bytes) -> None:
    """Write the identity, which makes the prepared folder a store."""
    body = {"format": STORE_FORMAT, "store_id": store_id.hex()}
    replace_file(
        fs, paths.identity, [json.dumps({**body, "blake3": _digest(body)}, indent=2).encode() + b"\n"]
    )


def load_store(fs: FileSystem, paths: StorePaths) -> StoreIdentity:
    """Return what the identity and schema files say. Raises CorruptStore or FormatTooNew; changes nothing."""
    try:
        body = json.loads(read_file(fs, paths.identity))
        digest = body.pop("blake3")
        if body["format"] > STORE_FORMAT:
            raise FormatTooNew(
                f"{paths.identity} has format {body['format']}; this tidal reads {STORE_FORMAT}"
            )
        store_id = bytes.fromhex(body["store_id"])
        if digest != _digest(body) or len(store_id) != STORE_ID_BYTES:
            raise ValueError("its hash does not match")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptStore(
            paths.identity, 0, f"not a store's identity: {error}; restore it from a backup"
        ) from error
    if not fs.exists(paths.schema):
        raise CorruptStore(paths.schema, 0, "missing; restore it from a backup")
    try:
        schema = schema_from_json(read_file(fs, paths.schema))
    except SchemaError as error:
        raise CorruptStore(paths.schema, 0, f"{error}; restore it from a backup") from error
    return StoreIdentity(store_id, schema)


def evolve_schema(fs: FileSystem, paths: StorePaths, store: StoreIdentity, given: Schema) -> StoreIdentity:
    """Return the store with the given schema's new types added and saved; SchemaMismatch for any other
    change.
    """
    merged = merge_schemas(store.schema, given)
    if merged != store.schema:
        replace_file(fs, paths.schema, [schema_to_json(merged)])
    return StoreIdentity(store.store_id, merged)


def _digest(body: dict[str, object]) -> str:
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
