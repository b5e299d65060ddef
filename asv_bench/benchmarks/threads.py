"""What a second thread brings: as many batches as one thread has, dealt out."""

from __future__ import annotations

import threading
from typing import ClassVar

import tidal
from benchmarks.common import BATCH_EVENTS, ENTITIES, each_once, events, ingest, schema

BATCHES = 8


class Ingest:
    """Eight batches of 65,536 events into a database in memory that knows every entity."""

    params: ClassVar = (ENTITIES, (1, 2))
    param_names: ClassVar = ("entities", "threads")
    number = 1

    def setup(self, entities: int, threads: int) -> None:
        first = each_once(entities)
        self.db = tidal.open(schema=schema())
        ingest(self.db, first)
        stream = events(entities, BATCHES * BATCH_EVENTS)
        self.batches = list(stream.batches(shift_ns=first.span_ns))

    def time_ingest(self, entities: int, threads: int) -> None:
        def feed(thread: int) -> None:
            for batch in self.batches[thread::threads]:
                self.db.ingest(**batch)

        workers = [threading.Thread(target=feed, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
