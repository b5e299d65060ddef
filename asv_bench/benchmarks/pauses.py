"""The longest waits of a writer while a store grows, minutes turn and checkpoints are written."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np

import tidal
from benchmarks.common import ENTITIES, events, new_folder, schema

CALL_EVENTS = 4_096
CALLS = 500
PER_SECOND = 20_000  # of event time: minutes turn that touched most entities


class Pauses:
    """Five hundred calls of ingest() into a store that begins empty."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)
    unit = "ms"

    def setup(self, entities: int) -> None:
        stream = events(entities, CALLS * CALL_EVENTS, per_second=PER_SECOND)
        self.db = tidal.open(
            new_folder() / "store", schema=schema(), sync="os", clock="event", checkpoint_bytes=1 << 22
        )
        taken = []
        for batch in stream.batches(size=CALL_EVENTS):
            start = time.perf_counter_ns()
            self.db.ingest(**batch)
            taken.append(time.perf_counter_ns() - start)
        self.milliseconds = np.array(taken) / 1e6

    def teardown(self, entities: int) -> None:
        self.db.close()

    def track_p999_of_ingest(self, entities: int) -> float:
        return float(np.percentile(self.milliseconds, 99.9))

    def track_longest_ingest(self, entities: int) -> float:
        return float(self.milliseconds.max())
