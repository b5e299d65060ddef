"""How far a follower is, and how far behind: in events, and in time."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND

_NOTES_KEPT: Final = 1_024


class Position(NamedTuple):
    """How far a log is: the epoch that its last event was recorded in, and the sequence of that event.

    Of two logs of one store the greater has more of what happened. The sequence alone does not say so: a
    leader that another one has followed may have recorded many events that are not in the log any more.

    >>> Position(epoch=3, seq=100) > Position(epoch=2, seq=500)
    True
    """

    epoch: int
    seq: int


@record
class Lag:
    """``events`` that the leader has durably and the follower has not; ``seconds`` since the follower had all
    that the leader had, by the leader's stamps; None where nothing was heard of a leader yet.
    """

    events: int
    seconds: float | None


class Progress:
    """What a follower heard of how far its leader is. Safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: deque[tuple[int, int]] = deque(maxlen=_NOTES_KEPT)  # (durable sequence, when), ascending
        self._newest = 0
        self._complete_at: int | None = None  # by the leader's clock

    def note(self, durable_seq: int, sent_at: int) -> None:
        """Remember that the leader was durable up to here at this time; older news is passed over."""
        with self._lock:
            self._newest = max(self._newest, durable_seq)
            if self._notes and (sent_at <= self._notes[-1][1] or durable_seq < self._notes[-1][0]):
                return
            if len(self._notes) > 1 and self._notes[-1][0] == self._notes[-2][0] == durable_seq:
                self._notes.pop()
            self._notes.append((durable_seq, sent_at))

    def lag(self, seq: int, now: int) -> Lag:
        """Return how far one who has the events up to ``seq`` is behind at ``now`` (ns)."""
        with self._lock:
            while self._notes and self._notes[0][0] <= seq:
                self._complete_at = self._notes.popleft()[1]
            since = None if self._complete_at is None else max(0.0, (now - self._complete_at) / NS_PER_SECOND)
            return Lag(max(0, self._newest - seq), since)
