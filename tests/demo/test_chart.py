"""The geometry of the charts."""

from __future__ import annotations

import itertools
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.demo.chart import (
    LABEL_GAP,
    LOWEST_LABEL,
    TICKS_MAX,
    Series,
    line_chart,
    line_path,
    nice_scale,
    spread,
)


@given(st.floats(0.01, 1e12))
def test_a_scale_holds_its_largest_value_with_few_round_marks(largest: float) -> None:
    top, ticks = nice_scale(largest)
    assert top >= largest
    assert ticks[0] == 0 and ticks[-1] <= top
    assert 1 <= len(ticks) <= TICKS_MAX + 1
    assert all(float(f"{tick:.2g}") == tick for tick in ticks)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_labels_keep_their_order_and_distance(heights: list[float]) -> None:
    placed = spread(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for below, above in itertools.pairwise(order):
        assert placed[above] - placed[below] >= LABEL_GAP - 1e-9
    assert all(height >= LOWEST_LABEL for height in placed)


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread([0.2, 0.9, 0.5]) == [0.2, 0.9, 0.5]


def test_values_below_nothing_are_drawn_at_nothing() -> None:
    assert line_path([-5, 10], 10) == "M0 1000L1 0"


def test_the_strip_joins_days_and_the_months_are_named() -> None:
    line = Series("Lamp", [1.0] * 40, 0)
    chart = line_chart(date(2010, 12, 20), [line], [0] * 10 + [None] * 30, "pieces")
    assert '<i class="f0" style="left:0.00%;width:25.00%"></i>' in chart
    assert '<i class="other" style="left:25.00%;width:75.00%"></i>' in chart
    assert chart.count("Jan <b>2011</b>") == 1


@pytest.mark.parametrize("days", [1, 2])
def test_a_chart_of_hardly_any_days(days: int) -> None:
    chart = line_chart(date(2011, 1, 1), [Series("Lamp", [0.0] * days, 0)], [0] * days, "pieces")
    assert "nan" not in chart and "inf" not in chart
