"""Events brought into a state that is kept, by tidal and by what a user would keep it in instead."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.common import ENTITIES, SKEWED, UNIFORM, events
from benchmarks.peers.running import ENGINES, Engine

EVENTS = 20_000


class Feed:
    """Twenty thousand events into a state that has seen them once."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), tuple(ENGINES))
    param_names: ClassVar = ("entities", "skew", "engine")
    number = 1
    timeout = 300
    engine: Engine | None = None  # of a peer that is not there

    def setup(self, entities: int, skew: int, engine: str) -> None:
        self.engine = ENGINES[engine](events(entities, EVENTS, skew=skew))
        self.feed = self.engine.feed
        self.feed()

    def teardown(self, entities: int, skew: int, engine: str) -> None:
        if self.engine is not None:
            self.engine.close()

    def time_events(self, entities: int, skew: int, engine: str) -> None:
        self.feed()

    def peakmem_events(self, entities: int, skew: int, engine: str) -> None:
        self.feed()


class BytesAnEntity:
    """What the state takes after four events of each entity on average; of Redis, in its own process."""

    params: ClassVar = ((10_000, 100_000), tuple(ENGINES))
    param_names: ClassVar = ("entities", "engine")
    unit = "bytes"
    timeout = 300

    def track_held(self, entities: int, engine: str) -> float:
        with ENGINES[engine](events(entities, 4 * entities)) as state:
            state.feed()
            return state.held_bytes() / len(set(state.events.ids.tolist()))
