"""Writing checkpoints: the order of the steps, what each failure leaves, and what is removed when."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidal.checkpoint import (
    list_checkpoints,
    newest_good,
    read_checkpoint,
    remove_older,
    verify_checkpoint,
    write_checkpoint,
)
from tidal.checkpoint.writer import older_verified
from tidal.durable import Bytes, File, OsFileSystem
from tidal.errors import CorruptCheckpoint, NoSpace, StorageError
from tidal.format.snapshot import checkpoint_name

FS = OsFileSystem()
STORE = bytes(range(16))
SECTIONS: dict[str, Any] = {"a": np.arange(1000, dtype=np.uint64), "b": b"text"}


def write(folder: Path, seq: int, *, fs: OsFileSystem = FS, **change: Any) -> Path:
    arguments: dict[str, Any] = {
        "store_id": STORE,
        "epoch": 7,
        "log_hash": bytes(32),
        "meta": {"seq": seq},
        "sections": SECTIONS,
    }
    return write_checkpoint(fs, folder, seq=seq, **{**arguments, **change})


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class WatchedFile:
    """A file that tells its file system what is done with it."""

    def __init__(self, fs: WatchedFileSystem, file: File) -> None:
        self._fs, self._file = fs, file
        self.path = file.path

    def append(self, parts: Sequence[Bytes]) -> int:
        self._fs.step("append", self.path)
        return self._file.append([self._fs.mangle(bytes(part)) for part in parts])

    def sync(self) -> None:
        self._fs.step("sync", self.path)
        self._file.sync()

    def read_at(self, offset: int, length: int) -> bytes:
        self._fs.step("read", self.path)
        return self._file.read_at(offset, length)

    def drop_cache(self) -> None:
        self._fs.step("drop_cache", self.path)
        self._file.drop_cache()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class WatchedFileSystem(OsFileSystem):
    """Records each kind of step once in a row; fails at one of them if told so."""

    def __init__(self, fail: str | None = None, number: int = 0) -> None:
        self.steps: list[tuple[str, str]] = []
        self.fail, self.countdown = fail, number

    def step(self, what: str, path: Path) -> None:
        if what == self.fail:
            if self.countdown == 0:
                raise (NoSpace if what == "append" else StorageError)(errno.EIO, "injected", str(path))
            self.countdown -= 1
        if self.steps[-1:] != [(what, path.name)]:
            self.steps.append((what, path.name))

    def mangle(self, data: bytes) -> bytes:
        return data

    def create(self, path: Path) -> Any:
        self.step("create", path)
        return WatchedFile(self, super().create(path))

    def open_read(self, path: Path) -> Any:
        return WatchedFile(self, super().open_read(path))

    def rename(self, source: Path, target: Path) -> None:
        self.step("rename", target)
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.step("remove", path)
        super().remove(path)

    def sync_dir(self, path: Path) -> None:
        self.step("sync_dir", path)
        super().sync_dir(path)


# ---------------------------------------------------------------------------------- one checkpoint


def test_the_steps_are_in_the_order_that_a_power_cut_asks_for(tmp_path: Path) -> None:
    fs = WatchedFileSystem()
    path = write(tmp_path, 5, fs=fs)
    temporary = path.name + ".tmp"
    assert fs.steps == [
        ("create", temporary),
        ("append", temporary),
        ("sync", temporary),
        ("read", temporary),
        ("rename", path.name),
        ("sync_dir", tmp_path.name),
    ]
    assert names(tmp_path) == [checkpoint_name(5)]


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path, 5).read_bytes()
    again = write(tmp_path, 5, sections=dict(reversed(SECTIONS.items()))).read_bytes()
    assert again == first


def test_a_leftover_is_written_over(tmp_path: Path) -> None:
    (tmp_path / (checkpoint_name(5) + ".tmp")).write_bytes(b"of a crash")
    assert read_checkpoint(FS, write(tmp_path, 5)).seq == 5
    assert names(tmp_path) == [checkpoint_name(5)]


@pytest.mark.parametrize("step", ["create", "append", "sync", "read", "rename"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_failure_leaves_the_older_one_alone(tmp_path: Path, step: str, number: int) -> None:
    write(tmp_path, 4)
    fs = WatchedFileSystem(step, number if step in ("append", "read") else 0)
    with pytest.raises(StorageError, match="injected"):
        write(tmp_path, 5, fs=fs)
    assert names(tmp_path) == [checkpoint_name(4)]
    checkpoint, damaged = newest_good(FS, tmp_path, STORE)
    assert checkpoint is not None
    assert (checkpoint.seq, damaged) == (4, [])
    assert read_checkpoint(FS, write(tmp_path, 5)).seq == 5


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(NoSpace):
        write(tmp_path, 5, fs=WatchedFileSystem("append"))


def test_what_the_disk_changed_never_gets_the_name(tmp_path: Path) -> None:
    class Mangling(WatchedFileSystem):
        def mangle(self, data: bytes) -> bytes:
            return data.replace(b"text", b"test")

    with pytest.raises(CorruptCheckpoint, match="section 'b' does not match its digest"):
        write(tmp_path, 5, fs=Mangling())
    assert names(tmp_path) == []


def test_another_file_in_its_place_never_gets_the_name(tmp_path: Path) -> None:
    other = write(tmp_path, 5, meta={"another": 1}).read_bytes()

    class Swapping(WatchedFileSystem):
        def rename(self, source: Path, target: Path) -> None:
            raise AssertionError("renamed")

        def step(self, what: str, path: Path) -> None:
            super().step(what, path)
            if what == "read" and len([s for s in self.steps if s[0] == "read"]) == 1:
                path.write_bytes(other)

    with pytest.raises(CorruptCheckpoint, match="not the checkpoint that was written"):
        write(tmp_path, 5, fs=Swapping())
    assert names(tmp_path) == [checkpoint_name(5)]


def test_what_the_format_cannot_hold_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dtype object"):
        write(tmp_path, 5, sections={"a": np.array([None])})
    assert names(tmp_path) == []


# ---------------------------------------------------------------------------------- older ones


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for seq in range(1, 6):
        write(tmp_path, seq)
    assert remove_older(FS, tmp_path, STORE) == 4
    assert [seq for seq, _ in list_checkpoints(FS, tmp_path)] == [5, 4]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_up_to_two_are_all_kept(tmp_path: Path, count: int) -> None:
    for seq in range(1, count + 1):
        write(tmp_path, seq)
    assert remove_older(FS, tmp_path, STORE) == (1 if count == 2 else None)
    assert len(names(tmp_path)) == count


def test_one_that_does_not_verify_does_not_count(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in range(1, 5)]
    damage(paths[2])
    assert remove_older(FS, tmp_path, STORE, verified=(paths[3],)) == 2
    assert [seq for seq, _ in list_checkpoints(FS, tmp_path)] == [4, 3, 2]


def test_fewer_than_two_good_ones_remove_nothing(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in range(1, 5)]
    for path in paths[:3]:
        damage(path)
    assert remove_older(FS, tmp_path, STORE) is None
    assert len(names(tmp_path)) == 4


def test_what_is_not_ours_is_never_removed(tmp_path: Path) -> None:
    write(tmp_path, 1, store_id=b"another store id")
    (tmp_path / checkpoint_name(2)).write_bytes(b"damaged beyond its header")
    for seq in range(3, 6):
        write(tmp_path, seq)
    assert remove_older(FS, tmp_path, STORE) == 4
    assert [seq for seq, _ in list_checkpoints(FS, tmp_path)] == [5, 4, 2, 1]


def test_verified_ones_are_not_read_again(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in (1, 2)]
    fs = WatchedFileSystem()
    assert remove_older(fs, tmp_path, STORE, verified=paths) == 1
    assert fs.steps == []


def test_what_the_log_depends_on_is_read_from_the_device(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in (1, 2)]
    fs = WatchedFileSystem()
    remove_older(fs, tmp_path, STORE, verified=paths[1:])
    assert fs.steps == [("drop_cache", checkpoint_name(1)), ("read", checkpoint_name(1))]


def test_the_oldest_goes_first_and_the_folder_is_synced(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in range(1, 5)]
    fs = WatchedFileSystem()
    remove_older(fs, tmp_path, STORE, verified=paths[2:])
    assert [step for step in fs.steps if step[0] != "read"] == [
        ("remove", checkpoint_name(1)),
        ("remove", checkpoint_name(2)),
        ("sync_dir", tmp_path.name),
    ]
    assert all(verify_checkpoint(FS, path).seq for path in paths[2:])


# ---------------------------------------------------------------------------------- beside the next one

LARGE = 1 << 30


def test_the_newest_is_read_from_the_device(tmp_path: Path) -> None:
    older = [write(tmp_path, seq) for seq in (1, 2)]
    fs = WatchedFileSystem()
    with older_verified(fs, tmp_path, STORE, LARGE) as verified:
        pass
    assert verified == older[1:]
    assert fs.steps == [("drop_cache", older[1].name), ("read", older[1].name)]


def test_a_small_one_is_left_to_who_needs_it(tmp_path: Path) -> None:
    write(tmp_path, 1)
    fs = WatchedFileSystem()
    with older_verified(fs, tmp_path, STORE, 1000) as verified:
        pass
    assert (verified, fs.steps) == ([], [])


@pytest.mark.parametrize("broken", ["damaged", "of another store", "unreadable"])
def test_one_that_is_not_good_does_not_count(tmp_path: Path, broken: str) -> None:
    kept = write(tmp_path, 1)
    older = write(tmp_path, 2, store_id=b"another store id" if broken == "of another store" else STORE)
    fs = WatchedFileSystem("read" if broken == "unreadable" else None)
    if broken == "damaged":
        damage(older)
    with older_verified(fs, tmp_path, STORE, LARGE) as verified:
        newest = write(tmp_path, 3)
    assert verified == []
    if broken != "unreadable":  # then the newest and the one before it are the two
        assert remove_older(FS, tmp_path, STORE, verified=[newest, *verified]) == 1
        assert kept.name in names(tmp_path)


def test_an_error_of_the_block_is_raised(tmp_path: Path) -> None:
    def fail() -> Any:
        raise StorageError(errno.EIO, "no", str(tmp_path))

    write(tmp_path, 1)
    with pytest.raises(StorageError, match="no"), older_verified(FS, tmp_path, STORE, LARGE):
        fail()
