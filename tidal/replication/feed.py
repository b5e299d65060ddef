"""The log as a leader reads it to send it: whole frames as they lie there, from any place on."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

from tidal.durable import FileSystem, size_if_there
from tidal.errors import CorruptLog, FormatError, MissingSegment, StorageError
from tidal.format.frame import PAYLOAD_OFFSET, claimed_size, decode_frame
from tidal.format.segment import NO_HASH, SEAL_MAGIC, SEGMENT_HEADER, LogIdentity, SegmentHeader
from tidal.records import record
from tidal.replication.frames import Run
from tidal.wal.segments import SegmentWalk, list_segments, read_segment, require_header


@record
class Place:
    """A place between two batches: after ``seq``, where ``hash`` stands for all before it."""

    seq: int
    hash: bytes
    header: SegmentHeader | None = None  # of the segment that is read, None: of the next one
    offset: int = 0


@record
class Sent:
    """A run of frames and the place behind it."""

    run: Run
    first_seq: int
    place: Place


class Origin(NamedTuple):
    """Where an epoch begins: after ``seq``, all events are of this epoch or later ones."""

    epoch: int
    seq: int
    hash: bytes


class LogFeed:
    """Reads what a log's folder holds, while it is written. One thread."""

    def __init__(self, fs: FileSystem, directory: Path, identity: LogIdentity) -> None:
        self._fs, self._directory, self._identity = fs, directory, identity

    def segments(self) -> list[tuple[int, Path]]:
        """Return (first sequence, path) of the segments that are there."""
        return list_segments(self._fs, self._directory, self._identity.region, self._identity.shard)

    def sizes(self) -> list[tuple[int, int]]:
        """Return (first sequence, bytes) of the segments that are there."""
        sizes = ((base_seq, size_if_there(self._fs, path)) for base_seq, path in self.segments())
        return [(base_seq, size) for base_seq, size in sizes if size is not None]

    def start_seq(self, otherwise: int) -> int:
        """Return the first sequence that is there, or ``otherwise`` of an empty log."""
        found = self.segments()
        return found[0][0] if found else otherwise

    def epoch_after(self, epoch: int) -> Origin | None:
        """Return where the log goes beyond an epoch; None if it does not, as far back as it reaches."""
        for _, path in self._begun():
            origin = self._origin(path)
            if origin is not None and origin.epoch > epoch:
                return origin
        return None

    def epoch_of(self, seq: int) -> Origin | None:
        """Return where the epoch begins in which an event was recorded; None if the event is not here.

        At the log's own begin it may be that the epoch began earlier.
        """
        found: Origin | None = None
        for path in reversed(self._below(seq)):
            origin = self._origin(path)
            if origin is None or (found is not None and origin.epoch < found.epoch):
                break
            found = origin
        return found

    def segment_of(self, seq: int) -> Origin | None:
        """Return where the segment begins that has an event, or will have it, and its epoch; None if it is
        not here.
        """
        below = self._below(seq)
        return self._origin(below[-1]) if below else None

    def at(self, seq: int) -> Place | None:
        """Return the place after a sequence; None if no batch ends there, MissingSegment if it is gone."""
        if seq == 0:
            return Place(0, NO_HASH)
        below = self._below(seq + 1)
        if not below:
            raise MissingSegment(seq + 1, seq + 1, self._directory)
        for path in reversed(below[-2:]):  # a batch that ends a segment is in the one before
            data = self._read(path, seq)
            info = require_header(path, data, self._identity)
            if info.base_seq == seq + 1:
                return Place(seq, info.header.previous)
            walk = SegmentWalk(info, data)
            for frame, _ in walk:
                if frame.last_seq == seq:
                    return Place(seq, frame.hash, info.header, frame.end)
                if frame.last_seq > seq:
                    return None
        return None

    def read(self, place: Place, until_seq: int, most: int) -> Sent | None:
        """Return the frames after a place, about ``most`` bytes and one at least; None where there are none.

        ``until_seq`` is durable. Every frame's hash is checked: what is damaged here is not sent on. Raises
        CorruptLog, MissingSegment, StorageError.
        """
        while place.seq < until_seq:
            header = place.header or self._next_header(place)
            offset = place.offset or SEGMENT_HEADER.size
            run, end = self._frames(header, offset, until_seq, most)
            if run is not None:
                return Sent(run, place.seq + 1, end)
            place = Place(place.seq, place.hash)
        return None

    def _begun(self) -> list[tuple[int, Path]]:
        """Return the segments but a last one that is being made: its header is written before an event."""
        found = self.segments()
        if found and (size_if_there(self._fs, found[-1][1]) or 0) < SEGMENT_HEADER.size:
            del found[-1]
        return found

    def _below(self, seq: int) -> list[Path]:
        """Return the segments that begin at a sequence or before it."""
        return [path for base_seq, path in self._begun() if base_seq <= seq]

    def _origin(self, path: Path) -> Origin | None:
        """Return where a segment begins; None if it was archived since it was listed, as all before it."""
        try:
            header = self._header(path)
        except MissingSegment:
            return None
        return Origin(header.log.epoch, header.base_seq - 1, header.previous)

    def _next_header(self, place: Place) -> SegmentHeader:
        path = self._path(place.seq + 1)
        header = self._header(path)
        if header.previous != place.hash:
            raise CorruptLog(path, 0, "it does not continue what is before it")
        return header

    def _header(self, path: Path) -> SegmentHeader:
        data = memoryview(self._bytes(path, 0, SEGMENT_HEADER.size))
        return require_header(path, data, self._identity).header

    def _path(self, base_seq: int) -> Path:
        found = dict(self.segments())
        if base_seq not in found:
            raise MissingSegment(base_seq, base_seq, self._directory)
        return found[base_seq]

    def _frames(
        self, header: SegmentHeader, offset: int, until_seq: int, most: int
    ) -> tuple[Run | None, Place]:
        path = self._directory / header.name
        data = memoryview(self._bytes(path, offset, max(most, PAYLOAD_OFFSET)))
        if not data or bytes(data[: len(SEAL_MAGIC)]) == SEAL_MAGIC:
            return None, Place(0, NO_HASH)
        end, last = offset, None
        try:
            size = claimed_size(bytes(data[:PAYLOAD_OFFSET]))
            if size > len(data):
                data = memoryview(self._bytes(path, offset, size))
            while end - offset + size <= len(data):
                frame = decode_frame(data, end, header.identity, offset)
                if frame.first_seq > until_seq:
                    break
                end, last = frame.end, frame
                head = bytes(data[end - offset : end - offset + PAYLOAD_OFFSET])
                if len(head) < PAYLOAD_OFFSET or head.startswith(SEAL_MAGIC):
                    break
                size = claimed_size(head)
        except FormatError as error:
            if last is None:
                raise CorruptLog(path, end, str(error)) from error
            # What was read may end in a batch that is being written; if it is damaged, the next call says so.
        if last is None:
            raise CorruptLog(path, offset, f"no batch with event {until_seq}, which was durable")
        run = Run(header.encode(), offset, bytes(data[: end - offset]))
        return run, Place(last.last_seq, last.hash, header, end)

    def _read(self, path: Path, seq: int) -> memoryview:
        try:
            return read_segment(self._fs, path)
        except StorageError as error:
            raise self._gone(error, seq) from error

    def _bytes(self, path: Path, offset: int, size: int) -> bytes:
        try:
            file = self._fs.open_read(path)
        except StorageError as error:
            raise self._gone(error, 0) from error
        try:
            return file.read_at(offset, size)
        finally:
            file.close()

    def _gone(self, error: StorageError, seq: int) -> StorageError | MissingSegment:
        return MissingSegment(seq + 1, seq + 1, self._directory) if error.errno == errno.ENOENT else error
