"""From when on a database is unwell: what can be meant, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest

from tidal.errors import InvalidDuration, InvalidOption
from tidal.health import HealthLimits


@pytest.mark.parametrize(
    "given",
    [
        {"free_bytes": -1},
        {"free_bytes": 1.5},
        {"checkpoint_factor": 0.5},
        {"checkpoint_factor": float("nan")},
        {"lag_events": -1},
        {"lag_events": 1.5},
        {"refused": -1},
        {"refused": None},
    ],
)
def test_limits_that_cannot_be_meant_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        HealthLimits(**given)


@pytest.mark.parametrize("name", ["follower", "checkpoint", "clock", "lag", "ingest"])
def test_limits_are_durations(name: str) -> None:
    with pytest.raises(InvalidDuration):
        HealthLimits(**{name: "soon"})
