"""TidalDb: the public API, from a call to the log, the ledger and back."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tidal._ext.calls import ReadCalls, WriteCalls
from tidal._ext.meter import Meter, Timed
from tidal.answers import Ingested
from tidal.archive.marks import Marks
from tidal.archive.upkeep import ArchiveReport, Progress
from tidal.db.ending import note_closed, note_open, to_its_end
from tidal.db.hosting import SessionHost
from tidal.db.outward import Outward
from tidal.db.reads import Entity, Reads
from tidal.db.recorder import Recorder, Tally
from tidal.db.settings import OnDisk, Settings
from tidal.db.upkeep import Upkeep
from tidal.db.watch import Watch, shown
from tidal.dedup import SeenEvents
from tidal.entities import KeyNames
from tidal.errors import (
    ReadOnly,
    StoreClosed,
    StoreMissing,
    TidalError,
    close_after,
)
from tidal.health import Health
from tidal.ingest import OnError, Prepared, RefusedRow, prepare_call, prepare_one
from tidal.ledger import LedgerCopy, SignalLedger
from tidal.log import Log, MemoryLog
from tidal.meters import TIMED_READS
from tidal.recovery import RecoveryReport
from tidal.schema import EventBatch, Schema
from tidal.sessions import Session, Sessions, SessionState
from tidal.storage import StorageEngine
from tidal.store import DISK_USAGE, disk_usage


class Beside(Protocol):
    """What runs beside a database, in a thread of its own, and ends with it."""

    @property
    def address(self) -> str: ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Let go what the child of a fork has of it; it is the parent's."""


