"""A run of frames of another's log: checked whole, before any of it is taken in."""

from __future__ import annotations

from typing import Final, NamedTuple

from tidal.errors import ForeignHistory, FormatError
from tidal.format.frame import Frame, decode_frame
from tidal.format.payload import Summary, decode_payload, decode_summary
from tidal.format.segment import SEGMENT_HEADER, LogIdentity, SegmentHeader, decode_segment_header
from tidal.schema.events import EventBatch
from tidal.wal.segments import Link

NO_EPOCH: Final = 0  # of the end of a log that has no event; leaders begin with 1


class Run(NamedTuple):
    """Frames as they lie in a segment, from ``offset`` on; ``header`` is the segment's, 128 bytes."""

    header: bytes
    offset: int
    data: bytes


class CheckedFrame(NamedTuple):
    """A frame whose bytes, place and events are good; ``data`` are its bytes."""

    frame: Frame
    summary: Summary
    batch: EventBatch
    data: memoryview


class CheckedRun(NamedTuple):
    """Frames that continue a log, oldest first."""

    header: SegmentHeader
    frames: tuple[CheckedFrame, ...]


def check_run(run: Run, identity: LogIdentity, after: Link) -> CheckedRun:
    """Return the frames of a run that come after the end of a log, each of them decoded; there may be none.

    Raises FormatError and FormatTooNew for bytes that no log has, ForeignHistory for a good run that does
    not continue the log which ends at ``after``.
    """
    header, own = _header(run, identity)
    data = memoryview(run.data)
    frames: list[CheckedFrame] = []
    seq, head = after.last_seq, after.final_hash
    position, before = run.offset, own if run.offset == SEGMENT_HEADER.size else None
    end = run.offset + len(data)
    while position < end:
        frame = decode_frame(data, position, header.identity, run.offset)
        if before is not None and frame.link != before:
            raise FormatError(f"the batch at {frame.first_seq} is not linked to the one before it")
        before, place = frame.hash, slice(position - run.offset, frame.end - run.offset)
        position = frame.end
        if frame.last_seq <= seq:
            if frame.last_seq == seq and frame.hash != head:
                raise ForeignHistory(f"another batch ends at {seq}, where this log ends")
            continue
        frames.append(_continued(frame, data[place], header, Link(seq, head, after.epoch, after.name)))
        seq, head = frame.last_seq, frame.hash
    return CheckedRun(header, tuple(frames))


def _header(run: Run, identity: LogIdentity) -> tuple[SegmentHeader, bytes]:
    if len(run.header) != SEGMENT_HEADER.size or run.offset < SEGMENT_HEADER.size or not run.data:
        raise FormatError(f"a run of {len(run.data)} bytes at {run.offset} of a segment")
    header, own = decode_segment_header(memoryview(run.header))
    if header.encode() != run.header:
        raise FormatError("the segment's header has what this tidal would not write; upgrade it")
    log = header.log
    if (log.store_id, log.region, log.shard) != (identity.store_id, identity.region, identity.shard):
        raise ForeignHistory(f"a batch of store {log.store_id.hex()}, region {log.region}, shard {log.shard}")
    return header, own


def _continued(frame: Frame, data: memoryview, header: SegmentHeader, before: Link) -> CheckedFrame:
    """Return a frame that follows the end of a log at once."""
    if frame.first_seq != before.last_seq + 1:
        raise ForeignHistory(f"the batch at {frame.first_seq} does not follow event {before.last_seq}")
    if header.log.epoch < before.epoch:
        raise ForeignHistory(
            f"the batch at {frame.first_seq} is of epoch {header.log.epoch}, before {before.epoch}"
        )
    first = frame.offset == SEGMENT_HEADER.size
    if first != (frame.first_seq == header.base_seq):
        raise FormatError(f"the batch at {frame.first_seq} is not where its segment begins")
    if (header.previous if first else frame.link) != before.final_hash:
        raise ForeignHistory(f"the batch at {frame.first_seq} continues another history than this log's")
    payload = data[frame.payload.start - frame.offset :]
    return CheckedFrame(frame, decode_summary(payload), decode_payload(payload, frame.events), data)
