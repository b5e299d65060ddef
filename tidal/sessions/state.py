"""SessionState: the sessions of a store, a function of its log and of how many closed ones are remembered."""

from __future__ import annotations

import functools
import json
import operator
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np

from tidal.schema.events import NOTE_TYPE_ID, TIME_MIN_NS, EventBatch
from tidal.sessions.operations import Annotation, Closed, Hint, Opened, Operation, Reason, operations_of
from tidal.sessions.summary import SessionSummary

_VERSION: Final = 1


@dataclass(slots=True)
class _Entry:
    """One session."""

    id: int
    user_id: int
    agent: str
    policy: str | None
    opened_at: int
    last_at: int
    seq: int = 1
    hints: int = 0
    annotations: int = 0
    closed_at: int | None = None
    reason: Reason | None = None
    counts: dict[int, int] = field(default_factory=dict)  # by type id
    weights: dict[int, float] = field(default_factory=dict)

    def to_row(self) -> list[Any]:
        values = [getattr(self, name) for name in _PLAIN]
        return [*values, sorted(self.counts.items()), sorted(self.weights.items())]

    @classmethod
    def from_row(cls, row: list[Any]) -> _Entry:
        *values, counts, weights = row
        return cls(**dict(zip(_PLAIN, values, strict=True)), counts=dict(counts), weights=dict(weights))


_PLAIN: Final = tuple(each.name for each in fields(_Entry))[:-2]  # without the two dicts at its end


