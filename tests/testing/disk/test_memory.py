"""The disk in memory, held to the real file system; and its faults."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tidal.durable import File, FileSystem, OsFileSystem
from tidal.errors import NoSpace, StorageError, StoreLocked
from tidal.testing.disk import Fault, Image, Lose, MemoryDisk, Write


@pytest.fixture(params=["memory", "real"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileSystem, Path]:
    if request.param == "real":
        return OsFileSystem(), tmp_path
    disk = MemoryDisk()
    disk.make_dir(Path("/d"))
    return disk, Path("/d")


def test_what_is_written_is_read(place: tuple[FileSystem, Path]) -> None:
    fs, folder = place
    file = fs.create(folder / "a")
    assert file.append([b"one", bytearray(b"two"), memoryview(b"three")]) == 11
    file.sync()
    file.close()
    file = fs.open_append(folder / "a")
    file.truncate(6)
    file.append([b"!"])
    assert file.size() == fs.size(folder / "a") == 7
    assert file.read_at(3, 100) == b"two!" and file.read_at(50, 1) == b""
    file.drop_cache()
    file.close()
    read = fs.open_read(folder / "a")
    assert read.read_at(0, 3) == b"one"
    read.close()


def test_names(place: tuple[FileSystem, Path]) -> None:
    fs, folder = place
    for name in ("b", "a"):
        fs.create(folder / name).close()
    fs.make_dir(folder / "inner")
    fs.make_dir(folder / "inner")
    fs.sync_dir(folder)
    assert fs.list_dir(folder) == ["a", "b", "inner"] and fs.list_dir(folder / "none") == []
    fs.rename(folder / "a", folder / "b")
    fs.rename(folder / "b", folder / "inner" / "c")
    assert fs.list_dir(folder) == ["inner"] and fs.exists(folder / "inner" / "c")
    fs.remove(folder / "inner" / "c")
    assert not fs.exists(folder / "inner" / "c") and fs.free_bytes(folder) > 0


@pytest.mark.parametrize(
    ("code", "call"),
    [
        (errno.ENOENT, lambda fs, folder: fs.open_read(folder / "none")),
        (errno.ENOENT, lambda fs, folder: fs.open_append(folder / "none")),
        (errno.ENOENT, lambda fs, folder: fs.remove(folder / "none")),
        (errno.ENOENT, lambda fs, folder: fs.rename(folder / "none", folder / "other")),
        (errno.ENOENT, lambda fs, folder: fs.size(folder / "none")),
        (errno.ENOENT, lambda fs, folder: fs.create(folder / "none" / "a")),
        (errno.ENOENT, lambda fs, folder: fs.sync_dir(folder / "none")),
        (errno.EEXIST, lambda fs, folder: fs.create(folder / "there")),
    ],
)
def test_errors_are_those_of_the_real_one(
    place: tuple[FileSystem, Path], code: int, call: Callable[[FileSystem, Path], object]
) -> None:
    fs, folder = place
    fs.create(folder / "there").close()
    with pytest.raises(StorageError) as raised:
        call(fs, folder)
    assert raised.value.errno == code


def test_one_holds_the_lock(place: tuple[FileSystem, Path]) -> None:
    fs, folder = place
    lock = fs.lock(folder / "LOCK")
    with pytest.raises(StoreLocked):
        fs.lock(folder / "LOCK")
    lock.release()
    fs.lock(folder / "LOCK").release()


def failing(call: str, fault: Fault) -> tuple[MemoryDisk, File]:
    disk = MemoryDisk(Image({"/log": b"old"}))
    file = disk.open_append(Path("/log"))
    disk.faults = lambda name, path: fault if name == call else None
    return disk, file


def test_a_failed_write_may_leave_a_part() -> None:
    disk, file = failing("append", Fault(errno.ENOSPC, short=2))
    with pytest.raises(NoSpace):
        file.append([b"new"])
    assert disk.journal == [Write(0, 3, b"ne")] and disk.image().files == {"/log": b"oldne"}


def test_a_failed_sync_loses_the_data_and_says_so_only_once_the_cache_is_dropped() -> None:
    disk, file = failing("sync", Fault(errno.EIO))
    file.append([b"new"])
    with pytest.raises(StorageError):
        file.sync()
    disk.faults = None
    file.sync()
    assert disk.journal[1] == Lose(0) and file.read_at(0, 9) == b"oldnew"
    file.append([b"more"])
    file.drop_cache()
    assert file.read_at(0, 99) == b"old\0\0\0more"


def test_a_kernel_may_keep_its_cache() -> None:
    disk, file = failing("sync", Fault(errno.EIO))
    disk.keeps_cache = True
    file.append([b"new"])
    with pytest.raises(StorageError):
        file.sync()
    file.drop_cache()
    assert file.read_at(0, 9) == b"oldnew"


def test_a_write_may_be_garbled_or_interrupted() -> None:
    disk, file = failing("append", Fault(garbled=True))
    assert file.append([b"\0\0\0"]) == 3
    assert disk.image().files == {"/log": b"old\0\1\0"}
    disk, file = failing("append", Fault(interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        file.append([b"new"])
    assert disk.image().files == {"/log": b"oldnew"}


def test_nothing_is_written_by_a_process_that_has_ended() -> None:
    disk = MemoryDisk(Image({"/log": b"old"}))
    file, _ = disk.open_append(Path("/log")), disk.lock(Path("/LOCK"))
    before = len(disk.journal)
    disk.end_process()
    for call in (lambda: file.append([b"x"]), file.sync, lambda: disk.create(Path("/new"))):
        with pytest.raises(StorageError):
            call()
    assert len(disk.journal) == before and disk.image().files["/log"] == b"old"
    disk.begin_process()
    disk.lock(Path("/LOCK")).release()
