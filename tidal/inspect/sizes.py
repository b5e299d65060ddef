"""Bytes on the disk; what vanishes meanwhile has none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tidal.durable import FileSystem
from tidal.errors import CorruptionError, StorageError
from tidal.inspect.findings import Notebook


def size_of(fs: FileSystem, path: Path) -> int:
    """Return the bytes of a file; 0 for what says no size, because it was removed, say."""
    try:
        return fs.size(path)
    except (StorageError, CorruptionError):
        return 0


def bytes_in(fs: FileSystem, folder: Path, book: Notebook) -> int:
    """Return the bytes of what lies in a folder; 0 and a note for one that cannot be listed."""
    return sum(size_of(fs, folder / name) for name in names_in_folder(fs, folder, book))


def names_in_folder(fs: FileSystem, folder: Path, book: Notebook) -> Iterable[str]:
    """Return the names in a folder; none and a note for one that cannot be listed."""
    try:
        return fs.list_dir(folder)
    except (StorageError, CorruptionError) as error:
        book.failed(folder, error, "not-regular")
        return ()
