"""The policy ``buffered``: single events wait in memory, and go to the log together.

An event has its sequence at once, since the queue goes on from the end of the log: its first event is the
next one there. So nothing else is appended before the queue is empty; and which of its events are in the log
already needs no books of its own: those up to the log's last sequence. That is also what makes an
interruption harmless. Whoever drains next asks the log how far it came, and goes on from there.

A private thread drains when the interval is over or enough events wait; a caller does so itself when the
queue is full. That is the back-pressure: it waits for the write, or is told that there is no room.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import Any, Final, NamedTuple

from tidal.errors import NoSpace, StorageError, StoreClosed, StorePoisoned
from tidal.format.payload import EVENTS_PER_BATCH_MAX
from tidal.schema.events import EventBatch, EventRow, batch_of_rows
from tidal.wal.writer import LogWriter, _Job, _Task

QUEUE_EVENTS_DEFAULT: Final = EVENTS_PER_BATCH_MAX
_WAKE_AT: Final = 4  # the thread is woken before its time when one part in so many of the queue is taken
_RETRY_SECONDS: Final = 0.1  # between two attempts at a full disk, where the interval is shorter


class _Queue(NamedTuple):
    """Events that wait, and the sequence of the first: replaced as one, so that the two always agree."""

    first_seq: int
    rows: list[EventRow]


class BufferedLogWriter(LogWriter):
    """A LogWriter with a queue before it, of ``queue_events`` at most; all methods from any thread.

    put() takes one event and returns at once. All else is as in LogWriter and drains the queue first, so
    that the log has the events in the order of their sequences. On a full disk the events stay in the queue,
    and put() goes on until that is full; then it raises NoSpace until there is room again. After a fatal
    error every call raises StorePoisoned, which says how many accepted events are not in the log.
    """

    def __init__(self, *args: Any, queue_events: int = QUEUE_EVENTS_DEFAULT, **options: Any) -> None:
        if not 1 <= queue_events <= EVENTS_PER_BATCH_MAX:
            raise ValueError(f"queue_events is {queue_events}; choose 1 to {EVENTS_PER_BATCH_MAX}")
        # Before the log, whose methods ask for it; the first drain finds out where the log ends.
        self._waiting, self._certain = _Queue(1, []), False
        self._queue_events, self._wake_at = queue_events, max(1, queue_events // _WAKE_AT)
        self._putting = threading.RLock()  # of the queue's end
        self._draining = threading.RLock()  # of its start; taken before _putting
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._awake = False  # by the thread alone: a caller may be interrupted before it rings
        self._stopping = False
        self.drains = 0  # another number: the log has grown
        super().__init__(*args, **options)
        self._drain()
        self._drainer = threading.Thread(target=self._drain_on_time, name="tidal-drain", daemon=True)
        self._drainer.start()

    @property
    def last_seq(self) -> int:
        """The last sequence given to an event, in the log or in the queue."""
        first_seq, rows = self._waiting
        return first_seq + len(rows) - 1

    @property
    def waiting(self) -> int:
        """The accepted events that are not in the log yet; a killed process loses them."""
        return max(0, self.last_seq - self._tip()[0])

    # -------------------------------------------------------------------------------- callers

    def put(self, row: EventRow) -> int:
        """Return the sequence of an event, which is now in the queue.

        Raises NoSpace where queue and disk are full, StorePoisoned and StoreClosed: then it is not.
        """
        self._check_process()
        while True:
            with self._putting:
                if self._poison is not None:
                    self._check_usable()
                if self._stopping:
                    raise StoreClosed("the log is closed")
                first_seq, rows = self._waiting
                place = len(rows)
                if self._certain and place < self._queue_events:
                    rows.append(row)
                    break
            self._drain()
        if not self._awake or place >= self._wake_at:
            self._ring()
        return first_seq + place

    def append(self, batch: EventBatch) -> tuple[int, int]:
        """As LogWriter.append(), after all that waits."""
        self._check_process()
        self._drain()  # most of it while others may still put
        with self._draining, self._putting:
            self._write_waiting()
            self._certain = False  # until it is known what an interruption left of the batch
            first, last = super().append(batch)
            self._drop_logged(last)
            self.drains += 1
            return first, last

    def settle(self) -> int:
        """Return the last sequence in the log, once all that waited is there."""
        self._check_process()
        self._drain()
        return super().settle()

    def close(self) -> None:
        """As LogWriter.close(), after all that waits.

        NoSpace says how many events a full disk kept out of the log; they are lost.
        """
        if os.getpid() != self._process or self._closed:
            return
        self._stopping = True
        self._ring()
        self._drainer.join()
        try:
            with self._draining, self._putting:  # who is putting now is done first
                self._write_waiting()
        except NoSpace as error:
            with contextlib.suppress(NoSpace):
                super().close()
            lost = f"{self.waiting} accepted events are not in the log, and are lost"
            raise NoSpace(error.errno, f"{error.strerror}; {lost}", error.filename) from error
        except StorageError:
            pass  # the log failed, and says so itself
        super().close()

    # -------------------------------------------------------------------------------- the queue

    def _drain(self) -> None:
        with self._draining:
            self._write_waiting()

    def _write_waiting(self) -> None:
        self._drop_logged(super().settle())
        if rows := self._waiting.rows[:]:
            _, last = super().append(batch_of_rows(rows))
            self._drop_logged(last)
            self.drains += 1
            self._jobs.put(_Job(_Task.SYNC))  # they have waited for one interval already

    def _drop_logged(self, last_seq: int) -> None:
        with self._putting:
            first_seq, rows = self._waiting
            if last_seq >= first_seq:
                self._waiting = _Queue(last_seq + 1, rows[last_seq + 1 - first_seq :])
            self._certain = True

    def _check_usable(self) -> None:
        if self._poison is not None and not self._closed and (lost := self.waiting):
            message = f"{self._poison}; {lost} accepted events are not in the log"
            raise StorePoisoned(message) from self._poison.__cause__
        super()._check_usable()

    # -------------------------------------------------------------------------------- the thread

    def _ring(self) -> None:
        if self._bell.empty():
            self._bell.put(None)

    def _drain_on_time(self) -> None:
        interval = pause = self.policy.interval_seconds or 0.0
        while True:
            self._awake = False  # before the look at the queue: what comes after it rings
            if not self._waiting.rows:
                self._bell.get()
            self._awake = True
            self._wait(pause)
            if self._stopping:
                return  # close() drains, and tells its caller what comes of it
            try:
                self._drain()
                pause = interval
            except NoSpace:  # the events stay where they are
                pause = max(interval, _RETRY_SECONDS)
            except (StorePoisoned, StoreClosed):
                return
            except BaseException as error:  # a bug: how far the drain came is unknown
                self._fail(StorageError(f"{type(error).__name__}: {error}"))
                return

    def _wait(self, seconds: float) -> None:
        """Return when the time is over, or when enough events wait, or at close()."""
        with contextlib.suppress(queue.Empty):
            self._bell.get_nowait()  # of the first event, which need not be heard twice
        if not self._stopping:
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=seconds)
