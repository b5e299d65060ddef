"""The log as a stream of batches; nothing is ever written here."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from tidal.durable import FileSystem
from tidal.errors import FormatError, MissingSegment, StorageError
from tidal.format.frame import Frame
from tidal.format.payload import TypeSet, share_types, type_set
from tidal.format.segment import SEGMENT_HEADER, LogIdentity, decode_segment_header
from tidal.schema.events import EventBatch
from tidal.wal.files import is_misnamed
from tidal.wal.frames import decode_frames
from tidal.wal.scan import check_chain, require_sealed
from tidal.wal.segments import (
    Link,
    SegmentWalk,
    check_ends,
    has_data,
    list_segments,
    read_segment,
    require_header,
)

_LOOKS: Final = 8  # at a folder from which files go: a writer takes them away by the megabyte


def read_batches(
    fs: FileSystem,
    directory: Path,
    *,
    identity: LogIdentity | None = None,
    after_seq: int = 0,
    until_seq: int | None = None,
    since: int | None = None,
    until: int | None = None,
    types: Collection[int] | None = None,
    follows: Link | None = None,
) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first seq, batch) in log order, for the events after ``after_seq``.

    ``follows``: the end of what was read elsewhere, which the first segment must continue.

    ``until_seq`` is the last sequence wanted, and a promise that the log has it (pass the writer's
    durable_seq, not a guess): less is an error. Without it the stream ends quietly where the good
    batches of the last segment end, as at the live tail of a log that is being written.

    Batches without an event in ``since <= time < until`` (ns) or of one of ``types`` are left out unread
    if their segment's seal says so, else undecompressed; a batch that is yielded is whole in these
    respects, so that its rows keep their sequences. Every batch is checked before it is yielded.

    Memory: one segment and one batch. Raises CorruptLog, MissingSegment, FormatTooNew, StorageError.
    """
    place = identity or LogIdentity(bytes(16), 0)
    wanted = Wanted.of(since, until, types)
    position = after_seq
    before, read = follows, None
    while until_seq is None or position < until_seq:
        # Listed anew for each segment: the log may grow and be rotated while it is read.
        path, following = _look_around(fs, directory, place, position + 1)
        if path is None or path == read:
            if following is not None:
                raise MissingSegment(position + 1, following - 1, directory)
            break
        walk: SegmentWalk | None = None
        if following is not None:
            info = check_ends(fs, path, identity)
        if following is None or wanted.overlaps(info.min_time, info.max_time, info.types):
            data = read_segment(fs, path)
            if following is None and _is_unborn(data):
                break
            walk = SegmentWalk(require_header(path, data, identity), data)
            info = walk.info
        if before is not None:
            check_chain(before, info)
        if walk is not None:
            frames = _Selection(walk, wanted, position, until_seq)
            for first_seq, batch in decode_frames(path, data, frames):
                yield cut_rows(batch, first_seq, position, until_seq)
            if frames.past_the_end:
                return
            info = walk.info
            if following is not None or (
                until_seq is not None and info.last_seq < until_seq and walk.stopped
            ):
                require_sealed(walk)
        position, before, read = max(position, info.last_seq), info.link, path
        if following is None:
            break  # that was the end: what a writer adds to this segment from now on is not missing from it
    if until_seq is not None and position < until_seq:
        raise MissingSegment(position + 1, until_seq, directory)


def _around(fs: FileSystem, directory: Path, place: LogIdentity, seq: int) -> tuple[Path | None, int | None]:
    """Return the segment that has a sequence if any does, and the next one's base; pass copies over."""
    found = list_segments(fs, directory, place.region, place.shard)
    below = [path for base_seq, path in found if base_seq <= seq]
    above = found[len(below) :]
    path = next((path for path in reversed(below) if not is_misnamed(fs, path)), None)
    following = next((base_seq for base_seq, path in above if not is_misnamed(fs, path)), None)
    return path, following


def _look_around(
    fs: FileSystem, directory: Path, place: LogIdentity, seq: int
) -> tuple[Path | None, int | None]:
    """_around() of segments none of which goes meanwhile: archived, or taken back for want of space."""
    for _ in range(_LOOKS - 1):
        try:
            return _around(fs, directory, place, seq)
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
    return _around(fs, directory, place, seq)


def _is_unborn(data: memoryview) -> bool:
    """Return whether a segment's file is being made: its header is not there yet, and no batch can be."""
    try:
        decode_segment_header(data)
    except FormatError:
        return not has_data(data[SEGMENT_HEADER.size :])
    return False


def cut_rows(
    batch: EventBatch, first_seq: int, after_seq: int, until_seq: int | None
) -> tuple[int, EventBatch]:
    """Return (first seq, batch) of the events after ``after_seq`` up to ``until_seq``; there is one at
    least.
    """
    last_seq = first_seq + len(batch) - 1
    first = max(first_seq, after_seq + 1)
    last = last_seq if until_seq is None else min(last_seq, until_seq)
    if (first, last) == (first_seq, last_seq):
        return first_seq, batch
    rows = batch.rows(first - first_seq, last - first_seq + 1)
    return first, replace(rows, new_keys=batch.new_keys)  # names must not be lost with a row that is cut


class Wanted(NamedTuple):
    """Which batches are worth reading: with an event in ``since <= time < until`` (ns) or of these types."""

    since: int | None
    until: int | None
    types: TypeSet | None

    @classmethod
    def of(cls, since: int | None, until: int | None, types: Collection[int] | None) -> Wanted:
        return cls(since, until, None if types is None else type_set(set(types)))

    def overlaps(self, min_time: int, max_time: int, types: TypeSet) -> bool:
        return (
            (self.since is None or max_time >= self.since)
            and (self.until is None or min_time < self.until)
            and (self.types is None or share_types(self.types, types))
        )


class _Selection:
    """The frames of a segment that have a wanted event, checked as they are come to."""

    def __init__(self, walk: SegmentWalk, wanted: Wanted, after_seq: int, until_seq: int | None) -> None:
        self.past_the_end = False  # whether a frame after ``until_seq`` was come to
        self._walk, self._wanted, self._after_seq, self._until_seq = walk, wanted, after_seq, until_seq

    def __iter__(self) -> Iterator[Frame]:
        for frame, summary in self._walk:
            if self._until_seq is not None and frame.first_seq > self._until_seq:
                self.past_the_end = True
                return
            if frame.last_seq > self._after_seq and self._wanted.overlaps(*summary[:3]):
                yield frame
