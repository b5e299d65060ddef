"""The smallest materializer that there is."""

from __future__ import annotations

import tidal


class Tally:
    """How many events there were."""

    def __init__(self) -> None:
        self.events = 0

    def on_events(self, batch: tidal.EventBatch) -> None:
        self.events += len(batch)

    def checkpoint(self) -> bytes:
        return str(self.events).encode()

    def restore(self, state: bytes) -> None:
        self.events = int(state)
