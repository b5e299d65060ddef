"""What sessions see of a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from tidal.db.recorder import Recorder, Tally
from tidal.db.settings import Settings
from tidal.errors import InvalidEvent
from tidal.ingest import batch_of, prepare_one
from tidal.ingest.keys import ResolveKeys
from tidal.ingest.scalars import TimeRange, Unfit, time_of
from tidal.ingest.single import checked_time, resolve_one
from tidal.log import Log
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NewKey
from tidal.sessions import Recorded, SessionState


class SessionHost:
    """A database as its sessions see it, a tidal.sessions.Host. Made anew when the database's state is."""

    def __init__(
        self,
        schema: Schema,
        state: SessionState,
        log: Log,
        resolve_keys: ResolveKeys,
        settings: Settings,
        recorder: Recorder,
        *,
        now: Callable[[], int],
        check_open: Callable[[], None],
        check_writable: Callable[[], None],
    ) -> None:
        self.state = state
        self.type_names: Mapping[int, str] = {signal.type_id: signal.name for signal in schema}
        self.monotonic, self.check_open, self.check_writable = settings.monotonic, check_open, check_writable
        self._schema, self._log, self._resolve_keys = schema, log, resolve_keys
        self._settings, self._recorder, self._now = settings, recorder, now

    def random_id(self) -> int:
        return int.from_bytes(os.urandom(8))

    def time(self, timestamp: Any) -> int:
        if timestamp is None:
            return self._now()
        return checked_time(timestamp, self._settings.wall_clock(), self._settings.max_future_skew_ns)

    def since(self, time: Any) -> int:
        try:
            return time_of(time, TimeRange.until(0, None))
        except Unfit as unfit:
            raise InvalidEvent(f"since={time!r}: {unfit}") from None

    def resolve(self, column: str, entity: Any, kind: str | None) -> tuple[int, tuple[NewKey, ...]]:
        return resolve_one(column, entity, kind, self._resolve_keys)

    def prepare(
        self, signal: str, entity_id: Any, weight: Any, timestamp: Any, user_id: int, session_id: int,
        event_id: Any,
    ) -> EventBatch:  # fmt: skip
        event = prepare_one(
            self._schema,
            signal,
            entity_id,
            weight,
            self.time(timestamp),
            user_id,
            session_id,
            event_id,
            now_ns=self._settings.wall_clock(),
            max_future_skew_ns=self._settings.max_future_skew_ns,
            resolve_keys=self._resolve_keys,
        )
        return batch_of(event)

    def record(self, batch: EventBatch) -> Recorded:
        tally = Tally()
        self._recorder.batch(batch, tally)
        return Recorded(tally.last_seq, tally.wait_for)

    def commit(self, seq: int) -> None:
        self._log.commit(seq)
