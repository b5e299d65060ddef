"""What the log holds, checked when a store opens; nothing is ever written here.

One function decides whether the end of the log is torn, as a crash leaves it, or damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tidal.durable import FileSystem
from tidal.errors import CorruptLog, FormatError, FormatTooNew, MissingSegment
from tidal.format.frame import claimed_end, decode_frame
from tidal.format.segment import NO_HASH, SEGMENT_HEADER, LogIdentity, decode_seal
from tidal.wal.segments import (
    SegmentInfo,
    SegmentWalk,
    check_ends,
    check_header,
    has_data,
    list_segments,
    read_segment,
    require_header,
    walk_to_end,
)

_MAGIC_PREFIX = b"Tdl"  # of frames and of seals
_SEARCH_EFFORT = 8  # times a segment's size may be hashed in search of a good frame behind a bad one


class TornTail(NamedTuple):
    """The end of the log that a crash left unfinished; never anything that was known to be durable."""

    path: Path
    offset: int
    size: int
    first_dropped_seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class LogScan:
    """What the log holds. Without segments, ``last_seq`` is 0 and ``head_hash`` is zeros."""

    segments: tuple[SegmentInfo, ...]
    torn: TornTail | None = None
    gaps: tuple[tuple[int, int], ...] = ()  # missing ranges of sequences, all at or below after_seq

    @property
    def last_seq(self) -> int:
        return self.segments[-1].last_seq if self.segments else 0

    @property
    def head_hash(self) -> bytes:
        """What the next segment names as its predecessor's final hash."""
        if not self.segments:
            return NO_HASH
        last = self.segments[-1]
        return last.final_hash if last.batches else last.header.previous

    @property
    def epoch(self) -> int:
        """The highest epoch that wrote to the log, 0 if none did."""
        return max((segment.header.log.epoch for segment in self.segments), default=0)

    @property
    def needs_repair(self) -> bool:
        """Whether repair_tail must run before a writer starts: the log does not end in a seal."""
        return self.torn is not None or (bool(self.segments) and not self.segments[-1].sealed)


def scan_log(fs: FileSystem, directory: Path, identity: LogIdentity, *, after_seq: int = 0) -> LogScan:
    """Return what the log holds, with every batch after ``after_seq`` checked.

    Segments that end at or below after_seq (a checkpoint has their events) are checked at their two
    ends only. Raises CorruptLog for damage that no crash explains, MissingSegment for a gap above
    after_seq, FormatTooNew, and StorageError if a file cannot be read: that is never taken for its end.
    """
    found = list_segments(fs, directory, identity.region, identity.shard)
    segments: list[SegmentInfo] = []
    gaps: list[tuple[int, int]] = []
    torn = None
    for position, (base_seq, path) in enumerate(found):
        expected = segments[-1].last_seq + 1 if segments else min(base_seq, after_seq + 1)
        if base_seq > expected and base_seq - 1 > after_seq:
            raise MissingSegment(max(expected, after_seq + 1), base_seq - 1, directory)
        if position + 1 < len(found) and found[position + 1][0] <= after_seq + 1:
            info = check_ends(fs, path, identity)
        elif position + 1 < len(found):
            info = _scan_sealed(fs, path, identity)
        else:
            last, torn = _scan_last(fs, path, identity, base_seq)
            if last is None:
                if segments and base_seq < expected:
                    raise CorruptLog(path, 0, f"no good header, after events to {expected - 1}")
                break
            info = last
        if base_seq > expected:
            gaps.append((expected, base_seq - 1))
        elif segments:
            check_chain(segments[-1], info)
        segments.append(info)
    return LogScan(tuple(segments), torn, tuple(gaps))


def check_chain(before: SegmentInfo, info: SegmentInfo) -> None:
    """Raise CorruptLog unless the segment continues the one before it."""
    name, previous, epoch = before.path.name, before.final_hash, before.header.log.epoch
    if info.base_seq != before.last_seq + 1:
        raise CorruptLog(
            info.path, 0, f"it begins at event {info.base_seq}, {name} ends at {before.last_seq}"
        )
    if info.header.previous != previous:
        raise CorruptLog(info.path, 0, f"it does not continue {name}: one of them was replaced")
    if info.header.log.epoch < epoch:
        raise CorruptLog(info.path, 0, f"epoch {info.header.log.epoch} after epoch {epoch} of {name}")


def _scan_sealed(fs: FileSystem, path: Path, identity: LogIdentity) -> SegmentInfo:
    data = read_segment(fs, path)
    walk = walk_to_end(require_header(path, data, identity), data)
    require_sealed(walk)
    return walk.info


def require_sealed(walk: SegmentWalk) -> None:
    """Raise CorruptLog unless the walk reached a seal: only the last segment may be without one."""
    if not walk.info.sealed:
        lost = walk.info.last_seq + 1
        reason = f"{walk.stopped or 'the segment has no seal'}; events from {lost} on are unreadable"
        raise CorruptLog(walk.info.path, walk.info.size, reason)


def _scan_last(
    fs: FileSystem, path: Path, identity: LogIdentity, base_seq: int
) -> tuple[SegmentInfo | None, TornTail | None]:
    data = read_segment(fs, path, from_device=True)
    try:
        info = check_header(path, data, identity)
    except FormatError as error:
        if has_data(data[SEGMENT_HEADER.size :]):  # batches are written only after the header was synced
            raise CorruptLog(path, 0, str(error)) from error
        return None, TornTail(path, 0, len(data), base_seq, str(error))
    walk = walk_to_end(info, data)
    if walk.stopped is None:
        return walk.info, None
    _refuse_lost_durable(walk, data)
    info = walk.info
    return info, TornTail(path, info.size, len(data) - info.size, info.last_seq + 1, walk.stopped)


def _refuse_lost_durable(walk: SegmentWalk, data: memoryview) -> None:
    """Raise CorruptLog if something behind the damage says that the damaged events had been synced.

    The magic is looked for byte by byte, as no length before it can be believed. A frame or seal found so
    proves itself by its hash, in which its offset, its segment and its own link are.
    """
    info, identity = walk.info, walk.info.header.identity
    lost = info.last_seq + 1
    effort_left = _SEARCH_EFFORT * len(data)
    raw = data.obj if isinstance(data.obj, bytes) else bytes(data)
    offset = raw.find(_MAGIC_PREFIX, info.size + 1)
    while offset >= 0:
        skip_to = offset + 1
        try:
            durable, skip_to = _durable_claim(data, offset, identity)
        except FormatTooNew as error:
            raise FormatTooNew(f"{info.path} at byte {offset}: {error}") from None
        except FormatError:
            durable = 0
            effort_left -= _claimed_bytes(data, offset)
        if durable >= lost:
            raise CorruptLog(
                info.path, info.size,
                f"{walk.stopped}; but at byte {offset} a good batch says that events up to {durable} were "
                f"durable, so events from {lost} on are damaged, not unfinished",
            )  # fmt: skip
        if effort_left < 0:
            raise CorruptLog(info.path, info.size, f"{walk.stopped}; what follows cannot be told from damage")
        offset = raw.find(_MAGIC_PREFIX, skip_to)


def _durable_claim(data: memoryview, offset: int, identity: bytes) -> tuple[int, int]:
    try:
        frame = decode_frame(data, offset, identity)
    except FormatError:
        return decode_seal(data[offset:], offset, identity).last_seq, offset + 1
    return frame.durable_seq, frame.end


def _claimed_bytes(data: memoryview, offset: int) -> int:
    try:
        return claimed_end(data, offset) - offset
    except FormatError:
        return 0
