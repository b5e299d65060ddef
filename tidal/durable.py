"""All file access of a store: the FileSystem protocol, the real one, and atomic replacement.

Every byte that tidal writes or reads goes through a FileSystem object that is passed in, so that a
test can record each call, fail it, or enumerate what a power cut may leave behind.

What the operating system promises, and no more, is assumed: bytes are durable after ``File.sync``,
a name is durable after ``sync_dir`` of its folder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tidal.errors import CorruptionError, CorruptStore, NoSpace, StorageError, StoreLocked, TidalError

TEMPORARY_SUFFIX = ".tmp"
_WRITE_OUT_BYTES_MIN = 1 << 20  # of one append; frames of the log are smaller, and synced at once

Bytes = bytes | bytearray | memoryview


class File(Protocol):
    """An open regular file. Writing is appending; reading is at an offset."""

    path: Path

    def append(self, parts: Sequence[Bytes]) -> int:
        """Write all parts at the end; return the bytes written. Raises StorageError with none or some
        written.
        """

    def sync(self) -> None:
        """Return once all that was appended would survive a power cut. A failure is final."""

    def truncate(self, size: int) -> None: ...

    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes there are in [offset, offset + length): fewer only at the end of the file."""

    def drop_cache(self) -> None:
        """Ask the kernel to forget what it cached of the file, so that reads come from the device."""

    def close(self) -> None: ...


class Lock(Protocol):
    """A held lock; release() ends it."""

    def release(self) -> None: ...


class FileSystem(Protocol):
    """What a store needs of a file system. Paths are absolute or relative to the process."""

    def create(self, path: Path) -> File:
        """Create a new file for appending, mode 0600; an existing name or a link is an error."""

    def open_append(self, path: Path) -> File:
        """Open an existing regular file for appending."""

    def open_read(self, path: Path) -> File:
        """Open an existing regular file for reading."""

    def rename(self, source: Path, target: Path) -> None:
        """Replace target by source, atomically in what a reader sees; durable after sync_dir."""

    def remove(self, path: Path) -> None: ...

    def make_dir(self, path: Path) -> None:
        """Create one folder, mode 0700; fine if it exists."""

    def sync_dir(self, path: Path) -> None:
        """Make the names in a folder durable."""

    def list_dir(self, path: Path) -> list[str]:
        """The names in a folder, sorted; empty if there is no such folder."""

    def exists(self, path: Path) -> bool: ...

    def size(self, path: Path) -> int: ...

    def age(self, path: Path) -> float:
        """The seconds since a file was last written, 0.0 where the file system does not know."""

    def free_bytes(self, path: Path) -> int: ...

    def lock(self, path: Path) -> Lock:
        """Take the exclusive lock on path, creating the file; StoreLocked if it is held."""


class _typed:
    """Turn the system's errors within the ``with`` block into ours.

    A generator would be shorter, and take longer than a read of what is cached.
    """

    __slots__ = ("_path", "_what")

    def __init__(self, what: str, path: Path) -> None:
        self._what, self._path = what, path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError) or isinstance(error, TidalError):
            return
        if error.errno in (errno.ELOOP, errno.ENOTDIR):  # what O_NOFOLLOW and O_DIRECTORY say
            raise CorruptStore(self._path, 0, "a symbolic link, or no folder; refused") from error
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(error.errno, f"{self._what}: {error.strerror}", str(self._path)) from error


def _require_own(status: os.stat_result, path: Path, any_owner: bool) -> None:
    if not any_owner and status.st_uid != os.geteuid():
        raise CorruptStore(path, 0, f"it belongs to user {status.st_uid}, not to {os.geteuid()}; refused")


def _open(path: Path, flags: int, any_owner: bool) -> int:
    """Return a descriptor of a regular file with one name, of this user, reached by no link."""
    # Without O_NONBLOCK opening a FIFO would wait for its other end.
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise CorruptStore(path, 0, "not a regular file with one name; refused")
        _require_own(status, path, any_owner)
    except BaseException:
        os.close(fd)
        raise
    return fd


