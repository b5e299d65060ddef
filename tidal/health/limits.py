"""From when on a database is unwell."""

from __future__ import annotations

from tidal.errors import InvalidOption
from tidal.records import record
from tidal.schema.durations import Duration, parse_duration


@record
class HealthLimits:
    """From when on a database is unwell.

    - ``free_bytes``: less space on the disk than this, or than a checkpoint and a segment of the log take.
    - ``follower``: a mark that did not move for so long, while there were events that it has not.
    - ``checkpoint``: no checkpoint for so long, though ``checkpoint_factor`` times ``checkpoint_bytes`` were
      logged since.
    - ``clock``: a jump of the wall clock by more than this; it is told for ten minutes.
    - ``lag``, ``lag_events``: a follower so much behind its leader, in time or in events (None: any). Silence
      counts: what was not heard of is not here.
    - ``region``: another region that was not heard of for so long. Choose more than the ``interval=`` of the
      regions.
    - ``refused``: more messages than this that a follower or region could not use, within ten minutes.
    - ``ingest``: no message of a broker's stream ingested for so long, though there were some.

    Raises InvalidOption or InvalidDuration for what cannot be meant.

    >>> HealthLimits(follower="1h").free_bytes
    67108864
    """

    free_bytes: int = 64 << 20
    follower: Duration = "15m"
    checkpoint: Duration = "10m"
    checkpoint_factor: float = 4.0
    clock: Duration = "60s"
    lag: Duration = "60s"
    lag_events: int | None = None
    region: Duration = "5m"
    refused: int = 10
    ingest: Duration = "5m"

    def __post_init__(self) -> None:
        if type(self.free_bytes) is not int or self.free_bytes < 0:
            raise InvalidOption(
                f"tidal.HealthLimits(free_bytes={self.free_bytes!r}): choose bytes, 0 or more"
            )
        if not isinstance(self.checkpoint_factor, int | float) or not self.checkpoint_factor >= 1:
            raise InvalidOption(
                f"tidal.HealthLimits(checkpoint_factor={self.checkpoint_factor!r}): choose 1 or more"
            )
        for name, count in (("lag_events", self.lag_events or 0), ("refused", self.refused)):
            if type(count) is not int or count < 0:
                raise InvalidOption(f"tidal.HealthLimits({name}={count!r}): choose an integer, 0 or more")
        durations = (self.follower, self.checkpoint, self.clock, self.lag, self.region, self.ingest)
        for duration in durations:
            parse_duration(duration)
