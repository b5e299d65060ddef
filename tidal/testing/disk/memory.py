"""MemoryDisk: a file system in memory that writes down what was done to it, and fails where told."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tidal.durable import Bytes, File, Lock
from tidal.errors import NoSpace, StorageError, StoreLocked
from tidal.testing.disk.image import Image, parent_of
from tidal.testing.disk.journal import (
    Create,
    Lose,
    MakeDir,
    Mark,
    Op,
    Remove,
    Rename,
    Sync,
    SyncDir,
    Truncate,
    Write,
)

_FREE_BYTES: Final = 1 << 40


class Fault(NamedTuple):
    """What a call does instead of its work: it raises this errno; an append first writes ``short`` bytes.

    ``garbled``: an append seems to succeed, and one bit of what it wrote is another. ``interrupted``: the
    work is done, and KeyboardInterrupt raised, as when the signal comes just after the system call.
    """

    errno: int = 0
    short: int = 0
    garbled: bool = False
    interrupted: bool = False


Faults = Callable[[str, str], Fault | None]
"""Asked before each call, with the name of the method and the path; None lets the call be."""


class _Node:
    """A file's content: as programs see it, and where a sync failed also as the device has it."""

    __slots__ = ("content", "dirty", "number", "platter")

    def __init__(self, number: int, content: bytes = b"") -> None:
        self.number = number
        self.content: bytes | bytearray = content  # bytes until it is first changed
        self.dirty: list[tuple[int, int]] = []  # (start, end) written since the last sync
        self.platter: bytearray | None = None

    def write(self, data: bytes) -> int:
        if isinstance(self.content, bytes):
            self.content = bytearray(self.content)
        offset = len(self.content)
        self.content += data
        self.dirty.append((offset, offset + len(data)))
        return offset

    def truncate(self, size: int) -> None:
        content = bytearray(self.content[:size])
        content.extend(bytes(size - len(content)))
        self.content = content
        self.dirty = [(start, min(end, size)) for start, end in self.dirty if start < size]
        if self.platter is not None:
            del self.platter[size:]

    def sync(self) -> None:
        if self.platter is not None:
            self.platter = self._on_device()
        self.dirty.clear()

    def lose(self) -> None:
        """A sync failed: the kernel calls the pages clean, and the device never got them."""
        platter = bytearray(self.content) if self.platter is None else self.platter
        platter.extend(bytes(len(self.content) - len(platter)))
        for start, end in self.dirty:
            platter[start:end] = bytes(end - start)
        self.platter = platter
        self.dirty.clear()

    def drop_cache(self) -> None:
        if self.platter is not None:
            self.content = self._on_device()

    def _on_device(self) -> bytearray:
        """The device's content once all that is dirty is written to it."""
        assert self.platter is not None
        device = bytearray(self.platter)
        device.extend(bytes(len(self.content) - len(device)))
        for start, end in self.dirty:
            device[start:end] = self.content[start:end]
        return device


class _MemoryFile:
    def __init__(self, disk: MemoryDisk, path: Path, node: _Node) -> None:
        self.path = path
        self._disk, self._node, self._name = disk, node, str(path)

    def append(self, parts: Sequence[Bytes]) -> int:
        data = b"".join(parts)
        with self._disk._mutex:
            fault = self._disk._fault("append", self._name)
            if fault is not None:
                data = _flipped(data) if fault.garbled else data if fault.interrupted else data[: fault.short]
            if data:
                offset = self._node.write(data)
                self._disk.journal.append(Write(self._node.number, offset, data))
            _raise(fault, "write", self._name)
        return len(data)

    def sync(self) -> None:
        with self._disk._mutex:
            if (fault := self._disk._fault("sync", self._name)) is not None:
                self._node.lose()
                self._disk.journal.append(Lose(self._node.number))
                _raise(fault, "fdatasync", self._name)
            self._node.sync()
            self._disk.journal.append(Sync(self._node.number))

    def truncate(self, size: int) -> None:
        with self._disk._mutex:
            _raise(self._disk._fault("truncate", self._name), "ftruncate", self._name)
            self._node.truncate(size)
            self._disk.journal.append(Truncate(self._node.number, size))

    def size(self) -> int:
        _raise(self._disk._fault("file_size", self._name), "fstat", self._name)
        return len(self._node.content)

    def read_at(self, offset: int, length: int) -> bytes:
        _raise(self._disk._fault("read_at", self._name), "read", self._name)
        return bytes(self._node.content[offset : offset + length])

    def drop_cache(self) -> None:
        with self._disk._mutex:
            _raise(self._disk._fault("drop_cache", self._name), "fadvise", self._name)
            if not self._disk.keeps_cache:
                self._node.drop_cache()

    def close(self) -> None:
        """Do nothing: a file stays as long as somebody holds it."""


class _MemoryLock:
    def __init__(self, held: set[str], name: str) -> None:
        self._held, self._name = held, name

    def release(self) -> None:
        self._held.discard(self._name)


