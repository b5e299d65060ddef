"""Tools for tests, of tidal and of code that uses it.

``ModelLedger``, ``assert_agrees`` and ``ManualClock`` need nothing else.
``tidal.testing.strategies`` needs Hypothesis, ``tidal.testing.fixtures`` needs pytest: import them by name.
"""

from __future__ import annotations

from tidal.testing.agreement import assert_agrees
from tidal.testing.clock import ManualClock
from tidal.testing.model import Event, ModelLedger

__all__ = ["Event", "ManualClock", "ModelLedger", "assert_agrees"]
