"""Memory of the live state, by what the operating system and the database itself say.

asv runs each of these in a process of its own, so what was resident before is not part of the figure.
"""

from __future__ import annotations

import gc
from typing import ClassVar

import tidal
from benchmarks.common import (
    ENTITIES,
    SIGNAL,
    SKEWED,
    Events,
    each_once,
    events,
    ingest,
    resident_bytes,
    schema,
)

WEEK_SECONDS = 7 * 86400
EVENTS_AN_ENTITY = 5


def idle(entities: int) -> Events:
    """Return one event of each entity."""
    return each_once(entities)


def busy(entities: int) -> Events:
    """Return five skewed events of each entity on average, spread over the week that windows reach back."""
    count = EVENTS_AN_ENTITY * entities
    return events(entities, count, skew=SKEWED, per_second=max(1, count // WEEK_SECONDS))


class BytesAnEntity:
    """Bytes for each entity of a signal type: idle for eight days, or busy for one week."""

    params: ClassVar = (ENTITIES, ("idle", "busy"))
    param_names: ClassVar = ("entities", "state")
    unit = "bytes"

    def setup(self, entities: int, state: str) -> None:
        self.events = idle(entities) if state == "idle" else busy(entities)
        self.warm = tidal.open(schema=schema())
        self.warm.signal(SIGNAL, 1)

    def fill(self, state: str) -> tidal.TidalDb:
        db = tidal.open(schema=schema())
        ingest(db, self.events)
        if state == "idle":
            db.signal(SIGNAL, 1, timestamp=int(self.events.times.max()) + 8 * 86400 * 10**9)
        return db

    def track_resident(self, entities: int, state: str) -> float:
        gc.collect()  # what is left of earlier work must not be freed, and counted, meanwhile
        before = resident_bytes()
        db = self.fill(state)
        return (resident_bytes() - before) / _stats(db)["entities"]

    def track_own_count(self, entities: int, state: str) -> float:
        stats = _stats(self.fill(state))
        return sum(value for name, value in stats.items() if name.endswith("_bytes")) / stats["entities"]

    def peakmem_ingest(self, entities: int, state: str) -> None:
        self.fill(state)


def _stats(db: tidal.TidalDb) -> dict[str, int]:
    stats: dict[str, int] = db.stats()["signals"][SIGNAL]
    return stats
