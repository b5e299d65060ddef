"""What a path is: a store, a folder of archives, or one file of either, by content rather than by name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

from tidal.archive.marks import MARKS_NAME
from tidal.durable import FileSystem
from tidal.errors import CorruptStore, StoreMissing, UsageError
from tidal.format.archive import ARCHIVE_MAGIC, parse_archive_name
from tidal.format.manifest import MANIFEST_NAME
from tidal.format.segment import SEGMENT_MAGIC, parse_segment_name
from tidal.format.snapshot import MAGIC as CHECKPOINT_MAGIC
from tidal.format.snapshot import parse_checkpoint_name
from tidal.store import StorePaths

SQLITE_MAGIC: Final = b"SQLite format 3\0"


class Kind(StrEnum):
    STORE = "store"
    ARCHIVE_FOLDER = "archive"
    SEGMENT = "segment"
    CHECKPOINT = "checkpoint"
    ARCHIVE = "archive file"
    MANIFEST = "manifest"
    IDENTITY = "store.json"
    SCHEMA = "schema.json"
    MARKS = "marks"
    ENTITIES = "entities"


_BY_MAGIC: Final = (
    (SEGMENT_MAGIC, Kind.SEGMENT),
    (CHECKPOINT_MAGIC, Kind.CHECKPOINT),
    (ARCHIVE_MAGIC, Kind.ARCHIVE),
    (SQLITE_MAGIC, Kind.ENTITIES),
)
_BY_NAME: Final = {
    MANIFEST_NAME: Kind.MANIFEST,
    "store.json": Kind.IDENTITY,
    "schema.json": Kind.SCHEMA,
    MARKS_NAME: Kind.MARKS,
    "entities.sqlite": Kind.ENTITIES,
}


def kind_of(fs: FileSystem, path: Path) -> Kind:
    """Return what a path is. StoreMissing if there is nothing, UsageError for what tidal never wrote.

    A file whose first bytes are damaged is known by its name.
    """
    if not fs.exists(path):
        raise StoreMissing(f"{path}: there is no such file or folder")
    names = names_in(fs, path)
    if names is not None:
        return _kind_of_folder(path, names)
    file = fs.open_read(path)
    try:
        head = file.read_at(0, 16)
    finally:
        file.close()
    by_magic = next((kind for magic, kind in _BY_MAGIC if head.startswith(magic)), None)
    if (kind := by_magic or _kind_by_name(path.name)) is None:
        raise UsageError(f"{path}: not a file that tidal writes, by its first bytes and by its name")
    return kind


def file_kind(fs: FileSystem, path: Path) -> Kind:
    """Return what a file is; UsageError for a folder, errors as kind_of."""
    kind = kind_of(fs, path)
    if kind in (Kind.STORE, Kind.ARCHIVE_FOLDER):
        raise UsageError(f"{path} is a folder; name one file in it, or use tidalctl verify for the whole")
    return kind


def names_in(fs: FileSystem, path: Path) -> list[str] | None:
    """Return the names in a folder, or None for what is no folder."""
    try:
        return fs.list_dir(path)
    except CorruptStore:  # what it says of anything but a folder
        return None


def _kind_of_folder(path: Path, names: list[str]) -> Kind:
    paths = StorePaths(path)
    if {paths.identity.name, paths.wal.name, paths.checkpoints.name} & set(names):
        return Kind.STORE
    if any(parse_archive_name(name) for name in names):
        return Kind.ARCHIVE_FOLDER
    if any(parse_segment_name(name) or parse_checkpoint_name(name) is not None for name in names):
        raise UsageError(f"{path} is a part of a store; name the store's folder, or one file in it")
    raise UsageError(f"{path} is neither a store nor a folder of archives")


def _kind_by_name(name: str) -> Kind | None:
    if parse_segment_name(name) is not None:
        return Kind.SEGMENT
    if parse_checkpoint_name(name) is not None:
        return Kind.CHECKPOINT
    return Kind.ARCHIVE if parse_archive_name(name) else _BY_NAME.get(name)
