"""Fixed works whose instructions test_instructions.py counts: run by callgrind, with the library of marks.

python counted_work.py MARKS.so
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import numpy as np

import tidal
from tidal._ext.gathered_places import GatheredPlaces, HomedWords
from tidal._ext.hash_order import in_hash_order
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet

EVENTS = 20_000
ENTITIES = 1_009
WORDS = 100_000
CALLS = 1_000
PER_SECOND = 100
START_NS = 1_700_000_000 * 10**9
HALF_LIFE_NS = 7 * 86400 * 10**9


def main(marks: ctypes.CDLL) -> None:
    """Do each work once without counting, so that what grows has grown, and once counted."""
    works = {"ingest": _ingest(), "replay": _replay(), "signal": _signal(), "score": _score()}
    for name, work in works.items():
        work()
        marks.start()
        work()
        marks.stop(name.encode())


def _ingest() -> Callable[[], None]:
    """A batch of 200 s of event time into one shard, so that minutes turn."""
    shards = ShardSet([Shard([HALF_LIFE_NS], True, True, True)])
    ids = np.arange(EVENTS, dtype=np.uint64) * np.uint64(7_919) % np.uint64(ENTITIES) << np.uint64(40)
    weights = np.ones(EVENTS, np.float32)
    times = START_NS + np.arange(EVENTS, dtype=np.int64) * (10**9 // PER_SECOND)

    def work() -> None:
        shards.ingest(ids, weights, times)
        times.__iadd__(EVENTS // PER_SECOND * 10**9)

    return work


def _replay() -> Callable[[], None]:
    """An event of each word of a dictionary by hash, where there is one entity before."""
    words = in_hash_order(np.arange(WORDS, dtype=np.uint64) * np.uint64(7_919))
    assert words is not None
    homed, places = HomedWords(words, 1), np.arange(WORDS, dtype=np.uint32)
    weights = np.ones(WORDS, np.float32)
    times = START_NS + np.arange(WORDS, dtype=np.int64)

    def work() -> None:
        shards = ShardSet([Shard([HALF_LIFE_NS], True, True, True)])
        shards.ingest(words[:1], weights[:1], times[:1])
        gathered = GatheredPlaces(shards)
        gathered.add(places, homed, weights, times)
        gathered.apply()

    return work


def _signal() -> Callable[[], None]:
    db = _database()

    def work() -> None:
        signal = db.signal
        for entity_id in range(CALLS):
            signal("view", entity_id)

    return work


def _score() -> Callable[[], None]:
    db = _database()
    for entity_id in range(CALLS):
        db.signal("view", entity_id)

    def work() -> None:
        score = db.score
        for entity_id in range(CALLS):
            score("view", entity_id)

    return work


def _database() -> tidal.TidalDb:
    schema = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h", "24h", "7d")).build()
    return tidal.open(schema=schema)


if __name__ == "__main__":
    main(ctypes.CDLL(sys.argv[1]))
