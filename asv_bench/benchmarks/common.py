"""The data that every benchmark works on. May be appended to but never changed: old results stay comparable.

The numbers come from SplitMix64, written out here, because NumPy may change what its generators yield.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tidal

ENTITIES: Final = (10_000, 100_000, 1_000_000)
UNIFORM: Final = 1  # entity = entities * u ** skew, u uniform in [0, 1)
SKEWED: Final = 3
BATCH_EVENTS: Final = 65_536
EVENTS_PER_SECOND: Final = 10_000  # of event time
LATE_NS_MAX: Final = 2 * 3600 * 10**9  # a late event is up to two hours old: some are past the 1h window
START_NS: Final = 1_700_000_000 * 10**9
SIGNAL: Final = "view"

_ID_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: ids are distinct, and spread over all 64 bits


def schema() -> tidal.Schema:
    """Return one signal type with all that can be kept of it live."""
    return (
        tidal.SchemaBuilder()
        .signal(SIGNAL, half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
        .build()
    )


class Events(NamedTuple):
    """Columns of one length; weights are whole numbers from 1 to 4."""

    ids: NDArray[np.uint64]
    weights: NDArray[np.float32]
    times: NDArray[np.int64]

    @property
    def span_ns(self) -> int:
        """How far to shift the times so that the same events come again, after these."""
        return int(self.times.max() - START_NS) + 1

    def batches(self, *, shift_ns: int = 0, size: int = BATCH_EVENTS) -> Iterator[dict[str, Any]]:
        """Yield the events in order, as arguments of ``db.ingest``."""
        for start in range(0, len(self.ids), size):
            rows = slice(start, start + size)
            yield {
                "signal": SIGNAL,
                "entity_id": self.ids[rows],
                "weight": self.weights[rows],
                "timestamp": self.times[rows] + shift_ns,
            }


def entity_ids(ranks: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the ids of the entities with these numbers, 0 the most popular where events are skewed."""
    return ranks * _ID_STEP


@functools.lru_cache(maxsize=1)
def events(
    entities: int,
    count: int,
    *,
    skew: int = UNIFORM,
    late: float = 0.0,
    per_second: int = EVENTS_PER_SECOND,
) -> Events:
    """Return ``count`` events at even distances in time, of which the fraction ``late`` arrives late."""
    ranks = (_uniform(count, 1) ** skew * entities).astype(np.uint64)
    weights = (1 + (_uniform(count, 2) * 4).astype(np.int64)).astype(np.float32)
    times = START_NS + np.arange(count, dtype=np.int64) * (10**9 // per_second)
    if late:
        rows = np.flatnonzero(_uniform(count, 3) < late)
        times[rows] -= (_uniform(len(rows), 4) * LATE_NS_MAX).astype(np.int64)
    return Events(entity_ids(ranks), weights, times)


@functools.lru_cache(maxsize=1)
def each_once(entities: int) -> Events:
    """Return one event of every entity, in an order that is not that of the ids."""
    step = (2**61 - 1) % entities  # coprime to the sizes in use: visits each entity once
    ranks = np.arange(entities, dtype=np.uint64) * np.uint64(step) % np.uint64(entities)
    times = START_NS + np.arange(entities, dtype=np.int64) * (10**9 // EVENTS_PER_SECOND)
    return Events(entity_ids(ranks), np.ones(entities, np.float32), times)


def ingest(db: tidal.TidalDb, columns: Events, *, shift_ns: int = 0, size: int = BATCH_EVENTS) -> None:
    """Feed all events in batches."""
    for batch in columns.batches(shift_ns=shift_ns, size=size):
        db.ingest(**batch)


@functools.lru_cache(maxsize=1)
def filled(entities: int, clock: Literal["system", "event"]) -> tidal.TidalDb:
    """Return a database in memory that knows every entity and has had five skewed events of each on average.

    With the events' clock, "now" is when the windows are full. It is shared: only read it.
    """
    db = tidal.open(schema=schema(), clock=clock)
    first = each_once(entities)
    ingest(db, first)
    ingest(db, events(entities, 5 * entities, skew=SKEWED), shift_ns=first.span_ns)
    return db


def new_folder() -> Path:
    """Return a new folder in the current one, which asv deletes with all that is in it."""
    return Path(tempfile.mkdtemp(dir="."))


def folder_bytes(folder: Path) -> int:
    """Return the summed sizes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def resident_bytes() -> int:
    """Return the memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _uniform(count: int, seed: int) -> NDArray[np.float64]:
    """Return SplitMix64 from a seed, as numbers in [0, 1)."""
    x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed << 32)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
