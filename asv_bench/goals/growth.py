"""P12: how cost grows, with entities and with events."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.common import SIGNAL, events, schema
from benchmarks.peers import files

import tidal
from goals.bench import Bench, alternate
from goals.ingest import Feed
from goals.replay import first_events
from goals.row import Row
from goals.yardstick import Yardstick

TIMES_THE_ENTITIES: Final = (0.01, 0.1, 1, 10)
PASSES: Final = 3
QUARTERS: Final = 4


def entities(bench: Bench) -> Iterator[Row]:
    """Time and memory at four sizes; then replay of a whole archive beside that of its first quarter.

    The floor touches the same records: what it gains in time with their number is memory's latency.
    """
    costs = [_cost(bench, int(bench.entities * times)) for times in TIMES_THE_ENTITIES]
    for goal, cost in zip(("P12", "", "", ""), costs, strict=True):
        yield Row(goal, f"{cost.entities:,} entities", cost.nanoseconds, "ns", "floor", cost.floor)
        yield Row("", "each of them, by stats()", cost.held_bytes, "B")
    least, most = costs[0], costs[-1]
    growth, floor_growth = most.nanoseconds / least.nanoseconds, most.floor / least.floor
    yield Row("", "from fewest to most entities", growth, "×", "floor", floor_growth, at_most=1)
    yield _linear(bench)


@dataclass(frozen=True, slots=True)
class _Cost:
    entities: int
    nanoseconds: float  # an event
    floor: float
    held_bytes: float  # an entity


def _cost(bench: Bench, count: int) -> _Cost:
    stream = events(count, bench.events)
    db = tidal.open(schema=schema())
    feed = Feed(db, stream)
    with Yardstick(bench, stream) as yardstick:
        taken = alternate(min(PASSES, bench.passes), {"tidal": feed.seconds, "floor": yardstick.floor})
    each = {name: value / len(stream.ids) * 1e9 for name, value in taken.items()}
    stats = db.stats()["signals"][SIGNAL]
    held = sum(value for name, value in stats.items() if name.endswith("_bytes"))
    return _Cost(count, each["tidal"], each["floor"], held / stats["entities"])


def _linear(bench: Bench) -> Row:
    """Return nanoseconds an event of all and of the first quarter, both with all entities in both."""
    folder = bench.new_folder()
    archive = files.archive(folder, events(int(bench.entities * TIMES_THE_ENTITIES[0]), bench.events))
    part = bench.events // QUARTERS
    taken = alternate(
        bench.passes,
        {"all": lambda: first_events(archive, bench.events), "part": lambda: first_events(archive, part)},
    )
    shutil.rmtree(folder)
    whole, quarter = taken["all"] / bench.events * 1e9, taken["part"] / part * 1e9
    return Row("", "replay, an event of all", whole, "ns", "quarter", quarter, at_most=1.1)
