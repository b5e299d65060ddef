"""What sessions need of the database that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from tidal.schema.events import EventBatch, NewKey
from tidal.sessions.state import SessionState


class Recorded(NamedTuple):
    """One event that was logged: its sequence, 0 for a duplicate; what to wait for until it is durable."""

    seq: int
    wait_for: int


class Host(Protocol):
    """A database, as its sessions see it."""

    @property
    def state(self) -> SessionState: ...

    @property
    def type_names(self) -> Mapping[int, str]: ...

    def check_open(self) -> None:
        """Raise StoreClosed once the database is closed."""

    def check_writable(self) -> None:
        """Raise StoreClosed, ReadOnly or StorePoisoned if nothing can be recorded."""

    def random_id(self) -> int:
        """Return 64 random bits."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def time(self, timestamp: Any) -> int:
        """Return the time of an operation in ns, the present for None; InvalidEvent."""

    def since(self, time: Any) -> int:
        """Return in ns a time that is asked for; InvalidEvent."""

    def resolve(self, column: str, entity: Any, kind: str | None) -> tuple[int, tuple[NewKey, ...]]:
        """Return the id of an entity, or without a kind of a session, and its name if that is new;
        InvalidEvent, KeyCollision.
        """

    def prepare(
        self, signal: str, entity_id: Any, weight: Any, timestamp: Any, user_id: int, session_id: int,
        event_id: Any,
    ) -> EventBatch:  # fmt: skip
        """Return a checked event, as a batch; UnknownSignalType, InvalidEvent, KeyCollision."""

    def record(self, batch: EventBatch) -> Recorded:
        """Log and apply one event; it is not durable yet."""

    def commit(self, seq: int) -> None:
        """Return when the events up to seq are as durable as the sync policy says."""
