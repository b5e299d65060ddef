"""Rates of counters: exact over their history, bounded, and begun anew with another state."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.page.rates import RATE_SECONDS, SAMPLE_SECONDS, SAMPLES_MAX, Rates, Sample


def sample(at: float, total: int) -> Sample:
    return Sample(at, total, {"view": total})


@given(st.lists(st.tuples(st.floats(0.001, 30), st.integers(0, 10**9)), max_size=400))
def test_the_points_add_up_to_what_was_counted(steps: list[tuple[float, int]]) -> None:
    rates, at, total, taken = Rates(), 0.0, 0, [sample(0.0, 0)]
    rates.add(taken[0])
    for seconds, events in steps:
        at, total = at + seconds, total + events
        taken.append(sample(at, total))
        rates.add(taken[-1])
    points = rates.points(at)
    assert len(points) < SAMPLES_MAX
    assert [age for age, _ in points] == sorted((age for age, _ in points), reverse=True)
    kept = [taken[0]]
    for one in taken:
        if one.at - kept[-1].at >= SAMPLE_SECONDS:
            kept.append(one)
    kept = kept[-SAMPLES_MAX:]
    expected = [(b.total - a.total) / (b.at - a.at) for a, b in pairwise(kept)]
    assert [rate for _, rate in points] == pytest.approx(expected)


def test_now_is_of_the_last_second_or_of_the_last_two_looks() -> None:
    rates = Rates()
    rates.add(sample(0, 0))
    assert rates.now() is None and rates.of("view") is None
    for tick in range(1, 41):
        rates.add(sample(tick / 4, tick**2))
    assert rates.now() == pytest.approx((40**2 - 36**2) / RATE_SECONDS)
    assert rates.of("view") == rates.now() and rates.of("like") == 0.0
    rates.add(sample(20, 40**2 + 100))
    assert rates.now() == pytest.approx(100 / 10), "nobody looked for ten seconds"


def test_another_state_begins_a_new_history() -> None:
    rates = Rates()
    for second in range(20):
        rates.add(sample(second, 1000 * second))
    rates.add(sample(20, 5))
    assert rates.points(20) == [] and rates.now() is None
    rates.add(sample(20, 5))  # a clock that stands still divides nothing by nothing
    assert rates.now() is None
