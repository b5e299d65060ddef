"""The engine in one file is an engine as the others are, and its batches are whole after a power cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tidal.errors import StorageError
from tidal.storage import StorageEngine
from tidal.testing.disk import FileEngine, Image, MemoryDisk, crash_states
from tidal.testing.storage import StorageEngineTests

PATH = Path("/entities")


class TestFileEngine(StorageEngineTests):
    persistent = True
    disk = MemoryDisk()

    def open_engine(self, tmp_path: Path) -> StorageEngine:
        self.disk.make_dir(Path(f"/{tmp_path.name}"))
        return FileEngine(self.disk, Path(f"/{tmp_path.name}/entities"), create=True)


def test_without_create_a_missing_file_is_an_error() -> None:
    with pytest.raises(StorageError):
        FileEngine(MemoryDisk(), PATH)


def test_a_batch_is_there_whole_or_not_at_all() -> None:
    disk = MemoryDisk()
    engine = FileEngine(disk, PATH, create=True)
    made = len(disk.journal)
    with engine.batch() as batch:
        batch.put("items", b"a", b"1")
        batch.put("users", b"b", b"2")
    disk.mark("done", 1)
    found = set()
    for state in crash_states(disk.initial, disk.journal, rng=random.Random(0), begin=made):
        again = FileEngine(MemoryDisk(Image(state.image.files)), PATH)
        pair = again.get("items", b"a"), again.get("users", b"b")
        assert pair == (b"1", b"2") or "done" not in state.marks
        found.add(pair)
    assert found == {(None, None), (b"1", b"2")}
