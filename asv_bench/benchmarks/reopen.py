"""Opening a store: the newest checkpoint and the log after it."""

from __future__ import annotations

from typing import ClassVar

import tidal
from benchmarks.common import ENTITIES, SKEWED, each_once, events, ingest, new_folder, schema

LOG_EVENTS = (0, 300_000)


class Reopen:
    """A store as a killed process leaves it: a checkpoint, events after it, and a log that is not sealed."""

    params: ClassVar = (ENTITIES, LOG_EVENTS)
    param_names: ClassVar = ("entities", "log_events")
    number = 1
    repeat = (1, 5, 10.0)

    def setup(self, entities: int, log_events: int) -> None:
        self.folder = new_folder() / "store"
        self.opened: tidal.TidalDb | None = None
        # Left open: closing would write a checkpoint, and then there would be no log to replay.
        self.writer = tidal.open(self.folder, schema=schema(), sync="os", checkpoint_bytes=None)
        first = each_once(entities)
        ingest(self.writer, first)
        self.writer.checkpoint()
        if log_events:
            ingest(self.writer, events(entities, log_events, skew=SKEWED), shift_ns=first.span_ns)

    def teardown(self, entities: int, log_events: int) -> None:
        if self.opened is not None:
            self.opened.close()
        self.writer.close()

    def time_open(self, entities: int, log_events: int) -> None:
        self.opened = tidal.open(self.folder, read_only=True)
