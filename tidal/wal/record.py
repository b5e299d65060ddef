"""The manifest of a log that is being written, kept up to date by the log's keeper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tidal.durable import FileSystem
from tidal.errors import NoSpace
from tidal.format.manifest import ListedSegment, Manifest
from tidal.format.segment import segment_name
from tidal.wal.manifest import write_manifest
from tidal.wal.segments import SegmentInfo


class LogRecord:
    """What the manifest file says, and how it changes. Calls must not overlap.

    ``error`` is what kept the newest sealed segments out of it, or None. The log may hold more than the
    manifest says, so a full disk is no failure here: the next call writes what this one could not.
    """

    def __init__(self, fs: FileSystem, directory: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.error: NoSpace | None = None
        self._fs, self._directory = fs, directory

    def add(self, sealed: Iterable[SegmentInfo]) -> None:
        """List segments that are sealed and durable; those that are listed already stay as they are."""
        try:
            self._write(self._with(sealed))
        except NoSpace as error:
            self.error = error

    def raise_epoch(self, epoch: int) -> None:
        """Say that segments of an epoch may follow; NoSpace with nothing changed."""
        self._write(replace(self.manifest, epoch=max(epoch, self.manifest.epoch)))

    def relist(self, segments: tuple[ListedSegment, ...]) -> None:
        """List these segments alone, before others lose their seals or go; NoSpace with nothing changed."""
        self._write(replace(self.manifest, segments=segments))

    def close(self, sealed: Iterable[SegmentInfo]) -> None:
        """List the last segments, and say that there is nothing beside them; NoSpace leaves both unsaid."""
        self._write(replace(self._with(sealed), clean=True))

    def forget(self, sealed: Iterable[SegmentInfo], through_seq: int) -> tuple[Path, ...]:
        """Remove the segments that end at or below a sequence; return their paths, oldest first.

        The log begins after them before the first is removed: a crash leaves files that nobody needs.
        NoSpace with nothing removed.
        """
        manifest = self._with(sealed)
        gone = [segment for segment in manifest.segments if segment.last_seq <= through_seq]
        if not gone:
            return ()
        last = gone[-1]
        kept = manifest.segments[len(gone) :]
        self._write(replace(manifest, start_seq=last.last_seq + 1, start_hash=last.final_hash, segments=kept))
        paths = [self._path(segment) for segment in gone]
        removed = tuple(path for path in paths if self._fs.exists(path))  # one that was damaged may be gone
        for path in removed:
            self._fs.remove(path)
        self._fs.sync_dir(self._directory)
        return removed

    def _with(self, sealed: Iterable[SegmentInfo]) -> Manifest:
        """The manifest with all sealed segments listed."""
        known = self.manifest.last_seq
        added = tuple(segment.listing for segment in sealed if segment.base_seq > known)
        return replace(self.manifest, segments=(*self.manifest.segments, *added))

    def _write(self, manifest: Manifest) -> None:
        if manifest != self.manifest:
            write_manifest(self._fs, self._directory, manifest)
            self.manifest = manifest
        self.error = None

    def _path(self, segment: ListedSegment) -> Path:
        return self._directory / segment_name(self.manifest.log, segment.base_seq)
