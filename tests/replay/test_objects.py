"""An object store as a FileSystem."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from tidal.durable import read_file, replace_file
from tidal.errors import InvalidOption, StorageError
from tidal.replay import objects
from tidal.replay.objects import ObjectFileSystem, open_objects

DATA = bytes(range(256)) * 20


@pytest.fixture(params=[MemoryStore, LocalStore])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectFileSystem:
    store: Any = MemoryStore() if request.param is MemoryStore else LocalStore(str(tmp_path))
    return open_objects(None, store)


def test_files_that_appear_whole(fs: ObjectFileSystem) -> None:
    path = Path("/folder/name")
    assert not fs.exists(path)
    replace_file(fs, path, [DATA[:100], DATA[100:]])
    assert (read_file(fs, path), fs.size(path)) == (DATA, len(DATA))
    assert fs.list_dir(Path("/folder")) == ["name"]
    replace_file(fs, path, [b"other"])
    assert read_file(fs, path) == b"other"
    fs.remove(path)
    assert (fs.exists(path), fs.list_dir(Path("/folder")), fs.list_dir(Path("/"))) == (False, [], [])


@pytest.mark.parametrize(("head", "whole"), [(1 << 16, 1 << 26), (100, 1 << 26), (100, 1000), (1, 1)])
def test_ranges(fs: ObjectFileSystem, monkeypatch: pytest.MonkeyPatch, head: int, whole: int) -> None:
    monkeypatch.setattr(objects, "_HEAD_BYTES", head)
    monkeypatch.setattr(objects, "_WHOLE_MAX", whole)
    fs.put(Path("/a"), DATA)
    file = fs.open_read(Path("/a"))
    for offset, length in (
        (0, 10),
        (50, 49),
        (90, 30),
        (0, 10),
        (4000, 5000),
        (5119, 1),
        (5120, 1),
        (9999, 5),
    ):
        assert file.read_at(offset, length) == DATA[offset : offset + length]
    file.drop_cache()
    assert file.read_at(5, 5) == DATA[5:10]
    file.close()


def test_what_is_not_there(fs: ObjectFileSystem) -> None:
    for call in (fs.open_read, fs.size):
        with pytest.raises(StorageError) as caught:
            call(Path("/nothing"))
        assert caught.value.errno == errno.ENOENT
    assert fs.list_dir(Path("/nothing")) == []


def test_what_objects_cannot_do(fs: ObjectFileSystem) -> None:
    fs.put(Path("/a"), b"x")
    for call in (fs.lock, fs.open_append):
        with pytest.raises(StorageError):
            call(Path("/a"))
    with pytest.raises(StorageError):
        fs.open_read(Path("/a")).append([b"y"])
    with pytest.raises(StorageError):
        fs.open_read(Path("/a")).truncate(0)


def test_a_back_end_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = open_objects(None, MemoryStore())
    fs.put(Path("/a"), b"x")

    def fail(*_: Any, **__: Any) -> None:
        raise obstore.exceptions.GenericError("a long story\nwith a second line")

    monkeypatch.setattr(fs, "_api", type("Api", (), {"head": fail, "list_with_delimiter": fail}))
    for call in (fs.size, fs.exists, fs.list_dir):
        with pytest.raises(StorageError, match="a long story") as caught:
            call(Path("/a"))
        assert caught.value.errno == errno.EIO and "second" not in str(caught.value)


def test_urls() -> None:
    assert open_objects("memory:///").list_dir(Path("/")) == []
    with pytest.raises(InvalidOption, match="nowhere://x"):
        open_objects("nowhere://x")
