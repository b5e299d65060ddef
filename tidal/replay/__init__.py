"""Replay: what a history adds up to, under any schema, until any time, on one core or a cluster."""

from tidal.replay.comparing import Comparison, Difference, compare
from tidal.replay.features import replay_at, timeline
from tidal.replay.feeding import ReplayProgress
from tidal.replay.merging import merge
from tidal.replay.on_ray import RayExecutor
from tidal.replay.partial import Covered
from tidal.replay.replayed import Replayed
from tidal.replay.replaying import replay
from tidal.replay.source import LeftOut
from tidal.replay.whatif import Agreement, WhatIf, what_if

__all__ = [
    "Agreement",
    "Comparison",
    "Covered",
    "Difference",
    "LeftOut",
    "RayExecutor",
    "ReplayProgress",
    "Replayed",
    "WhatIf",
    "compare",
    "merge",
    "replay",
    "replay_at",
    "timeline",
    "what_if",
]
