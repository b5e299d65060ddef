"""The streams of a broker that events go through, and their names.

stream {name}_{shard}, subject {name}.events.{shard}    batches that shard has not ingested yet
stream {name}_dead,    subjects {name}.dead.{shard}     messages that a shard refused, for a week
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidal.errors import InvalidOption
from tidal.records import record
from tidal.transports.nats import check_prefix, check_replicas

if TYPE_CHECKING:
    from nats.js.api import StreamConfig

QUEUE_BYTES: Final = 1 << 30
DEAD_BYTES: Final = 1 << 28
DEAD_SECONDS: Final = 7 * 86_400.0
DUPLICATE_SECONDS: Final = 120.0


@record
class Streams:
    """How events wait between workers and a shard: all programs of one ``name`` should agree.

    ``queue_bytes``: of the batches of one shard; where there are more, publishing waits and then fails, and
    nothing is dropped. ``replicas``: 3 in a cluster that is to survive the loss of a server.
    """

    name: str = "events"
    replicas: int = 1
    queue_bytes: int = QUEUE_BYTES
    dead_bytes: int = DEAD_BYTES

    def __post_init__(self) -> None:
        check_prefix(self.name)
        check_replicas(self.replicas)
        if self.queue_bytes <= 0 or self.dead_bytes <= 0:
            raise InvalidOption(f"queue_bytes={self.queue_bytes}, dead_bytes={self.dead_bytes}: above 0")

    def stream(self, shard: int) -> str:
        return f"{self.name}_{shard}"

    def subject(self, shard: int) -> str:
        return f"{self.name}.events.{shard}"

    def dead_subject(self, shard: int) -> str:
        return f"{self.name}.dead.{shard}"

    def of_shard(self, shard: int) -> StreamConfig:
        """Return how the stream of a shard is made: full, it takes no more."""
        from nats.js.api import DiscardPolicy, StreamConfig

        return StreamConfig(
            name=self.stream(shard),
            subjects=[self.subject(shard)],
            num_replicas=self.replicas,
            max_bytes=self.queue_bytes,
            discard=DiscardPolicy.NEW,
            duplicate_window=DUPLICATE_SECONDS,
        )

    def of_dead(self) -> StreamConfig:
        """Return how the stream of refused messages is made: the oldest go first."""
        from nats.js.api import StreamConfig

        return StreamConfig(
            name=f"{self.name}_dead",
            subjects=[f"{self.name}.dead.*"],
            num_replicas=self.replicas,
            max_bytes=self.dead_bytes,
            max_age=DEAD_SECONDS,
            duplicate_window=DUPLICATE_SECONDS,
        )
