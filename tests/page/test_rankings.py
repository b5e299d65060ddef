"""Rankings with their bars, held to counting by hand; on real orders, too."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidal
from tidal.page.rankings import BARS, ROWS, events_over_time, measures_shown, ranking_of, trend_of
from tidal.schema.measures import measures_of

SECOND = 10**9
WINDOWS = {"1h": (60, 60), "24h": (3600, 24), "7d": (3600, 168)}  # seconds of a bucket, buckets
SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life=("7d", "1d"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("like", windows=("1h",))
    .signal("plain")
    .build()
)


def by_hand(times: list[int], now: int, window: str) -> list[int]:
    """The events of each bar: whole buckets, the running one in the last."""
    seconds, buckets = WINDOWS[window]
    running = now // (seconds * SECOND)
    bars = [0] * BARS[window]
    for time in times:
        place = time // (seconds * SECOND) - (running - buckets + 1)
        if 0 <= place < buckets:
            bars[place * BARS[window] // buckets] += 1
    return bars


@pytest.mark.parametrize("window", WINDOWS)
@settings(max_examples=20)
@given(
    now=st.integers(1_700_000_000, 1_700_700_000),
    ages=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 700_000)), max_size=60),
)
def test_bars_are_the_events_of_each_part(window: str, now: int, ages: list[tuple[int, int]]) -> None:
    now *= SECOND
    events = sorted(((now - age * SECOND, entity) for entity, age in ages), key=lambda event: event[0])
    with tidal.open(schema=SCHEMA, clock=lambda: now, max_future_skew=None) as db:
        for time, entity in events:
            db.signal("view", entity, timestamp=time)
        ids = np.arange(5, dtype=np.uint64)
        bars = events_over_time(db, "view", ids, window, db.now())
    for entity in range(5):
        times = [time for time, of in events if of == entity]
        assert bars[entity].tolist() == by_hand(times, now, window)


def test_the_ranking_of_real_orders_is_that_of_top(data_folder: Path) -> None:
    with gzip.open(data_folder / "online-retail-2010-12.csv.gz", "rt", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["StockCode"]]
    times = [
        int(datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC).timestamp()) * SECOND
        for row in rows
    ]
    with tidal.open(schema=SCHEMA, clock="event") as db:
        db.ingest(signal="view", entity_id=[row["StockCode"] for row in rows], timestamp=times)
        db.items.put("85123A", {"title": "WHITE HANGING HEART T-LIGHT HOLDER"})
        for by in measures_of(SCHEMA.signal("view")):
            found = ranking_of(db, SCHEMA.signal("view"), by)
            top = db.top("view", ROWS, by=by)
            assert [row["key"] for row in found.rows] == top.keys
            assert [row["value"] for row in found.rows] == top.values.tolist()
            window = found.window
            assert window in WINDOWS
            for row in found.rows:
                assert sum(row["bars"]) == db.count("view", row["key"], window)
                assert (row["title"] is not None) == (row["key"] == "85123A")


def test_what_is_shown_unless_asked_otherwise() -> None:
    shown = {signal.name: measures_shown(signal) for signal in SCHEMA}
    assert shown == {
        "view": ("score", "velocity.1h"), "like": ("score", "count.1h"), "plain": ("score", "count.all"),
    }  # fmt: skip


def test_without_windows_there_are_no_bars_and_no_entities_no_rows() -> None:
    with tidal.open(schema=SCHEMA) as db:
        assert ranking_of(db, SCHEMA.signal("view"), "score").rows == []
        db.signal("plain", 7)
        [row] = ranking_of(db, SCHEMA.signal("plain"), "count.all").rows
        assert row == {"id": "7", "key": None, "title": None, "value": 1, "bars": [], "trend": None}
        db.signal("plain", 8, 3e38)
        for _ in range(3):
            db.signal("plain", 8, 3e38)
        assert ranking_of(db, SCHEMA.signal("plain"), "score").rows[0]["value"] == pytest.approx(1.2e39)


def test_a_trend_leaves_the_running_part_out_and_compares_equal_spans() -> None:
    assert trend_of([5, 5, 10, 10, 99]) == 1.0
    assert trend_of([7, 5, 5, 5, 5, 0]) == 0.0, "of an odd rest the oldest is left out"
    assert trend_of([0, 0, 3, 3, 0]) is None
    assert trend_of([4, 4, 0, 0, 8]) == -1.0
