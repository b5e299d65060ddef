"""Duplicates: which events were seen before, by event id or by content, within a window of the log."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal._ext.seen import Generation, content_keys
from tidal.errors import InvalidOption
from tidal.records import record
from tidal.schema.durations import Duration, parse_duration
from tidal.schema.events import NOTE_TYPE_ID, TIME_MIN_NS, EventBatch, IdColumn

EVENTS_DEFAULT: Final = 1_000_000
EVENTS_MAX: Final = 1 << 32
KEY_BYTES: Final = 16  # of the secret that keys are hashed with

_BY = ("event_id", "content")
_NO_HORIZON: Final = -1


@record
class Dedup:
    """Which events are duplicates, and for how long they are remembered.

    - ``by="event_id"``: an event is a duplicate if one with the same signal type and the same event id is
      remembered, whatever else it says. An event without an event id never is.
    - ``by="content"``: if one that is equal in every field is remembered: signal type, entity, weight (as
      f32), timestamp, user, session and event id. Two honest events that are equal in all of them collapse
      into one; and a retry that is stamped with a new time is not caught, so give timestamps.
    - ``events``, ``time``: the window. The log is divided into generations of ``events`` sequences each. An
      event is compared with those of the generation that it would be in and of the one before, except a
      generation whose newest event time is older than the newest of all events before by more than
      ``time`` (None: no such limit). So at least the last ``events`` events within ``time`` are remembered,
      and at most twice as many. Each takes about 23 bytes of memory.

    What is remembered depends on the log alone: opening a store reads it from there, so a retry across a
    crash is one event. Raises InvalidOption or InvalidDuration for what cannot be meant.

    >>> Dedup("event_id", events=100_000, time="15m").time
    '15m'
    """

    by: str = "event_id"
    events: int = EVENTS_DEFAULT
    time: Duration | None = "1h"

    def __post_init__(self) -> None:
        if not isinstance(self.by, str) or self.by not in _BY:
            raise InvalidOption(f'deduplication by {self.by!r} is not known; choose "event_id" or "content"')
        if type(self.events) is not int or not 1 <= self.events <= EVENTS_MAX:
            raise InvalidOption(f"a window of {self.events!r} events; choose an integer from 1 to 2**32")
        if self.time is not None:
            parse_duration(self.time)


def parse_dedup(dedup: str | Dedup | None) -> Dedup | None:
    """Return what open(dedup=...) means: None, "event_id", "content" or a Dedup; InvalidOption for another.

    >>> parse_dedup("content")
    Dedup(by='content', events=1000000, time='1h')
    """
    if dedup is None or isinstance(dedup, Dedup):
        return dedup
    return Dedup(dedup)


@record
class EventKeys:
    """What events are recognised by: 128-bit keys uint64[n, 2], and which rows have one (None: all)."""

    keys: NDArray[np.uint64]
    keyed: NDArray[np.uint8] | None
    times: NDArray[np.int64]

    def rows(self, start: int, stop: int) -> EventKeys:
        rows = slice(start, stop)
        return EventKeys(self.keys[rows], None if self.keyed is None else self.keyed[rows], self.times[rows])

    def __len__(self) -> int:
        return len(self.times)


class Admission:
    """Events that were judged, and remembered as far as they are no duplicates."""

    def __init__(
        self, events: EventKeys, codes: NDArray[np.uint8], generation: Generation, before: tuple[int, int]
    ) -> None:
        self.events, self.codes, self.generation, self.before = events, codes, generation, before
        self.chosen: NDArray[np.bool_] = codes != 0  # bool[n]: no duplicate

    def select(self, batch: EventBatch) -> EventBatch:
        """Return the events that are no duplicates, of the batch whose first events these are."""
        if len(self) < len(batch):
            batch = batch.rows(0, len(self))
        return batch if self.chosen.all() else batch.where(self.chosen)

    def __len__(self) -> int:
        return len(self.codes)


class SeenEvents:
    """The window of remembered events. Not safe to share by threads: its calls are in the log's order.

    ``secret``: KEY_BYTES bytes, the store's id; nobody who does not know it can make keys collide.
    """

    def __init__(self, dedup: Dedup, secret: bytes) -> None:
        self.dedup = dedup
        self.duplicates = 0  # dropped by now
        self._secret = secret
        self._horizon = _NO_HORIZON if dedup.time is None else parse_duration(dedup.time)
        self._clock = TIME_MIN_NS
        self._number = 0  # of the current generation
        self._previous: Generation | None = None
        self._current = self._new_generation()

    def keys_of(self, batch: EventBatch) -> EventKeys:
        """Return what the events of a batch are recognised by. Needs no lock."""
        if self.dedup.by == "event_id":
            return _id_keys(batch)
        keys = content_keys(
            self._secret,
            batch.type_id,
            batch.entity_id,
            batch.weight.view(np.uint32),
            batch.timestamp,
            _pair(batch.user_id),
            _pair(batch.session_id),
            _pair(batch.event_id),
        )
        # An operation of a session is never a duplicate: two annotations may be made at one time.
        keyed = (batch.type_id != NOTE_TYPE_ID).view(np.uint8) if batch.notes else None
        return EventKeys(keys, keyed, batch.timestamp)

    def begin_after(self, last_seq: int) -> int:
        """Return the sequence after which the log must be replayed for an event that follows ``last_seq``."""
        return max(0, last_seq // self.dedup.events - 1) * self.dedup.events

    def replay(self, first_seq: int, batch: EventBatch) -> None:
        """Remember events of the log, given in its order."""
        events, start = self.keys_of(batch), 0
        while start < len(batch):
            room = self._turn_to(first_seq + start)
            part = events.rows(start, start + room)
            self._current.add(part.keys, part.keyed, part.times)
            self._clock = max(self._clock, self._current.newest)
            start += len(part)

    def advance_clock(self, t: int) -> None:
        """Note the newest time of all events, those before the replayed ones among them."""
        self._clock = max(self._clock, t)

    def make_room(self, next_seq: int, count: int) -> None:
        """Prepare for the next events; MemoryError, with nothing changed, where there is no memory."""
        room = self._turn_to(next_seq)
        self._current.ensure(min(count, room))

    def admit(self, next_seq: int, events: EventKeys) -> Admission:
        """Judge events of which the first that is no duplicate gets the sequence ``next_seq``, and remember
        those.

        Ends where a generation does: fewer may be judged than were given. Needs make_room() before.
        """
        room = self._turn_to(next_seq)
        codes = np.zeros(len(events), np.uint8)
        before = self._current.newest, self._clock
        judged, self._clock = self._current.admit(
            self._previous, events.keys, events.keyed, events.times, codes, room, self._clock, self._horizon
        )
        return Admission(events, codes[:judged], self._current, before)

    def take_back(self, admission: Admission, logged: int) -> None:
        """Forget the admitted events that were not logged: all but the first ``logged`` of them."""
        rows = np.flatnonzero(admission.chosen)
        start = int(rows[logged]) if logged < len(rows) else len(admission)
        kept = admission.events.times[rows[:logged]]
        newest, clock = (int(kept.max(initial=before)) for before in admission.before)
        admission.generation.take_back(admission.events.keys, admission.codes, start, len(admission), newest)
        self._clock = clock

    def stats(self) -> dict[str, int]:
        """Return plain counters: duplicates dropped since opening, keys remembered, and their bytes."""
        generations = [self._current, *([] if self._previous is None else [self._previous])]
        return {
            "duplicates": self.duplicates,
            "remembered": sum(map(len, generations)),
            "bytes": sum(generation.nbytes for generation in generations),
        }

    def _turn_to(self, seq: int) -> int:
        """Make the generation of a sequence the current one; return how many sequences are left in it."""
        number, place = divmod(seq - 1, self.dedup.events)
        if number != self._number:
            self._previous = self._current if number == self._number + 1 else None
            self._current = self._new_generation()
            self._number = number
        return self.dedup.events - place

    def _new_generation(self) -> Generation:
        return Generation(self.dedup.events, self._secret)


def _id_keys(batch: EventBatch) -> EventKeys:
    column = batch.event_id
    keys = np.zeros((len(batch), 2), np.uint64)
    keys[:, 1] = batch.type_id
    if column is None:
        return EventKeys(keys, np.zeros(len(batch), np.uint8), batch.timestamp)
    keys[:, 0] = column.values
    return EventKeys(keys, _flags(column), batch.timestamp)


def _pair(column: IdColumn | None) -> tuple[Any, NDArray[np.uint8] | None]:
    return (None, None) if column is None else (column.values, _flags(column))


def _flags(column: IdColumn) -> NDArray[np.uint8] | None:
    return None if column.valid is None else column.valid.view(np.uint8)
