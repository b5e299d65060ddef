from __future__ import annotations

from datetime import timedelta

from tidal.testing import ManualClock


def test_the_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(5)
    assert (clock(), clock()) == (5, 5)
    assert clock.set(-7) == clock() == -7
    assert clock.advance("1h") == clock() == 3600 * 10**9 - 7
    assert clock.advance(timedelta(seconds=1)) == clock() == 3601 * 10**9 - 7
    assert clock.advance(7) == clock() == 3601 * 10**9
