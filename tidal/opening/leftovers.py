"""What crashes leave behind of work that was done or never mattered: found by exact names, and removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tidal.archive.marks import MARKS_NAME
from tidal.durable import TEMPORARY_SUFFIX, FileSystem
from tidal.errors import StorageError
from tidal.format.archive import parse_archive_name
from tidal.format.archive_manifest import ARCHIVE_MANIFEST_NAME
from tidal.format.manifest import MANIFEST_NAME
from tidal.format.segment import parse_segment_name
from tidal.format.snapshot import parse_checkpoint_name
from tidal.store import StorePaths


def temporaries(fs: FileSystem, paths: StorePaths) -> Iterator[Path]:
    """Yield the files that a replacement of one of the store's own files left unfinished."""
    documents = (paths.wal / MANIFEST_NAME, paths.archive / ARCHIVE_MANIFEST_NAME, paths.archive / MARKS_NAME)
    for path in (paths.identity, paths.schema, paths.following, paths.entities, *documents):
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        if fs.exists(temporary):
            yield temporary
    for folder, parse in (
        (paths.wal, parse_segment_name),
        (paths.archive, parse_archive_name),
        (paths.checkpoints, parse_checkpoint_name),
    ):
        for name in fs.list_dir(folder):
            plain = name.removesuffix(TEMPORARY_SUFFIX)
            if plain != name and parse(plain) is not None:
                yield folder / name


def remove_all(fs: FileSystem, files: Iterable[Path]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Remove files; return those that are gone, and a note on each that could not be removed."""
    removed: list[Path] = []
    notes: list[str] = []
    for path in files:
        try:
            fs.remove(path)
        except StorageError as error:
            notes.append(f"{path} is not needed, and could not be removed: {error}")
        else:
            removed.append(path)
    return tuple(removed), tuple(notes)
