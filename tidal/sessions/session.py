"""Session: the handle of one session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from tidal.errors import InvalidEvent, close_after
from tidal.schema.events import NewKey
from tidal.schema.spec import KINDS
from tidal.sessions.operations import Annotation, Hint
from tidal.sessions.summary import SessionSummary
from tidal.sessions.writing import Writing, operation_batch

REWARD: Final = "reward"  # the signal type of reward()


class Session:
    """One session of one user with one agent. Get it from db.session(); leaving a ``with`` block closes it.

    Each method that writes returns the sequence in the log once it is durable (0 for a duplicate), and
    raises SessionClosed, RateLimited, UnknownSession, and what db.signal() raises. Any thread may call.
    """

    def __init__(
        self, writing: Writing, session_id: int, user_id: int, agent: str, policy: str | None
    ) -> None:
        self._writing, self._host = writing, writing.host
        self._id, self._user_id, self._agent, self._policy = session_id, user_id, agent, policy

    @property
    def id(self) -> int:
        """The id that the log has, u64; resume() takes it."""
        return self._id

    @property
    def user_id(self) -> int:
        """The id of its user."""
        return self._user_id

    @property
    def agent(self) -> str:
        """What the session was opened as."""
        return self._agent

    @property
    def policy(self) -> str | None:
        """What the agent acts by, if it said so."""
        return self._policy

    @property
    def seq(self) -> int:
        """The number of its last operation, its opening being 1: by whomever it was made."""
        return self.summary().seq

    def summary(self) -> SessionSummary:
        """Return what is known of it. Raises UnknownSession where it was closed long ago."""
        self._host.check_open()
        return self._writing.get(self._id)

    # ------------------------------------------------------------------------------ writing

    def signal(
        self,
        signal: str,
        entity_id: int | str,
        weight: float = 1.0,
        *,
        timestamp: Any = None,
        event_id: int | str | None = None,
    ) -> int:
        """Record one event of this user in this session, as db.signal() does; return its sequence."""
        self._host.check_writable()
        event = self._host.prepare(signal, entity_id, weight, timestamp, self._user_id, self._id, event_id)
        return self._writing.write(self._id, self._agent, event)

    def reward(
        self,
        entity_id: int | str,
        weight: float = 1.0,
        *,
        signal: str = REWARD,
        timestamp: Any = None,
        event_id: int | str | None = None,
    ) -> int:
        """Record a reward: an event of the signal type ``signal``; return its sequence.

        Negative rewards need a type that is declared with signed=True.
        """
        return self.signal(signal, entity_id, weight, timestamp=timestamp, event_id=event_id)

    def hint(
        self,
        *,
        chosen: int | str,
        rejected: int | str,
        prompt: str | None = None,
        strength: float = 1.0,
        kind: str = "item",
        timestamp: Any = None,
    ) -> int:
        """Record that one entity was preferred to another; return the event's sequence.

        ``prompt``: what both were an answer to. ``strength``: how clearly, a finite number.
        """
        self._host.check_writable()
        if not isinstance(strength, int | float) or not math.isfinite(strength):
            raise InvalidEvent(f"strength={strength!r}: choose a finite number")
        (chosen_id, rejected_id), new_keys = self._entities(kind, chosen=chosen, rejected=rejected)
        if chosen_id == rejected_id:
            raise InvalidEvent(f"chosen and rejected are both {chosen!r}; a hint prefers one to another")
        hint = Hint(chosen_id, rejected_id, prompt, float(strength), kind)
        return self._write(hint, chosen_id, timestamp, new_keys)

    def annotate(
        self,
        entity_id: int | str,
        note: str | Mapping[str, Any],
        *,
        kind: str = "item",
        timestamp: Any = None,
    ) -> int:
        """Record a remark on an entity; return the event's sequence.

        ``note``: text, or a mapping that JSON can hold, 65,535 bytes with all else at most.
        """
        self._host.check_writable()
        (entity,), new_keys = self._entities(kind, entity_id=entity_id)
        said = note if isinstance(note, str) or not isinstance(note, Mapping) else dict(note)
        return self._write(Annotation(entity, said, kind), entity, timestamp, new_keys)

    def close(self, *, timestamp: Any = None) -> None:
        """Close the session; one that is closed already stays as it is."""
        self._host.check_writable()
        self._host.commit(self._writing.end(self._id, "closed", self._host.time(timestamp)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(error, self.close, "the session")

    def __repr__(self) -> str:
        return f"<Session {self._id} of user {self._user_id} with {self._agent!r}>"

    # ------------------------------------------------------------------------------ steps

    def _entities(self, kind: str, **given: int | str) -> tuple[list[int], tuple[NewKey, ...]]:
        """Return the ids of entities, and the names of those that are new, each once."""
        if kind not in KINDS:
            raise InvalidEvent(f"kind={kind!r}: choose one of {', '.join(KINDS)}")
        found = [self._host.resolve(name, entity, kind) for name, entity in given.items()]
        names = dict.fromkeys(key for _, new_keys in found for key in new_keys)
        return [entity_id for entity_id, _ in found], tuple(names)

    def _write(
        self,
        operation: Hint | Annotation,
        entity_id: int,
        timestamp: Any,
        new_keys: tuple[NewKey, ...],
    ) -> int:
        time = self._host.time(timestamp)
        batch = operation_batch(operation, self._id, self._user_id, entity_id, time, new_keys)
        return self._writing.write(self._id, self._agent, batch)
