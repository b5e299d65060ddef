"""The compiled core without the database around it: shards, and the column transforms of the log."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmarks.common import (
    BATCH_EVENTS,
    ENTITIES,
    SKEWED,
    START_NS,
    UNIFORM,
    Events,
    each_once,
    events,
)
from tidal._ext import columns
from tidal._ext.shard import Shard
from tidal._ext.shards import ShardSet

HALF_LIFE_NS = 7 * 86400 * 10**9


class ShardBatches:
    """Batches of 65,536 events or ids on shards that know every entity."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), (1, 4))
    param_names: ClassVar = ("entities", "skew", "shards")
    number = 1

    def setup(self, entities: int, skew: int, shards: int) -> None:
        self.shards = ShardSet([_new_shard() for _ in range(shards)])
        first = each_once(entities)
        self.clock = START_NS + first.span_ns
        self.shards.ingest(first.ids, first.weights, first.times)
        batch = events(entities, BATCH_EVENTS, skew=skew)
        self.batch = Events(batch.ids, batch.weights, batch.times + first.span_ns)

    def time_ingest(self, entities: int, skew: int, shards: int) -> None:
        self.shards.ingest(*self.batch)

    def time_scores(self, entities: int, skew: int, shards: int) -> None:
        self.shards.scores(self.batch.ids, 0, self.clock)

    def time_counts(self, entities: int, skew: int, shards: int) -> None:
        self.shards.counts(self.batch.ids, 0, self.clock)


class MinuteTurn:
    """The turn of a minute in which every entity was active once."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)
    number = 1

    def setup(self, entities: int) -> None:
        self.shard = _new_shard()
        first = each_once(entities)
        times = np.full(entities, START_NS)
        ShardSet([self.shard]).ingest(first.ids, first.weights, times)

    def time_roll(self, entities: int) -> None:
        self.shard.roll(START_NS + 60 * 10**9)


class Columns:
    """Transforms of 65,536 words of a log batch: times (delta) and ids (no order)."""

    params: ClassVar = (("times", "ids"),)
    param_names: ClassVar = ("column",)

    def setup(self, column: str) -> None:
        batch = events(ENTITIES[0], BATCH_EVENTS)
        self.words = batch.times.view(np.uint64) if column == "times" else batch.ids
        self.planes = columns.split(self.words, 8)
        self.deltas = columns.split_delta(self.words, 8)
        self.base = int(self.words[0])

    def time_measure(self, column: str) -> None:
        columns.measure(self.words)

    def time_split_delta(self, column: str) -> None:
        columns.split_delta(self.words, 8)

    def time_join(self, column: str) -> None:
        columns.join(self.planes, BATCH_EVENTS, 8)

    def time_join_delta(self, column: str) -> None:
        columns.join_delta(self.deltas, BATCH_EVENTS, 8, self.base)

    def time_distinct(self, column: str) -> None:
        columns.distinct(self.words, BATCH_EVENTS)


def _new_shard() -> Shard:
    return Shard([HALF_LIFE_NS], True, True, True)
