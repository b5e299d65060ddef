"""ManualClock: a clock that stands still until a test moves it."""

from __future__ import annotations

from tidal.schema.durations import Duration, parse_duration


class ManualClock:
    """Returns the time it was last given, in ns since the epoch (UTC), whenever it is called.

    >>> clock = ManualClock(0)
    >>> clock.advance("1h")
    3600000000000
    >>> clock()
    3600000000000
    """

    def __init__(self, now: int = 1_700_000_000 * 10**9) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def set(self, now: int) -> int:
        """Move to ``now`` (ns), forwards or backwards, and return it."""
        self.now = now
        return now

    def advance(self, duration: Duration | int) -> int:
        """Move forwards by "1h", a timedelta or a number of ns; return the new time in ns."""
        return self.set(self.now + (duration if isinstance(duration, int) else parse_duration(duration)))
