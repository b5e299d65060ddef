"""What is written of sessions, and whether it may be: decided under a lock of each session's own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Final

from tidal.errors import InvalidEvent, LimitExceeded, RateLimited, SessionClosed, UnknownSession
from tidal.schema.events import NOTE_TYPE_ID, TIME_MIN_NS, EventBatch, NewKey, batch_of_rows
from tidal.sessions.host import Host
from tidal.sessions.limits import SessionLimits, TokenBucket
from tidal.sessions.operations import Closed, Operation, Reason, encode
from tidal.sessions.summary import SessionSummary

_SWEEPS_PER_TTL: Final = 16  # when sessions are opened; until it is swept, an idle session only takes memory


@dataclass(slots=True)
class _Live:
    """What an open session has beside its state. Only who holds the lock writes to the session."""

    bucket: TokenBucket | None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Writing:
    """Writes to the sessions of a database. Every method may be called from any thread."""

    def __init__(self, host: Host, limits: SessionLimits) -> None:
        self.host, self.limits = host, limits
        self._live: dict[int, _Live] = {}
        self._lock = threading.Lock()  # of _live
        self._sweep_at = TIME_MIN_NS

    def write(self, session_id: int, agent: str, batch: EventBatch) -> int:
        """Record one event of a session and return its sequence once it is durable, 0 for a duplicate.

        Raises UnknownSession, SessionClosed, RateLimited, and what db.signal() raises.
        """
        time = int(batch.timestamp[0])
        live = self._live_of(session_id)
        with live.lock:
            if not (over := self._is_over(self.last_at(session_id), time)):
                if live.bucket is not None and (wait := live.bucket.take()):
                    raise RateLimited(agent, session_id, live.bucket.rate, wait)
                recorded = self.host.record(batch)
        if over:
            self.host.commit(self.end(session_id, "expired", time))
            raise SessionClosed(
                f"session {session_id}: nothing happened in it for {self.limits.ttl}, so it is closed; "
                "open another, or give tidal.SessionLimits a longer ttl="
            )
        self.host.commit(recorded.wait_for)
        return recorded.seq

    def end(self, session_id: int, reason: Reason, time: int) -> int:
        """Log the end of a session, if it is open; return what to wait for until it is durable, or 0."""
        try:
            live = self._live_of(session_id)
            with live.lock:
                last_at = self.last_at(session_id)
                if reason == "expired" and not self._is_over(last_at, time):
                    return 0  # something has just happened in it
                batch = operation_batch(Closed(reason), session_id, self.get(session_id).user_id, 0, time)
                recorded = self.host.record(batch)
                with self._lock:
                    del self._live[session_id]
        except SessionClosed:
            return 0
        return recorded.wait_for

    def sweep(self, time: int) -> tuple[int, ...]:
        """End the sessions that are over at this time; return their ids."""
        ttl = self.limits.ttl_ns
        if ttl is None:
            return ()
        self._sweep_at = time + ttl // _SWEEPS_PER_TTL
        wait_for = {id: self.end(id, "expired", time) for id in self.host.state.idle(time - ttl)}
        self.host.commit(max(wait_for.values(), default=0))
        return tuple(id for id, seq in wait_for.items() if seq)

    def make_room(self, time: int) -> None:
        """Sweep where it is due; LimitExceeded where no session can be opened."""
        state, most = self.host.state, self.limits.open
        if time >= self._sweep_at or len(state) >= most:
            self.sweep(time)
        if len(state) >= most:
            raise LimitExceeded(
                f"{most:,} sessions are open; close some, or raise tidal.SessionLimits(open=...)"
            )

    # ------------------------------------------------------------------------------ asked

    def known(self, session_id: int) -> SessionSummary | None:
        """Return what is known of a session, or None."""
        return self.host.state.get(session_id, self.host.type_names)

    def get(self, session_id: int) -> SessionSummary:
        """Return what is known of a session. Raises UnknownSession."""
        if (summary := self.known(session_id)) is None:
            raise UnknownSession(
                f"no session {session_id} is known: either it never was, or it is closed and forgotten "
                "(tidal.SessionLimits); its events are in the log"
            )
        return summary

    def last_at(self, session_id: int) -> int:
        """Return when something last happened in an open session. Raises UnknownSession, SessionClosed."""
        if (last_at := self.host.state.last_at(session_id)) is not None:
            return last_at
        how = "expired" if self.get(session_id).reason == "expired" else "was closed"
        raise SessionClosed(f"session {session_id} {how}; open another")

    def _is_over(self, last_at: int, time: int) -> bool:
        return self.limits.ttl_ns is not None and last_at < time - self.limits.ttl_ns

    def _live_of(self, session_id: int) -> _Live:
        self.last_at(session_id)  # there is one for each session that is open, and those are bounded
        with self._lock:
            if (live := self._live.get(session_id)) is None:
                rate = self.limits.rate
                bucket = None if rate is None else TokenBucket(rate, self.limits.burst, self.host.monotonic)
                live = self._live[session_id] = _Live(bucket)
            return live


def operation_batch(
    operation: Operation,
    session_id: int,
    user_id: int,
    entity_id: int,
    time: int,
    new_keys: tuple[NewKey, ...] = (),
) -> EventBatch:
    """Return the event that an operation travels with; InvalidEvent for one that the log cannot hold."""
    try:
        note = encode(operation)
    except ValueError as error:
        raise InvalidEvent(f"{type(operation).__name__.lower()}: {error}") from None
    row = (entity_id, NOTE_TYPE_ID, 0.0, time, user_id, session_id, None)
    return replace(batch_of_rows((row,), new_keys), notes=(note,))
