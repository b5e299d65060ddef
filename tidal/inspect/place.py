"""What the machine says of a store's folder, beside the bytes in it: space, permissions, who writes.

All of it is asked without a lock and without opening a file of the store. What a machine does not tell (no
``/proc``, a container that hides it) is None.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidal.durable import FileSystem, OsFileSystem
from tidal.records import record
from tidal.store import StorePaths

_MOUNTS: Final = Path("/proc/self/mountinfo")
_LOCKS: Final = Path("/proc/locks")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_LOCK = re.compile(r"\d+: FLOCK\s+ADVISORY\s+WRITE\s+(\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s", re.ASCII)
_LOOKED_AT_MOST: Final = 10_000  # names in one folder whose permissions are asked for


@record
class Mount:
    """The file system that a path lies on."""

    point: str
    type: str  # "ext4"
    options: tuple[str, ...]


@record
class Access:
    """Who may do what with one name of a store."""

    path: Path
    mode: int  # the permission bits
    owner: int
    is_folder: bool


@record
class Place:
    """Where a store lies."""

    writer_pid: int | None = None  # the process that has the store open for writing; None: none is seen
    mount: Mount | None = None
    free_bytes: int | None = None  # for whoever is not root
    total_bytes: int | None = None
    free_files: int | None = None  # None: there is no limit, or nobody knows
    memory_bytes: int | None = None  # of the machine
    access: tuple[Access, ...] = ()  # of the store's folder, its folders and the files in them


def file_system_for(path: Path) -> FileSystem:
    """Return what to look at a path with: what belongs to another user is read if the path itself does.

    So root may look at a store of the user that runs it, and a file of root's in that user's own store is
    found, which opening it would refuse.
    """
    try:
        owner = path.stat().st_uid
    except OSError:
        owner = os.geteuid()
    return OsFileSystem(any_owner=owner != os.geteuid())


def look_at_place(paths: StorePaths) -> Place:
    """Return what the machine says of the folder of a store."""
    free_bytes = total_bytes = free_files = None
    try:
        status = os.statvfs(paths.base)
    except OSError:
        pass
    else:
        free_bytes, total_bytes = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        free_files = status.f_favail if status.f_files else None
    return Place(
        writer_pid=_writer_of(paths.lock),
        mount=mount_of(paths.base, _text_of(_MOUNTS)),
        free_bytes=free_bytes,
        total_bytes=total_bytes,
        free_files=free_files,
        memory_bytes=_memory_bytes(),
        access=tuple(_access_of(paths)),
    )


def changed_at(path: Path) -> int | None:
    """Return when a file was last written, in ns; None if nobody knows. A copy may say when it was copied."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """Return the mount that a path lies on, by the text of a ``mountinfo``.

    >>> mount_of(Path("/data/feed"), "6 1 254:0 / / rw - ext4 /dev/a rw,discard")
    Mount(point='/', type='ext4', options=('rw', 'discard'))
    """
    found: Mount | None = None
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, behind = before.split(" "), after.split(" ")
        if not dash or len(fields) < 6 or len(behind) < 3:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            options = dict.fromkeys((*fields[5].split(","), *behind[2].split(",")))
            found = Mount(point, behind[0], tuple(options))
    return found


def _writer_of(lock: Path) -> int | None:
    """The process that holds the lock of a store, by the kernel's list: taking it would get in the way."""
    try:
        status = lock.stat()
    except OSError:
        return None
    ours = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    for pid, major, minor, inode in _LOCK.findall(_text_of(_LOCKS)):
        if (int(major, 16), int(minor, 16), int(inode)) == ours:
            return int(pid)
    return None


def _access_of(paths: StorePaths) -> Iterator[Access]:
    for path in (paths.base, *_names_in(paths.base)):
        if (found := _access(path)) is not None:
            yield found
            if found.is_folder and path != paths.base:
                yield from filter(None, map(_access, _names_in(path)))


def _access(path: Path) -> Access | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return Access(path, stat.S_IMODE(status.st_mode), status.st_uid, stat.S_ISDIR(status.st_mode))


def _names_in(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))[:_LOOKED_AT_MOST]]
    except OSError:
        return []


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
