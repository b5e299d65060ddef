"""One seed, one run."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Final, Protocol

from tidal.records import record
from tidal.testing.cluster.leader_and_followers import LeaderAndFollowers
from tidal.testing.cluster.three_regions import ThreeRegions
from tidal.testing.cluster.world import World
from tidal.testing.disk.inline import inline_keeper

_TRACE_SHOWN: Final = 60


class Scenario(Protocol):
    """Something that happens in a world, and checks itself."""

    def __init__(self, world: World) -> None: ...

    def run(self) -> None:
        """Do all of it; Violation, or any error, where something is wrong."""


SCENARIOS: Final[Mapping[str, type[Scenario]]] = {"regions": ThreeRegions, "leader": LeaderAndFollowers}


@record
class Outcome:
    """What came of a run."""

    scenario: str
    seed: int
    digest: str  # of the trace: equal for every run of this seed
    violation: str | None
    trace: tuple[str, ...]

    def report(self) -> str:
        """Return what to read when it went wrong: the seed, what was wrong, and what came before."""
        lines = self.trace[-_TRACE_SHOWN:]
        again = f'tidal.testing.cluster.simulate("{self.scenario}", seed={self.seed})'
        return "\n".join([f"{again}: {self.violation}", *lines])


def simulate(scenario: str, seed: int) -> Outcome:
    """Run a scenario; the same seed makes the same run, on any machine."""
    world = World(seed)
    violation = None
    with inline_keeper():
        try:
            SCENARIOS[scenario](world).run()
        except Exception as error:
            violation = f"{type(error).__name__}: {error}"
            world.note(traceback.format_exc())
    return Outcome(scenario, seed, world.digest(), violation, tuple(world.trace))
