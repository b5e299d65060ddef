"""The directory of a store: made so that a crash leaves none, and refused when it is not what it says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from blake3 import blake3

from tidal.durable import OsFileSystem
from tidal.errors import CorruptStore, FormatTooNew, StorageError
from tidal.schema import Schema, SchemaBuilder, merge_schemas
from tidal.store import (
    StoreIdentity,
    StorePaths,
    load_store,
    name_store,
    prepare_store,
    save_schema,
    store_exists,
)

SCHEMA = SchemaBuilder().signal("view", half_life="7d").build()
STORE_ID = bytes(range(16))


def create_store(fs: OsFileSystem, paths: StorePaths, schema: Schema, store_id: bytes) -> StoreIdentity:
    prepare_store(fs, paths, schema)
    name_store(fs, paths, store_id)
    return StoreIdentity(store_id, schema)


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    return StorePaths(tmp_path / "store")


def test_what_is_made_is_read_back(paths: StorePaths) -> None:
    fs = OsFileSystem()
    assert not store_exists(fs, paths)
    made = create_store(fs, paths, SCHEMA, STORE_ID)
    assert store_exists(fs, paths)
    assert load_store(fs, paths) == made
    assert sorted(p.name for p in paths.base.iterdir()) == [
        "archive", "cache", "checkpoints", "creators", "exports", "items", "schema.json", "store.json",
        "users", "wal",
    ]  # fmt: skip
    assert all(p.stat().st_mode & 0o077 == 0 for p in paths.base.iterdir())


class Crash(Exception):
    pass


class CrashingFileSystem(OsFileSystem):
    """Raises Crash at the n-th rename."""

    def __init__(self, renames: int) -> None:
        self.left = renames

    def rename(self, source: Path, target: Path) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1
        super().rename(source, target)


@pytest.mark.parametrize("renames", [0, 1])
def test_a_crash_on_the_way_leaves_no_store_and_no_obstacle(paths: StorePaths, renames: int) -> None:
    with pytest.raises(Crash):
        create_store(CrashingFileSystem(renames), paths, SCHEMA, STORE_ID)
    fs = OsFileSystem()
    assert not store_exists(fs, paths)
    create_store(fs, paths, SCHEMA, STORE_ID)
    assert load_store(fs, paths).schema == SCHEMA


@pytest.mark.parametrize("leftover", ["wal/wal-00000000000000000001.seg", "checkpoints/x.ckpt"])
def test_files_without_an_identity_are_never_taken_for_nothing(paths: StorePaths, leftover: str) -> None:
    fs = OsFileSystem()
    create_store(fs, paths, SCHEMA, STORE_ID)
    paths.identity.unlink()
    assert not store_exists(fs, paths)
    (paths.base / leftover).write_bytes(b"")
    with pytest.raises(CorruptStore, match="restore"):
        store_exists(fs, paths)


def test_a_store_that_is_made_during_a_look_is_there(paths: StorePaths) -> None:
    class Looking(OsFileSystem):
        looked = False

        def exists(self, path: Path) -> bool:
            there = super().exists(path)
            if not self.looked:
                self.looked = True
                create_store(OsFileSystem(), paths, SCHEMA, STORE_ID)
                (paths.wal / "wal-00000000000000000001.seg").write_bytes(b"")
            return there

    assert store_exists(Looking(), paths)


def test_any_flipped_bit_of_the_small_files_is_noticed(paths: StorePaths) -> None:
    fs = OsFileSystem()
    made = create_store(fs, paths, SCHEMA, STORE_ID)
    for path in (paths.identity, paths.schema):
        good = path.read_bytes()
        unnoticed = []
        for bit in range(len(good) * 8):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bad)
            try:
                if load_store(fs, paths) != made:
                    unnoticed.append(bit)
            except CorruptStore:
                pass
        path.write_bytes(good)
        assert unnoticed == []


def test_a_newer_format_is_refused_untouched(paths: StorePaths) -> None:
    fs = OsFileSystem()
    create_store(fs, paths, SCHEMA, STORE_ID)
    body = json.loads(paths.identity.read_bytes()) | {"format": 2}
    del body["blake3"]
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    paths.identity.write_text(json.dumps({**body, "blake3": blake3(canonical).hexdigest()}))
    with pytest.raises(FormatTooNew, match="format 2"):
        load_store(fs, paths)


def test_a_grown_schema_is_saved(paths: StorePaths) -> None:
    fs = OsFileSystem()
    create_store(fs, paths, SCHEMA, STORE_ID)
    grown = merge_schemas(SCHEMA, SchemaBuilder().signal("view", half_life="7d").signal("like").build())
    save_schema(fs, paths, grown)
    assert load_store(fs, paths) == StoreIdentity(STORE_ID, grown)


def test_links_and_folders_are_not_files_of_a_store(paths: StorePaths) -> None:
    fs = OsFileSystem()
    create_store(fs, paths, SCHEMA, STORE_ID)
    elsewhere = paths.base / "elsewhere.json"
    os.rename(paths.identity, elsewhere)
    paths.identity.symlink_to(elsewhere)
    with pytest.raises((CorruptStore, StorageError)):
        load_store(fs, paths)
    paths.identity.unlink()
    os.link(elsewhere, paths.identity)
    with pytest.raises(CorruptStore, match="one name"):
        load_store(fs, paths)


@pytest.mark.parametrize("save", ["identity", "schema"])
def test_what_the_disk_garbles_takes_no_file_away(paths: StorePaths, save: str) -> None:
    """Read back before it gets its name: the old file stays, and the store opens."""

    class Garbling(OsFileSystem):
        def create(self, path: Path):
            file = super().create(path)
            append = file.append
            file.append = lambda parts: append([bytes([parts[0][0] ^ 1]) + bytes(parts[0][1:]), *parts[1:]])
            return file

    prepare_store(OsFileSystem(), paths, SCHEMA)
    name_store(OsFileSystem(), paths, STORE_ID)
    with pytest.raises(CorruptStore, match="what was read back is not what was written"):
        if save == "identity":
            name_store(Garbling(), paths, STORE_ID)
        else:
            save_schema(Garbling(), paths, SCHEMA)
    assert load_store(OsFileSystem(), paths).store_id == STORE_ID