class MemoryDisk:
    """A FileSystem in memory, which begins with an image; all of that is durable.

    ``journal`` lists every change, for ``crash_states``; ``mark`` puts into it what a program was told.
    ``faults`` is asked before each call. A failed sync loses what was written since the last one, and
    says so to nobody: reads still return it, until ``drop_cache``; and also after that where ``keeps_cache``,
    since a kernel takes drop_cache for advice.

    Safe to share by threads. Permissions, owners and links are not modelled.

    >>> disk = MemoryDisk()
    >>> file = disk.create(Path("/log"))
    >>> file.append([b"event"])
    5
    >>> disk.journal
    [Create(path='/log', node=0), Write(node=0, offset=0, data=b'event')]
    """

    def __init__(
        self,
        image: Image | None = None,
        *,
        faults: Faults | None = None,
        keeps_cache: bool = False,
        free_bytes: int = _FREE_BYTES,
    ) -> None:
        self.initial = image or Image()
        self.journal: list[Op] = []
        self.faults = faults
        self.keeps_cache = keeps_cache
        self.free = free_bytes
        self._names = {
            name: _Node(number, data) for number, (name, data) in enumerate(self.initial.files.items())
        }
        self._nodes = len(self._names)
        self._folders = set(self.initial.folders)
        self._held: set[str] = set()
        self._ended = False
        self._mutex = threading.Lock()

    # ------------------------------------------------------------------------- beyond a FileSystem

    def mark(self, name: str, value: int) -> None:
        """Note what the program under test told its caller by now."""
        with self._mutex:
            self.journal.append(Mark(name, value))

    def image(self) -> Image:
        """Return what programs see now: what is there after the process is killed."""
        with self._mutex:
            files = {name: bytes(node.content) for name, node in self._names.items()}
            return Image(files, frozenset(self._folders))

    def end_process(self) -> None:
        """Do what the end of the process does: from now on every call raises, and changes nothing."""
        self._ended = True

    def begin_process(self) -> None:
        """Take calls again, with no lock held. What was written and not synced is still to be read."""
        self._ended = False
        self._held = set()

    # ------------------------------------------------------------------------------------- files

    def create(self, path: Path) -> File:
        name = str(path)
        with self._mutex:
            _raise(self._fault("create", name), "open", name)
            self._check_parent(name)
            if name in self._names or name in self._folders:
                _raise(Fault(errno.EEXIST), "open", name)
            node = self._new_node(name)
            return _MemoryFile(self, path, node)

    def open_append(self, path: Path) -> File:
        return self._open(path, "open_append")

    def open_read(self, path: Path) -> File:
        return self._open(path, "open_read")

    def _open(self, path: Path, call: str) -> File:
        name = str(path)
        with self._mutex:
            _raise(self._fault(call, name), "open", name)
            return _MemoryFile(self, path, self._node(name, "open"))

    # ------------------------------------------------------------------------------------- names

    def rename(self, source: Path, target: Path) -> None:
        old, new = str(source), str(target)
        with self._mutex:
            _raise(self._fault("rename", new), "rename", old)
            node = self._node(old, "rename")
            self._check_parent(new)
            del self._names[old]
            self._names[new] = node
            self.journal.append(Rename(old, new))

    def remove(self, path: Path) -> None:
        name = str(path)
        with self._mutex:
            _raise(self._fault("remove", name), "remove", name)
            self._node(name, "remove")
            del self._names[name]
            self.journal.append(Remove(name))

    def make_dir(self, path: Path) -> None:
        name = str(path)
        with self._mutex:
            _raise(self._fault("make_dir", name), "mkdir", name)
            self._check_parent(name)
            if name not in self._folders:
                self._folders.add(name)
                self.journal.append(MakeDir(name))

    def sync_dir(self, path: Path) -> None:
        name = str(path)
        with self._mutex:
            _raise(self._fault("sync_dir", name), "fsync of folder", name)
            if name not in self._folders:
                _raise(Fault(errno.ENOENT), "open", name)
            self.journal.append(SyncDir(name))

    def list_dir(self, path: Path) -> list[str]:
        name = str(path)
        with self._mutex:
            _raise(self._fault("list_dir", name), "list", name)
            inside = [*self._names, *self._folders]
        head = name.rstrip("/") + "/"
        names = (entry[len(head) :] for entry in inside if entry.startswith(head))
        return sorted(entry for entry in names if entry and "/" not in entry)

    def exists(self, path: Path) -> bool:
        _raise(self._fault("exists", str(path)), "stat", str(path))
        return str(path) in self._names or str(path) in self._folders

    def size(self, path: Path) -> int:
        with self._mutex:
            _raise(self._fault("size", str(path)), "stat", str(path))
            return len(self._node(str(path), "stat").content)

    def age(self, path: Path) -> float:
        return 0.0

    def free_bytes(self, path: Path) -> int:
        _raise(self._fault("free_bytes", str(path)), "statvfs", str(path))
        return self.free

    def lock(self, path: Path) -> Lock:
        name = str(path)
        with self._mutex:
            _raise(self._fault("lock", name), "open", name)
            if name in self._held:
                raise StoreLocked(f"{name} is locked: the store is open for writing")
            self._check_parent(name)
            if name not in self._names:
                self._new_node(name)
            self._held.add(name)
            return _MemoryLock(self._held, name)

    # ------------------------------------------------------------------------------------- inside

    def _fault(self, call: str, name: str) -> Fault | None:
        if self._ended:
            _raise(Fault(errno.EIO), f"{call} after the end of the process", name)
        return None if self.faults is None else self.faults(call, name)

    def _new_node(self, name: str) -> _Node:
        node = self._names[name] = _Node(self._nodes)
        self._nodes += 1
        self.journal.append(Create(name, node.number))
        return node

    def _node(self, name: str, what: str) -> _Node:
        node = self._names.get(name)
        if node is None:
            _raise(Fault(errno.EISDIR if name in self._folders else errno.ENOENT), what, name)
        assert node is not None
        return node

    def _check_parent(self, name: str) -> None:
        if parent_of(name) not in self._folders:
            _raise(Fault(errno.ENOENT), "open", name)


def _flipped(data: bytes) -> bytes:
    """The data with one bit in its middle turned round."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if data else data


def _raise(fault: Fault | None, what: str, name: str) -> None:
    if fault is not None and fault.interrupted:
        raise KeyboardInterrupt
    if fault is not None and not fault.garbled:
        kind = NoSpace if fault.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(fault.errno, f"{what}: {os.strerror(fault.errno)}", name)
