"""Meters: which bucket an observation is in, and that threads lose none."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext.meter import Meter, Timed


def bucket(value: int) -> int:
    """The slow twin: the least power of two that is not below a value."""
    return next(power for power in range(64) if value <= 2**power)


@given(st.lists(st.integers(-5, 2**40) | st.integers(0, 70)))
def test_each_observation_is_in_the_bucket_of_the_power_above_it(values: list[int]) -> None:
    meter = Meter()
    for value in values:
        meter.observe(value)
    total, counts = meter.read()
    assert total == sum(max(value, 0) for value in values)
    assert [counts[i] for i in range(64)] == [
        sum(bucket(max(value, 0)) == i for value in values) for i in range(64)
    ]
    assert meter.count == len(values)


@pytest.mark.parametrize(
    ("value", "place"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (2**63 - 1, 63)]
)
def test_bounds_belong_to_the_bucket_below(value: int, place: int) -> None:
    meter = Meter()
    meter.observe(value)
    assert meter.read()[1].index(1) == place


def test_what_is_no_int64_is_refused_and_not_counted() -> None:
    meter = Meter()
    for value in (2**63, "1", None):
        with pytest.raises((OverflowError, TypeError)):
            meter.observe(value)  # type: ignore[arg-type]
    assert meter.count == 0


def test_threads_lose_no_observation() -> None:
    meter = Meter()
    threads = [threading.Thread(target=lambda: [meter.observe(3) for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.read()[0] == 3 * 80_000


def test_a_timed_call_does_what_the_call_does() -> None:
    meter = Meter()

    def call(*args: int, **options: int) -> tuple[object, object]:
        return args, options

    timed = Timed(call, meter)
    assert timed(1, 2, a=3) == ((1, 2), {"a": 3})
    assert timed.__wrapped__ is call
    total, _ = meter.read()
    assert meter.count == 1 and 0 < total < 10**10


def test_a_call_that_raises_has_no_time() -> None:
    meter = Meter()
    timed = Timed(int, meter)
    with pytest.raises(ValueError):
        timed("x")
    assert meter.count == 0
    with pytest.raises(TypeError):
        Timed(int, None)  # type: ignore[arg-type]
