"""Disks that can be filled, cut off and made to fail: tmpfs, and ext4 or XFS on a loop device. Root only.

Nothing here is left behind when the ``with`` block ends, whatever happened in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHUTDOWN: Final = 0x8004587D  # _IOR('X', 125, u32): what xfstests uses
FLUSH_JOURNAL, FLUSH_NOTHING = 1, 2
_LAZY: Final = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Kind:
    """A file system and how it is mounted."""

    name: str
    type: str
    options: str
    size: int
    make: tuple[str, ...]


_EXT4 = (
    "mkfs.ext4",
    "-q",
    "-F",
    "-b",
    "4096",
    "-E",
    "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
    "-J",
    "size=4",
)
KINDS: Final = (
    Kind("ext4 ordered", "ext4", "data=ordered", 48 << 20, _EXT4),
    Kind("ext4 writeback", "ext4", "data=writeback", 48 << 20, _EXT4),
    Kind("ext4 journal", "ext4", "data=journal", 48 << 20, _EXT4),
    Kind("xfs", "xfs", "", 320 << 20, ("mkfs.xfs", "-q", "-f", "-K")),
)


def why_not() -> str | None:
    """Return why no loop device can be mounted here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("losetup", "mkfs.ext4", "filefrag"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices (/dev/loop-control)"
    if not os.access("/dev/shm", os.W_OK):
        return "needs /dev/shm, for images in memory"
    return None


def available(kind: Kind) -> bool:
    return shutil.which(kind.make[0]) is not None


@contextlib.contextmanager
def tmpfs(folder: Path, size: int, inodes: int | None = None) -> Iterator[Path]:
    """A tmpfs of so many bytes, mounted at ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", folder, "tmpfs", f"size={size}" + (f",nr_inodes={inodes}" if inodes else ""))
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # a database that a failed test left open keeps it busy
            _unmount(folder)


@contextlib.contextmanager
def loop_disk(folder: Path, kind: Kind, *, allocate: bool = False) -> Iterator[LoopDisk]:
    """A file system of this kind in an image in ``folder``, mounted; ``allocate`` gives the image all its
    blocks first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image, point = folder / "image", folder / "mounted"
    with open(image, "wb") as file:
        file.truncate(kind.size)
    _run(*kind.make, str(image))
    if allocate:  # after mkfs, which leaves holes where it wants zeros, in the journal too
        with open(image, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, kind.size)
    device = _run("losetup", "--find", "--show", str(image)).strip()
    point.mkdir()
    disk = LoopDisk(point, image, device, kind)
    try:
        disk.mount()
        yield disk
    finally:
        with contextlib.suppress(OSError):
            disk.unmount()
        _run("losetup", "--detach", device)
        image.unlink()


class LoopDisk:
    """A mounted image. ``cut()`` takes its power away; unmount() and mount() bring back what was on it."""

    def __init__(self, point: Path, image: Path, device: str, kind: Kind) -> None:
        self.point, self.image, self.kind = point, image, kind
        self._device = device

    def mount(self) -> None:
        _mount(self._device, self.point, self.kind.type, self.kind.options)

    def unmount(self) -> None:
        _unmount(self.point)

    def cut(self, flag: int) -> None:
        """From now on every call on the file system fails, and nothing more reaches the image."""
        point = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(point, _SHUTDOWN, struct.pack("I", flag))
        finally:
            os.close(point)

    def come_back(self) -> None:
        self.unmount()
        self.mount()

    def punch_free_blocks(self) -> None:
        """Make holes in the image where the file system has nothing, so that writing there takes space.

        A file that takes all of the free blocks tells which they are.
        """
        ballast = self.point / "ballast"
        fill(ballast)
        with open(ballast, "rb") as file:
            os.fsync(file.fileno())
        table = _run("filefrag", "-v", "-b1", str(ballast))
        with open(self.image, "r+b") as image:
            for line in table.splitlines():
                if found := re.match(r"\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+)\.\.\s*(\d+):", line):
                    start, last = map(int, found.groups())
                    _punch(image.fileno(), start, last + 1 - start)
        ballast.unlink()
        point = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        _libc.syncfs(point)  # the blocks are free once the journal says so
        os.close(point)


def _punch(file: int, offset: int, length: int) -> None:
    mode = 0x01 | 0x02  # keep the size, punch a hole
    if _libc.fallocate64(file, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"fallocate: {os.strerror(code)}")


def fill(path: Path, *, leave: int = 0) -> None:
    """Take all the space there is by one file, but for ``leave`` bytes."""
    with open(path, "ab") as file:
        free = os.statvfs(path.parent)
        room = free.f_bavail * free.f_frsize - leave
        if room > 0:
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, file.tell() + room)
        step = 1 << 16
        while step >= 512 and not leave:  # what statvfs does not tell of
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
            except OSError:
                step //= 2


def fill_names(folder: Path) -> None:
    """Make empty files until there is no inode left."""
    folder.mkdir()
    with contextlib.suppress(OSError):
        for number in range(1 << 20):
            (folder / str(number)).touch(exist_ok=False)


def _mount(source: str, point: Path, kind: str, options: str) -> None:
    if _libc.mount(source.encode(), str(point).encode(), kind.encode(), 0, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount of {kind}: {os.strerror(code)}", str(point))


def _unmount(point: Path) -> None:
    for _ in range(100):  # a process that was killed may still be on its way out
        if _libc.umount2(str(point).encode(), 0) == 0:
            return
        code = ctypes.get_errno()
        if code != errno.EBUSY:
            break
        time.sleep(0.005)
    _libc.umount2(str(point).encode(), _LAZY)  # so that nothing is left behind
    raise OSError(code, f"umount: {os.strerror(code)}", str(point))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
