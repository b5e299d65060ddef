"""When an append becomes durable: the five sync policies."""

from __future__ import annotations

from tidal.errors import InvalidOption
from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND, parse_duration

_MODES = ("group", "always", "interval", "os", "buffered")
_WITH_INTERVAL = ("interval", "buffered")


@record
class SyncPolicy:
    """When an event is acknowledged, and what a power cut may lose: always a suffix, never a hole.

    A killed process loses nothing that was acknowledged, but under ``buffered``.

    - ``group``: acknowledged when its batch is synced; callers that wait together share one sync. Loses
      nothing acknowledged.
    - ``always``: acknowledged when its batch is synced. Loses nothing acknowledged.
    - ``interval``: acknowledged when the kernel has it. Loses the last ``interval_ns`` and one sync at most.
    - ``os``: acknowledged when the kernel has it. Loses what the kernel had not written of the active
      segment.
    - ``buffered``: an event of signal() is acknowledged when it is in the memory of the process, which
      hands it to the kernel within ``interval_ns`` and then syncs. A killed process (``kill -9``, a crash of
      the interpreter) loses the last ``interval_ns`` and one write; a power cut those and one sync. Events of
      ingest() are acknowledged when the kernel has them. Code that keeps the interpreter to itself, so
      that the draining thread cannot run, adds to the interval.
    """

    mode: str = "group"
    interval_ns: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            choices = '"group", "always", "interval:50ms", "os" or "buffered:5ms"'
            raise InvalidOption(f"sync policy {self.mode!r}; choose {choices}")
        if self.mode not in _WITH_INTERVAL:
            if self.interval_ns is not None:
                raise InvalidOption(f'sync policy "{self.mode}" takes no interval')
        elif type(self.interval_ns) is not int or self.interval_ns < 1:
            raise InvalidOption(f'sync policy "{self.mode}" needs an interval: write "{self.mode}:50ms"')

    @property
    def waits(self) -> bool:
        """Whether an append is acknowledged only when it is durable."""
        return self.mode in ("group", "always")

    @property
    def buffers(self) -> bool:
        """Whether single events wait in the memory of the process before they are logged."""
        return self.mode == "buffered"

    @property
    def interval_seconds(self) -> float | None:
        return None if self.interval_ns is None else self.interval_ns / NS_PER_SECOND

    def __str__(self) -> str:
        return self.mode if self.interval_ns is None else f"{self.mode}:{self.interval_ns / 1e6:g}ms"


def parse_sync(policy: str | SyncPolicy) -> SyncPolicy:
    """Return the policy of a text such as "group" or "interval:50ms"; InvalidOption for any other.

    >>> parse_sync("interval:50ms")
    SyncPolicy(mode='interval', interval_ns=50000000)
    """
    if isinstance(policy, SyncPolicy):
        return policy
    mode, colon, interval = policy.partition(":")
    return SyncPolicy(mode, parse_duration(interval) if colon else None)
