"""What is no plain file, in the place of each of a store: refused, not followed, not waited for."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

import tidal
from tidal.durable import OsFileSystem
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.store import StorePaths, load_store

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
SECONDS = 20  # opening a FIFO would wait for ever


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with something in each of its places."""
    store = tmp_path_factory.mktemp("whole") / "s"
    for _ in range(3):
        with tidal.open(store, schema=SCHEMA, clock="event", archive=True) as db:
            for n in range(20):
                db.signal("view", f"item-{n}", timestamp=db.last_seq + 1)
            db.checkpoint()
            db.archive()
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "s"))


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"still waiting after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def files(store: Path) -> dict[str, Path]:
    """One file of each kind, by what it is."""
    newest = {"segment": "wal/*.seg", "checkpoint": "checkpoints/*.ckpt", "archive": "archive/*.arc"}
    found = {kind: max(store.glob(pattern)) for kind, pattern in newest.items()}
    for name in (
        "store.json",
        "schema.json",
        "LOCK",
        "entities.sqlite",
        "wal/manifest.json",
        "archive/manifest.json",
    ):
        found[name] = store / name
    return found


FILES = (
    "segment", "checkpoint", "archive", "store.json", "schema.json", "LOCK", "entities.sqlite",
    "wal/manifest.json", "archive/manifest.json",
)  # fmt: skip


def symlink(path: Path, outside: Path) -> None:
    shutil.move(path, outside)
    path.symlink_to(outside)


def dangling(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside)


def hard_link(path: Path, outside: Path) -> None:
    os.link(path, outside)


def fifo(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path, _: Path) -> None:
    path.unlink()
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which has no end
    except PermissionError:
        pytest.skip("making a device needs root")


def listener(path: Path, _: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


KINDS = (symlink, dangling, hard_link, fifo, device, listener, folder)


def look(path: Path) -> object:
    if path.is_symlink():
        return os.readlink(path)
    return path.read_bytes() if path.is_file() else path.lstat().st_mode


def everything(folder: Path) -> dict[Path, object]:
    """What lies in a folder, links not followed."""
    return {path: look(path) for path in folder.rglob("*")}


@pytest.mark.parametrize("read_only", [False, True], ids=["writable", "read only"])
@pytest.mark.parametrize("replace", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_of_the_store_is_refused(
    store: Path, tmp_path: Path, name: str, replace: Callable[[Path, Path], None], read_only: bool
) -> None:
    outside = tmp_path / "outside" / "file"
    outside.parent.mkdir()
    replace(files(store)[name], outside)
    before = everything(outside.parent)
    if read_only and name == "LOCK":  # which a reader has no need of
        with no_waiting(), tidal.open(store, read_only=True, clock="event") as db:
            assert db.last_seq == 60
    else:
        with no_waiting(), pytest.raises(tidal.TidalError) as caught:
            use(store, read_only)
        assert str(store) in str(caught.value)
    assert everything(outside.parent) == before


def use(store: Path, read_only: bool) -> None:
    """Open the store, and look at all that it holds."""
    with tidal.open(store, clock="event", read_only=read_only) as db:
        assert db.last_seq == 60
    paths = StorePaths(store)
    identity = LogIdentity(load_store(OsFileSystem(), paths).store_id, 0)
    assert sum(len(batch) for _, batch in read_history(OsFileSystem(), paths, identity=identity)) == 60


@pytest.mark.parametrize("name", ["wal", "checkpoints", "archive", "quarantine"])
def test_a_folder_that_is_a_link_is_refused(store: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    inside = store / name
    if inside.exists():
        shutil.move(inside, outside)
    else:
        outside.mkdir()
    inside.symlink_to(outside)
    before = everything(outside)
    for read_only in (True, False):
        with no_waiting(), pytest.raises(tidal.TidalError):
            use(store, read_only)
    assert everything(outside) == before


@pytest.mark.parametrize("name", ["store.json.tmp", "schema.json.tmp", "wal/manifest.json.tmp"])
@pytest.mark.parametrize("replace", [dangling, symlink, hard_link, fifo], ids=lambda kind: kind.__name__)
def test_a_trap_in_the_place_of_a_temporary_file_is_not_written_to(
    store: Path, tmp_path: Path, name: str, replace: Callable[[Path, Path], None]
) -> None:
    trap, outside = store / name, tmp_path / "outside"
    trap.write_bytes(b"bait")
    replace(trap, outside)
    before = outside.read_bytes() if outside.exists() else None
    grown = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()
    with (
        no_waiting(),
        contextlib.suppress(tidal.TidalError),
        tidal.open(store, schema=grown, clock="event") as db,
    ):
        db.signal("like", 1, timestamp=1)
    assert (outside.read_bytes() if outside.exists() else None) == before
