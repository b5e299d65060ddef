"""Making a store: all of it or none, whatever stops it half way."""

from __future__ import annotations

from pathlib import Path

import pytest

import tidal
from tidal.durable import OsFileSystem

SCHEMA = tidal.SchemaBuilder().signal("view").build()


class Crash(Exception):
    pass


class CrashingFileSystem(OsFileSystem):
    """Raises Crash at the n-th call that changes names."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def _count(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def make_dir(self, path: Path) -> None:
        self._count()
        super().make_dir(path)

    def sync_dir(self, path: Path) -> None:
        self._count()
        super().sync_dir(path)


def test_a_crash_at_any_step_leaves_a_folder_that_opens(tmp_path: Path) -> None:
    crashes = 0
    while True:
        path = tmp_path / str(crashes)
        try:
            tidal.open(path, schema=SCHEMA, file_system=CrashingFileSystem(crashes)).close()
            break
        except (Crash, tidal.StorePoisoned):  # the latter from the log's own thread
            crashes += 1
        with tidal.open(path, schema=SCHEMA) as db:
            assert db.signal("view", 1) == 1
        with tidal.open(path) as db:
            assert db.count("view", 1, "all") == 1
    assert crashes > 12


def test_metadata_without_an_identity_is_never_taken_for_nothing(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        db.items.put(1, {"title": "kept"})
    (tmp_path / "s" / "store.json").unlink()
    with pytest.raises(tidal.CorruptStore, match="has records"):
        tidal.open(tmp_path / "s", schema=SCHEMA)


def test_what_fails_leaves_the_store_unlocked(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA):
        pass
    schema_file = tmp_path / "s" / "schema.json"
    good = schema_file.read_bytes()
    schema_file.write_bytes(b"{}")
    with pytest.raises(tidal.CorruptStore, match=r"schema\.json"):
        tidal.open(tmp_path / "s")
    schema_file.write_bytes(good)
    with tidal.open(tmp_path / "s") as db:
        assert db.signal("view", 1) == 1


def test_a_store_that_lost_its_schema_is_damaged_and_not_absent(tmp_path: Path) -> None:
    tidal.open(tmp_path / "s", schema=SCHEMA).close()
    (tmp_path / "s" / "schema.json").unlink()
    for options in ({}, {"schema": SCHEMA}, {"read_only": True}):
        with pytest.raises(tidal.CorruptStore, match=r"schema\.json.*restore it"):
            tidal.open(tmp_path / "s", **options)  # type: ignore[arg-type]