class SessionState:
    """What is known of sessions. ``on_events`` and ``on_event`` are called in the log's order, by one thread
    at a time; all else at any time by any thread.

    An event with the id of an open session counts for it; with another id it is just an event.
    ``closed_most``, ``retention_ns``: which closed sessions are remembered, see SessionLimits.
    """

    def __init__(self, closed_most: int, retention_ns: int | None) -> None:
        self.used = False  # an operation was applied at some time
        self._closed_most, self._retention = closed_most, retention_ns
        self._open: dict[int, _Entry] = {}
        self._closed: dict[int, _Entry] = {}  # in the order in which they were closed
        self._clock = TIME_MIN_NS  # the newest time at which a session was opened or closed
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------------ from the log

    def on_events(self, batch: EventBatch) -> None:
        """Take the next events of the log. FormatError, with the state undone by half, for a note that no
        tidal of this version writes.
        """
        if batch.session_id is None or not (batch.notes or self._open):
            return
        with self._lock:
            start = 0
            for row, operation in operations_of(batch):
                self._count(batch, start, row)
                self._operate(batch, row, operation)
                start = row + 1
            self._count(batch, start, len(batch))

    def on_event(self, session_id: int, type_id: int, weight: float, timestamp: int) -> None:
        """Take the next event of the log, a signal."""
        with self._lock:
            if (entry := self._open.get(session_id)) is not None:
                _add(entry, type_id, [weight], timestamp)

    def _count(self, batch: EventBatch, start: int, stop: int) -> None:
        """Count the signals among some rows."""
        if start == stop or not self._open or batch.session_id is None:
            return
        values, valid = batch.session_id
        if stop - start == 1:  # without arrays: it is the usual case
            entry = self._open.get(int(values[start])) if valid is None or valid[start] else None
            if entry is not None:
                weight, time = batch.weight[start : start + 1].tolist(), int(batch.timestamp[start])
                _add(entry, int(batch.type_id[start]), weight, time)
            return
        chosen = np.isin(values[start:stop], np.fromiter(self._open, np.uint64, len(self._open)))
        rows = start + np.flatnonzero(chosen if valid is None else chosen & valid[start:stop])
        if not len(rows):
            return
        # One stretch of rows for each session and type; within it the rows are in their order, because a
        # sum of floats depends on it.
        rows = rows[np.lexsort((batch.type_id[rows], values[rows]))]
        sessions, types = values[rows], batch.type_id[rows]
        other = (sessions[1:] != sessions[:-1]) | (types[1:] != types[:-1])
        starts = np.concatenate([[0], np.flatnonzero(other) + 1])
        newest = np.maximum.reduceat(batch.timestamp[rows], starts).tolist()
        weights, ends = batch.weight[rows].tolist(), [*starts[1:].tolist(), len(rows)]
        stretches = zip(
            sessions[starts].tolist(), types[starts].tolist(), starts.tolist(), ends, newest, strict=True
        )
        for session_id, type_id, begin, end, time in stretches:
            _add(self._open[session_id], type_id, weights[begin:end], time)

    def _operate(self, batch: EventBatch, row: int, operation: Operation) -> None:
        if batch.session_id is None or not (batch.session_id.valid is None or batch.session_id.valid[row]):
            return
        self.used = True
        session_id, time = int(batch.session_id.values[row]), int(batch.timestamp[row])
        if isinstance(operation, Opened):
            self._closed.pop(session_id, None)
            user_id = 0 if batch.user_id is None else int(batch.user_id.values[row])
            self._open[session_id] = _Entry(
                session_id, user_id, operation.agent, operation.policy, time, time
            )
            self._forget(time)
            return
        entry = self._open.get(session_id)
        if entry is None:  # its beginning was lost, and salvaged was what follows
            return
        entry.seq += 1
        entry.last_at = max(entry.last_at, time)
        match operation:
            case Closed(reason):
                entry.closed_at, entry.reason = time, reason
                self._closed[session_id] = self._open.pop(session_id)
                self._forget(time)
            case Hint():
                entry.hints += 1
            case Annotation():
                entry.annotations += 1

    def _forget(self, time: int) -> None:
        """Forget closed sessions that are too many or too old, those first that were closed first."""
        self._clock = max(self._clock, time)
        while self._closed:
            entry = next(iter(self._closed.values()))
            old = self._retention is not None and (entry.closed_at or 0) < self._clock - self._retention
            if len(self._closed) <= self._closed_most and not old:
                break
            del self._closed[entry.id]

    # ------------------------------------------------------------------------------ saved

    def checkpoint(self) -> bytes:
        """Return the whole state, b"" where no session was ever opened."""
        with self._lock:
            if self._clock == TIME_MIN_NS:
                return b""
            body = {
                "version": _VERSION,
                "clock": self._clock,
                "open": [entry.to_row() for entry in self._open.values()],
                "closed": [entry.to_row() for entry in self._closed.values()],
            }
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()

    def restore(self, state: bytes) -> None:
        """Become what checkpoint() saved. ValueError, KeyError or TypeError for what it never saves."""
        if not state:
            return
        try:
            body = json.loads(state)
        except RecursionError as error:
            raise ValueError(f"sessions in no form that is saved: {error}") from error
        if body["version"] != _VERSION or type(body["clock"]) is not int:
            raise ValueError(f"sessions of version {body['version']!r}, at {body['clock']!r}")
        opened, closed = ([_Entry.from_row(row) for row in body[name]] for name in ("open", "closed"))
        with self._lock:
            self._open = {entry.id: entry for entry in opened}
            self._closed = {entry.id: entry for entry in closed}
            self._clock, self.used = body["clock"], True
            self._forget(self._clock)

    # ------------------------------------------------------------------------------ asked

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def counts(self) -> tuple[int, int]:
        """Return how many are open, and how many closed ones are remembered."""
        with self._lock:
            return len(self._open), len(self._closed)

    def last_at(self, session_id: int) -> int | None:
        """Return the newest time of an open session; None for another."""
        entry = self._open.get(session_id)
        return None if entry is None else entry.last_at

    def idle(self, before: int) -> list[int]:
        """Return the open sessions in which nothing happened at or after a time."""
        with self._lock:
            return [entry.id for entry in self._open.values() if entry.last_at < before]

    def get(self, session_id: int, names: Mapping[int, str]) -> SessionSummary | None:
        """Return what is known of a session; ``names``: of signal types by their ids."""
        with self._lock:
            entry = self._open.get(session_id) or self._closed.get(session_id)
            return None if entry is None else _summary(entry, names)

    def summaries(self, names: Mapping[int, str], user_id: int | None, since: int) -> list[SessionSummary]:
        """Return the sessions, of one user or all, in which something happened at or after a time; those
        opened first come first.
        """
        with self._lock:
            found = [_summary(entry, names) for entry in self._chosen(user_id, since)]
        return sorted(found, key=operator.attrgetter("opened_at", "id"))

    def _chosen(self, user_id: int | None, since: int) -> Iterator[_Entry]:
        for entries in (self._closed, self._open):
            for entry in entries.values():
                if entry.last_at >= since and user_id in (None, entry.user_id):
                    yield entry


def _add(entry: _Entry, type_id: int, weights: list[float], newest: int) -> None:
    """Count signals of one type; the sum of weights is the same however they are cut into calls."""
    if type_id == NOTE_TYPE_ID:  # an operation: it is counted as one
        return
    entry.seq += len(weights)
    entry.last_at = max(entry.last_at, newest)
    entry.counts[type_id] = entry.counts.get(type_id, 0) + len(weights)
    entry.weights[type_id] = functools.reduce(operator.add, weights, entry.weights.get(type_id, 0.0))


def _summary(entry: _Entry, names: Mapping[int, str]) -> SessionSummary:
    return SessionSummary(
        id=entry.id,
        user_id=entry.user_id,
        agent=entry.agent,
        policy=entry.policy,
        opened_at=entry.opened_at,
        last_at=entry.last_at,
        closed_at=entry.closed_at,
        reason=entry.reason,
        seq=entry.seq,
        signals={names[type_id]: count for type_id, count in sorted(entry.counts.items())},
        weights={names[type_id]: total for type_id, total in sorted(entry.weights.items())},
        hints=entry.hints,
        annotations=entry.annotations,
    )
