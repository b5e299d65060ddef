"""The file system of this machine: what it refuses to open, and which errors it gives."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tidal.durable import OsFileSystem, read_file, replace_file, set_aside
from tidal.errors import CorruptStore, NoSpace, StorageError, StoreLocked

FS = OsFileSystem()


def raising(number: int) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("opened", [FS.open_read, FS.open_append, FS.lock])
@pytest.mark.parametrize("kind", ["link", "second name", "fifo", "folder"])
def test_only_a_plain_file_with_one_name_is_opened(tmp_path: Path, kind: str, opened: Any) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"kept")
    {
        "link": lambda: path.symlink_to(other),
        "second name": lambda: os.link(other, path),
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises((CorruptStore, StorageError)):
        opened(path)
    assert other.read_bytes() == b"kept"


def test_nothing_is_created_over_a_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").write_bytes(b"kept")
    for name in ("link", "file"):
        with pytest.raises(StorageError):
            FS.create(tmp_path / name)
    assert not (tmp_path / "target").exists() and (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_only_a_folder_is_taken_for_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "folder"
    if kind == "link":
        (tmp_path / "real").mkdir()
        path.symlink_to(tmp_path / "real")
    else:
        path.write_bytes(b"")
    for call in (FS.list_dir, FS.make_dir):
        with pytest.raises(CorruptStore, match="refused"):
            call(path)


def test_a_folder_that_is_there_may_be_made(tmp_path: Path) -> None:
    FS.make_dir(tmp_path / "new")
    FS.make_dir(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert FS.list_dir(tmp_path / "new") == FS.list_dir(tmp_path / "absent") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"theirs")
    for name in ("folder", "file"):
        os.chown(tmp_path / name, 12345, -1)
    for call, name in ((FS.list_dir, "folder"), (FS.open_read, "file"), (FS.lock, "file")):
        with pytest.raises(CorruptStore, match="belongs to user 12345"):
            call(tmp_path / name)
    any_owner = OsFileSystem(any_owner=True)
    assert any_owner.list_dir(tmp_path / "folder") == []
    assert read_file(any_owner, tmp_path / "file") == b"theirs"


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("lstat", lambda path: FS.exists(path)), ("lstat", lambda path: FS.size(path)),
        ("lstat", lambda path: FS.age(path)),
        ("open", lambda path: FS.list_dir(path.parent)), ("open", lambda path: FS.open_read(path)),
        ("fstat", lambda path: FS.open_read(path).size()), ("mkdir", lambda path: FS.make_dir(path)),
        ("rename", lambda path: FS.rename(path, path)), ("unlink", lambda path: FS.remove(path)),
        ("statvfs", lambda path: FS.free_bytes(path)), ("open", lambda path: FS.sync_dir(path.parent)),
        ("open", lambda path: FS.lock(path)),
    ],
)  # fmt: skip
def test_every_error_of_the_system_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: Any
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    for number, kind in ((errno.EIO, StorageError), (errno.EACCES, StorageError), (errno.ENOSPC, NoSpace)):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, raising(number))
            with pytest.raises(kind) as caught:
                call(path)
        assert caught.value.errno == number


def test_a_file_that_cannot_be_looked_at_is_not_taken_for_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not FS.exists(tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"")
    assert not FS.exists(tmp_path / "file" / "below")
    monkeypatch.setattr(os, "lstat", raising(errno.EIO))
    with pytest.raises(StorageError):
        FS.exists(tmp_path / "absent")


def test_a_second_close_does_nothing(tmp_path: Path) -> None:
    file = FS.create(tmp_path / "file")
    file.close()
    other = FS.create(tmp_path / "other")  # gets the number that the first one had
    file.close()
    assert other.append([b"still open"]) == 10
    other.close()


# ------------------------------------------------------------------------------------ the lock


def test_a_lock_is_held_once_and_by_file_not_by_name(tmp_path: Path) -> None:
    lock = FS.lock(tmp_path / "LOCK")
    (tmp_path / "name").symlink_to(tmp_path, target_is_directory=True)
    for path in (tmp_path / "LOCK", tmp_path / "name" / "LOCK"):
        with pytest.raises(StoreLocked, match="in this process"):
            FS.lock(path)
    other = FS.lock(tmp_path / "OTHER")
    lock.release()
    lock.release()
    again = FS.lock(tmp_path / "LOCK")
    again.release()
    other.release()


# ------------------------------------------------------------------------------------ replacing


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"", b"third" * 1000):
        replace_file(FS, path, [data[:3], data[3:]])
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["create", "append", "sync", "verify", "rename"])
def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, step: str) -> None:
    class Failing(OsFileSystem):
        def create(self, path: Path) -> Any:
            self.fail("create")
            file: Any = super().create(path)
            append, sync = file.append, file.sync
            file.append = lambda parts: (append(parts), self.fail("append"))[0]
            file.sync = lambda: (sync(), self.fail("sync"))[0]
            return file

        def rename(self, source: Path, target: Path) -> None:
            self.fail("rename")

        @staticmethod
        def fail(at: str) -> None:
            if at == step:
                raise NoSpace(errno.ENOSPC, "fault")

    path = tmp_path / "file"
    path.write_bytes(b"old")

    def verify(written: Path) -> None:
        assert written.read_bytes() == b"new"
        if step == "verify":
            raise CorruptStore(written, 0, "fault")

    with pytest.raises((NoSpace, CorruptStore), match="fault"):
        replace_file(Failing(), path, [b"new"], verify)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    places = []
    for number in range(3):
        (tmp_path / "file").write_bytes(b"%d" % number)
        places.append(set_aside(FS, tmp_path / "file", tmp_path / "aside"))
    assert [place.name for place in places] == ["file", "file.1", "file.2"]
    assert [place.read_bytes() for place in places] == [b"0", b"1", b"2"]


def test_a_large_append_is_on_its_way_to_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advised: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, *advice: advised.append(advice))
    parts = [b"head", bytes(range(256)) * 6000, b"tail"]
    file = FS.create(tmp_path / "file")
    assert file.append(parts) == 1_536_008
    file.append([b"small"])
    file.append([parts[1]])
    file.close()
    assert read_file(FS, tmp_path / "file") == b"".join([*parts, b"small", parts[1]])
    dont_need = os.POSIX_FADV_DONTNEED
    assert advised == [(0, 1_536_008, dont_need), (1_536_013, 1_536_000, dont_need)]


def test_the_age_of_a_file_is_counted_from_its_last_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    now = time.time()
    os.utime(path, (now, now - 1000))
    assert FS.age(path) >= 1000
    os.utime(path, (now, now + 1000))
    assert FS.age(path) == 0.0  # written by a clock that is ahead
