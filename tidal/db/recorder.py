"""The way of checked events into log, ledger and materializers, together or not at all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tidal.db.settings import Settings
from tidal.dedup import Admission, EventKeys, SeenEvents
from tidal.entities import KeyNames
from tidal.errors import StaleEpoch, StorePoisoned
from tidal.gate import Gate
from tidal.ingest import batch_of
from tidal.ingest.single import OneEvent, row_of
from tidal.ledger import SignalLedger
from tidal.limits import Guard
from tidal.log import Log, MemoryLog
from tidal.meters import SIGNAL
from tidal.parts import NewNames, pieces
from tidal.schema import EventBatch
from tidal.sessions import SessionState
from tidal.wal.buffer import BufferedLogWriter


@dataclass(slots=True)
class Tally:
    """What came of the events of one call so far."""

    first_seq: int = 0
    last_seq: int = 0
    count: int = 0
    duplicates: int = 0
    wait_for: int = 0  # durable up to here, each event of the call is, or its first copy

    def add(self, first_seq: int, last_seq: int) -> None:
        self.first_seq = self.first_seq or first_seq
        self.last_seq = self.wait_for = last_seq
        self.count += last_seq - first_seq + 1


class Recorder:
    """Logs and applies events, from any thread. ``on_growth`` is called when the log may have grown.

    Where log and ledger differ, or may, ``failure`` is set, and nothing more is recorded.
    """

    def __init__(
        self,
        ledger: SignalLedger,
        sessions: SessionState,
        log: Log,
        names: KeyNames,
        seen: SeenEvents | None,
        settings: Settings,
        on_growth: Callable[[], None],
    ) -> None:
        self.failure: BaseException | None = None
        self.fenced: StaleEpoch | None = None
        self.seen = seen
        self._ledger, self._sessions, self._log = ledger, sessions, log
        self._names, self._on_growth = names, on_growth
        self._settings, self._materializers = settings, settings.materializers
        self._guard = Guard(settings.limits, ledger, log, settings.monotonic)
        self._gate = Gate()
        # Append and apply as one, where materializers or sessions need the log's order or duplicates are
        # judged in it.
        self._in_order = threading.Lock()
        # Who judges events, or must see them in the log's order, has them logged one by one.
        asked = settings.materializers or seen or self._guard.bounds_growth
        # Where there is no log to write and nobody else to ask, an event need not become a batch.
        self.counter = log.counter if isinstance(log, MemoryLog) and not asked else None
        self._buffer = log if isinstance(log, BufferedLogWriter) and not asked else None
        # Queue and apply as one: what the gate is for batches, without its cost.
        self._single = threading.Lock()
        self._drains = 0  # of the buffer, when its growth was looked at

    @property
    def goes_on(self) -> bool:
        """Whether more may be recorded."""
        return self.failure is None and self.fenced is None

    def fence(self, error: StaleEpoch) -> None:
        """Record nothing more: another node leads."""
        self.fenced = error

    def check(self) -> None:
        """Raise if nothing may be recorded any more: StorePoisoned, or StaleEpoch."""
        if self.fenced is not None:
            raise StaleEpoch(str(self.fenced))
        if self.failure is not None:
            raise StorePoisoned(
                None,
                f"an event was logged but not applied ({self.failure!r}); close the store and open it again",
            ) from self.failure

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """While this is open, log and state belong together, and neither changes."""
        with self._gate.closed(), self._single:
            yield

    def one(self, event: OneEvent) -> int:
        """Record one event and return its sequence, once it is as durable as the policy says; 0 for a
        duplicate.
        """
        signal_type, identifier, f32_weight, t, _, session_id, _, new_keys = event
        if self.counter is not None and not new_keys and (session_id is None or not self._sessions.used):
            self._ledger.add(signal_type.name, identifier, f32_weight, t)
            return self.counter.take(1)[1]
        if self._buffer is not None and not new_keys:
            return self._put(self._buffer, event)
        tally, began = Tally(), self._settings.monotonic()
        self.batch(batch_of(event), tally)
        self._log.commit(tally.wait_for)
        self._settings.meters.took(SIGNAL, self._settings.monotonic() - began)
        return tally.last_seq

    def batch(self, batch: EventBatch, tally: Tally) -> None:
        """Log and apply a batch of any size; it is not durable yet."""
        with self._guard.growing(batch) if self._guard.bounds_growth else contextlib.nullcontext():
            names = NewNames(batch.new_keys)
            for piece in pieces(batch):
                if self.seen is None:
                    for part in names.frames(piece):
                        self._guard.await_sync()
                        self._write(part, tally)
                else:
                    self._write_unseen(self.seen, piece, names, tally)

    def _write(self, batch: EventBatch, tally: Tally) -> None:
        if batch.notes and not self._sessions.used:
            # The first session of a store: events of sessions take their turn from now on, and none is
            # under way that has not.
            with self.standing_still():
                tally.add(*self._log_and_apply(batch))
        else:
            with self._gate.passing(), self._turn(batch.session_id is not None):
                tally.add(*self._log_and_apply(batch))
        self._on_growth()

    def _turn(self, in_session: bool) -> contextlib.AbstractContextManager[object]:
        """A block in which only one thread logs and applies, where the order matters to somebody."""
        if self._materializers or (in_session and self._sessions.used):
            return self._in_order
        return contextlib.nullcontext()

    def _write_unseen(self, seen: SeenEvents, piece: EventBatch, names: NewNames, tally: Tally) -> None:
        """Log and apply what of a piece is no duplicate."""
        keys, start = seen.keys_of(piece), 0
        while start < len(piece):
            self._guard.await_sync()
            with self._gate.passing(), self._in_order:
                rest = piece if start == 0 else piece.rows(start, len(piece))
                start += self._write_in_order(seen, rest, keys.rows(start, len(piece)), names, tally)
            self._on_growth()

    def _write_in_order(
        self, seen: SeenEvents, events: EventBatch, keys: EventKeys, names: NewNames, tally: Tally
    ) -> int:
        """Log and apply what of the first events is no duplicate; return how many were judged."""
        self.check()  # another thread may just have left it uncertain what was seen
        begin = self._log.last_seq
        seen.make_room(begin + 1, len(events))
        admission: Admission | None = None
        logged = 0
        try:
            admission = seen.admit(begin + 1, keys)
            for part in names.frames(admission.select(events)):
                tally.add(*self._log_and_apply(part))
                logged += len(part)
        except BaseException as failure:
            # What was not logged must be forgotten, else its retry would be taken for a duplicate. Where it
            # is not certain what was logged, nothing is accepted any more.
            if admission is None or not isinstance(failure, Exception):
                self.failure = failure
            else:
                seen.take_back(admission, logged)
            raise
        dropped = len(admission) - logged
        seen.duplicates += dropped
        tally.duplicates += dropped
        tally.wait_for = self._log.last_seq
        return len(admission)

    def continue_with(self, extend: Callable[[], None], batches: Sequence[EventBatch]) -> None:
        """Log batches of a log that this one is a copy of, all by ``extend``, and apply them; for followers.

        There may be fewer than are logged: not those that the state has already.
        """
        with self._gate.passing(), self._in_order:
            self.check()
            new_keys = [key for batch in batches for key in batch.new_keys]
            logged = False
            try:
                with self._names.adopting(new_keys):
                    extend()
                    logged = True
                for batch in batches:
                    self._apply(batch)
            except BaseException as failure:
                self._note_doubt(failure, logged)
                raise
        self._on_growth()

    def _log_and_apply(self, batch: EventBatch) -> tuple[int, int]:
        logged = False
        try:
            with self._names.adopting(batch.new_keys):
                first, last = self._log.append(batch)
                logged = True
            self._apply(batch)
        except BaseException as failure:
            self._note_doubt(failure, logged)
            raise
        return first, last

    def _apply(self, batch: EventBatch) -> None:
        self._ledger.apply(batch)
        self._sessions.on_events(batch)
        for materializer in self._materializers.values():
            materializer.on_events(batch)

    def _put(self, buffer: BufferedLogWriter, event: OneEvent) -> int:
        """Queue and apply one event of known entities; the log has it after an interval."""
        if (drains := buffer.drains) != self._drains:  # the log has grown
            self._guard.await_sync()
            self._on_growth()
            self._drains = drains
        signal_type, identifier, f32_weight, t, _, session_id, *_ = event
        with self._single, self._turn(session_id is not None):
            queued = False
            try:
                seq = buffer.put(row_of(event))
                queued = True
                self._ledger.add(signal_type.name, identifier, f32_weight, t)
                if session_id is not None and self._sessions.used:
                    self._sessions.on_event(session_id, signal_type.type_id, f32_weight, t)
            except BaseException as failure:
                self._note_doubt(failure, queued)
                raise
        return seq

    def _note_doubt(self, failure: BaseException, logged: bool) -> None:
        """Accept no more events where log and ledger differ, or may: only a replay makes them agree again."""
        # An error of the log means that nothing was logged; but Ctrl-C strikes anywhere.
        if logged or not isinstance(failure, Exception):
            self.failure = failure
