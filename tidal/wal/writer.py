"""Appending to the log: from any thread, durable as the sync policy says.

Who does what. A caller encodes and hashes its batch on its own, then takes the lock for the short
part: number the events, chain the hash, hand the bytes to the kernel. All that waits for the disk (sync,
sealing, the next segment) is done by one private thread, the *keeper*; callers queue jobs and wait.
So one sync serves all who wait, appends go on while it runs, and no fixed delay is needed.

Ctrl-C. Python raises KeyboardInterrupt in the main thread between any two steps of it. Were a sync made
there, its failure could be lost with the frame that was to note it, and the next sync, which the kernel
answers with success, would acknowledge a hole. The keeper is never interrupted. An append is made by
the caller, since two changes of thread would cost more than the write; what an interruption leaves of it
is settled by the next call from the size of the file, so that no sequence number is used twice.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import functools
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tidal.durable import FileSystem
from tidal.errors import NoSpace, StorageError, StoreClosed, StorePoisoned
from tidal.format.frame import Frame
from tidal.format.manifest import Manifest
from tidal.format.payload import encode_payload
from tidal.format.segment import LogIdentity, SegmentHeader
from tidal.schema.events import EventBatch
from tidal.wal.active import ActiveSegment
from tidal.wal.policy import SyncPolicy
from tidal.wal.record import LogRecord
from tidal.wal.segments import SEGMENT_BYTES_MAX, SegmentInfo

SEGMENT_BYTES_DEFAULT: Final = 1 << 24
_SYNC_AHEAD_BYTES = 1 << 22  # so many unsynced bytes start a sync: sealing then has little to wait for
_LOOK_SECONDS = 1.0  # how long to wait for the keeper before looking whether it is there
_KEEPER_LOST = (
    "the thread that syncs the log ended, for want of memory or by a bug; close the store and open it again"
)


class _Task(enum.Enum):
    SYNC = enum.auto()
    ROLL = enum.auto()
    TIMER = enum.auto()
    FORGET = enum.auto()
    CLOSE = enum.auto()


class _Job:
    """Work for the keeper. ``wait`` returns when it is done, and raises what went wrong."""

    __slots__ = ("_done", "error", "removed", "seen", "task", "through_seq")

    def __init__(self, task: _Task, seen: ActiveSegment | None = None, through_seq: int = 0) -> None:
        self.task, self.seen, self.through_seq = task, seen, through_seq
        self.removed: tuple[Path, ...] = ()
        self.error: BaseException | None = None
        # A bare lock: a Condition is taken and left in several steps, between which Ctrl-C could strike.
        self._done = threading.Lock()
        self._done.acquire()

    def wait(self, keeper: threading.Thread) -> None:
        # The keeper ends every job that it takes, unless it dies for want of memory: look at it now and then.
        while not self._done.acquire(timeout=_LOOK_SECONDS):
            if not keeper.is_alive():
                if self._done.acquire(blocking=False):  # its last deed
                    break
                raise StorePoisoned(_KEEPER_LOST)
        if self.error is not None:
            raise self.error

    def ends_within(self, seconds: float) -> bool:
        return self._done.acquire(timeout=seconds)

    def finish(self) -> None:
        self._done.release()


class LogWriter:
    """The one writer of a log; all methods may be called from any thread.

    ``next_seq`` and ``previous_hash`` continue what scan_log and repair_tail found. Nothing is written
    before the first append; an earlier segment is never appended to. ``manifest`` is what the manifest file
    says, and is kept true from now on; None: a log that has none. ``wall_clock`` gives ns for
    the record, ``monotonic`` gives seconds for the interval policy. ``on_sync`` is told how many a sync took.
    """

    def __init__(
        self,
        fs: FileSystem,
        directory: Path,
        *,
        identity: LogIdentity,
        next_seq: int,
        previous_hash: bytes,
        sync: SyncPolicy,
        wall_clock: Callable[[], int],
        monotonic: Callable[[], float],
        segment_bytes: int = SEGMENT_BYTES_DEFAULT,
        manifest: Manifest | None = None,
        on_sync: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        if not 1 <= segment_bytes <= SEGMENT_BYTES_MAX:
            raise ValueError(f"segment_bytes is {segment_bytes}; choose 1 to {SEGMENT_BYTES_MAX}")
        if next_seq < 1:
            raise ValueError(f"next_seq is {next_seq}; sequences begin at 1")
        self.policy = sync
        self.sync_count = 0
        self._fs, self._directory, self._identity = fs, directory, identity
        self._wall_clock, self._monotonic, self._on_sync = wall_clock, monotonic, on_sync
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()  # of the active segment; not held while much is synced
        # Sealed and active segments change together, in one assignment, so that a read needs no lock.
        self._chain: tuple[tuple[SegmentInfo, ...], ActiveSegment | None] = ((), None)
        self._before = (next_seq - 1, previous_hash)
        self._forgotten_bytes = 0
        self._record = None if manifest is None else LogRecord(fs, directory, manifest)
        self._durable_seq = next_seq - 1
        self._durable_bytes = 0  # of the active segment
        self._poison: StorePoisoned | None = None
        self._keeper_lost = StorePoisoned(_KEEPER_LOST)  # made before there is no memory to make it
        self._closed = False
        self._timer_set = False  # by the keeper alone: a caller may be interrupted before it queues the job
        self._process = os.getpid()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        # A daemon, and synced at exit by atexit: a thread that is none would keep a program alive
        # for ever that ends without closing its store.
        self._keeper = threading.Thread(target=self._keep, name="tidal-log", daemon=True)
        self._keeper.start()
        atexit.register(self._close_at_exit)

    # -------------------------------------------------------------------------------- state

    @property
    def ready(self) -> bool:
        """True: the log was prepared for writing before it got a writer."""
        return True

    @property
    def durable_seq(self) -> int:
        """The last sequence that would survive a power cut."""
        return self._durable_seq

    @property
    def last_seq(self) -> int:
        """The last sequence in the log. What an interrupted append left is counted by settle()."""
        return self._tip()[0]

    @property
    def head_hash(self) -> bytes:
        """The hash of the last batch; it stands for the whole log up to last_seq."""
        return self._tip()[1]

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """The segments of this writer, oldest first; the last one may still grow."""
        sealed, active = self._chain
        return sealed if active is None else (*sealed, active.info)

    @property
    def bytes_written(self) -> int:
        """All that this writer wrote, also what was forgotten since."""
        return self._forgotten_bytes + sum(segment.size for segment in self.segments)

    @property
    def manifest(self) -> Manifest | None:
        """What the manifest file says: the sealed segments of the log, of this writer and of earlier ones."""
        return None if self._record is None else self._record.manifest

    @property
    def manifest_error(self) -> NoSpace | None:
        """Why the newest sealed segments are not in the manifest yet, or None; it is tried again."""
        return None if self._record is None else self._record.error

    @property
    def unsynced_bytes(self) -> int:
        """The bytes of the active segment that no sync has reached; the others are durable."""
        active = self._chain[1]
        return 0 if active is None else max(0, active.info.size - self._durable_bytes)

    @property
    def error(self) -> StorePoisoned | None:
        """The failure after which nothing more is written, or None."""
        return self._poison

    def _tip(self) -> tuple[int, bytes]:
        sealed, active = self._chain
        if active is not None and (info := active.info).batches:
            return info.last_seq, info.final_hash
        return (sealed[-1].last_seq, sealed[-1].final_hash) if sealed else self._before

    # -------------------------------------------------------------------------------- append

    def append(self, batch: EventBatch) -> tuple[int, int]:
        """Return the first and last sequence of the batch once its bytes are in the kernel.

        Raises ValueError for a batch that encode_payload refuses; NoSpace with nothing written;
        StorePoisoned and StoreClosed. An interruption leaves all of the batch in the log, or nothing:
        settle() tells.
        """
        self._check_process()
        encoded = encode_payload(batch, self._wall_clock())
        while True:
            with self._lock:
                self._check_usable()
                active = self._settled()
                if active is not None and active.has_room(encoded, self._segment_bytes):
                    frame = active.write(encoded, self._durable_seq)
                    break
            self._ask(_Task.ROLL, active)
        try:
            self._see_to_sync(frame)
            return frame.first_seq, frame.last_seq
        except MemoryError as error:  # the batch is logged; its caller would take it for refused
            raise self._fail(StorageError("no memory to have the log synced")) from error

    def _see_to_sync(self, frame: Frame) -> None:
        """Have a frame synced that nobody may wait for."""
        if self.policy.interval_ns is not None:
            if not self._timer_set:
                self._jobs.put(_Job(_Task.TIMER))
        elif frame.end - self._durable_bytes > _SYNC_AHEAD_BYTES and self._jobs.empty():
            self._jobs.put(_Job(_Task.SYNC))

    def commit(self, seq: int) -> None:
        """Wait as the policy says before an event is acknowledged: until durable, or not at all."""
        if self.policy.waits:
            self.wait_durable(seq)

    def wait_durable(self, seq: int) -> None:
        """Return once the events up to ``seq`` would survive a power cut, under every policy."""
        if self._durable_seq >= seq:
            return
        if seq > self.settle():
            raise ValueError(f"sequence {seq} is not in the log, which ends at {self.last_seq}")
        self._ask(_Task.SYNC)
        if self._durable_seq < seq:
            self._check_usable()

    def flush(self) -> int:
        """Make all that is in the log durable; return its last sequence."""
        last_seq = self.settle()
        self.wait_durable(last_seq)
        return last_seq

    def sync_within(self, seconds: float) -> bool:
        """Start a sync of all that was appended; return whether it ended in this time. Errors as flush()."""
        job = self._put(_Job(_Task.SYNC))
        if not job.ends_within(seconds):
            return False
        self._check_usable()
        return True

    def settle(self) -> int:
        """Return the last sequence in the log, after finishing or undoing an interrupted append."""
        self._check_process()
        with self._lock:
            self._check_usable()
            self._settled()
            return self._tip()[0]

    def forget(self, through_seq: int) -> tuple[Path, ...]:
        """Remove the sealed segments that end at or below a sequence; return their paths, oldest first.

        To be called when their events are safe elsewhere. The manifest says first, durably, that the log
        begins after them; what a crash leaves of them is removed at the next opening. Raises NoSpace
        with nothing removed, ValueError for a log without a manifest.
        """
        if self._record is None:
            raise ValueError("a log without a manifest cannot tell a removed segment from a lost one")
        job = self._put(_Job(_Task.FORGET, through_seq=through_seq))
        job.wait(self._keeper)
        return job.removed

    def close(self) -> None:
        """Make everything durable and seal the active segment, so that the next open finds a finished log.

        Raises StorePoisoned if the log had failed, NoSpace if there was no room for the seal or the manifest:
        then the log is not finished, and the next open must repair it. The files are closed in any case.
        """
        if os.getpid() != self._process:
            return
        job = _Job(_Task.CLOSE)
        with self._lock:
            if self._closed:
                return
            self._jobs.put(job)
        try:
            job.wait(self._keeper)
        finally:
            self._abandon()

    def _settled(self) -> ActiveSegment | None:
        active = self._chain[1]
        if active is not None:
            active.settle()
        return active

    def _check_process(self) -> None:
        # Before the lock is taken: a thread that the child does not have may have held it at the fork.
        if os.getpid() != self._process:
            raise StoreClosed("the log is of the parent of this forked process; open the store anew here")

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreClosed("the log is closed")
        if self._poison is not None:
            raise StorePoisoned(str(self._poison)) from self._poison.__cause__

    def _fail(self, error: StorageError) -> StorePoisoned:
        """Note the first fatal error, and return what to raise for this one."""
        poison = StorePoisoned(
            f"the log failed ({error}), so what is on disk is unknown; close the store and open it again"
        )
        poison.__cause__ = error
        self._poison = self._poison or poison
        return poison

    def _ask(self, task: _Task, seen: ActiveSegment | None = None) -> None:
        self._put(_Job(task, seen)).wait(self._keeper)

    def _put(self, job: _Job) -> _Job:
        self._check_process()
        with self._lock:  # so that close() comes before the job and refuses it, or after
            self._check_usable()
            self._jobs.put(job)
        return job

    def _close_at_exit(self) -> None:
        with contextlib.suppress(StorageError):  # there is nobody left to tell
            self.close()

    def _abandon(self) -> None:
        """Close what a keeper that died has left open."""
        if not self._keeper.is_alive():
            self._closed = True
            atexit.unregister(self._close_at_exit)
            if (active := self._chain[1]) is not None:
                active.close()

    # -------------------------------------------------------------------------------- keeper

    def _keep(self) -> None:
        try:
            self._work()
        finally:
            if not self._closed:
                self._poison = self._poison or self._keeper_lost

    def _work(self) -> None:
        deadline: float | None = None
        while not self._closed:
            jobs = self._take(deadline)
            if any(job.task is _Task.TIMER for job in jobs) and deadline is None:
                deadline, self._timer_set = self._monotonic() + (self.policy.interval_seconds or 0.0), True
            if deadline is not None and self._monotonic() >= deadline:
                deadline, self._timer_set = None, False  # before the sync: what comes now sets it again
                jobs.append(_Job(_Task.SYNC))
            self._run(jobs)
        while not self._jobs.empty():
            self._run([self._jobs.get()])

    def _take(self, deadline: float | None) -> list[_Job]:
        timeout = None if deadline is None else max(0.0, deadline - self._monotonic())
        try:
            jobs = [self._jobs.get(timeout=timeout)]
        except queue.Empty:
            return []
        while self.policy.mode != "always" and not self._jobs.empty():
            jobs.append(self._jobs.get())
        return jobs

    def _run(self, jobs: list[_Job]) -> None:
        # Syncs first: who waits for one need not wait for a segment to be sealed, too.
        if any(job.task is _Task.SYNC for job in jobs):
            self._attempt(self._sync)  # who asked looks at durable_seq for what came of it
        for job in jobs:
            if job.task is _Task.ROLL:
                job.error = self._attempt(functools.partial(self._roll, job.seen))
                self._attempt(self._list_sealed)
            elif job.task is _Task.FORGET:
                job.error = self._attempt(functools.partial(self._forget, job))
            elif job.task is _Task.CLOSE:
                job.error = self._attempt(self._finish)
            job.finish()

    def _attempt(self, step: Callable[[], None]) -> BaseException | None:
        try:
            step()
        except (StorageError, StoreClosed) as error:
            return error
        except BaseException as error:  # a bug: how far the step came is unknown
            return self._fail(StorageError(f"{type(error).__name__}: {error}"))
        return None

    def _sync(self) -> None:
        with self._lock:
            self._check_usable()
            active = self._chain[1]
            info = None if active is None else active.info
        if active is not None and info is not None and info.last_seq > self._durable_seq:
            began = self._monotonic()
            active.sync()
            self._note_durable(info)
            with contextlib.suppress(Exception):  # whoever counts must not stop the log
                self._on_sync(self._monotonic() - began)

    def _note_durable(self, info: SegmentInfo) -> None:
        self._durable_seq, self._durable_bytes = info.last_seq, info.size
        self.sync_count += 1

    def _roll(self, seen: ActiveSegment | None) -> None:
        """Seal the segment that a caller saw to be full, and make the next; or only make the first."""
        self._sync()  # most of the waiting, while other callers need not wait for the lock
        with self._lock:
            self._check_usable()
            if self._settled() is not seen:
                return  # another caller had asked for the same
            if seen is not None:
                self._seal(seen)
            last_seq, head_hash = self._tip()
            header = SegmentHeader(self._identity, last_seq + 1, self._wall_clock(), head_hash)
            active = ActiveSegment.create(self._fs, self._directory, header, self._fail)
            self._chain = (self._chain[0], active)
            self._durable_bytes = active.info.size

    def _seal(self, active: ActiveSegment) -> None:
        active.seal()
        self._note_durable(active.info)
        self._chain = ((*self._chain[0], active.info), None)
        active.close()

    def _list_sealed(self) -> None:
        if self._record is None or self._poison is not None:
            return
        try:
            self._record.add(self._chain[0])
        except StorageError as error:
            raise self._fail(error) from error

    def _forget(self, job: _Job) -> None:
        self._check_usable()
        if self._record is None:
            return
        job.removed = self._record.forget(self._chain[0], job.through_seq)
        start_seq = self._record.manifest.start_seq
        with self._lock:
            sealed, active = self._chain
            kept = tuple(segment for segment in sealed if segment.base_seq >= start_seq)
            if sealed and not kept:
                self._before = (sealed[-1].last_seq, sealed[-1].final_hash)
            self._forgotten_bytes += sum(segment.size for segment in sealed[: len(sealed) - len(kept)])
            self._chain = (kept, active)

    def _finish(self) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                self._check_usable()
                active = self._settled()
                if active is not None and active.info.batches:
                    self._seal(active)
                elif active is not None:
                    self._chain = (self._chain[0], None)
                    active.discard()
                if self._record is not None:
                    self._record.close(self._chain[0])
            finally:
                self._closed = True
                atexit.unregister(self._close_at_exit)
                if (left := self._chain[1]) is not None:
                    left.close()
