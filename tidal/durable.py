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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tidal.errors import CorruptStore, NoSpace, StorageError, StoreLocked

TEMPORARY_SUFFIX = ".tmp"

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

    def free_bytes(self, path: Path) -> int: ...

    def lock(self, path: Path) -> Lock:
        """Take the exclusive lock on path, creating the file; StoreLocked if it is held."""


@contextlib.contextmanager
def _typed(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(error.errno, f"{what}: {error.strerror}", str(path)) from error


class _OsFile:
    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        with _typed("open", path):
            self._fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(self._fd)
            raise CorruptStore(path, 0, "not a regular file with one name; refused")

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
        return total

    def sync(self) -> None:
        with _typed("fdatasync", self.path):
            os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        with _typed("ftruncate", self.path):
            os.ftruncate(self._fd, size)

    def size(self) -> int:
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
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _FlockLock:
    """flock, not lockf: record locks do not see a second open in one process and end with any close."""

    def __init__(self, path: Path) -> None:
        with _typed("open", path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise StoreLocked(
                f"{path} is locked: the store is open for writing in another process or elsewhere in this "
                "one; close it there, or open with read_only=True"
            ) from error

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OsFileSystem:
    """The file system of this machine."""

    def create(self, path: Path) -> File:
        return _OsFile(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def open_append(self, path: Path) -> File:
        return _OsFile(path, os.O_RDWR | os.O_APPEND)

    def open_read(self, path: Path) -> File:
        return _OsFile(path, os.O_RDONLY)

    def rename(self, source: Path, target: Path) -> None:
        with _typed("rename", source):
            os.rename(source, target)

    def remove(self, path: Path) -> None:
        with _typed("remove", path):
            os.unlink(path)

    def make_dir(self, path: Path) -> None:
        with _typed("mkdir", path), contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)

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
                return sorted(os.listdir(path))
            except FileNotFoundError:
                return []

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def size(self, path: Path) -> int:
        with _typed("stat", path):
            return os.stat(path).st_size

    def free_bytes(self, path: Path) -> int:
        with _typed("statvfs", path):
            status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    def lock(self, path: Path) -> Lock:
        return _FlockLock(path)


def replace_file(
    fs: FileSystem, path: Path, parts: Iterable[Bytes], verify: Callable[[Path], None] | None = None
) -> None:
    """Make path hold exactly these bytes, durably: after a power cut it holds the old bytes or the new.

    Written to a temporary name in the same folder, synced, checked by ``verify`` (which reads it back
    and raises if it is not good), renamed, and the folder synced.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if fs.exists(temporary):
        fs.remove(temporary)
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
    fs.sync_dir(path.parent)


def read_file(fs: FileSystem, path: Path) -> bytes:
    """Return the whole content of a file."""
    file = fs.open_read(path)
    try:
        return file.read_at(0, file.size())
    finally:
        file.close()
