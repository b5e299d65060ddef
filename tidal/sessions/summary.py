"""What is known of one session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidal.records import record
from tidal.sessions.operations import Reason


@record
class SessionSummary:
    """A session as it is, or as it was when it was closed. Times in ns since the epoch."""

    id: int
    user_id: int
    agent: str
    policy: str | None
    opened_at: int
    last_at: int  # the newest time of an operation
    closed_at: int | None  # None: it is open
    reason: Reason | None  # why it was closed: by its caller, or because nothing happened in it
    seq: int  # of its last operation; the opening is 1
    signals: Mapping[str, int]  # signal type -> how many
    weights: Mapping[str, float]  # signal type -> the sum of their weights
    hints: int
    annotations: int

    @property
    def is_open(self) -> bool:
        """Whether operations can be added."""
        return self.closed_at is None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON value; ids are numbers."""
        return {
            "id": self.id,
            "user_id": self.user_id,
            "agent": self.agent,
            "policy": self.policy,
            "opened_at": self.opened_at,
            "last_at": self.last_at,
            "closed_at": self.closed_at,
            "reason": self.reason,
            "seq": self.seq,
            "signals": dict(self.signals),
            "weights": dict(self.weights),
            "hints": self.hints,
            "annotations": self.annotations,
        }
