"""The segment that is being written: each step on its file, in the order that durability needs.

Two kinds of error come out. NoSpace: the step was undone, and may be tried again. StorePoisoned, made by
``fail`` from what the operating system said: what the file holds is unknown, and nothing may be written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tidal.durable import Bytes, File, FileSystem
from tidal.errors import NoSpace, StorageError, StorePoisoned
from tidal.format.frame import PAYLOAD_OFFSET, Frame, encode_frame
from tidal.format.payload import EncodedPayload
from tidal.format.segment import SEAL, SegmentHeader, segment_name
from tidal.wal.segments import SegmentInfo, check_header

Fail = Callable[[StorageError], StorePoisoned]  # notes a fatal error, and returns what to raise


class ActiveSegment:
    """A segment's file, and ``info``: what is known to be in it. Calls must not overlap, but for sync()."""

    def __init__(self, fs: FileSystem, file: File, info: SegmentInfo, fail: Fail) -> None:
        self.info = info
        self._fs, self._file, self._fail = fs, file, fail
        self._pending: SegmentInfo | None = None  # as it will be after the write that has begun

    @classmethod
    def create(cls, fs: FileSystem, directory: Path, header: SegmentHeader, fail: Fail) -> ActiveSegment:
        """Make the file, durable with its name, before a batch can go to it.

        StorageError if the file cannot be made: then nothing has changed.
        """
        path = directory / segment_name(header.log, header.base_seq)
        data = header.encode()
        active = cls(fs, fs.create(path), check_header(path, memoryview(data), header.log), fail)
        try:
            active._file.append([data])
        except NoSpace:
            active.discard()
            raise
        except StorageError as error:
            active.close()
            raise fail(error) from error
        try:
            active.sync()
            active._sync_dir()
        except StorePoisoned:
            active.close()
            raise
        return active

    @classmethod
    def reopen(cls, fs: FileSystem, info: SegmentInfo, fail: Fail) -> ActiveSegment:
        """Go on with a file that has no seal, and of which all was checked; StorageError."""
        return cls(fs, fs.open_append(info.path), info, fail)

    def discard(self) -> None:
        """Close and remove a file that never held a batch."""
        self._file.close()
        try:
            self._fs.remove(self.info.path)
        except StorageError as error:
            raise self._fail(error) from error
        self._sync_dir()

    def has_room(self, encoded: EncodedPayload, segment_bytes: int) -> bool:
        """Return whether this batch may still go into a segment of that size; the first always may."""
        end = self.info.size + PAYLOAD_OFFSET + len(encoded.payload)
        return not self.info.batches or end + SEAL.size <= segment_bytes

    def write(self, encoded: EncodedPayload, durable_seq: int) -> Frame:
        """Return the batch's frame once its bytes are in the kernel."""
        info = self.info
        head, own = encode_frame(
            encoded,
            first_seq=info.last_seq + 1,
            durable_seq=durable_seq,
            link=info.final_hash,
            offset=info.size,
            identity=info.header.identity,
        )
        end = info.size + len(head) + len(encoded.payload)
        frame = Frame(info.size, end, info.last_seq + 1, encoded.events, durable_seq, info.final_hash, own)
        self._write(info.with_frame(frame, encoded.summary), [head, encoded.payload])
        return frame

    def extend(self, after: SegmentInfo, frames: Bytes) -> None:
        """Write frames that were made for this place elsewhere; ``after`` is the segment with them."""
        self._write(after, [frames])

    def seal(self) -> None:
        """Make the segment durable and closed: its batches first, so that a seal vouches for them."""
        self.sync()
        info = self.info
        data = info.seal().encode(info.header.identity, info.size)
        self._write(replace(info, size=info.size + SEAL.size, sealed=True), [data])
        self.sync()

    def sync(self) -> None:
        """Return once all that was written is durable. Any failure is final."""
        try:
            self._file.sync()
        except StorageError as error:  # NoSpace too: whatever it says, the kernel has dropped the pages
            raise self._fail(error) from error

    def close(self) -> None:
        self._file.close()

    def _write(self, after: SegmentInfo, parts: list[Bytes]) -> None:
        # A KeyboardInterrupt may strike between any two steps here. Then _pending stays set, and settle()
        # finds out from the file's size on which side of the write it was.
        self._pending = after
        try:
            self._file.append(parts)
        except MemoryError as error:  # its caller takes an error for "nothing was logged"; here nobody knows
            raise self._fail(StorageError(f"no memory while {self.info.path} was written")) from error
        except NoSpace:
            self._truncate()
            raise
        except StorageError as error:
            raise self._fail(error) from error
        self.info = after
        self._pending = None

    def settle(self) -> None:
        """Finish or undo a write that was interrupted: all of it is in the log, or nothing."""
        if (after := self._pending) is None:
            return
        try:
            size = self._file.size()
        except StorageError as error:
            raise self._fail(error) from error
        if size == after.size:
            self.info = after
            self._pending = None
        else:
            self._truncate()

    def _truncate(self) -> None:
        try:
            self._file.truncate(self.info.size)
        except StorageError as error:
            raise self._fail(error) from error
        self._pending = None

    def _sync_dir(self) -> None:
        try:
            self._fs.sync_dir(self.info.path.parent)
        except StorageError as error:
            raise self._fail(error) from error
