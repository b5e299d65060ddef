"""Which events a store has, in its archive and its log, while another process may write to it."""

from __future__ import annotations

from tidal.archive import ArchiveManifest, read_archive_manifest
from tidal.checkpoint import list_checkpoints
from tidal.durable import FileSystem
from tidal.errors import MissingSegment
from tidal.format.segment import LogIdentity
from tidal.opening.beside import beside_writer
from tidal.records import record
from tidal.recovery import archived
from tidal.schema import Schema
from tidal.store import StorePaths, load_store
from tidal.wal import SegmentInfo, read_manifest, scan_log


@record
class Extent:
    """The events ``first_seq`` to ``last_seq``, and where they lie: in the archive, then in segments."""

    first_seq: int
    last_seq: int  # 0: none
    least: int  # what the log's manifest and the newest checkpoint say that there is at least
    archive: ArchiveManifest | None
    segments: tuple[SegmentInfo, ...]  # of the log; the archive may have the events of some, too
    schema: Schema  # with the types of all these events

    def check_end(self, paths: StorePaths) -> None:
        """Raise MissingSegment if the end of the history is gone."""
        if self.last_seq < self.least:
            raise MissingSegment(self.last_seq + 1, self.least, paths.wal)


def look_at_history(fs: FileSystem, paths: StorePaths, identity: LogIdentity) -> Extent:
    """Return which events a store has. Every frame of the log is checked, no event decoded.

    As opening it would: what a crash left unfinished is not there; damage is no end, but an error. The end
    is made durable, since nothing may be carried over that a power cut can still take from the source.
    Raises CorruptLog, CorruptArchive, CorruptStore, MissingSegment, FormatTooNew, StorageError.
    """
    # Before the log: all that these two speak of is in it by then.
    manifest = read_manifest(fs, paths.wal, identity)
    newest = [checkpoint.seq for checkpoint in list_checkpoints(fs, paths.checkpoints)[:1]]
    scan = beside_writer(
        fs, paths,
        lambda: scan_log(
            fs, paths.wal, identity, manifest=read_manifest(fs, paths.wal, identity),
            archived=archived(fs, paths, identity), live=True,
        ),
    )  # fmt: skip
    # After the log: what leaves that meanwhile is in the archive by then, and all types there are declared.
    archive = read_archive_manifest(fs, paths.archive, identity)
    return Extent(
        archive.start_seq if archive else manifest.start_seq,
        scan.last_seq,
        max(manifest.last_seq, *newest, 0),
        archive,
        scan.segments,
        load_store(fs, paths).schema,
    )
