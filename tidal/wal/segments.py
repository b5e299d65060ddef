"""One segment file: opened, checked whole or at its two ends, and described."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tidal.durable import File, FileSystem
from tidal.errors import CorruptLog, FormatError, FormatTooNew, StorageError
from tidal.format.frame import FRAME_BYTES_MAX, Frame, decode_frame
from tidal.format.manifest import ListedSegment
from tidal.format.payload import Summary, TypeSet, decode_summary, union_types
from tidal.format.segment import (
    SEAL,
    SEAL_MAGIC,
    SEGMENT_HEADER,
    LogIdentity,
    Seal,
    SegmentHeader,
    decode_seal,
    decode_segment_header,
    parse_segment_name,
)
from tidal.records import record

SEGMENT_BYTES_MAX: Final = 1 << 28  # no segment is filled further; what is larger is not read into memory
_FILE_BYTES_MAX = SEGMENT_BYTES_MAX + FRAME_BYTES_MAX + SEAL.size
_NO_TYPES = bytes(32)
_TIME_START = ((1 << 63) - 1, -(1 << 63))  # smallest and largest of no times


class Link(NamedTuple):
    """The end of a part of the log, which the next part must continue."""

    last_seq: int
    final_hash: bytes
    epoch: int
    name: str


@record
class SegmentInfo:
    """A segment of the log and what is in it. Without events, ``last_seq`` is ``base_seq - 1``.

    ``size`` is the bytes that are good; ``min_time`` > ``max_time`` if there are no events.
    """

    path: Path
    header: SegmentHeader
    size: int
    last_seq: int
    final_hash: bytes
    batches: int = 0
    min_time: int = _TIME_START[0]
    max_time: int = _TIME_START[1]
    types: TypeSet = _NO_TYPES
    sealed: bool = False

    @property
    def base_seq(self) -> int:
        return self.header.base_seq

    @property
    def events(self) -> int:
        return self.last_seq - self.base_seq + 1

    @property
    def link(self) -> Link:
        """What the next segment must continue."""
        header = self.header
        link_hash = self.final_hash if self.batches else header.previous
        return Link(self.last_seq, link_hash, header.log.epoch, self.path.name)

    def continues(self, before: SegmentInfo) -> bool:
        """Return whether this is the next segment of the same log and epoch."""
        follows = (self.base_seq, self.header.previous) == (before.last_seq + 1, before.final_hash)
        return follows and self.header.log == before.header.log

    @property
    def listing(self) -> ListedSegment:
        """How the manifest lists this segment once it is sealed."""
        return ListedSegment(self.base_seq, self.last_seq, self.size, self.final_hash)

    def with_frame(self, frame: Frame, summary: Summary) -> SegmentInfo:
        """Return the segment with this frame at its end."""
        return SegmentInfo(
            self.path,
            self.header,
            frame.end,
            frame.last_seq,
            frame.hash,
            self.batches + 1,
            min(self.min_time, summary.min_time),
            max(self.max_time, summary.max_time),
            union_types(self.types, summary.types),
        )

    def seal(self) -> Seal:
        """Return the seal that this segment ends with, or would."""
        return Seal(
            self.last_seq,
            self.events,
            self.batches,
            self.min_time,
            self.max_time,
            self.types,
            self.final_hash,
        )


def list_segments(fs: FileSystem, directory: Path, region: int = 0, shard: int = 0) -> list[tuple[int, Path]]:
    """Return (base seq, path) of each file named as a segment of this region and shard, in order."""
    found = []
    for name in fs.list_dir(directory):
        if (parsed := parse_segment_name(name)) is not None and parsed[:2] == (region, shard):
            found.append((parsed[2], directory / name))
    return sorted(found)


def place_of(fs: FileSystem, directory: Path) -> tuple[int, int]:
    """Return region and shard of the log in a folder, by the names of its segments; (0, 0) without any."""
    names = (parse_segment_name(name) for name in fs.list_dir(directory))
    return next((parsed[:2] for parsed in names if parsed is not None), (0, 0))


def read_segment(fs: FileSystem, path: Path, *, from_device: bool = False, sync: bool = False) -> memoryview:
    """Return a segment file's bytes. ``from_device`` drops what the kernel cached of them first; ``sync``
    makes what was written durable before that.
    """
    file = fs.open_read(path)
    try:
        size = file.size()
        if size > _FILE_BYTES_MAX:
            raise CorruptLog(path, 0, f"{size} bytes; no segment has more than {_FILE_BYTES_MAX}")
        if sync:
            _sync_to_read(file)
        if from_device:
            file.drop_cache()
        return memoryview(file.read_at(0, size))
    finally:
        file.close()


def _sync_to_read(file: File) -> None:
    """Make durable what another process may have written; where nobody can write, all is as it will be."""
    try:
        file.sync()
    except StorageError as error:
        if error.errno not in (errno.EROFS, errno.EINVAL):
            raise


def check_header(path: Path, data: memoryview, log: LogIdentity | None = None) -> SegmentInfo:
    """Return the description of a segment without its frames.

    FormatError if the header is damaged; CorruptLog if it is whole but not of this log, or not of this
    file; FormatTooNew.
    """
    try:
        header, own = decode_segment_header(data)
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from None
    of = header.log
    if log is not None and of.store_id != log.store_id:
        raise CorruptLog(path, 0, f"the segment is of store {of.store_id.hex()}, not {log.store_id.hex()}")
    if (of.region, of.shard, header.base_seq) != parse_segment_name(path.name):
        place = f"region {of.region}, shard {of.shard}, base {header.base_seq}"
        raise CorruptLog(path, 0, f"the segment's header says {place}; its name does not")
    return SegmentInfo(path, header, SEGMENT_HEADER.size, header.base_seq - 1, own)


def require_header(path: Path, data: memoryview, log: LogIdentity | None) -> SegmentInfo:
    """As check_header, where a damaged header is CorruptLog."""
    try:
        return check_header(path, data, log)
    except FormatError as error:
        raise CorruptLog(path, 0, str(error)) from error


class SegmentWalk:
    """Checks a segment's frames in order: iterate to the end, then look at what was found.

    ``info`` covers the good prefix; ``stopped`` is why the walk ended before the end of the data, or None.
    ``watched`` is the hash of the frame that ends at the sequence ``watch``, None if there is no such frame.
    """

    def __init__(self, info: SegmentInfo, data: memoryview, watch: int = 0) -> None:
        self.info = info
        self.stopped: str | None = None
        self.watched: bytes | None = None
        self._watch = watch
        self._data = data
        self._identity = info.header.identity

    def __iter__(self) -> Iterator[tuple[Frame, Summary]]:
        data = self._data
        while (offset := self.info.size) < len(data):
            try:
                if bytes(data[offset : offset + len(SEAL_MAGIC)]) == SEAL_MAGIC:
                    self._check_seal(decode_seal(data[offset:], offset, self._identity))
                    return
                frame = decode_frame(data, offset, self._identity)
            except FormatTooNew as error:
                raise FormatTooNew(f"{self.info.path} at byte {offset}: {error}") from None
            except FormatError as error:
                if has_data(data[offset:]):
                    self.stopped = str(error)
                return
            summary = self._check_fit(frame)
            self.info = self.info.with_frame(frame, summary)
            if frame.last_seq == self._watch:
                self.watched = frame.hash
            yield frame, summary

    # A frame or a seal with a good hash is as it was written, here. If it does not fit, no crash did that.

    def _check_fit(self, frame: Frame) -> Summary:
        info = self.info
        if frame.first_seq != info.last_seq + 1 or frame.link != info.final_hash:
            reason = f"event {frame.first_seq} does not follow event {info.last_seq} there"
            raise CorruptLog(info.path, frame.offset, reason)
        try:
            return decode_summary(self._data[frame.payload])
        except FormatError as error:
            raise CorruptLog(info.path, frame.offset, str(error)) from error

    def _check_seal(self, seal: Seal) -> None:
        info = self.info
        if seal != info.seal():
            raise CorruptLog(info.path, info.size, "the seal does not agree with the batches before it")
        end = info.size + SEAL.size
        if end != len(self._data):
            raise CorruptLog(info.path, end, "there are bytes after the seal")
        self.info = SegmentInfo(
            info.path, info.header, end, info.last_seq, info.final_hash, info.batches,
            info.min_time, info.max_time, info.types, sealed=True,
        )  # fmt: skip


def has_data(data: memoryview) -> bool:
    """Return whether some byte is not zero."""
    return bytes(data).strip(b"\0") != b""


def walk_to_end(info: SegmentInfo, data: memoryview, watch: int = 0) -> SegmentWalk:
    """Return a finished walk: every frame was checked, none decoded."""
    walk = SegmentWalk(info, data, watch)
    for _ in walk:
        pass
    return walk


def check_ends(fs: FileSystem, path: Path, log: LogIdentity | None) -> SegmentInfo:
    """Return the description of a sealed segment from its header and its seal alone."""
    file = fs.open_read(path)
    try:
        size = file.size()
        info = require_header(path, memoryview(file.read_at(0, SEGMENT_HEADER.size)), log)
        seal_at = max(size - SEAL.size, SEGMENT_HEADER.size)
        data = memoryview(file.read_at(seal_at, SEAL.size))
    finally:
        file.close()
    try:
        seal = decode_seal(data, seal_at, info.header.identity)
    except FormatTooNew as error:
        raise FormatTooNew(f"{path} at byte {seal_at}: {error}") from None
    except FormatError as error:
        raise CorruptLog(path, seal_at, f"{error}; only the last segment may lack a seal") from error
    if seal.last_seq - info.base_seq + 1 != seal.events:
        raise CorruptLog(path, seal_at, "the seal does not agree with the segment's header")
    return SegmentInfo(
        path, info.header, size, seal.last_seq, seal.final_hash, seal.batches,
        seal.min_time, seal.max_time, seal.types, sealed=True,
    )  # fmt: skip
