"""Sessions: what one agent does for one user, logged with the events and derived from the log."""

from tidal.sessions.book import Sessions
from tidal.sessions.host import Host, Recorded
from tidal.sessions.limits import SessionLimits
from tidal.sessions.operations import (
    Annotation,
    Closed,
    Hint,
    Opened,
    Operation,
    decode,
    encode,
    operations_of,
)
from tidal.sessions.session import Session
from tidal.sessions.state import SessionState
from tidal.sessions.summary import SessionSummary

__all__ = [
    "Annotation",
    "Closed",
    "Hint",
    "Host",
    "Opened",
    "Operation",
    "Recorded",
    "Session",
    "SessionLimits",
    "SessionState",
    "SessionSummary",
    "Sessions",
    "decode",
    "encode",
    "operations_of",
]
