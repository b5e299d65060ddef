"""The entities' database: SQLite's own check of its structure, and the CRC-32 of every row."""

from __future__ import annotations

from pathlib import Path

from tidal.durable import FileSystem
from tidal.errors import CorruptionError, FormatTooNew, StorageError
from tidal.inspect.findings import Notebook
from tidal.storage import SqliteEngine


def check_entities(fs: FileSystem, path: Path, book: Notebook) -> None:
    """Note all that is wrong with the database; it is read in a private copy, nothing is written beside it.

    What has no checksum cannot be checked: SQLite keeps none for the bytes of a page that no row uses.
    """
    try:
        engine = SqliteEngine(path, read_only=True, fs=fs)
        try:
            book.looked(path, "entities", fs.size(path))
            for problem in engine.problems():
                book.damage("entities-damaged", path, problem)
        finally:
            engine.close()
    except (CorruptionError, FormatTooNew, StorageError) as error:
        book.failed(path, error, "entities-damaged")
