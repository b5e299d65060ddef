"""The upkeep of an archive: what of the log may be archived, is; what retention gives up, goes.

The order keeps each event in one place at least, whatever interrupts it: a file is durable and was read
back, then the manifest lists it, then the log forgets the segment; a file leaves the manifest, and only
then is it removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from tidal.archive.lookup import holds_segment
from tidal.archive.manifest import read_archive_manifest, write_archive_manifest
from tidal.archive.marks import Marks
from tidal.archive.retention import Retention
from tidal.archive.writer import archive_segments
from tidal.durable import TEMPORARY_SUFFIX, FileSystem, set_aside
from tidal.errors import CorruptArchive, CorruptLog, LimitExceeded, MissingSegment
from tidal.format.archive import archive_name, parse_archive_name
from tidal.format.archive_manifest import ArchivedFile, ArchiveManifest
from tidal.format.segment import LogIdentity
from tidal.records import record
from tidal.schema import Schema
from tidal.store import StorePaths
from tidal.wal.segments import SegmentInfo, check_ends, list_segments

CHECKPOINT: Final = "checkpoint"  # what holds the log back where no mark does

FILE_LOG_BYTES: Final = 1 << 27  # its events share dictionaries; and the file is made in memory

Forget = Callable[[int], tuple[Path, ...]]
Progress = Callable[[int, int], None]


@record
class ArchiveReport:
    """What archiving did. Sequences are inclusive; sizes in bytes."""

    archived: tuple[ArchivedFile, ...]  # new files, oldest first
    segment_bytes: int  # of the segments that they replace
    removed: tuple[Path, ...]  # segments that the log gave up
    retired: tuple[ArchivedFile, ...]  # files that retention gave up
    held_at: int  # no segment with a later event may be archived yet
    held_by: str  # "checkpoint", or the mark that holds the log there

    @property
    def archived_bytes(self) -> int:
        return sum(file.size for file in self.archived)

    @property
    def events(self) -> int:
        """Events in the new files."""
        return sum(file.events for file in self.archived)


NOTHING_ARCHIVED: Final = ArchiveReport((), 0, (), (), 0, CHECKPOINT)


class Archiver:
    """Archives the log of one store; calls must not overlap."""

    def __init__(
        self,
        fs: FileSystem,
        paths: StorePaths,
        identity: LogIdentity,
        schema: Schema,
        retention: Retention,
        now: Callable[[], int],
        file_log_bytes: int | None = None,
    ) -> None:
        """``file_log_bytes``: how much of the log goes into one file, a segment at least; FILE_LOG_BYTES."""
        self._marks = Marks(fs, paths.archive, identity.store_id)
        self._fs, self._paths, self._identity = fs, paths, identity
        self._schema, self._retention, self._now = schema, retention, now
        self._file_log_bytes = FILE_LOG_BYTES if file_log_bytes is None else file_log_bytes
        self._durable: ArchiveManifest | None = None  # what is known to be so

    def run(
        self,
        needed_after: int,
        forget: Forget,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = lambda done, total: None,
    ) -> ArchiveReport:
        """Archive every segment that may go from the log, let it go, and apply retention.

        ``needed_after``: the sequence of the second newest verified checkpoint; segments with a later event
        stay in the log. ``forget`` removes the log's segments up to a sequence. ``stop`` is asked
        between two files. ``progress`` is told bytes of segments done, and of all.

        Whatever it raises (StorageError, NoSpace, CorruptLog, CorruptArchive, MissingSegment), the log has
        every event that the archive has not, and the next run goes on from there.
        """
        held_at, held_by = self._limit(needed_after)
        manifest = self._manifest()
        self._clean(manifest)
        sealed = list(self._sealed(held_at))
        waiting = [info for info in sealed if not self._is_archived(manifest, info)]
        total = sum(info.size for info in waiting)
        archived: list[ArchivedFile] = []
        done = 0
        while waiting and not stop():
            manifest, files = self._archive(manifest, self._together(manifest, waiting))
            archived += files
            done += sum(info.size for info in waiting if info.last_seq <= files[-1].last_seq)
            waiting = _after(waiting, files[-1])
            progress(done, total)
        removed: tuple[Path, ...] = ()
        # What still waits may be in a listed file that went bad: the log alone has it.
        good_to = min(held_at, waiting[0].base_seq - 1) if waiting else held_at
        if manifest is not None and sealed and sealed[0].last_seq <= min(manifest.last_seq, good_to):
            self._write(manifest)
            removed = forget(min(manifest.last_seq, good_to))
        retired = self._retire(manifest, good_to)
        return ArchiveReport(tuple(archived), done, removed, retired, held_at, held_by)

    def _limit(self, needed_after: int) -> tuple[int, str]:
        lowest = self._marks.lowest()
        return (lowest[1], lowest[0]) if lowest and lowest[1] < needed_after else (needed_after, CHECKPOINT)

    def _sealed(self, limit: int) -> Iterator[SegmentInfo]:
        """Yield the segments that end at or below the limit, and that another one follows."""
        found = list_segments(self._fs, self._paths.wal, self._identity.region, self._identity.shard)
        for (_, path), (next_seq, _) in pairwise(found):
            if next_seq > limit + 1:
                return
            yield check_ends(self._fs, path, self._identity)

    def _manifest(self) -> ArchiveManifest | None:
        return read_archive_manifest(self._fs, self._paths.archive, self._identity)

    def _is_archived(self, manifest: ArchiveManifest | None, info: SegmentInfo) -> bool:
        if manifest is None or info.base_seq > manifest.last_seq:
            return False
        if info.last_seq < manifest.start_seq:
            return True
        if manifest.file_with(info.base_seq, info.last_seq, info.final_hash) is None:
            raise CorruptLog(info.path, 0, "the archive has other events of these sequences")
        # It may be long since that was written and read back: the log lets go on what is there now.
        return holds_segment(
            self._fs, self._paths.archive, self._identity, info.base_seq, info.last_seq, info.final_hash
        )

    def _together(self, manifest: ArchiveManifest | None, waiting: list[SegmentInfo]) -> list[SegmentInfo]:
        """Return the segments that go into the next file: at least the first."""
        if manifest is not None and (file := manifest.file_of(waiting[0].base_seq)) is not None:
            # It is made again, of all its segments: there is no limit to what was archived before.
            return [info for info in self._sealed(file.last_seq) if info.base_seq >= file.base_seq]
        together, size = [waiting[0]], waiting[0].size
        for info in waiting[1:]:
            size += info.size
            if size > self._file_log_bytes or not info.continues(together[-1]):
                break
            together.append(info)
        return together

    def _archive(
        self, manifest: ArchiveManifest | None, segments: list[SegmentInfo]
    ) -> tuple[ArchiveManifest, list[ArchivedFile]]:
        """Return the files that the segments, or the first of them, are in, and the manifest with them."""
        info = segments[0]
        if manifest is None:
            manifest = self._begin(info)
        if info.base_seq <= manifest.last_seq:
            return self._archive_again(manifest, segments)
        if info.base_seq != manifest.last_seq + 1:
            raise MissingSegment(manifest.last_seq + 1, info.base_seq - 1, self._paths.wal)
        if info.header.previous != manifest.head_hash:
            raise CorruptLog(info.path, 0, "it does not continue the archive: one of them was replaced")
        file = self._file_of(segments)
        manifest = replace(manifest, files=(*manifest.files, file))
        self._write(manifest)
        return manifest, [file]

    def _archive_again(
        self, manifest: ArchiveManifest, segments: list[SegmentInfo]
    ) -> tuple[ArchiveManifest, list[ArchivedFile]]:
        """Put a good file in the place of one that is damaged or lost, while the log has its events."""
        listed = manifest.file_of(segments[0].base_seq)
        assert listed is not None  # it was found by this sequence
        path = self._paths.archive / archive_name(self._identity, listed.base_seq)
        if (segments[0].base_seq, segments[-1].last_seq) != (listed.base_seq, listed.last_seq):
            raise CorruptArchive(
                path, 0, f"it is damaged or lost, and of its events the log has only those from "
                f"{segments[0].base_seq} to {segments[-1].last_seq}; restore it from a backup",
            )  # fmt: skip
        if self._fs.exists(path):
            set_aside(self._fs, path, self._paths.quarantine)
        files = []
        while segments:  # it is one again, unless it was made by other rules
            files.append(self._file_of(segments))
            segments = _after(segments, files[-1])
        at = manifest.files.index(listed)
        manifest = replace(manifest, files=(*manifest.files[:at], *files, *manifest.files[at + 1 :]))
        self._write(manifest)
        return manifest, files

    def _file_of(self, segments: list[SegmentInfo]) -> ArchivedFile:
        """Return a new file of the segments, or the first of them: what one lacks holds up those after it."""
        paths = [info.path for info in segments]
        try:
            return archive_segments(
                self._fs, self._paths.archive, paths, identity=self._identity, schema=self._schema
            )
        except (CorruptLog, LimitExceeded):
            if len(segments) == 1:
                raise
            return self._file_of(segments[: len(segments) // 2])

    def _write(self, manifest: ArchiveManifest) -> None:
        """Make the manifest durable; what was only read may be the work of a sync that failed."""
        if manifest != self._durable:
            self._durable = None
            write_archive_manifest(self._fs, self._paths.archive, manifest)
            self._durable = manifest

    def _begin(self, info: SegmentInfo) -> ArchiveManifest:
        """Return the manifest of an archive whose first segment this will be."""
        first = archive_name(self._identity, info.base_seq)
        for name in self._names():
            if name != first:
                path = self._paths.archive / name
                raise CorruptArchive(
                    self._paths.archive, 0, f"the manifest is missing, but {path} is there; restore a backup"
                )
        identity = self._identity
        return ArchiveManifest(
            identity.store_id, info.base_seq, info.header.previous, (), identity.region, identity.shard
        )

    def _retire(self, manifest: ArchiveManifest | None, limit: int) -> tuple[ArchivedFile, ...]:
        if manifest is None:
            return ()
        gone = self._retention.retired(manifest, self._now(), limit)
        if gone:
            last = gone[-1]
            manifest = replace(
                manifest,
                start_seq=last.last_seq + 1,
                start_hash=last.final_hash,
                files=manifest.files[len(gone) :],
            )
            self._write(manifest)
            self._clean(manifest)
        return gone

    def _clean(self, manifest: ArchiveManifest | None) -> None:
        """Remove what retention gave up, oldest first, and what an interrupted writing left."""
        folder = self._paths.archive
        gone = [name for name in self._names() if self._is_retired(manifest, name)]
        if gone and manifest is not None:
            self._write(manifest)
        gone += [
            name
            for name in self._fs.list_dir(folder)
            if name.endswith(TEMPORARY_SUFFIX)
            and parse_archive_name(name.removesuffix(TEMPORARY_SUFFIX)) is not None
        ]
        for name in gone:
            self._fs.remove(folder / name)
        if gone:
            self._fs.sync_dir(folder)

    def _names(self) -> list[str]:
        """Return the names of the archive's files, oldest first."""
        place = (self._identity.region, self._identity.shard)
        parsed = ((parse_archive_name(name), name) for name in self._fs.list_dir(self._paths.archive))
        return [name for found, name in parsed if found is not None and found[:2] == place]

    def _is_retired(self, manifest: ArchiveManifest | None, name: str) -> bool:
        found = parse_archive_name(name)
        return manifest is not None and found is not None and found[2] < manifest.start_seq


def _after(segments: list[SegmentInfo], file: ArchivedFile) -> list[SegmentInfo]:
    return [info for info in segments if info.last_seq > file.last_seq]
