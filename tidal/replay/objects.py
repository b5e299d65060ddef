"""Object stores as a FileSystem, by way of obstore: S3, GCS, Azure, a folder, memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tidal.durable import Bytes, File, Lock
from tidal.errors import InvalidOption, MissingExtra, StorageError

_HEAD_BYTES: Final = (
    1 << 16
)  # what the first look at an object fetches: an archive file's header and directory
_WHOLE_MAX: Final = 1 << 26  # larger objects are fetched range by range


def open_objects(url: str | None, store: Any = None) -> ObjectFileSystem:
    """Return the file system of an object store, by URL or as an obstore store. Errors as object_store()."""
    return ObjectFileSystem(_obstore(url), object_store(url) if store is None else store)


def object_store(url: str | None) -> Any:
    """Return the obstore store that a URL means.

    Credentials are found as obstore finds them, in the environment. Raises MissingExtra, InvalidOption for a
    URL that it does not take.
    """
    obstore = _obstore(url)
    try:
        return obstore.store.from_url(str(url))
    except (ValueError, OSError, obstore.exceptions.BaseError) as error:
        raise InvalidOption(f"{url!r} is no object store that can be reached: {_line(error)}") from error


def _obstore(url: str | None) -> Any:
    try:
        import obstore
        import obstore.store
    except ImportError as error:
        raise MissingExtra("obstore", "object", f"reading {url or 'an object store'}") from error
    return obstore


class ObjectFileSystem:
    """The FileSystem protocol over an object store. A path is a key: ``/a/b`` is the object ``a/b``.

    An object appears whole or not at all, so creating one is what makes it durable; folders exist by name
    only, and there are no locks.
    """

    def __init__(self, obstore: Any, store: Any) -> None:
        self._api, self._store = obstore, store

    def create(self, path: Path) -> File:
        return _NewObject(self, path)

    def open_append(self, path: Path) -> File:
        raise StorageError(errno.EPERM, "objects are not appended to", str(path))

    def open_read(self, path: Path) -> File:
        return _Object(self, path, self.size(path))

    def rename(self, source: Path, target: Path) -> None:
        with _typed("rename", source):
            self._api.rename(self._store, _key(source), _key(target))

    def remove(self, path: Path) -> None:
        with _typed("delete", path):
            self._api.delete(self._store, _key(path))

    def make_dir(self, path: Path) -> None:
        pass

    def sync_dir(self, path: Path) -> None:
        pass

    def list_dir(self, path: Path) -> list[str]:
        prefix = f"{_key(path)}/" if _key(path) else None
        with _typed("list", path):
            found = self._api.list_with_delimiter(self._store, prefix)
        return sorted({Path(it["path"]).name for it in found["objects"]})

    def exists(self, path: Path) -> bool:
        try:
            self.size(path)
        except StorageError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def size(self, path: Path) -> int:
        with _typed("head", path):
            return int(self._api.head(self._store, _key(path))["size"])

    def age(self, path: Path) -> float:
        return 0.0

    def free_bytes(self, path: Path) -> int:
        return 1 << 62

    def lock(self, path: Path) -> Lock:
        raise StorageError(errno.ENOLCK, "an object store has no locks", str(path))

    def fetch(self, path: Path, start: int, length: int) -> bytes:
        """Return some bytes of an object, which must be there."""
        with _typed("get", path):
            return bytes(self._api.get_range(self._store, _key(path), start=start, length=length))

    def put(self, path: Path, data: bytes) -> None:
        """Make this the content of an object."""
        with _typed("put", path):
            self._api.put(self._store, _key(path), data)


class _Object:
    """An object that is read: its beginning first, then all of it in one request where it is not huge."""

    def __init__(self, fs: ObjectFileSystem, path: Path, size: int) -> None:
        self.path, self._fs, self._size = path, fs, size
        self._held = b""  # the first bytes

    def read_at(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self._size)
        if end <= offset:
            return b""
        if end > len(self._held):
            if end <= _HEAD_BYTES < self._size:
                self._held = self._fs.fetch(self.path, 0, _HEAD_BYTES)
            elif self._size <= _WHOLE_MAX:
                self._held = self._fs.fetch(self.path, 0, self._size)
            else:
                return self._fs.fetch(self.path, offset, end - offset)
        return self._held[offset:end]

    def size(self) -> int:
        return self._size

    def sync(self) -> None:
        pass

    def drop_cache(self) -> None:
        self._held = b""

    def append(self, parts: Sequence[Bytes]) -> int:
        raise StorageError(errno.EBADF, "opened to be read", str(self.path))

    def truncate(self, size: int) -> None:
        raise StorageError(errno.EBADF, "opened to be read", str(self.path))

    def close(self) -> None:
        self._held = b""


class _NewObject:
    """An object in the making; sync() puts it."""

    def __init__(self, fs: ObjectFileSystem, path: Path) -> None:
        self.path, self._fs = path, fs
        self._parts: list[bytes] = []

    def append(self, parts: Sequence[Bytes]) -> int:
        added = [bytes(part) for part in parts]
        self._parts += added
        return sum(map(len, added))

    def sync(self) -> None:
        self._fs.put(self.path, b"".join(self._parts))

    def size(self) -> int:
        return sum(map(len, self._parts))

    def truncate(self, size: int) -> None:
        self._parts = [b"".join(self._parts)[:size]]

    def read_at(self, offset: int, length: int) -> bytes:
        return b"".join(self._parts)[offset : offset + length]

    def drop_cache(self) -> None:
        pass

    def close(self) -> None:
        self._parts = []


def _key(path: Path) -> str:
    return str(path).lstrip("/") if path != Path("/") else ""


@contextmanager
def _typed(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(errno.ENOENT, f"{what}: no such object", str(path)) from error
    except StorageError:
        raise
    except Exception as error:  # obstore has a tree of its own, and passes on what its back ends raise
        raise StorageError(errno.EIO, f"{what}: {_line(error)}", str(path)) from error


def _line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
