"""The history of a store as one stream: what is archived, then the log."""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from tidal.archive import ArchivedFile, ArchiveFile, ArchiveManifest, read_archive_manifest
from tidal.durable import FileSystem
from tidal.errors import CorruptArchive, CorruptLog, MissingSegment, StorageError, TidalError
from tidal.format.archive import archive_name, header_hash
from tidal.format.archive_manifest import ARCHIVE_MANIFEST_NAME
from tidal.format.payload import TypeSet, type_ids
from tidal.format.segment import LogIdentity
from tidal.meters import said
from tidal.schema import EventBatch
from tidal.store import StorePaths
from tidal.wal import read_batches
from tidal.wal.reader import Wanted
from tidal.wal.segments import Link

_logger = logging.getLogger(__name__)


def read_history(
    fs: FileSystem,
    paths: StorePaths,
    *,
    identity: LogIdentity,
    after_seq: int = 0,
    until_seq: int | None = None,
    since: int | None = None,
    until: int | None = None,
    types: Collection[int] | None = None,
) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first seq, batch) in the order of the log, for the events after ``after_seq``, each once.

    ``until_seq`` is the last sequence wanted, and a promise that the store has it; without it the stream
    ends where the log does. Files, segments and batches without an event in ``since <= time < until``
    (ns) or of one of ``types`` are left out unread; a batch that is yielded is whole in these respects.

    May run while another process or thread writes, archives and removes. A file of the archive that is
    damaged or gone is made up for by the log, where that still has its segment; a warning is logged. Memory:
    one segment, or one block and the dictionaries of its file. Raises MissingSegment where events are gone,
    CorruptArchive, CorruptLog, FormatTooNew, StorageError.
    """
    wanted = Wanted.of(since, until, types)
    log = functools.partial(
        read_batches, fs, paths.wal, identity=identity, since=since, until=until, types=types
    )
    position = after_seq
    while until_seq is None or position < until_seq:
        manifest, damage = _look(fs, paths.archive, identity, can_do_without=until_seq is not None)
        file = _file_of(manifest, position + 1, paths.archive)
        found: Iterator[tuple[int, EventBatch]]
        if manifest is not None and file is not None:
            found = _read_file(fs, paths.archive, manifest, file, wanted, position, until_seq)
        else:
            found = log(after_seq=position, until_seq=until_seq, follows=_end_at(manifest, position))
        try:
            for first, batch in found:
                yield first, batch
                position = first + len(batch) - 1
        except (CorruptArchive, MissingSegment, StorageError) as error:
            if isinstance(error, StorageError) and error.errno != errno.ENOENT:
                raise
            # Archived or retired between two looks? Then the manifest says so: its files come first.
            if _look(fs, paths.archive, identity, can_do_without=damage is not None)[0] != manifest:
                continue
            if file is None:
                if damage is not None:
                    raise damage from error
                raise
            last = file.last_seq if until_seq is None else min(file.last_seq, until_seq)
            instead = log(after_seq=position, until_seq=last)
            for first, batch in _instead(instead, _as_missing(error, file, paths.archive)):
                yield first, batch
                position = first + len(batch) - 1
        if file is None:
            return
        position = max(position, file.last_seq)


def _look(
    fs: FileSystem, folder: Path, identity: LogIdentity, *, can_do_without: bool
) -> tuple[ArchiveManifest | None, CorruptArchive | None]:
    """Return the manifest of the archive, or what is wrong with it where the log may do."""
    try:
        return read_archive_manifest(fs, folder, identity), None
    except CorruptArchive as error:
        if not can_do_without:
            raise
        return None, error


def _end_at(manifest: ArchiveManifest | None, position: int) -> Link | None:
    """Return what the log must continue from, if it is read from where the archive ends."""
    if manifest is None or not manifest.files or position != manifest.last_seq:
        return None
    return Link(position, manifest.head_hash, 0, f"archive/{ARCHIVE_MANIFEST_NAME}")


def _instead(log: Iterator[tuple[int, EventBatch]], error: TidalError) -> Iterator[tuple[int, EventBatch]]:
    """Yield what the log still has of a file that failed; raise its error where the log has not all of it."""
    about = said("archive_unreadable", error_type=type(error).__name__)
    _logger.warning("%s; the log is read instead, if it still has these events", error, extra=about)
    try:
        yield from log
    except (CorruptLog, MissingSegment) as other:
        raise error from other


def _file_of(manifest: ArchiveManifest | None, seq: int, folder: Path) -> ArchivedFile | None:
    """Return the archive's file with this sequence, or None: then the log has it."""
    if manifest is None:
        return None
    if seq < manifest.start_seq:
        raise MissingSegment(seq, manifest.start_seq - 1, folder)
    return manifest.file_of(seq)


def _read_file(
    fs: FileSystem,
    folder: Path,
    manifest: ArchiveManifest,
    file: ArchivedFile,
    wanted: Wanted,
    after_seq: int,
    until_seq: int | None,
) -> Iterator[tuple[int, EventBatch]]:
    if not wanted.overlaps(file.min_time, file.max_time, file.types):
        return
    path = archive_path(folder, manifest, file)
    with ArchiveFile(fs, path) as opened:
        if header_hash(opened.header) != file.header_hash:
            raise CorruptArchive(path, 0, "not the file that the manifest lists; restore it from a backup")
        yield from opened.events(wanted, after_seq=after_seq, until_seq=until_seq)


class TimesAndTypes(Protocol):
    """What a file, a segment or a block says of its events: times in ns, both ends included."""

    @property
    def min_time(self) -> int: ...
    @property
    def max_time(self) -> int: ...
    @property
    def types(self) -> TypeSet: ...


def newest_times(parts: Iterable[TimesAndTypes]) -> dict[int, int]:
    """Return, by type id, a time in ns that the newest event of that type is at or after; O(parts).

    A part of one type has its newest event at ``max_time``. Of several types, each has an event in it, which
    is at ``min_time`` at least. Use it with SignalLedger.expect() before all of the parts are applied.
    """
    newest: dict[int, int] = {}
    for part in parts:
        types = type_ids(part.types)
        t = part.max_time if len(types) == 1 else part.min_time
        newest |= {type_id: max(t, newest.get(type_id, t)) for type_id in types}
    return newest


def archive_path(folder: Path, manifest: ArchiveManifest, file: ArchivedFile) -> Path:
    """Return where a file that the manifest lists lies."""
    identity = LogIdentity(manifest.store_id, 0, manifest.region, manifest.shard)
    return folder / archive_name(identity, file.base_seq)


def _as_missing(error: TidalError, file: ArchivedFile, folder: Path) -> TidalError:
    """Return what to raise for a file that is listed: damaged, or not there."""
    if isinstance(error, StorageError):
        return MissingSegment(file.base_seq, file.last_seq, folder)
    return error