class _OsFile:
    def __init__(self, path: Path, flags: int, any_owner: bool) -> None:
        self.path = path
        with _typed("open", path):
            self._fd = _open(path, flags, any_owner)

    def append(self, parts: Sequence[Bytes]) -> int:
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        total = 0
        with _typed("write", self.path):
            while views:
                written = os.writev(self._fd, views[:64])
                total += written
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if written:
                    views[0] = views[0][written:]
            if total >= _WRITE_OUT_BYTES_MIN:
                self._write_out(total)
        return total

    def _write_out(self, last: int) -> None:
        """Have the last bytes on their way to the device: a sync then finds little left to do.

        To say that pages are not needed starts to write out those that are dirty, and keeps them.
        """
        with contextlib.suppress(OSError):  # what was written is written
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            os.posix_fadvise(self._fd, end - last, last, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        with _typed("fdatasync", self.path):
            os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        with _typed("ftruncate", self.path):
            os.ftruncate(self._fd, size)

    def size(self) -> int:
        with _typed("fstat", self.path):
            return os.fstat(self._fd).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        parts = []
        with _typed("read", self.path):
            while length > 0 and (part := os.pread(self._fd, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drop_cache(self) -> None:
        with _typed("fadvise", self.path):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with _typed("close", self.path):
                os.close(fd)


class _FlockLock:
    """flock, not lockf: record locks do not see a second open in one process and end with any close."""

    _fd = -1

    def __init__(self, path: Path, any_owner: bool) -> None:
        with _typed("open", path):
            self._fd = _open(path, os.O_RDWR | os.O_CREAT, any_owner)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            here = any(lock.holds(self._fd) for lock in list(_held_locks))
            self.release()
            if error.errno != errno.EWOULDBLOCK:
                raise StorageError(error.errno, f"lock: {error.strerror}", str(path)) from error
            where = "in this process; use that database," if here else "in another process; close it there,"
            raise StoreLocked(
                f"{path} is locked: the store is open for writing {where} or open with read_only=True"
            ) from error
        _held_locks.add(self)

    def holds(self, fd: int) -> bool:
        """Return whether this is the lock on the file that another descriptor has open."""
        return self._fd >= 0 and os.path.sameopenfile(self._fd, fd)

    def release(self) -> None:
        _held_locks.discard(self)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        """Free a lock that an error, such as want of memory, kept from whoever would have released it."""
        if self._fd >= 0:
            os.close(self._fd)


_held_locks: weakref.WeakSet[_FlockLock] = weakref.WeakSet()


def _close_locks_in_child() -> None:
    """After a fork: the lock lives as long as any copy of its descriptor, and is the parent's."""
    for lock in list(_held_locks):
        lock.release()


os.register_at_fork(after_in_child=_close_locks_in_child)


class OsFileSystem:
    """The file system of this machine. ``any_owner``: take files and folders of other users too, to read."""

    any_owner = False

    def __init__(self, *, any_owner: bool = False) -> None:
        self.any_owner = any_owner

    def create(self, path: Path) -> File:
        return _OsFile(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, self.any_owner)

    def open_append(self, path: Path) -> File:
        return _OsFile(path, os.O_RDWR | os.O_APPEND, self.any_owner)

    def open_read(self, path: Path) -> File:
        return _OsFile(path, os.O_RDONLY, self.any_owner)

    def rename(self, source: Path, target: Path) -> None:
        with _typed("rename", source):
            os.rename(source, target)

    def remove(self, path: Path) -> None:
        with _typed("remove", path):
            os.unlink(path)

    def make_dir(self, path: Path) -> None:
        with _typed("mkdir", path):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                os.close(self._open_folder(path))

    def sync_dir(self, path: Path) -> None:
        with _typed("fsync of folder", path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def list_dir(self, path: Path) -> list[str]:
        with _typed("list", path):
            try:
                fd = self._open_folder(path)
            except FileNotFoundError:
                return []
            try:
                return sorted(os.listdir(fd))
            finally:
                os.close(fd)

    def _open_folder(self, path: Path) -> int:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _require_own(os.fstat(fd), path, self.any_owner)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def exists(self, path: Path) -> bool:
        with _typed("stat", path):
            try:
                os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def size(self, path: Path) -> int:
        with _typed("stat", path):
            return os.lstat(path).st_size

    def age(self, path: Path) -> float:
        with _typed("stat", path):
            return max(0.0, time.time() - os.lstat(path).st_mtime)

    def free_bytes(self, path: Path) -> int:
        with _typed("statvfs", path):
            status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def lock(self, path: Path) -> Lock:
        return _FlockLock(path, self.any_owner)


def replace_file(
    fs: FileSystem, path: Path, parts: Iterable[Bytes], verify: Callable[[Path], None] | None = None
) -> None:
    """Make path hold exactly these bytes, durably: after a power cut it holds the old bytes or the new.

    Written to a temporary name in the same folder, synced, checked by ``verify`` (which reads it back
    and raises if it is not good), renamed, and the folder synced. What fails before the renaming leaves
    nothing behind.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if fs.exists(temporary):
        fs.remove(temporary)
    try:
        file = fs.create(temporary)
        try:
            for part in parts:
                file.append([part])
            file.sync()
        finally:
            file.close()
        if verify is not None:
            verify(temporary)
        fs.rename(temporary, path)
    except (StorageError, CorruptionError):
        with contextlib.suppress(StorageError):  # the first error is the one to report
            fs.remove(temporary)
        raise
    fs.sync_dir(path.parent)


def same_bytes(
    fs: FileSystem, data: bytes, damage: Callable[[Path, int, str], CorruptionError]
) -> Callable[[Path], None]:
    """Return a ``verify`` for replace_file: it raises ``damage`` unless the file reads back as this data."""

    def verify(path: Path) -> None:
        if read_file(fs, path) != data:
            raise damage(path, 0, "what was read back is not what was written")

    return verify


def set_aside(fs: FileSystem, path: Path, folder: Path) -> Path:
    """Move a file to a folder of the same disk, durably, and return its place there. Nothing is replaced."""
    fs.make_dir(folder)
    fs.sync_dir(folder.parent)
    target, number = folder / path.name, 0
    while fs.exists(target):  # an earlier find of the same name is evidence too
        number += 1
        target = folder / f"{path.name}.{number}"
    fs.rename(path, target)
    fs.sync_dir(folder)
    fs.sync_dir(path.parent)
    return target


def read_file(fs: FileSystem, path: Path) -> bytes:
    """Return the whole content of a file."""
    file = fs.open_read(path)
    try:
        return file.read_at(0, file.size())
    finally:
        file.close()


def size_if_there(fs: FileSystem, path: Path) -> int | None:
    """Return the bytes of a file that somebody else may remove; None if it is gone."""
    try:
        return fs.size(path)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        return None
