"""db.sessions: sessions by their ids."""

from __future__ import annotations

import threading
from typing import Any

from tidal.errors import InvalidOption
from tidal.schema.events import TIME_MIN_NS
from tidal.sessions.host import Host
from tidal.sessions.limits import SessionLimits
from tidal.sessions.operations import Opened
from tidal.sessions.session import Session
from tidal.sessions.summary import SessionSummary
from tidal.sessions.writing import Writing, operation_batch


class Sessions:
    """The sessions of a database, ``db.sessions``. Every method may be called from any thread.

    What is known of sessions is derived from the log: it is there again after a crash, and open sessions are
    still open. Closed ones are remembered as tidal.SessionLimits says. ``len()``: how many are open. An id
    may be given as a string key too, as to db.signal().
    """

    def __init__(self, host: Host, limits: SessionLimits) -> None:
        self._host, self._writing = host, Writing(host, limits)
        self._opening = threading.Lock()  # from the look whether an id is free until it is taken

    @property
    def limits(self) -> SessionLimits:
        """What the database was opened with."""
        return self._writing.limits

    def open(
        self,
        *,
        user_id: int | str,
        agent: str,
        policy: str | None = None,
        session_id: int | str | None = None,
        timestamp: Any = None,
    ) -> Session:
        """Open a session of one user and one agent, and return it once that is as durable as an event.

        Without ``session_id`` a random id is drawn. Raises InvalidEvent for bad arguments, InvalidOption for
        an id that is in use, LimitExceeded where too many are open, and what db.signal() raises.
        """
        self._host.check_writable()
        time = self._host.time(timestamp)
        user, new_keys = self._host.resolve("user_id", user_id, "user")
        given = None if session_id is None else self._id(session_id)
        with self._opening:
            self._writing.make_room(time)
            chosen = self._free_id(given)
            batch = operation_batch(Opened(agent, policy), chosen, user, 0, time, new_keys)
            recorded = self._host.record(batch)
        self._host.commit(recorded.wait_for)
        return Session(self._writing, chosen, user, agent, policy)

    def resume(self, session_id: int | str) -> Session:
        """Return an open session, also one of before a restart. Raises UnknownSession, SessionClosed."""
        self._host.check_writable()
        self._writing.last_at(self._id(session_id))
        found = self.get(session_id)
        return Session(self._writing, found.id, found.user_id, found.agent, found.policy)

    def close(self, session_id: int | str, *, timestamp: Any = None) -> SessionSummary:
        """Close a session and return what it was; one that is closed stays as it is. UnknownSession."""
        self._host.check_writable()
        before, time = self.get(session_id), self._host.time(timestamp)
        self._host.commit(self._writing.end(before.id, "closed", time))
        return self._writing.known(before.id) or before  # forgotten at once, where none is remembered

    def sweep(self) -> tuple[int, ...]:
        """Close the sessions in which nothing happened for the time to live; return their ids.

        It is also done by and by when sessions are opened; an operation in such a session is refused.
        """
        self._host.check_writable()
        return self._writing.sweep(self._host.time(None))

    def get(self, session_id: int | str) -> SessionSummary:
        """Return what is known of a session. Raises UnknownSession."""
        self._host.check_open()
        return self._writing.get(self._id(session_id))

    def find(self, session_id: int | str) -> SessionSummary | None:
        """Return what is known of a session, None if nothing is."""
        self._host.check_open()
        return self._writing.known(self._id(session_id))

    def summaries(self, user_id: int | str | None = None, since: Any = None) -> list[SessionSummary]:
        """Return the sessions that are open or remembered, those opened first come first.

        ``user_id``: only of this user. ``since``: only those in which something happened at or after this
        time.
        """
        self._host.check_open()
        user = None if user_id is None else self._host.resolve("user_id", user_id, "user")[0]
        least = TIME_MIN_NS if since is None else self._host.since(since)
        return self._host.state.summaries(self._host.type_names, user, least)

    def __len__(self) -> int:
        return len(self._host.state)

    def _id(self, session_id: int | str) -> int:
        return self._host.resolve("session_id", session_id, None)[0]

    def _free_id(self, given: int | None) -> int:
        """Return an id that no session has."""
        if given is not None and self._writing.known(given) is not None:
            raise InvalidOption(
                f"session_id={given}: there is such a session; resume() it, or leave the id out"
            )
        while given is None:
            drawn = self._host.random_id()
            if drawn and self._writing.known(drawn) is None:
                given = drawn
        return given
