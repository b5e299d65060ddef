"""When an append becomes durable: the four sync policies."""

from __future__ import annotations

from dataclasses import dataclass

from tidal.schema.durations import NS_PER_SECOND, parse_duration

_MODES = ("group", "always", "interval", "os")


@dataclass(frozen=True, slots=True)
class SyncPolicy:
    """When an append is acknowledged, and what a power cut may lose. A killed process loses nothing.

    - ``group``: acknowledged when its batch is synced; callers that wait together share one sync. Loses
      nothing acknowledged.
    - ``always``: acknowledged when its batch is synced. Loses nothing acknowledged.
    - ``interval``: acknowledged when the kernel has it. Loses the last ``interval_ns`` and one sync at most:
      a suffix, never a hole.
    - ``os``: acknowledged when the kernel has it. Loses what the kernel had not written of the active
      segment.
    """

    mode: str = "group"
    interval_ns: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise ValueError(f'sync policy {self.mode!r}; choose "group", "always", "interval:50ms" or "os"')
        if (self.mode == "interval") != (self.interval_ns is not None and self.interval_ns > 0):
            raise ValueError('a positive interval belongs to the policy "interval" and to no other')

    @property
    def waits(self) -> bool:
        """Whether an append is acknowledged only when it is durable."""
        return self.mode in ("group", "always")

    @property
    def interval_seconds(self) -> float | None:
        return None if self.interval_ns is None else self.interval_ns / NS_PER_SECOND

    def __str__(self) -> str:
        return self.mode if self.interval_ns is None else f"interval:{self.interval_ns / 1e6:g}ms"


def parse_sync(policy: str | SyncPolicy) -> SyncPolicy:
    """Return the policy of a text such as "group" or "interval:50ms"; ValueError for any other.

    >>> parse_sync("interval:50ms")
    SyncPolicy(mode='interval', interval_ns=50000000)
    """
    if isinstance(policy, SyncPolicy):
        return policy
    mode, colon, interval = policy.partition(":")
    return SyncPolicy(mode, parse_duration(interval) if colon else None)
