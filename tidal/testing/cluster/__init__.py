"""Simulated clusters: time, networks, disks and crashes from one seed, and what must hold in spite of them.

>>> first, again = simulate("regions", seed=1), simulate("regions", seed=1)
>>> first.violation is None, first.digest == again.digest
(True, True)
"""

from tidal.testing.cluster.running import SCENARIOS, Outcome, simulate
from tidal.testing.cluster.world import Violation, World

__all__ = ["SCENARIOS", "Outcome", "Violation", "World", "simulate"]
