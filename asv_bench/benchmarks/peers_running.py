"""Events brought into a state that is kept, by tidal and by what a user would keep it in instead."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.common import ENTITIES, SKEWED, UNIFORM, events
from peers.running import ENGINES, Engine

EVENTS = 20_000


class Feed:
    """Twenty thousand events into a state that has seen them once."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED), tuple(ENGINES))
    param_names: ClassVar = ("entities", "skew", "engine")
    number = 1
    timeout = 300

    def setup(self, entities: int, skew: int, engine: str) -> None:
        self.engine: Engine = ENGINES[engine](events(entities, EVENTS, skew=skew))
        self.engine.feed()

    def teardown(self, entities: int, skew: int, engine: str) -> None:
        self.engine.close()

    def time_events(self, entities: int, skew: int, engine: str) -> None:
        self.engine.feed()

    def peakmem_events(self, entities: int, skew: int, engine: str) -> None:
        self.engine.feed()


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
