"""TidalDb: the public API, from a call to the log, the ledger and back."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tidal.answers import Columns, Ingested, Top
from tidal.archive.marks import Marks
from tidal.archive.retention import Retention
from tidal.archive.upkeep import NOTHING_ARCHIVED, Archiver, ArchiveReport, Progress
from tidal.dedup import Admission, Dedup, EventKeys, SeenEvents
from tidal.durable import FileSystem, Lock
from tidal.entities import EntityStore, KeyNames, checked_id
from tidal.errors import (
    InvalidEntity,
    InvalidEvent,
    InvalidOption,
    ReadOnly,
    SchemaError,
    StoreClosed,
    StoreMissing,
    StorePoisoned,
    TidalError,
)
from tidal.format.segment import LogIdentity
from tidal.gate import Gate
from tidal.ingest import OnError, Prepared, RefusedRow, batch_of, prepare_columns, prepare_frames, prepare_one
from tidal.ingest.lookup import entity_ids
from tidal.ingest.scalars import TimeRange, Unfit, time_of
from tidal.ingest.single import OneEvent, row_of
from tidal.ledger import SignalLedger
from tidal.limits import Guard, Limits
from tidal.log import Log, MemoryLog
from tidal.materializer import Materializer
from tidal.parts import NewNames, pieces
from tidal.recovery import RecoveryReport, State, copy_state, needed_after, save_checkpoint
from tidal.schema import Duration, EventBatch, Schema
from tidal.schema.events import ID_MAX, TIME_MAX_NS, TIME_MIN_NS
from tidal.schema.measures import parse_qualified
from tidal.storage import StorageEngine
from tidal.store import DISK_USAGE, StorePaths, disk_usage
from tidal.wal.buffer import BufferedLogWriter

Entity = int | str
Entities = NDArray[Any] | Sequence[int] | Sequence[str]

_logger = logging.getLogger(__name__)

_open_databases: weakref.WeakSet[TidalDb] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Settings:
    """What open() was told and a database keeps."""

    wall_clock: Callable[[], int]
    event_clock: bool
    max_future_skew_ns: int | None
    checkpoint_bytes: int | None
    materializers: Mapping[str, Materializer]
    dedup: Dedup | None = None
    limits: Limits = field(default_factory=Limits)
    archive: bool = True  # after each checkpoint that was due
    retention: Retention = field(default_factory=Retention)
    monotonic: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Tally:
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


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What a database has beyond one in memory."""

    fs: FileSystem
    paths: StorePaths
    identity: LogIdentity
    lock: Lock | None  # None: read only
    report: RecoveryReport
    refresh: Callable[[TidalDb], int] | None = None  # of one that only reads


