"""Events into a database: batches of columns, and single calls."""

from __future__ import annotations

from typing import ClassVar

import tidal
from benchmarks.common import (
    BATCH_EVENTS,
    ENTITIES,
    SIGNAL,
    SKEWED,
    UNIFORM,
    each_once,
    events,
    ingest,
    new_folder,
    schema,
)

BATCHES = 4
CALLS = 1_000


class Batches:
    """Four batches of 65,536 events into a database in memory that knows every entity."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), (0.0, 0.1))
    param_names: ClassVar = ("entities", "skew", "late")
    number = 1

    def setup(self, entities: int, skew: int, late: float) -> None:
        first = each_once(entities)
        self.db = tidal.open(schema=schema())
        ingest(self.db, first)
        self.events = events(entities, BATCHES * BATCH_EVENTS, skew=skew, late=late)
        self.shift_ns = first.span_ns

    def time_ingest(self, entities: int, skew: int, late: float) -> None:
        ingest(self.db, self.events, shift_ns=self.shift_ns)


class WithMetrics(Batches):
    """The same batches into a database that serves its metrics."""

    def setup(self, entities: int, skew: int, late: float) -> None:
        super().setup(entities, skew, late)
        self.db = tidal.open(schema=schema(), metrics="127.0.0.1:0")
        ingest(self.db, each_once(entities))

    def teardown(self, entities: int, skew: int, late: float) -> None:
        self.db.close()


class Growth:
    """As many events as entities, each of another one, into an empty database."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)
    number = 1

    def setup(self, entities: int) -> None:
        self.db = tidal.open(schema=schema())
        self.events = each_once(entities)

    def time_ingest(self, entities: int) -> None:
        ingest(self.db, self.events)


class Durable:
    """Four batches of 65,536 events into a store on disk, by sync policy."""

    params: ClassVar = (ENTITIES, ("group", "os"))
    param_names: ClassVar = ("entities", "sync")
    number = 1

    def setup(self, entities: int, sync: str) -> None:
        self.db = tidal.open(new_folder() / "store", schema=schema(), sync=sync, checkpoint_bytes=None)
        self.events = events(entities, BATCHES * BATCH_EVENTS)

    def teardown(self, entities: int, sync: str) -> None:
        self.db.close()

    def time_ingest(self, entities: int, sync: str) -> None:
        ingest(self.db, self.events)


class Calls:
    """A thousand calls of signal(), each for another entity, in memory."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)
    number = 1

    def setup(self, entities: int) -> None:
        self.db = tidal.open(schema=schema())
        ingest(self.db, each_once(entities))
        self.ids = each_once(entities).ids[:CALLS].tolist()

    def time_signal_1000(self, entities: int) -> None:
        for entity_id in self.ids:
            self.db.signal(SIGNAL, entity_id)


class DurableCalls:
    """Ten calls of signal(), each waiting for the disk."""

    params: ClassVar = (("group", "always"),)
    param_names: ClassVar = ("sync",)
    number = 1

    def setup(self, sync: str) -> None:
        self.db = tidal.open(new_folder() / "store", schema=schema(), sync=sync)
        self.db.signal(SIGNAL, 1)

    def teardown(self, sync: str) -> None:
        self.db.close()

    def time_signal_10(self, sync: str) -> None:
        for entity_id in range(10):
            self.db.signal(SIGNAL, entity_id)
