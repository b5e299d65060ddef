"""Files that appear under their name only when they are whole, and what says what is in them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from tidal.durable import TEMPORARY_SUFFIX, File, FileSystem
from tidal.errors import StorageError
from tidal.export.behind import Behind

MANIFEST_SUFFIX: Final = ".manifest.json"

AT_ONCE_BYTES: Final = 1 << 20  # what is no longer than this is written without a thread
DISK_BYTES: Final = (
    8 << 20
)  # so many go on to the disk while more are made: the sync at the end waits for few

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written: its path, rows, bytes, BLAKE3 (hex), and the path of its manifest."""

    path: Path
    rows: int
    bytes: int
    blake3: str
    manifest: Path


def manifest_path(path: Path) -> Path:
    """Return where the manifest of an exported file lies."""
    return path.with_name(path.name + MANIFEST_SUFFIX)


class Output:
    """A file that is being written under a temporary name: ``bytes`` so far, and their ``hash``.

    From the second MiB on, a thread writes and hashes while the caller makes what follows. What it raises
    comes out of a later write(), or of finish(), before which neither the file nor the hash is whole.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._hash = blake3()
        self._behind: Behind | None = None
        self._in_memory_bytes = 0
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.bytes <= AT_ONCE_BYTES:
            self._append(data)
            return
        if self._behind is None:
            self._behind = Behind(self._append)
        self._behind.put(data)

    def finish(self) -> None:
        """Return once all was written and hashed."""
        if self._behind is not None:
            self._behind.finish()

    def stop(self) -> None:
        """Write nothing more: after this the file may be closed."""
        if self._behind is not None:
            self._behind.stop()

    def _append(self, data: bytes) -> None:
        self._file.append([data])
        self._hash.update(data)
        self._in_memory_bytes += len(data)
        if self._in_memory_bytes >= DISK_BYTES:
            self._in_memory_bytes = 0
            self._file.drop_cache()  # which writes it first, and waits for nothing

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()


@contextlib.contextmanager
def replacing(fs: FileSystem, path: Path) -> Iterator[Output]:
    """Give a file to write; at the end it is durable under its name, and replaces what had it before.

    Whatever is raised, nothing of it stays. A killed process leaves ``<name>.<pid>-<n>.tmp``. Other
    processes may write to the same name: the last to end wins, whole.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_numbers)}{TEMPORARY_SUFFIX}")
    if fs.exists(temporary):  # of a dead process that had the same number
        fs.remove(temporary)
    file = fs.create(temporary)
    try:
        try:
            output = Output(file)
            try:
                yield output
                output.finish()
            finally:
                output.stop()
            file.sync()
        finally:
            file.close()
        fs.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(StorageError):  # the first error is the one to report
            fs.remove(temporary)
        raise
    fs.sync_dir(path.parent)


def write_whole(fs: FileSystem, path: Path, chunks: Iterable[bytes]) -> Output:
    """Write a file as ``replacing`` does; return how long it is, and its hash."""
    with replacing(fs, path) as output:
        for chunk in chunks:
            output.write(chunk)
    return output


def encode_manifest(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
