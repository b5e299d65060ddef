"""What the log and the archive of a store hold, read from as few bytes as tell it.

Names, sizes and manifests are read, and the segments that the log's manifest does not list yet. That finds
what is missing or cut short; whether every byte is good is what verify() is for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from tidal.durable import FileSystem
from tidal.errors import CorruptionError, FormatError, FormatTooNew, StorageError
from tidal.format.archive import parse_archive_name
from tidal.format.archive_manifest import ARCHIVE_MANIFEST_NAME, ArchiveManifest, decode_archive_manifest
from tidal.format.frame import Frame
from tidal.format.manifest import MANIFEST_NAME, Manifest
from tidal.format.payload import decode_summary
from tidal.history import archive_path
from tidal.inspect.documents import read_document
from tidal.inspect.events import Time
from tidal.inspect.findings import Notebook
from tidal.inspect.log import check_manifest, guess_logs
from tidal.inspect.segments import Around, Contents, check_contents, read_contents
from tidal.inspect.sizes import bytes_in, size_of
from tidal.records import record
from tidal.wal.segments import check_ends, list_segments, place_of

_UNREADABLE = (FormatError, FormatTooNew, CorruptionError, StorageError)


@record
class LogInventory:
    """The log. Sequences are 0 where there is no event; times are of events, unless said."""

    segments: int = 0
    bytes: int = 0  # of all files in the folder
    first_seq: int = 0  # of the first segment
    last_segment_seq: int = 0  # the first sequence of the last segment
    last_seq: int = 0  # of the last event that the log tells of, also where the archive has it now
    start_seq: int | None = None  # where the live log begins; what is before is archived, or retired
    epoch: int | None = None  # how often the store was opened for writing
    clean: bool | None = None  # it was closed
    batches_to_replay: int = 0  # after the newest checkpoint
    newest_time: Time | None = None  # in the segments that are not listed yet, and the last one
    created_at: Time | None = None  # wall time at which the last segment was begun
    unsynced_singles: int = (
        0  # the most events in a row that were recorded one by one, without a sync between
    )


@record
class ArchiveInventory:
    """The archive, by its manifest."""

    files: int = 0
    bytes: int = 0
    first_seq: int = 0  # 0 without files
    last_seq: int = 0
    oldest_time: Time | None = None
    newest_time: Time | None = None


# ------------------------------------------------------------------------------------ the log


def take_log(
    fs: FileSystem, directory: Path, store_id: bytes | None, after_seq: int, book: Notebook
) -> LogInventory:
    """Return what the log holds; ``after_seq``: what the newest checkpoint includes."""
    found = list_segments(fs, directory, *place_of(fs, directory))
    known = bool(found) or store_id is not None  # else there is no log to miss a manifest of
    manifest = check_manifest(fs, directory / MANIFEST_NAME, store_id, book) if known else None
    there = dict(found)
    batches = 0
    for listed in manifest.segments if manifest else ():
        path = there.pop(listed.base_seq, None)
        if path is None:
            what = "the manifest lists a segment that is not there"
            book.damage("segment-missing", directory, what, seqs=(listed.base_seq, listed.last_seq))
        elif (size := size_of(fs, path)) != listed.size:
            book.damage("manifest-misfit", path, f"{size:,} bytes; the manifest lists {listed.size:,}")
        elif listed.last_seq > after_seq and path != found[-1][1]:
            batches += _batches_in(fs, path, book)
    # Those that the manifest may not list: all without it, else those behind its end; what lies before its
    # start is archived, and about to be removed. And the last one: it tells how the log is written.
    new = {base: path for base, path in there.items() if manifest is None or base > manifest.last_seq}
    new |= dict(found[-1:])
    ends = _read_ends(fs, new, found, store_id, manifest, book)
    last = max([manifest.last_seq if manifest else 0, *(contents.last_seq for contents in ends.values())])
    batches += sum(frame.last_seq > after_seq for it in ends.values() for frame in it.frames)
    times = [Time(decode_summary(it.data[frame.payload]).max_time) for it in ends.values()
             for frame in it.frames]  # fmt: skip
    begun = [Time(it.header.created_at) for it in ends.values() if it.header is not None]
    return LogInventory(
        segments=len(found),
        bytes=bytes_in(fs, directory, book),
        first_seq=found[0][0] if found else 0,
        last_segment_seq=found[-1][0] if found else 0,
        last_seq=last,
        start_seq=manifest.start_seq if manifest else None,
        epoch=manifest.epoch if manifest else None,
        clean=manifest.clean if manifest else None,
        batches_to_replay=batches,
        newest_time=max(times, default=None),
        created_at=max(begun, default=None),
        unsynced_singles=max((_unsynced(it.frames) for it in ends.values()), default=0),
    )


def _read_ends(
    fs: FileSystem,
    unlisted: Mapping[int, Path],
    found: list[tuple[int, Path]],
    store_id: bytes | None,
    manifest: Manifest | None,
    book: Notebook,
) -> dict[int, Contents]:
    """Return the contents of the segments that no manifest tells of, by their first sequences."""
    following = {base: after for (base, _), (after, _) in itertools.pairwise(found)}
    read = {}
    for base, path in unlisted.items():
        try:
            contents = read_contents(fs, path, guess_logs(store_id, manifest))
        except _UNREADABLE as error:
            if fs.exists(path):  # else a writer at work archived it
                book.failed(path, error, "header-damaged")
            continue
        check_contents(contents, Around(following.get(base), manifest is not None and manifest.clean), book)
        read[base] = contents
    return read


def _batches_in(fs: FileSystem, path: Path, book: Notebook) -> int:
    """Return how many batches a sealed segment has, by its seal."""
    try:
        return check_ends(fs, path, None).batches
    except _UNREADABLE as error:
        if fs.exists(path):  # else a writer at work archived it
            book.failed(path, error, "seal-misfit")
        return 0


def _unsynced(frames: tuple[Frame, ...]) -> int:
    """The most frames of one event in a row that knew of the same last sync.

    Of larger ones nothing can be said: one call for a whole table writes many before it waits.
    """
    most = run = 0
    durable = -1
    for frame in frames:
        run = 0 if frame.events > 1 else run + 1 if frame.durable_seq == durable else 1
        durable, most = frame.durable_seq, max(most, run)
    return most


# ------------------------------------------------------------------------------------ the archive


def take_archive(fs: FileSystem, directory: Path, store_id: bytes | None, book: Notebook) -> ArchiveInventory:
    """Return what the archive holds."""
    path = directory / ARCHIVE_MANIFEST_NAME
    manifest = read_document(
        fs, path, decode_archive_manifest, book, part="archive", damaged="archive-damaged"
    )
    if manifest is None:
        files = [name for name in fs.list_dir(directory) if parse_archive_name(name) is not None]
        if files and not fs.exists(path):
            book.damage("archive-missing", path, f"{len(files)} archive files are there, and no manifest")
        return ArchiveInventory(len(files), bytes_in(fs, directory, book))
    if store_id is not None and manifest.store_id != store_id:
        book.damage("archive-misfit", path, f"it is of the store {manifest.store_id.hex()}")
    _check_files(fs, directory, manifest, book)
    times = [(file.min_time, file.max_time) for file in manifest.files]
    return ArchiveInventory(
        files=len(manifest.files),
        bytes=bytes_in(fs, directory, book),
        first_seq=manifest.files[0].base_seq if manifest.files else 0,
        last_seq=manifest.last_seq if manifest.files else 0,
        oldest_time=Time(min(first for first, _ in times)) if times else None,
        newest_time=Time(max(last for _, last in times)) if times else None,
    )


def _check_files(fs: FileSystem, directory: Path, manifest: ArchiveManifest, book: Notebook) -> None:
    for file in manifest.files:
        path = archive_path(directory, manifest, file)
        seqs = (file.base_seq, file.last_seq)
        if not fs.exists(path):
            book.damage(
                "archive-missing", path, "the archive's manifest lists a file that is not there", seqs=seqs
            )
        elif (size := size_of(fs, path)) != file.size:
            what = f"{size:,} bytes; the archive's manifest lists {file.size:,}"
            book.damage("archive-damaged", path, what, seqs=seqs)
