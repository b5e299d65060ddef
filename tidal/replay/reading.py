"""The events of a piece, read from where they lie; damage is raised, or noted and passed over."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from tidal.archive import ArchiveFile
from tidal.durable import FileSystem
from tidal.errors import (
    CorruptArchive,
    CorruptionError,
    MissingSegment,
    StorageError,
    TidalError,
)
from tidal.format.archive import header_hash
from tidal.history import read_history
from tidal.records import record
from tidal.replay.source import LeftOut, Piece, Source
from tidal.schema import EventBatch
from tidal.store import StorePaths
from tidal.wal.frames import decode_frames
from tidal.wal.reader import Wanted, cut_rows
from tidal.wal.scan import require_sealed
from tidal.wal.segments import SegmentWalk, read_segment, require_header

Batches = Iterator[tuple[int, EventBatch]]  # and the sequence of the first event


@record
class Selected:
    """Which events are wanted: of these type ids (as they are where they lie), not after a time in ns."""

    types: tuple[int, ...]
    until: int | None

    @property
    def wanted(self) -> Wanted:
        return Wanted.of(None, None if self.until is None else self.until + 1, self.types)


def read_events(fs: FileSystem, source: Source, selected: Selected, lost: list[LeftOut] | None) -> Batches:
    """Yield (first seq, batch) in the order of the log. Batches without a wanted event are left out unread.

    Damage, and files that are gone, are noted in ``lost`` and passed over, exactly the sequences that are
    noted; where that is None they are raised: CorruptLog, CorruptArchive, MissingSegment. Raises
    FormatTooNew, StorageError. Memory: one segment, or one block and the dictionaries of its file.
    """
    wanted = selected.wanted
    for piece in source.pieces:
        after_seq = max(piece.first_seq, source.first_seq) - 1
        if not wanted.overlaps(piece.min_time, piece.max_time, piece.types):
            continue
        try:
            for first, batch in _read(fs, source, piece, selected, after_seq, lost):
                yield first, batch
                after_seq = first + len(batch) - 1
        except (CorruptionError, MissingSegment, StorageError) as error:
            found = _as_missing(error, piece)
            if lost is None:
                raise found from error
            if isinstance(found, StorageError):
                raise
            last = min(piece.last_seq, source.last_seq)
            lost.append(LeftOut(piece.name, after_seq + 1, last, str(found)))


def _as_missing(error: TidalError, piece: Piece) -> TidalError:
    """Return what to raise: a file that was listed and is gone is a missing range."""
    if isinstance(error, StorageError) and error.errno == errno.ENOENT:
        return MissingSegment(piece.first_seq, piece.last_seq, piece.path)
    return error


def _read(
    fs: FileSystem,
    source: Source,
    piece: Piece,
    selected: Selected,
    after_seq: int,
    lost: list[LeftOut] | None,
) -> Batches:
    until_seq = min(piece.last_seq, source.last_seq)
    if piece.kind == "archive":
        yield from _archive_file(fs, piece, selected.wanted, after_seq, until_seq, lost)
    elif piece.kind == "segment":
        yield from _segment(fs, piece, selected.wanted, after_seq, until_seq)
    else:
        wanted = selected.wanted
        yield from read_history(
            fs, StorePaths(piece.path), identity=source.identity, after_seq=after_seq, until_seq=until_seq,
            until=wanted.until, types=selected.types,
        )  # fmt: skip


def _archive_file(
    fs: FileSystem, piece: Piece, wanted: Wanted, after_seq: int, until_seq: int, lost: list[LeftOut] | None
) -> Batches:
    with ArchiveFile(fs, piece.path) as file:
        if piece.header_hash and header_hash(file.header) != piece.header_hash:
            raise CorruptArchive(piece.path, 0, "not the file that was listed; restore it from a backup")
        if lost is None:
            yield from file.events(wanted, after_seq=after_seq, until_seq=until_seq)
            return
        for entry in file.blocks():
            if entry.first_seq > until_seq or entry.last_seq <= after_seq:
                continue
            if not wanted.overlaps(entry.min_time, entry.max_time, entry.types):
                continue
            try:
                batch = file.read(entry)
            except CorruptArchive as error:
                first, last = max(entry.first_seq, after_seq + 1), min(entry.last_seq, until_seq)
                lost.append(LeftOut(piece.name, first, last, str(error)))
            else:
                yield cut_rows(batch, entry.first_seq, after_seq, until_seq)


def _segment(fs: FileSystem, piece: Piece, wanted: Wanted, after_seq: int, until_seq: int) -> Batches:
    data = read_segment(fs, piece.path)
    walk = SegmentWalk(require_header(piece.path, data, None), data)
    frames = (
        frame
        for frame, summary in walk
        if frame.last_seq > after_seq and frame.first_seq <= until_seq and wanted.overlaps(*summary[:3])
    )
    for first_seq, batch in decode_frames(piece.path, data, frames):
        yield cut_rows(batch, first_seq, after_seq, until_seq)
    require_sealed(walk)
