"""Whether a database is well, judged from what is seen of it."""

from tidal.health.limits import HealthLimits
from tidal.health.reasons import NOT_READY, REASONS, Health, HealthReason, of_shards
from tidal.health.watch import HealthWatch, Vitals

__all__ = [
    "NOT_READY",
    "REASONS",
    "Health",
    "HealthLimits",
    "HealthReason",
    "HealthWatch",
    "Vitals",
    "of_shards",
]