class TidalDb:
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
        log: Log,
        engine: StorageEngine,
        names: KeyNames,
        settings: Settings,
        disk: OnDisk | None = None,
        seen: SeenEvents | None = None,
    ) -> None:
        self.schema = schema
        self._attach(engine, names)
        self.recovery = disk.report if disk else None
        self._ledger = ledger
        self._log = log
        self._engine = engine
        self._settings = settings
        self._disk = disk
        self._read_only = disk is not None and disk.lock is None
        self._materializers = settings.materializers
        self._seen = seen
        self._guard = Guard(settings.limits, ledger, log, settings.monotonic)
        self._gate = Gate()
        # Append and apply as one, where materializers need the log's order or duplicates are judged in it.
        self._in_order = threading.Lock()
        # Where there is no log to write and nobody else to ask, an event need not become a batch.
        asked = settings.materializers or seen or self._guard.bounds_growth
        self._counter = log if isinstance(log, MemoryLog) and not asked else None
        # Who judges events, or must see them in the log's order, has them logged one by one.
        self._buffer = log if isinstance(log, BufferedLogWriter) else None
        if settings.materializers or seen or self._guard.bounds_growth:
            self._buffer = None
        # Queue and apply as one: what the gate is for batches, without its cost.
        self._single = threading.Lock()
        self._drains = 0  # of the buffer, when its growth was looked at
        self._checkpointing = threading.Lock()
        self._archiving = threading.Lock()
        self._archiver: Archiver | None = None
        self._marks: Marks | None = None
        if disk is not None:
            self._marks = Marks(
                disk.fs, disk.paths.archive, disk.identity.store_id, read_only=disk.lock is None
            )
        if disk is not None and disk.lock is not None:
            self._archiver = Archiver(
                disk.fs, disk.paths, disk.identity, schema, settings.retention, settings.wall_clock
            )
        self._needed_after = 0  # the log's later events, by the older of two checkpoints
        self._closing = False
        self._checkpoint_seq = disk.report.checkpoint_seq if disk else 0
        self._checkpoint_log_bytes = 0
        self._failure: BaseException | None = None
        self._closed = False
        _open_databases.add(self)

    def _attach(self, engine: StorageEngine, names: KeyNames) -> None:
        self.items = EntityStore(engine, "item", names)
        self.users = EntityStore(engine, "user", names)
        self.creators = EntityStore(engine, "creator", names)
        self._entities = {"item": self.items, "user": self.users, "creator": self.creators}
        self._names = names

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
        signal_type, identifier, f32_weight, t, *_, new_keys = event
        if self._counter is not None and not new_keys:
            self._ledger.add(signal_type.name, identifier, f32_weight, t)
            return self._counter.number(1)[1]
        if self._buffer is not None and not new_keys:
            return self._put(self._buffer, event)
        tally = _Tally()
        self._record(batch_of(event), tally)
        self._log.commit(tally.wait_for)
        return tally.last_seq

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
        self._check_writable()
        context: dict[str, Any] = {
            "now_ns": self._settings.wall_clock(),
            "max_future_skew_ns": self._settings.max_future_skew_ns,
            "resolve_keys": self._names.ids,
            "on_error": on_error,
        }
        prepared: Iterable[Prepared]
        if frame is None:
            prepared = [
                prepare_columns(
                    self.schema,
                    signal=signal,
                    entity_id=entity_id,
                    weight=weight,
                    timestamp=timestamp,
                    user_id=user_id,
                    session_id=session_id,
                    event_id=event_id,
                    **context,
                )
            ]
        else:
            if any(x is not None for x in (entity_id, weight, timestamp, user_id, session_id, event_id)):
                raise InvalidEvent(
                    "beside a table only signal= and columns= are taken; name its columns by columns="
                )
            prepared = prepare_frames(self.schema, frame, signal=signal, columns=columns, **context)
        tally = _Tally()
        refused: list[RefusedRow] = []
        try:
            for batch, bad in prepared:
                refused += bad
                self._record(batch, tally)
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

    def _record(self, batch: EventBatch, tally: _Tally) -> None:
        """Log and apply a batch of any size; it is not durable yet."""
        with self._guard.growing(batch) if self._guard.bounds_growth else contextlib.nullcontext():
            names = NewNames(batch.new_keys)
            for piece in pieces(batch):
                if self._seen is None:
                    for part in names.frames(piece):
                        self._guard.await_sync()
                        self._write(part, tally)
                else:
                    self._write_unseen(self._seen, piece, names, tally)

    def _write(self, batch: EventBatch, tally: _Tally) -> None:
        with self._gate.passing(), self._in_order if self._materializers else contextlib.nullcontext():
            tally.add(*self._log_and_apply(batch))
        self._checkpoint_if_due()

    def _write_unseen(self, seen: SeenEvents, piece: EventBatch, names: NewNames, tally: _Tally) -> None:
        """Log and apply what of a piece is no duplicate."""
        keys, start = seen.keys_of(piece), 0
        while start < len(piece):
            self._guard.await_sync()
            with self._gate.passing(), self._in_order:
                rest = piece if start == 0 else piece.rows(start, len(piece))
                start += self._write_in_order(seen, rest, keys.rows(start, len(piece)), names, tally)
            self._checkpoint_if_due()

    def _write_in_order(
        self, seen: SeenEvents, events: EventBatch, keys: EventKeys, names: NewNames, tally: _Tally
    ) -> int:
        """Log and apply what of the first events is no duplicate; return how many were judged."""
        self._check_writable()  # another thread may just have left it uncertain what was seen
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
                self._failure = failure
            else:
                seen.take_back(admission, logged)
            raise
        dropped = len(admission) - logged
        seen.duplicates += dropped
        tally.duplicates += dropped
        tally.wait_for = self._log.last_seq
        return len(admission)

    def _log_and_apply(self, batch: EventBatch) -> tuple[int, int]:
        logged = False
        try:
            with self._names.adopting(batch.new_keys):
                first, last = self._log.append(batch)
                logged = True
            self._ledger.apply(batch)
            for materializer in self._materializers.values():
                materializer.on_events(batch)
        except BaseException as failure:
            self._note_doubt(failure, logged)
            raise
        return first, last

    def _put(self, buffer: BufferedLogWriter, event: OneEvent) -> int:
        """Queue and apply one event of known entities; the log has it after an interval."""
        if (drains := buffer.drains) != self._drains:  # the log has grown
            self._guard.await_sync()
            self._checkpoint_if_due()
            self._drains = drains
        with self._single:
            queued = False
            try:
                seq = buffer.put(row_of(event))
                queued = True
                self._ledger.add(event[0].name, *event[1:4])
            except BaseException as failure:
                self._note_doubt(failure, queued)
                raise
        return seq

    def _note_doubt(self, failure: BaseException, logged: bool) -> None:
        """Accept no more events where log and ledger differ, or may: only a replay makes them agree again."""
        # An error of the log means that nothing was logged; but Ctrl-C strikes anywhere.
        if logged or not isinstance(failure, Exception):
            self._failure = failure

    def flush(self) -> int:
        """Return the last sequence, once every event up to it would survive a power cut. A barrier in any
        policy.
        """
        self._check_open()
        return self._log.flush()

    # ------------------------------------------------------------------------------ reading

    def now(self) -> int:
        """Return what reads take as the present, in ns: the wall clock, or with clock="event" the newest
        event.
        """
        if self._settings.event_clock:
            newest = self._ledger.newest()
            if newest is not None:
                return newest
        return self._settings.wall_clock()

    def score(
        self, signal: str, entity_id: Entity, *, half_life: Duration | int | None = None, at: Any = None
    ) -> float:
        """Return the decayed score of an entity. ``half_life``: which of several, by value or position.

        S(t) = sum of w * 2^(-(t - t_i) / half_life) over its events, t not before the newest of them.
        """
        t, _ = self._time(at)
        return self._ledger.score(signal, self._id(signal, entity_id), at=t, half_life=half_life)

    def scores(
        self, signal: str, ids: Entities, *, half_life: Duration | int | None = None, at: Any = None
    ) -> NDArray[np.float64]:
        """Return the decayed score of each entity, float64[n]."""
        t, _ = self._time(at)
        return self._ledger.scores(signal, self._ids(self._kind(signal), ids), at=t, half_life=half_life)

    def count(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> int:
        """Return the events of an entity in the last "1h", "24h", "7d" (bucket aligned) or "all"."""
        t, now = self._time(at)
        return self._ledger.count(signal, self._id(signal, entity_id), window, at=t, now=now)

    def counts(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.uint64]:
        """Return the events of each entity in a window, uint64[n]."""
        t, now = self._time(at)
        return self._ledger.counts(signal, self._ids(self._kind(signal), ids), window, at=t, now=now)

    def velocity(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> float:
        """Return the events a second of an entity over a window: its count over the window's length."""
        t, now = self._time(at)
        return self._ledger.velocity(signal, self._id(signal, entity_id), window, at=t, now=now)

    def velocities(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.float64]:
        """Return the events a second of each entity over a window, float64[n]."""
        t, now = self._time(at)
        return self._ledger.velocities(signal, self._ids(self._kind(signal), ids), window, at=t, now=now)

    def top(self, signal: str, k: int = 10, *, by: str = "score", at: Any = None) -> Top:
        """Return the k best entities by "score", "score.30d", "count.1h", "velocity.24h", ...; best first.

        Counts and velocities of zero are left out. O(entities).
        """
        t, now = self._time(at)
        kind = self._kind(signal)
        ranking = self._ledger.top(signal, k, by=by, at=t, now=now)
        return Top(ranking, lambda ids: self._names.names(kind, ids))

    def rank(
        self, candidates: Entities, weights: Mapping[str, float], *, k: int | None = None, at: Any = None
    ) -> Top:
        """Return candidates by a weighted sum of measures, best first.

        ``weights``: measure -> weight, ``{"view.velocity.1h": 1.0, "like.score": 3.0}``; all of one kind.
        """
        t, now = self._time(at)
        if not isinstance(weights, Mapping):
            raise InvalidOption(f'weights is {weights!r}; write {{"view.score": 1.0}}, a weight by measure')
        kinds = sorted({parse_qualified(self.schema, name).signal.kind for name in weights})
        if len(kinds) != 1:
            raise SchemaError(f"rank() needs measures of one kind of entity, not {kinds or 'none'}")
        ranking = self._ledger.rank(self._ids(kinds[0], candidates), weights, k=k, at=t, now=now)
        return Top(ranking, lambda ids: self._names.names(kinds[0], ids))

    def read(self, signal: str, *, at: Any = None) -> Columns:
        """Return every entity of a signal type as columns, in the store's own order.

        ``entity_id`` uint64, ``last_time`` int64 (ns), and a column for each measure: ``score`` (and
        ``score.30d`` for further half-lives) float64, ``count.1h`` ... ``count.all`` uint64,
        ``velocity.1h`` ... float64.
        """
        t, now = self._time(at)
        self._kind(signal)
        return Columns(self._ledger.read(signal, at=t, now=now), times=("last_time",))

    def records(self, signal: str) -> list[NDArray[np.void]]:
        """Return the hot records of each shard as structured arrays: live, read-only, without a copy.

        Fields: entity_id, last_time, sums (scaled to a landmark: use score() for values), total, windows.
        """
        self._kind(signal)
        return self._ledger.table(signal).records()

    def key_of(self, entity_id: int, *, kind: str = "item") -> str | None:
        """Return the string key that an id was made from, or None. Raises InvalidEntity for what is no id,
        InvalidKind.
        """
        self._check_open()
        try:
            return self._names.name(kind, checked_id(entity_id))
        except InvalidEntity:
            raise InvalidEntity(f"{entity_id!r} is not an id; key_of() takes one in 0 .. 2**64 - 1") from None

    # ------------------------------------------------------------------------------ life

    @property
    def last_seq(self) -> int:
        """The sequence of the newest event; 0 without any."""
        return self._log.last_seq

    @property
    def durable_seq(self) -> int:
        """The newest sequence that would survive a power cut."""
        return self._log.durable_seq

    def stats(self) -> dict[str, Any]:
        """Return plain counters: sequences, unsynced bytes of the log, by signal type entities, events, late
        events and bytes by part, and with dedup= the duplicates dropped, keys remembered and their bytes.
        """
        self._check_open()
        return {
            "last_seq": self.last_seq,
            "durable_seq": self.durable_seq,
            "checkpoint_seq": self._checkpoint_seq,
            "unsynced_bytes": self._log.unsynced_bytes,
            "signals": self._ledger.stats(),
            **({} if self._seen is None else {"dedup": self._seen.stats()}),
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
        with self._in_order:
            return self._disk.refresh(self)

    def _take_in(self, batch: EventBatch, last_seq: int) -> None:
        """Apply a batch that is in the log; for refresh()."""
        self._ledger.apply(batch)
        self._names.adopt(batch.new_keys)
        for materializer in self._materializers.values():
            materializer.on_events(batch)
        self._log = MemoryLog(last_seq)

    def take_over(self, batch: EventBatch) -> tuple[int, int]:
        """Record checked events of another store as they are, and their names; for salvage() and rebuild().

        Return their first and last sequence here. They are durable after flush().
        """
        self._check_writable()
        tally = _Tally()
        self._record(batch, tally)
        self._names.adopt(batch.new_keys)  # also those whose events are not here
        return tally.first_seq, tally.last_seq

    def _start_over(
        self,
        schema: Schema,
        ledger: SignalLedger,
        engine: StorageEngine,
        names: KeyNames,
        report: RecoveryReport,
    ) -> None:
        """Put other state in the place of all that there is; for refresh()."""
        before, self._engine = self._engine, engine
        self._attach(engine, names)
        self.schema, self._ledger, self.recovery = schema, ledger, report
        self._log = MemoryLog(report.last_seq)
        before.close()

    def checkpoint(self) -> int:
        """Save the state durably and return its sequence, so that opening replays only what follows.

        Other threads' ingest waits while the state is copied, not while it is written. In memory this does
        nothing. Raises NoSpace or StorageError with the older checkpoints untouched.
        """
        self._check_writable()
        with self._checkpointing:
            return self._save(self._copy())

    def _copy(self) -> State:
        with self._gate.closed(), self._single:
            self._check_writable()
            seq = self._log.flush()  # a checkpoint must never be ahead of the log
            self._checkpoint_log_bytes = self._log.bytes_written
            return copy_state(seq, self._log.head_hash, self._ledger, self._materializers)

    def _save(self, state: State) -> int:
        if self._disk is not None and state.seq > self._checkpoint_seq:
            self._names.flush()  # after this the log is no longer needed for them
            disk = self._disk
            self._needed_after = save_checkpoint(disk.fs, disk.paths, disk.identity, state)
            self._checkpoint_seq = state.seq
        return state.seq

    def _checkpoint_if_due(self) -> None:
        """Copy the state where enough was logged, and leave the writing to a thread."""
        limit = self._settings.checkpoint_bytes
        if not limit or self._log.bytes_written - self._checkpoint_log_bytes < limit:
            return
        if not self._checkpointing.acquire(blocking=False):
            return  # one is being written
        writer = None
        try:
            writer = threading.Thread(target=self._save_aside, args=(self._copy(),), name="tidal-checkpoint")
            writer.start()
        except BaseException as error:
            if writer is None or writer.ident is None:  # else it releases the lock itself
                self._checkpointing.release()
            if not isinstance(error, Exception):
                raise
            # The event is logged and applied: its caller must not take this for a refusal and send it again.
            _logger.error("no checkpoint could be begun: %s", error)

    def _save_aside(self, state: State) -> None:
        try:
            self._save(state)
        except (TidalError, OSError) as error:
            # Nothing is lost: the log goes back to the older checkpoint, and the next one is tried when due.
            _logger.error("checkpoint at %d failed: %s", state.seq, error)
        finally:
            self._checkpointing.release()
        if self._settings.archive and self._archiver is not None:
            self._archive_aside(self._archiver)

    def _archive_aside(self, archiver: Archiver) -> None:
        if not self._archiving.acquire(blocking=False):
            return  # archiving is going on
        try:
            if not self._closing:
                archiver.run(self._needed_after, self._log.forget, stop=lambda: self._closing)
        except (TidalError, OSError) as error:
            # Nothing is lost: what was not archived is in the log, and is tried after the next checkpoint.
            _logger.error("archiving failed: %s", error)
        finally:
            self._archiving.release()

    def archive(self, *, progress: Progress = lambda done, total: None) -> ArchiveReport:
        """Archive what the log needs no longer, remove what ``retain=`` gives up; return what was done.

        The log keeps what is newer than the second newest checkpoint, or than the lowest of ``marks``.
        ``progress`` is told bytes of the log done, and of all to be done. In memory this does nothing.
        Raises StorageError (NoSpace), CorruptLog, CorruptArchive, CorruptCheckpoint, MissingSegment; then
        what was not archived is in the log.
        """
        self._check_writable()
        if self._archiver is None or self._disk is None:
            return NOTHING_ARCHIVED
        self._log.flush()  # a store that was opened on a full disk is prepared for writing first
        with self._checkpointing:
            after = needed_after(self._disk.fs, self._disk.paths, self._disk.identity)
        with self._archiving:
            self._check_writable()
            return self._archiver.run(after, self._log.forget, stop=lambda: self._closing, progress=progress)

    @property
    def marks(self) -> Marks:
        """Named marks, each the last sequence that somebody has: the log is not archived beyond the lowest.

        StoreMissing for a database in memory, which has no log.
        """
        self._check_open()
        if self._marks is None:
            raise StoreMissing("a database in memory has no log that a mark could hold back")
        return self._marks

    def disk_usage(self) -> dict[str, int]:
        """Return the bytes on disk of log, archive, checkpoints, entities and quarantine, and their total;
        all 0 in memory.
        """
        self._check_open()
        return disk_usage(self._disk.fs, self._disk.paths) if self._disk else dict.fromkeys(DISK_USAGE, 0)

    def close(self) -> None:
        """Checkpoint, seal the log and release the store; a second close does nothing."""
        if self._closed:
            return
        self._closing = True  # archiving stops at the next segment
        try:
            if not self._read_only and self._failure is None and self._log.ready:
                self.checkpoint()
        except StoreClosed:
            pass  # by another thread, just now
        finally:
            with self._checkpointing, self._archiving:  # what is being written ends first
                self._release()

    def _release(self) -> None:
        self._closed = True
        _open_databases.discard(self)
        with contextlib.ExitStack() as stack:  # each of them, whatever another raises
            if self._disk is not None and self._disk.lock is not None:
                stack.callback(self._disk.lock.release)
            stack.callback(self._engine.close)
            stack.callback(self._log.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except (TidalError, OSError) as failure:
            if error is None:
                raise
            error.add_note(f"closing the database failed too: {failure}")  # what came first says more

    def __repr__(self) -> str:
        where = "in memory" if self._disk is None else self._disk.paths.base.name
        state = "closed" if self._closed else f"{self.last_seq:,} events"
        return f"<TidalDb {where}, {state}>"

    # ------------------------------------------------------------------------------ checks

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the database is closed; open it again with tidal.open()")

    def _check_writable(self) -> None:
        self._check_open()
        if self._read_only:
            raise ReadOnly("the database was opened with read_only=True")
        if self._failure is not None:
            raise StorePoisoned(
                None,
                f"an event was logged but not applied ({self._failure!r}); close the store and open it again",
            ) from self._failure

    def _time(self, at: Any) -> tuple[int, bool]:
        """Return the time of a read in ns, and whether that is the present."""
        self._check_open()
        if at is None:
            return self.now(), True
        if type(at) is int and TIME_MIN_NS <= at <= TIME_MAX_NS:
            return at, False
        try:
            return time_of(at, TimeRange.until(0, None)), False
        except Unfit as unfit:
            raise InvalidEvent(str(unfit), column="at", value=at) from None

    def _kind(self, signal: str) -> str:
        self._check_open()
        return self.schema.signal(signal).kind

    def _id(self, signal: str, entity: Entity) -> int:
        if type(entity) is int and 0 <= entity <= ID_MAX:
            return entity
        return self._entities[self._kind(signal)].id_of(entity)

    def _ids(self, kind: str, entities: Entities) -> NDArray[np.uint64]:
        return entity_ids(entities, kind, self._names.ids)


@atexit.register
def _close_at_exit() -> None:
    for db in list(_open_databases):
        with contextlib.suppress(Exception):
            db.close()


def _forget_in_child() -> None:
    """After fork the files belong to the parent: a child that wrote too would interleave with it."""
    for db in list(_open_databases):
        db._closed = True
        _open_databases.discard(db)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
