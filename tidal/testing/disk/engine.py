"""FileEngine: a storage engine in one small file, for stores on a disk that is not the machine's."""

from __future__ import annotations

import json
from pathlib import Path

from tidal.durable import FileSystem, read_file, replace_file
from tidal.storage import MemoryEngine, WriteBatch
from tidal.storage.engine import Changes


class FileEngine(MemoryEngine):
    """A StorageEngine whose every batch replaces the whole file: right for a few records, in tests.

    SQLite opens its own files; this one reaches its file through a FileSystem, so that a test can see,
    fail, and lose each write. With ``create`` a file that is not there is made, without it that is a
    StorageError.
    """

    def __init__(self, fs: FileSystem, path: Path, *, create: bool = False, read_only: bool = False) -> None:
        super().__init__()
        self._path, self._fs = path, fs
        if create and not fs.exists(path):
            self._write()
        stored = json.loads(read_file(fs, path))
        self._apply({space: {_raw(k): _raw(v) for k, v in pairs.items()} for space, pairs in stored.items()})

    def batch(self) -> WriteBatch:
        return WriteBatch(self._replace)

    def _replace(self, changes: Changes) -> None:
        self._apply(changes)
        self._write()

    def _write(self) -> None:
        text = {
            space: {key.hex(): value.hex() for key, value in pairs.items()}
            for space, pairs in self._values.items()
        }
        replace_file(self._fs, self._path, [json.dumps(text).encode()])


def _raw(text: str) -> bytes:
    return bytes.fromhex(text)
