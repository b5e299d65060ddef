"""What a database knows of those it is linked to: its leader, followers, other regions, a broker's stream.

Plain values, made by the parts that know (``following``, ``replication``, ``regions``, ``broker``), and read
by health, metrics and the page, which know none of those.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from tidal.records import record

LIVE: Final = "live"  # it gets what is new as it comes
CATCHING_UP: Final = "catching up"
SILENT: Final = "silent"  # nothing is heard of it
FOREIGN: Final = "foreign"  # of another history
DROPPED: Final = "dropped"  # it needed more of the log than may be kept for it
FOLLOWER_STATES: Final = (LIVE, CATCHING_UP, SILENT, FOREIGN, DROPPED)


@record
class FollowingSeen:
    """What a follower knows of its leader; ``refused`` and ``duplicates``: messages since it was opened."""

    name: str  # of this follower
    trouble: str | None  # why it does not follow; None where it does
    lag_events: int
    lag_seconds: float | None  # None: nothing was heard of a leader yet
    epoch: int  # of the leader
    refused: int = 0
    refusal: str | None = None  # the newest
    duplicates: int = 0


@record
class FollowerSeen:
    """What a leader knows of a follower."""

    name: str
    seq: int  # it has, durably
    lag_events: int
    held_bytes: int  # of the log that wait for it
    state: str  # one of FOLLOWER_STATES
    heard_seconds: float | None = None  # since it was heard of; None: never
    refused: int = 0  # messages that it could not use


@record
class LeadingSeen:
    """What a leader knows of itself and of its followers."""

    epoch: int
    leads: bool = True  # until another node does
    trouble: str | None = None  # why nothing is shipped any more, though nobody said so
    sent_bytes: int = 0
    followers: tuple[FollowerSeen, ...] = ()


@record
class IngestSeen:
    """How ingesting from a broker's stream goes; messages and events since it was begun."""

    stream: str
    trouble: str | None = None  # what ended it
    position: int = 0  # the last message that is durable here
    pending: int = 0  # messages that follow it
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    missing: int = 0  # messages that the stream had no longer


@record
class MemberSeen:
    """What a region knows of another one of its group."""

    region: int
    seq: int | None  # up to which its events count here; None: nothing came yet
    lag_events: int = 0  # that it said it has, and that do not count here
    heard_seconds: float | None = None  # since it said what it has; None: never


@record
class RegionSeen:
    """How a store exchanges what it has with other regions; messages and bytes since it began to."""

    region: int  # its own number
    linked_seconds: float  # for so long it has listened
    trouble: str | None = None  # why nothing is exchanged any more
    members: tuple[MemberSeen, ...] = ()  # the others, by number
    refused: int = 0  # messages that could not be used
    refusal: str | None = None  # the newest
    sent_bytes: int = 0
    state_bytes: int = 0  # of its own state, when it was last copied for the others; 0: it never was
    state_seconds: float = 0.0  # that this took


Link = FollowingSeen | LeadingSeen | RegionSeen | IngestSeen
_T = TypeVar("_T", bound=Link)
Look = Callable[[], Link | None]  # None: there is nothing to see any more


class Links:
    """The links of one database. Safe to share by threads.

    >>> links = Links()
    >>> links.attach("ingest", lambda: IngestSeen("orders", pending=7))
    >>> [it.stream for it in links.of(IngestSeen)]
    ['orders']
    >>> links.detach("ingest")
    >>> links.seen()
    ()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[str, Look] = {}

    def attach(self, name: str, look: Look) -> None:
        """From now on have ``look`` called when somebody asks, in place of an earlier one of this name. It
        must be quick, and may be called by any thread.
        """
        with self._lock:
            self._looks = {**self._looks, name: look}

    def detach(self, name: str) -> None:
        """Forget a link, if it is there."""
        with self._lock:
            self._looks = {other: look for other, look in self._looks.items() if other != name}

    def seen(self) -> tuple[Link, ...]:
        """Return what there is to see now."""
        return tuple(link for look in self._looks.values() if (link := look()) is not None)

    def of(self, kind: type[_T]) -> tuple[_T, ...]:
        """Return what there is to see of one kind."""
        return tuple(link for link in self.seen() if isinstance(link, kind))
