"""Leaders and followers without threads: tests carry the messages, lose them, and set the clock."""

from replicakit.pair import (
    NS,
    SCHEMA,
    Link,
    archived_once_listed,
    events,
    follower_ahead,
    lead_from,
    leader_at,
    log_bytes,
    open_as_follower,
    same_state,
)

__all__ = [
    "NS",
    "SCHEMA",
    "Link",
    "archived_once_listed",
    "events",
    "follower_ahead",
    "lead_from",
    "leader_at",
    "log_bytes",
    "open_as_follower",
    "same_state",
]