class TidalDb(Outward):
    """A database of signals. Make one with tidal.open(); use it in a ``with`` block, or close() it.

    Every method may be called from any thread. Entities are u64 ids or string keys; times are ns since
    the epoch (int), datetime or numpy.datetime64. A read without ``at`` is of now. An unknown entity has
    score 0.0 and count 0; an unknown signal type raises UnknownSignalType, a measure that is not kept
    UnknownMeasure.
    """

    def __init__(
        self,
        schema: Schema,
        ledger: SignalLedger,
        sessions: SessionState,
        log: Log,
        engine: StorageEngine,
        names: KeyNames,
        settings: Settings,
        disk: OnDisk | None = None,
        seen: SeenEvents | None = None,
    ) -> None:
        super().__init__(schema, ledger, engine, names, settings, disk)
        self.recovery = disk.report if disk else None
        self._materializers = settings.materializers
        self._watch = Watch(settings, self)
        self._record_to(sessions, log, seen)
        self._refreshing = threading.Lock()
        self._refresh_error: Exception | None = None  # of the last refresh(), if it failed
        self._meters = settings.meters
        self._compiled: list[ReadCalls | WriteCalls] = []
        self._reads_timed = False
        self._beside: Beside | None = None
        self._compile()
        note_open(self)

    def _record_to(self, sessions: SessionState, log: Log, seen: SeenEvents | None) -> None:
        """Have events go to this log from now on, and be kept with the state that reads answer from."""
        settings, ledger, names, disk = self._settings, self._ledger, self._names, self._disk
        self._log, self._session_state = log, sessions
        self._upkeep = Upkeep(
            self.schema, ledger, sessions, log, names, settings, disk, self._check_kept, self.now
        )
        self._recorder = Recorder(
            ledger,
            sessions,
            log,
            names,
            seen,
            settings,
            lambda: self._upkeep.checkpoint_if_due(self._recorder),
        )
        self.sessions = self._make_sessions()

    def _compile(self) -> None:
        """Put compiled calls before score(), count() and signal(), which these hand on what is not usual."""
        self._stop_compiled()
        for name in TIMED_READS:
            vars(self).pop(name, None)
        if self._settings.now_is_system_time and type(self) is TidalDb:
            self._compile_calls()
        if self._reads_timed:
            for name in TIMED_READS:
                meter = self._meters.reads.setdefault(name, Meter())
                setattr(self, name, Timed(getattr(self, name), meter))

    def _compile_calls(self) -> None:
        tables = {signal.name: self._ledger.table(signal.name) for signal in self.schema}
        shards = {name: table.shard_set for name, table in tables.items()}
        windows = {name: table.window_positions for name, table in tables.items()}
        reads = ReadCalls(
            shards,
            windows,
            functools.partial(Reads.score, self),
            functools.partial(Reads.scores, self),
            functools.partial(Reads.count, self),
        )
        self.score, self.scores, self.count = reads.score, reads.scores, reads.count  # type: ignore[method-assign]
        self._compiled.append(reads)
        if (counter := self._recorder.counter) is not None and not self._read_only:
            signed = frozenset(signal.name for signal in self.schema if signal.signed)
            writes = WriteCalls(shards, signed, counter, functools.partial(TidalDb.signal, self))
            self.signal = writes.signal  # type: ignore[method-assign]
            self._compiled.append(writes)

    def _run_beside(self, port: Beside) -> None:
        """Have the metrics port end with the database; from now on reads of many entities are timed."""
        self._beside, self._reads_timed = port, True
        self._compile()

    def _stop_compiled(self) -> None:
        while self._compiled:
            self._compiled.pop().stop()

    # ------------------------------------------------------------------------------ writing

    def signal(
        self,
        signal: str,
        entity_id: Entity,
        weight: float = 1.0,
        *,
        timestamp: Any = None,
        user_id: Entity | None = None,
        session_id: Entity | None = None,
        event_id: Entity | None = None,
    ) -> int:
        """Record one event and return its sequence, once it is as durable as the sync policy says.

        The weight is rounded to f32; without a timestamp the event is of now. Sequences begin at 1: 0 says
        that the event is a duplicate, whose first copy is as durable. Raises InvalidEvent naming the column
        and value, UnknownSignalType, KeyCollision, LimitExceeded, ReadOnly, StoreClosed, StorageError.
        """
        try:
            self._check_writable()
            event = prepare_one(
                self.schema,
                signal,
                entity_id,
                weight,
                timestamp,
                user_id,
                session_id,
                event_id,
                now_ns=self._settings.wall_clock(),
                max_future_skew_ns=self._settings.max_future_skew_ns,
                resolve_keys=self._names.ids,
            )
            return self._recorder.one(event)
        except TidalError as error:
            self._meters.refused(error)
            raise

    def ingest(
        self,
        frame: Any = None,
        *,
        signal: Any = None,
        entity_id: Any = None,
        weight: Any = None,
        timestamp: Any = None,
        user_id: Any = None,
        session_id: Any = None,
        event_id: Any = None,
        columns: Mapping[str, str] | None = None,
        on_error: OnError = "raise",
    ) -> Ingested:
        """Record many events and return what was done, once they are as durable as the sync policy says.

        Either ``frame``, any table with ``__arrow_c_stream__`` (polars, pandas, pyarrow, duckdb), whose
        columns have the names of these parameters or are renamed by ``columns={"entity_id":
        "StockCode"}``; or columns of one length (NumPy arrays, lists, Arrow columns) or single values,
        with ``signal`` and ``entity_id`` at least.

        on_error="raise" (default): the first bad row raises InvalidEvent naming row, column and value,
        and nothing of the call is logged or applied. "skip": good rows are recorded, and refused ones
        returned with reasons.

        Duplicates are counted, not recorded. An error of the disk or of a limit may come after a part of the
        call; then a note of the error says which sequences are recorded.
        """
        given = {
            "signal": signal,
            "entity_id": entity_id,
            "weight": weight,
            "timestamp": timestamp,
            "user_id": user_id,
            "session_id": session_id,
            "event_id": event_id,
        }
        return self._ingest(
            lambda: prepare_call(
                self.schema,
                frame,
                given,
                columns=columns,
                now_ns=self._settings.wall_clock(),
                max_future_skew_ns=self._settings.max_future_skew_ns,
                resolve_keys=self._names.ids,
                on_error=on_error,
            )
        )

    def _ingest(self, prepare: Callable[[], Iterable[Prepared]]) -> Ingested:
        """Record what is prepared, and count that as one call of ingest()."""
        began = self._settings.monotonic()
        try:
            self._check_writable()
            done = self._record(prepare())
        except TidalError as error:
            self._meters.refused(error)
            raise
        events = done.count + done.duplicates
        self._meters.ingested(events, len(done.refused), self._settings.monotonic() - began)
        return done

    def _record(self, prepared: Iterable[Prepared]) -> Ingested:
        tally = Tally()
        refused: list[RefusedRow] = []
        try:
            for batch, bad in prepared:
                refused += bad
                self._recorder.batch(batch, tally)
        except TidalError as error:
            if tally.count:
                error.add_note(
                    f"the first {tally.count} events of this call that are no duplicates are recorded, "
                    f"as the sequences {tally.first_seq} to {tally.last_seq}"
                )
            raise
        if tally.wait_for:
            self._log.commit(tally.wait_for)
        return Ingested(tally.first_seq, tally.last_seq, tally.count, tally.duplicates, tuple(refused))

    def flush(self) -> int:
        """Return the last sequence, once every event up to it would survive a power cut. A barrier in any
        policy.
        """
        self._check_open()
        return self._log.flush()

    # ------------------------------------------------------------------------------ sessions

    def session(
        self,
        *,
        user_id: Entity,
        agent: str,
        policy: str | None = None,
        session_id: Entity | None = None,
        timestamp: Any = None,
    ) -> Session:
        """Open a session of one user with one agent and return it; use it in a ``with`` block, or close() it.

        Its rewards, preference hints and annotations are logged with the user and the session. As
        ``db.sessions.open()``, which see for the errors; ``db.sessions`` also has what is known of sessions,
        and resumes one by its id.
        """
        return self.sessions.open(
            user_id=user_id, agent=agent, policy=policy, session_id=session_id, timestamp=timestamp
        )

    def _make_sessions(self) -> Sessions:
        host = SessionHost(
            self.schema,
            self._session_state,
            self._log,
            self._names.ids,
            self._settings,
            self._recorder,
            now=self.now,
            check_open=self._check_open,
            check_writable=self._check_writable,
        )
        return Sessions(host, self._settings.sessions)

    # ------------------------------------------------------------------------------ life

    @property
    def path(self) -> Path | None:
        """The folder of the store; None in memory."""
        return None if self._disk is None else self._disk.paths.base

    @property
    def read_only(self) -> bool:
        """Whether the database was opened with read_only=True."""
        return self._read_only

    @property
    def last_seq(self) -> int:
        """The sequence of the newest event; 0 without any."""
        return self._log.last_seq

    @property
    def epoch(self) -> int:
        """The epoch in which the log is written, one more with each opening; 0 in memory."""
        return 0 if self._disk is None else self._disk.identity.epoch

    @property
    def durable_seq(self) -> int:
        """The newest sequence that would survive a power cut."""
        return self._log.durable_seq

    def stats(self) -> dict[str, Any]:
        """Return plain counters: sequences, unsynced bytes of the log, by signal type entities, events, late
        events and bytes by part, and with dedup= the duplicates dropped, keys remembered and their bytes.

        ``checkpoint_error`` and ``archive_error`` say why the last one in the background failed; None where
        it did not. Nothing is lost by either, but the log grows until one succeeds.
        """
        self._check_open()
        seen = self._recorder.seen
        return {
            "last_seq": self.last_seq,
            "durable_seq": self.durable_seq,
            "checkpoint_seq": self._upkeep.checkpoint_seq,
            "checkpoint_error": shown(self._upkeep.checkpoint_error),
            "archive_error": shown(self._upkeep.archive_error),
            "unsynced_bytes": self._log.unsynced_bytes,
            "signals": self._ledger.stats(),
            **({} if seen is None else {"dedup": seen.stats()}),
        }

    def refresh(self) -> int:
        """Take in what another process has written since, where this one opened with read_only=True; return
        how many events that is.

        Only what is durable is seen: no power cut takes it back. Metadata is as it was at the opening. A
        database that writes knows all there is: 0. Raises CorruptLog, MissingSegment, StorageError.
        """
        self._check_open()
        if self._disk is None or self._disk.refresh is None:
            return 0
        with self._refreshing:
            try:
                events = self._disk.refresh(self)
            except Exception as error:
                self._refresh_error = error
                raise
            self._refresh_error = None
            return events

    def _take_in(self, batch: EventBatch, last_seq: int) -> None:
        """Apply a batch that is in the log; for refresh()."""
        self._ledger.apply(batch)
        self._session_state.on_events(batch)
        self._names.adopt(batch.new_keys)
        for materializer in self._materializers.values():
            materializer.on_events(batch)
        self._log = MemoryLog(last_seq)

    def _take_over(self, batch: EventBatch) -> tuple[int, int]:
        """Record checked events of another store as they are, and their names; for salvage() and rebuild().

        Return their first and last sequence here. They are durable after flush().
        """
        self._check_writable()
        tally = Tally()
        self._recorder.batch(batch, tally)
        self._names.adopt(batch.new_keys)  # also those whose events are not here
        return tally.first_seq, tally.last_seq

    def _durable_ledger(self) -> tuple[int, bytes, LedgerCopy]:
        """Return a sequence, the log's hash there, and the state of exactly the events up to it, all of which
        are durable; for regions.
        """
        copy = self._ledger.copy()
        with self._recorder.standing_still():
            self._check_writable()
            seq, log_hash = self._log.settle(), self._log.head_hash
            copy.take()
        self._log.flush()
        return seq, log_hash, copy

    def _start_over(
        self,
        schema: Schema,
        ledger: SignalLedger,
        sessions: SessionState,
        engine: StorageEngine,
        names: KeyNames,
        report: RecoveryReport,
    ) -> None:
        """Put other state in the place of all that there is; for refresh()."""
        before = self._engine
        self._answer_from(schema, ledger, engine, names)
        self._session_state = sessions
        self.sessions = self._make_sessions()
        self.recovery, self._log = report, MemoryLog(report.last_seq)
        self._compile()
        before.close()

    def checkpoint(self) -> int:
        """Save the state durably and return its sequence, so that opening replays only what follows.

        Other threads' ingest waits while the state is copied, not while it is written. In memory this does
        nothing. Raises NoSpace or StorageError with the older checkpoints untouched.
        """
        self._check_kept()
        return self._upkeep.checkpoint(self._recorder)

    def archive(self, *, progress: Progress = lambda done, total: None) -> ArchiveReport:
        """Archive what the log needs no longer, remove what ``retain=`` gives up; return what was done.

        The log keeps what is newer than the second newest checkpoint, or than the lowest of ``marks``.
        ``progress`` is told bytes of the log done, and of all to be done. In memory this does nothing.
        Raises StorageError (NoSpace), CorruptLog, CorruptArchive, CorruptCheckpoint, MissingSegment; then
        what was not archived is in the log.
        """
        self._check_kept()
        return self._upkeep.archive(progress)

    @property
    def marks(self) -> Marks:
        """Named marks, each the last sequence that somebody has: the log is not archived beyond the lowest.

        StoreMissing for a database in memory, which has no log.
        """
        self._check_open()
        if self._upkeep.marks is None:
            raise StoreMissing("a database in memory has no log that a mark could hold back")
        return self._upkeep.marks

    def health(self) -> Health:
        """Return whether the database is well, and if not, why: a tidal.Health. ``health=`` of tidal.open()
        says from when on it is not.

        To be called now and then, every minute say: that a mark stands still, or the clock jumps, shows only
        between two calls. The metrics port calls it for each request of ``/healthz`` or ``/metrics``.
        """
        self._check_open()
        return self._watch.health()

    @property
    def metrics_address(self) -> str | None:
        """Where the metrics are served, as "127.0.0.1:43210"; None without ``metrics=``, and once closed."""
        return None if self._beside is None or self._closed else self._beside.address

    def disk_usage(self) -> dict[str, int]:
        """Return the bytes on disk of log, archive, checkpoints, entities, quarantine and the files of export
        jobs, and their total; all 0 in memory.
        """
        self._check_open()
        return disk_usage(self._disk.fs, self._disk.paths) if self._disk else dict.fromkeys(DISK_USAGE, 0)

    def close(self) -> None:
        """Checkpoint, seal the log and release the store; a second close does nothing."""
        if self._closed:
            return
        self._stop_compiled()
        self._upkeep.end_soon()
        try:
            to_its_end(self._stop_outward)
            if not self._read_only and self._recorder.goes_on and self._log.ready:
                self.checkpoint()
        except StoreClosed:
            pass  # by another thread, just now
        finally:
            with self._upkeep.ended():
                self._release()

    def _release(self) -> None:
        self._stop_compiled()
        self._closed = True
        note_closed(self)
        with contextlib.ExitStack() as stack:  # each of them, whatever another raises
            if self._disk is not None and self._disk.lock is not None:
                stack.callback(self._disk.lock.release)
            stack.callback(self._engine.close)
            stack.callback(to_its_end, self._log.close)
            if self._beside is not None:
                stack.callback(to_its_end, self._beside.close)

    def _forget(self) -> None:
        """Let go of everything in the child of a fork: the files belong to the parent, and a child that wrote
        too would interleave with it.
        """
        self._stop_compiled()
        self._closed = True
        self._abandon_outward()
        if self._beside is not None:
            self._beside.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(error, self.close, "the database")

    def __repr__(self) -> str:
        where = "in memory" if self._disk is None else self._disk.paths.base.name
        state = "closed" if self._closed else f"{self.last_seq:,} events"
        return f"<TidalDb {where}, {state}>"

    def _check_writable(self) -> None:
        self._check_open()
        if self._read_only:
            raise ReadOnly("the database was opened with read_only=True")
        self._recorder.check()

    def _check_kept(self) -> None:
        """Raise if the store's files must stay as they are."""
        self._check_writable()
