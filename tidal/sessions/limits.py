"""Limits of sessions: how long they live, how much they may write, how many are remembered."""

from __future__ import annotations

import math
from collections.abc import Callable

from tidal.errors import InvalidOption
from tidal.records import record
from tidal.schema.durations import Duration, parse_duration


@record
class SessionLimits:
    """What sessions may take. Raises InvalidOption or InvalidDuration for what cannot be meant.

    - ``ttl``: a session in which nothing happened for so long is closed (None: never).
    - ``rate``, ``burst``: each session may make ``burst`` operations at once, and ``rate`` a second in the
      long run; beyond it they raise RateLimited. None: no limit. What was used up is not kept across a
      restart.
    - ``open``: the most sessions that are open at once; opening one more raises LimitExceeded.
    - ``closed``, ``retention``: a closed session is remembered until so many were closed after it, or until
      one was opened or closed so much later (None: no such limit). Its events stay in the log in any case.

    >>> SessionLimits(rate=5, burst=10).ttl
    '1h'
    """

    ttl: Duration | None = "1h"
    rate: float | None = None
    burst: int = 100
    open: int = 10_000
    closed: int = 10_000
    retention: Duration | None = "7d"

    def __post_init__(self) -> None:
        for name, least in (("burst", 1), ("open", 1), ("closed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InvalidOption(
                    f"tidal.SessionLimits({name}={value!r}): choose an integer of at least {least}"
                )
        if self.rate is not None and not _is_rate(self.rate):
            raise InvalidOption(
                f"tidal.SessionLimits(rate={self.rate!r}): choose operations a second, more than 0, or None"
            )
        for duration in (self.ttl, self.retention):
            if duration is not None:
                parse_duration(duration)

    @property
    def ttl_ns(self) -> int | None:
        """``ttl`` in ns."""
        return None if self.ttl is None else parse_duration(self.ttl)

    @property
    def retention_ns(self) -> int | None:
        """``retention`` in ns."""
        return None if self.retention is None else parse_duration(self.retention)


def _is_rate(rate: object) -> bool:
    return isinstance(rate, int | float) and type(rate) is not bool and math.isfinite(rate) and rate > 0


class TokenBucket:
    """``burst`` tokens, refilled at ``rate`` a second by a clock in seconds. For one thread at a time."""

    def __init__(self, rate: float, burst: int, monotonic: Callable[[], float]) -> None:
        self.rate, self._burst, self._monotonic = rate, burst, monotonic
        self._tokens, self._at = float(burst), monotonic()

    def take(self) -> float:
        """Take a token and return 0.0; or take none, and return the seconds until there is one."""
        now = self._monotonic()
        self._tokens = min(float(self._burst), self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self.rate
        self._tokens -= 1.0
        return 0.0
