"""A follower's log: the leader's, byte for byte, continued with frames that the leader made."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tidal.durable import Bytes, FileSystem, replace_file, set_aside
from tidal.errors import CorruptLog, ReadOnly, StorageError, StoreClosed, StorePoisoned
from tidal.format.manifest import Manifest
from tidal.format.segment import SEAL, SegmentHeader
from tidal.replication.frames import NO_EPOCH, CheckedFrame, CheckedRun
from tidal.replication.lag import Position
from tidal.schema.events import EventBatch
from tidal.wal.active import ActiveSegment
from tidal.wal.record import LogRecord
from tidal.wal.repair import keep_bytes
from tidal.wal.segments import (
    Link,
    SegmentInfo,
    SegmentWalk,
    check_header,
    list_segments,
    read_segment,
    require_header,
    walk_to_end,
)

_SYNCS_IN_PLACE: Final = 8  # with more, the segment's file is written anew, with one


class FollowerLog:
    """The log of a store that follows, for the database as any log. What is written is durable at once.

    ``last_seq`` is what the log ends at, so it is how far the follower is: there is no other mark.
    Segments, their seals and the manifest are as the leader's. Safe to share by threads.
    """

    ready = True
    unsynced_bytes = 0

    def __init__(self, fs: FileSystem, directory: Path, manifest: Manifest) -> None:
        """To be made of a log that was scanned and repaired, with its manifest as it is on the disk."""
        self.bytes_written = 0
        self._fs, self._directory = fs, directory
        self._record = LogRecord(fs, directory, manifest)
        self._lock = threading.RLock()
        self._poison: StorePoisoned | None = None
        self._closed = False
        self._active: ActiveSegment | None = None
        # The end is of the epoch of the last event that is here, of none where none is: that this store was
        # once written in a later one, whose events were lost, must not keep out those of an earlier one.
        self._end = Link(manifest.last_seq, manifest.head_hash, NO_EPOCH, "the manifest")
        self._last: SegmentInfo | None = None
        for _, path in reversed(self._segments()):
            info = self._read(path)
            self._last = self._last or info
            if info.batches:
                self._end = info.link
                break

    def _read(self, path: Path) -> SegmentInfo:
        data = read_segment(self._fs, path)
        return walk_to_end(require_header(path, data, self._record.manifest.log), data).info

    def _segments(self) -> list[tuple[int, Path]]:
        manifest = self._record.manifest
        return list_segments(self._fs, self._directory, manifest.region, manifest.shard)

    def _cut_file(self, path: Path, seq: int, quarantine: Path) -> None:
        """Keep of a segment what goes up to a sequence, with its seal if that is all of it."""
        whole = read_segment(self._fs, path)
        walk = SegmentWalk(require_header(path, whole, self._record.manifest.log), whole)
        end = next((frame.end for frame, _ in walk if frame.last_seq == seq), len(whole))
        if not any(frame.last_seq > seq for frame, _ in walk):
            return
        keep_bytes(self._fs, quarantine, path.name, end, whole[end:])
        replace_file(self._fs, path, [whole[:end]])

    # ------------------------------------------------------------------------------ state

    @property
    def end(self) -> Link:
        """The end of the log, which the next batch must continue."""
        return self._end

    @property
    def last_seq(self) -> int:
        return self._end.last_seq

    @property
    def durable_seq(self) -> int:
        return self._end.last_seq

    @property
    def head_hash(self) -> bytes:
        return self._end.final_hash

    @property
    def epoch(self) -> int:
        """The newest epoch that this store was written in, or followed one of."""
        return self._record.manifest.epoch

    @property
    def position(self) -> Position:
        """How far the log is, to be compared with those of other followers."""
        end, manifest = self._end, self._record.manifest
        if end.epoch != NO_EPOCH or manifest.start_seq == 1:
            return Position(end.epoch, end.last_seq)
        return Position(manifest.epoch, end.last_seq)  # all before the log's begin is of that one or older

    @property
    def error(self) -> StorePoisoned | None:
        """The failure after which nothing more is written, or None."""
        return self._poison

    # ------------------------------------------------------------------------------ writing

    def raise_epoch(self, epoch: int) -> None:
        """Note durably that a leader of this epoch is known."""
        with self._lock:
            self._check_usable()
            self._record.raise_epoch(epoch)

    def steps(self, run: CheckedRun) -> list[tuple[CheckedFrame, ...]]:
        """Return the frames of a run in the parts that may each be written in one go.

        A frame says how far the log was durable when it was made; behind a torn one, that would convict it of
        damage. So here, too, those events are durable before it is written.
        """
        parts: list[list[CheckedFrame]] = []
        durable = -1
        for checked in run.frames:
            if not parts or checked.frame.durable_seq > durable:
                parts.append([])
                durable = checked.frame.first_seq - 1
            parts[-1].append(checked)
        return [run.frames] if len(parts) > _SYNCS_IN_PLACE else [tuple(part) for part in parts]

    def extend(self, header: SegmentHeader, frames: Sequence[CheckedFrame]) -> None:
        """Write frames that continue the log, durably; NoSpace with nothing written, StorePoisoned."""
        with self._lock:
            self._check_usable()
            self._go_to(header)
            after = self._info()
            for checked in frames:
                if checked.frame.offset != after.size:
                    raise CorruptLog(after.path, after.size, f"a batch for byte {checked.frame.offset}")
                after = after.with_frame(checked.frame, checked.summary)
            data = b"".join(checked.data for checked in frames)
            if frames[-1].frame.durable_seq > self._end.last_seq:
                self._rewrite(after, data)
            else:
                self._append(after, data)
            self._last, self._end = after, after.link
            self.bytes_written += len(data)

    def cut(self, seq: int, quarantine: Path) -> None:
        """Put aside what is after a sequence, at which a batch must end; the log is closed then.

        The newest goes first, so that a crash on the way leaves a log that can be cut again.
        """
        with self._lock:
            self._check_usable()
            self._leave()
            manifest = self._record.manifest
            listed = tuple(it for it in manifest.segments if it.last_seq <= seq)
            self._record.relist(listed)
            for base_seq, path in reversed(self._segments()):
                if base_seq <= seq:
                    self._cut_file(path, seq, quarantine)
                    break
                set_aside(self._fs, path, quarantine)
            self.close()

    def hash_at(self, seq: int) -> bytes | None:
        """Return the hash of the batch that ends at a sequence; None if none does here."""
        with self._lock:  # else the archiver may remove what is about to be read
            manifest = self._record.manifest
            if seq == manifest.start_seq - 1:
                return manifest.start_hash
            for base_seq, path in reversed(self._segments()):
                if base_seq <= seq:
                    data = read_segment(self._fs, path)
                    return walk_to_end(require_header(path, data, manifest.log), data, seq).watched
            return None

    @property
    def start_seq(self) -> int:
        """Where the log begins."""
        return self._record.manifest.start_seq

    def _append(self, after: SegmentInfo, data: bytes) -> None:
        assert self._active is not None
        self._active.extend(after, data)
        self._active.sync()

    def _rewrite(self, after: SegmentInfo, data: bytes) -> None:
        """Put a longer file in the segment's place: it is there with all its frames, or not at all."""
        before = self._info()
        self._leave()
        parts: list[Bytes] = [read_segment(self._fs, before.path)[: before.size], data]

        def verify(path: Path) -> None:
            written = read_segment(self._fs, path, from_device=True)
            info = replace(check_header(after.path, written), path=path)
            if replace(walk_to_end(info, written).info, path=after.path) != after:
                raise CorruptLog(path, 0, f"the copy of {after.path.name} is not what was written")

        replace_file(self._fs, after.path, parts, verify)
        self._active = ActiveSegment.reopen(self._fs, after, self._fail)

    def _go_to(self, header: SegmentHeader) -> None:
        """Have the segment open that is to be written."""
        last = self._last
        if last is not None and last.header == header:
            if last.sealed:
                self._unseal(last)
            elif self._active is None:
                self._active = ActiveSegment.reopen(self._fs, last, self._fail)
            return
        if header.base_seq != self._end.last_seq + 1:
            raise CorruptLog(self._directory, 0, f"a batch for the segment at {header.base_seq}")
        self._seal()
        self._record.raise_epoch(header.log.epoch)
        self._active = ActiveSegment.create(self._fs, self._directory, header, self._fail)
        self._last = self._active.info

    def _info(self) -> SegmentInfo:
        assert self._active is not None
        self._active.settle()
        return self._active.info

    def _seal(self) -> None:
        """End the last segment, as the leader's has ended: another follows it."""
        last = self._last
        if last is None or last.sealed:
            return
        if not last.batches:  # made for a batch that there was no room for
            self._leave()
            self._fs.remove(last.path)
            self._fs.sync_dir(self._directory)
            self._last = None
            return
        active = self._active or ActiveSegment.reopen(self._fs, last, self._fail)
        active.seal()
        self._active, self._last = active, active.info
        self._leave()
        self._record.add([active.info])

    def _unseal(self, last: SegmentInfo) -> None:
        """Go on with a segment that was sealed here, by a repair, while the leader's has grown."""
        self._record.relist(self._record.manifest.segments[:-1])
        size = last.size - SEAL.size
        replace_file(self._fs, last.path, [read_segment(self._fs, last.path)[:size]])
        self._last = replace(last, size=size, sealed=False)
        self._active = ActiveSegment.reopen(self._fs, self._last, self._fail)

    def _leave(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            active.close()

    # ------------------------------------------------------------------------------ as any log

    def append(self, batch: EventBatch) -> tuple[int, int]:
        """A follower has no events of its own."""
        raise ReadOnly("this store follows another; write to its leader, or promote() this one")

    def commit(self, seq: int) -> None:
        """All that is here is durable."""

    def flush(self) -> int:
        with self._lock:
            self._check_usable()
            return self._end.last_seq

    def settle(self) -> int:
        return self._end.last_seq

    def sync_within(self, seconds: float) -> bool:
        return True

    def forget(self, through_seq: int) -> tuple[Path, ...]:
        """Remove the sealed segments that end at or below a sequence; return their paths."""
        with self._lock:
            self._check_usable()
            return self._record.forget((), through_seq)

    def close(self) -> None:
        """Close the file; its segment goes on when the store is opened to follow again."""
        with self._lock:
            self._closed = True
            self._leave()

    def _fail(self, error: StorageError) -> StorePoisoned:
        poison = StorePoisoned(
            f"the log failed ({error}), so what is on disk is unknown; close the store and open it again"
        )
        poison.__cause__ = error
        self._poison = self._poison or poison
        return poison

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreClosed("the log is closed")
        if self._poison is not None:
            raise StorePoisoned(str(self._poison)) from self._poison.__cause__
