"""The history of a store as one stream: what is archived, then the log."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from pathlib import Path

from tidal.archive import ArchivedFile, ArchiveFile, ArchiveManifest, read_archive_manifest
from tidal.durable import FileSystem
from tidal.errors import CorruptArchive, MissingSegment, StorageError
from tidal.format.archive import archive_name, header_hash
from tidal.format.segment import LogIdentity
from tidal.schema import EventBatch
from tidal.store import StorePaths
from tidal.wal import read_batches
from tidal.wal.reader import Wanted


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

    May run while another process or thread writes, archives and removes. Memory: one segment, or one
    block. Raises MissingSegment where events are gone, CorruptArchive, CorruptLog, FormatTooNew,
    StorageError.
    """
    wanted = Wanted.of(since, until, types)
    position = after_seq
    while until_seq is None or position < until_seq:
        manifest = read_archive_manifest(fs, paths.archive, identity)
        file = _file_of(manifest, position + 1, paths.archive)
        try:
            if manifest is not None and file is not None:
                found = _read_file(fs, paths.archive, manifest, file, wanted, position, until_seq)
                for first, batch in found:
                    yield first, batch
                    position = first + len(batch) - 1
                position = max(position, file.last_seq)
                continue
            for first, batch in read_batches(
                fs, paths.wal, identity=identity, after_seq=position, until_seq=until_seq,
                since=since, until=until, types=types,
            ):  # fmt: skip
                yield first, batch
                position = first + len(batch) - 1
            return
        except (MissingSegment, StorageError) as error:
            if isinstance(error, StorageError) and error.errno != errno.ENOENT:
                raise
            # Archived or retired between two looks? Then the manifest says so: its files come first.
            if read_archive_manifest(fs, paths.archive, identity) == manifest:
                raise _as_missing(error, file, paths.archive) from error


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


def archive_path(folder: Path, manifest: ArchiveManifest, file: ArchivedFile) -> Path:
    """Return where a file that the manifest lists lies."""
    identity = LogIdentity(manifest.store_id, 0, manifest.region, manifest.shard)
    return folder / archive_name(identity, file.base_seq)


def _as_missing(
    error: MissingSegment | StorageError, file: ArchivedFile | None, folder: Path
) -> MissingSegment | StorageError:
    """Return what to raise for a file that is listed and not there."""
    if isinstance(error, StorageError) and file is not None:
        return MissingSegment(file.base_seq, file.last_seq, folder)
    return error
