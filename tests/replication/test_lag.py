"""Lag: events that are missing, and the age of what is there."""

from __future__ import annotations

from tidal.replication.lag import Progress
from tidal.schema.durations import NS_PER_SECOND

S = NS_PER_SECOND


def test_nothing_heard_is_no_lag_in_seconds() -> None:
    lag = Progress().lag(5, 100 * S)
    assert (lag.events, lag.seconds) == (0, None)


def test_seconds_are_since_the_follower_had_all() -> None:
    progress = Progress()
    progress.note(10, 1 * S)
    progress.note(20, 2 * S)
    progress.note(30, 3 * S)
    assert progress.lag(5, 9 * S).events == 25
    assert progress.lag(5, 9 * S).seconds is None
    assert (progress.lag(20, 9 * S).events, progress.lag(20, 9 * S).seconds) == (10, 7.0)
    assert (progress.lag(25, 9 * S).seconds, progress.lag(30, 9 * S).seconds) == (7.0, 6.0)


def test_an_idle_leader_keeps_a_follower_fresh() -> None:
    progress = Progress()
    for second in range(1, 5_000):
        progress.note(10, second * S)
    assert progress.lag(10, 5_000 * S).seconds == 1.0


def test_late_news_is_passed_over() -> None:
    progress = Progress()
    progress.note(30, 3 * S)
    progress.note(10, 1 * S)
    assert (progress.lag(30, 4 * S).events, progress.lag(30, 4 * S).seconds) == (0, 1.0)
    assert progress.lag(30, 2 * S).seconds == 0.0  # a clock that is behind the leader's
