"""Scores from day to day and what is found in them, against the formula itself."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

import tidal
from tidal.demo.findings import (
    at_place,
    best_products,
    fastest_movers,
    largest_climbs,
    largest_difference,
)
from tidal.demo.history import DAY_NS, History, fill, record_history
from tidal.demo.retail import OrderLines, retail_schema

HOUR = DAY_NS // 24
START = 14_974 * DAY_NS  # 2010-12-31


def order_lines(rows: list[tuple[str, str, float, int]]) -> OrderLines:
    """(signal, product, pieces, hours after START)"""
    signal, product, quantity, hours = zip(*rows, strict=True)
    return OrderLines(
        signal=np.array(signal),
        product=np.array(product, np.object_),
        title=np.array([name.upper() for name in product], np.object_),
        quantity=np.array(quantity, np.float64),
        timestamp=START + np.array(hours, np.int64) * HOUR,
        user=np.arange(len(rows), dtype=np.uint64),
        user_known=np.ones(len(rows), np.bool_),
        invoice=np.arange(len(rows), dtype=np.uint64),
    )


LINES = order_lines(
    [
        ("purchase", "lamp", 8, 1),
        ("purchase", "cup", 4, 2),
        ("adjust", "lamp", 100, 3),
        ("purchase", "cup", 2, 30),
        ("purchase", "bird", 1000, 60),
        ("cancel", "bird", 1000, 61),
        ("purchase", "lamp", 1, 62),
    ]
)
SIGN = {"purchase": 1, "cancel": -1, "adjust": 0}


def expected(product: str, at: int) -> float:
    """Sum of w * 2^(-(t - t_i) / 7 days) over the events up to at, cancels negative."""
    rows = zip(LINES.signal, LINES.product, LINES.quantity, LINES.timestamp, strict=True)
    return sum(
        SIGN[str(signal)] * pieces * 2.0 ** (-(at - int(t)) / (7 * DAY_NS))
        for signal, name, pieces, t in rows
        if name == product and t <= at
    )


def test_history_is_what_each_day_knew() -> None:
    history = record_history(LINES)
    end = int(LINES.timestamp[-1])
    assert history.first_day == date(2010, 12, 31)
    assert history.products == ["bird", "cup", "lamp"]
    for row, at in zip(history.days, [START + DAY_NS, START + 2 * DAY_NS, end], strict=True):
        assert row == pytest.approx([expected(product, at) for product in history.products], abs=1e-9)
    assert history.before == pytest.approx([expected(product, end - DAY_NS) for product in history.products])
    assert history.now == pytest.approx(history.days[-1])
    assert history.leaders() == [2, 2, 2]


def test_places_and_climbs() -> None:
    history = History(
        date(2011, 1, 1),
        ["a", "b", "c"],
        np.array([[1.0, 2.0, 3.0]]),
        np.array([3.0, 2.0, 1.0]),
        np.array([1.0, 2.0, 3.0]),
    )
    assert [place.tolist() for place in history.places()] == [[1, 2, 3], [3, 2, 1]]
    (climb,) = largest_climbs(history, {"c": "Cup"}, 5)
    assert (climb.product, climb.title, climb.before, climb.now, climb.score) == ("c", "Cup", 3, 1, 3.0)
    assert at_place(history, {}, 2).title == "b"


def test_a_cancelled_order_leads_by_purchases_only() -> None:
    with tidal.open(schema=retail_schema(), clock="event") as db:
        fill(db, LINES, 0, len(LINES))
        db.items.put("lamp", {"title": "A lamp"})
        best, spike = best_products(db, 2)
        movers = fastest_movers(db, 5)
    end = int(LINES.timestamp[-1])
    assert [(row.product, row.title) for row in best] == [("lamp", "A lamp"), ("cup", "cup")]
    assert best[0].score == pytest.approx(expected("lamp", end))
    assert (best[0].lines_24h, best[0].lines_7d) == (1, 2)
    assert spike is not None and spike.product == "bird"
    assert spike.purchase_score < spike.cancel_score
    assert movers == []


def test_movers_are_measured_against_their_own_week() -> None:
    busy = order_lines(
        [("purchase", "old", 1, 10 + hour % 3) for hour in range(60)]
        + [("purchase", name, 1, 100) for name in ["old"] * 12 + ["new"] * 11 + ["rare"]]
    )
    with tidal.open(schema=retail_schema(), clock="event") as db:
        fill(db, busy, 0, len(busy))
        movers = fastest_movers(db, 5)
    assert [(mover.product, round(mover.day_rate), round(mover.times, 2)) for mover in movers] == [
        ("new", 11, 7.0),
        ("old", 12, round(12 / (72 / 7), 2)),
    ]


def test_two_databases_are_compared_by_counts_and_scores() -> None:
    with (
        tidal.open(schema=retail_schema(), clock="event") as one,
        tidal.open(schema=retail_schema(), clock="event") as other,
    ):
        fill(one, LINES, 0, len(LINES))
        fill(other, LINES, 0, 4)
        fill(other, LINES, 4, len(LINES))
        assert largest_difference(one, other, LINES) == 0.0
        one.signal("adjust", "cup", timestamp=START)
        assert largest_difference(one, other, LINES) == float("inf")
        other.signal("adjust", "cup", timestamp=START)
        one.signal("purchase", "cup", 2.0, timestamp=int(LINES.timestamp[-1]))
        other.signal("purchase", "cup", 5.0, timestamp=int(LINES.timestamp[-1]))
        assert largest_difference(one, other, LINES) == pytest.approx(3.0)
