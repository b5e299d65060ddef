"""replay_at() and timeline(): equal to brute force over the list of events."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from feedback import polis
from hypothesis import given, settings
from hypothesis import strategies as st
from replaykit import events_of, twin
from worn import START

import tidal
from tidal.errors import InvalidEvent, InvalidOption, SchemaError, UnknownMeasure, UnknownSignalType
from tidal.replay.moments import Moments, Tally
from tidal.schema import EventBatch, Schema
from tidal.schema.durations import parse_duration
from tidal.schema.measures import measures_of, parse_measure
from tidal.testing import ModelLedger
from tidal.testing.model import Event
from tidal.testing.strategies import events, schemas, to_batch

SECOND = 10**9
STEPS = (0, -1, 1, 60 * SECOND, 3600 * SECOND, 7 * 86400 * SECOND)  # from an event to a question
ITEMS = ["view", "like"]


class BruteForce:
    """Answers as of a time: the twin that was told of nothing later, made anew for each question."""

    def __init__(self, schema: Schema, found: Sequence[Event], *, strict: bool = False) -> None:
        self._schema, self._strict = schema, strict
        self._by_entity: dict[tuple[str, int], list[Event]] = {}
        for event in found:
            self._by_entity.setdefault((event.signal, event.entity_id), []).append(event)

    def value(self, name: str, entity_id: int, at: int) -> tuple[float, float]:
        """Return a measure, and by how much a right answer may differ."""
        signal, _, by = name.partition(".")
        known = self._by_entity.get((signal, entity_id), [])
        early = [it for it in known if it.timestamp < at or (it.timestamp == at and not self._strict)]
        model = ModelLedger(self._schema, early)
        half_life = by.partition(".")[2] or None
        slack = model.magnitude(signal, entity_id, at, half_life) if by.startswith("score") else 0.0
        return model.value(signal, entity_id, by, at), 1e-9 * slack + 1e-290


def assert_equal(found: Any, brute: BruteForce, names: Sequence[str], rows: Sequence[int]) -> None:
    for name in names:
        column = found[name]
        for row in rows:
            want, slack = brute.value(name, int(found["entity_id"][row]), int(found["time"][row]))
            assert abs(float(column[row]) - want) <= slack, (name, row, column[row], want)


@given(schemas(), st.data())
@settings(max_examples=100)
def test_random_events_and_rows(schema: Schema, data: st.DataObject) -> None:
    happened = data.draw(events(schema))
    strict = data.draw(st.booleans())
    signal = data.draw(st.sampled_from(list(schema)))
    times = sorted({event.timestamp for event in happened}) or [0]
    near = st.sampled_from(times).flatmap(lambda t: st.sampled_from([t + step for step in STEPS]))
    rows = data.draw(st.lists(st.tuples(st.sampled_from([it.entity_id for it in happened] or [1]), near)))
    ids = np.array([entity for entity, _ in rows], np.uint64)
    at = np.array([time for _, time in rows], np.int64)
    measures = [parse_measure(signal, name) for name in measures_of(signal)]
    moments = Moments(ids, at, signal.windows, strict=strict)
    tally = Tally(signal, moments, measures)
    batch = to_batch(schema, happened)
    for start in range(0, len(batch), 7):
        part = batch.rows(start, start + 7)
        part = part.where(part.type_id == signal.type_id)
        tally.add(part, *moments.place(part))
    answers = {
        f"{signal.name}.{name}": tally.answers()[measure]
        for name, measure in zip(measures_of(signal), measures, strict=True)
    }
    brute = BruteForce(schema, happened, strict=strict)
    assert_equal({"entity_id": ids, "time": at, **answers}, brute, list(answers), range(len(rows)))


def asked(store: Path, count: int, seed: int, *, kind: Sequence[str]) -> dict[str, list[int]]:
    """Rows about entities that there are, at times of events and beside them."""
    rng = random.Random(seed)
    found = [it for _, it in events_of(store) if it.signal in kind]
    steps = (0, 0, 1, -1, 60 * SECOND, -3600 * SECOND, 90_000 * SECOND)
    return {
        "entity_id": [rng.choice(found).entity_id for _ in range(count)],
        "time": [rng.choice(found).timestamp + rng.choice(steps) for _ in range(count)],
    }


@pytest.mark.parametrize("strict", [False, True])
def test_a_store(store: Path, strict: bool) -> None:
    frame = asked(store, 200, 1, kind=ITEMS)
    found = tidal.replay_at(store, frame, signals=ITEMS, strict=strict)
    assert list(found) == [
        "entity_id", "time", "view.score", "view.count.1h", "view.count.24h", "view.count.all",
        "view.velocity.1h", "view.velocity.24h", "like.score", "like.count.all",
    ]  # fmt: skip
    assert found["view.count.1h"].dtype == np.uint64 and found["view.score"].dtype == np.float64
    assert found["time"].tolist() == frame["time"]
    with tidal.open(store, read_only=True) as db:
        brute = BruteForce(db.schema, [it for _, it in events_of(store)], strict=strict)
    assert_equal(found, brute, list(found)[2:], range(200))


def test_it_is_what_a_replay_until_then_reads(store: Path) -> None:
    frame = asked(store, 8, 2, kind=ITEMS)
    found = tidal.replay_at(store, frame, signals=ITEMS)
    for row, (entity, time) in enumerate(zip(*frame.values(), strict=True)):
        then = tidal.replay(store, until=time)
        assert found["view.count.1h"][row] == then.count("view", entity, "1h", at=time)
        assert found["like.score"][row] == pytest.approx(then.score("like", entity, at=time), rel=1e-9)


FRAMES = {
    "dict": lambda rows: rows,
    "polars": pl.DataFrame,
    "pandas": pd.DataFrame,
    "arrow": lambda rows: pl.DataFrame(rows).to_arrow(),
}


@pytest.mark.parametrize("frame_of", FRAMES.values(), ids=FRAMES.keys())
def test_frames_of_any_make(store: Path, frame_of: Any) -> None:
    rows = {
        "key": ["item3", "item9", "unheard of", "item3"],
        "time": np.array([START + n * SECOND for n in (40, 200, 200, 300)], "M8[ns]"),
        "label": [1, 0, 0, 1],
    }
    found = tidal.replay_at(store, frame_of(rows), measures=["view.count.all"])
    assert list(found) == ["entity_id", "key", "time", "view.count.all"]
    assert found["key"].tolist() == rows["key"]
    brute = BruteForce(twin(store).schema, [it for _, it in events_of(store)])
    assert_equal(found, brute, ["view.count.all"], range(4))
    assert found["view.count.all"].tolist()[2] == 0 < found["view.count.all"].tolist()[3]
    assert pl.DataFrame(found)["time"].dtype == pl.Datetime("ns", "UTC")


def test_a_signal_for_each_row(store: Path) -> None:
    rows = asked(store, 60, 3, kind=ITEMS)
    signals = ["view", "like", "follow"] * 20
    found = tidal.replay_at(store, {**rows, "signal": signals})
    assert list(found)[2:] == [
        "score", "count.1h", "count.24h", "count.all", "velocity.1h", "velocity.24h"
    ]  # fmt: skip
    brute = BruteForce(twin(store).schema, [it for _, it in events_of(store)])
    for row, signal in enumerate(signals):
        want, slack = brute.value(f"{signal}.score", rows["entity_id"][row], rows["time"][row])
        assert abs(found["score"][row] - want) <= slack
        assert np.isnan(found["count.1h"][row]) == (signal != "view")
    alone = tidal.replay_at(store, {**rows, "signal": signals}, measures=["count.all"])
    assert np.array_equal(alone["count.all"], found["count.all"])


def test_another_schema(store: Path) -> None:
    schema = tidal.SchemaBuilder().signal("view", half_life=("10s", "1h"), windows=("7d",)).build()
    frame = asked(store, 50, 4, kind=["view"])
    found = tidal.replay_at(store, frame, schema=schema, signals=["view"])
    assert list(found)[2:] == ["view.score", "view.score.1h", "view.count.7d", "view.count.all"]
    brute = BruteForce(schema, [it for _, it in events_of(store) if it.signal == "view"])
    assert_equal(found, brute, list(found)[2:], range(50))


def test_no_rows_and_no_events(store: Path, tmp_path: Path) -> None:
    empty = {"entity_id": np.zeros(0, np.uint64), "time": np.zeros(0, np.int64)}
    assert tidal.replay_at(store, empty, signals=ITEMS).rows == 0
    schema = tidal.SchemaBuilder().signal("view").build()
    tidal.open(tmp_path / "empty", schema=schema).close()
    found = tidal.replay_at(tmp_path / "empty", {"entity_id": [7], "time": [0]})
    assert (found["view.score"].tolist(), found["view.count.all"].tolist()) == ([0.0], [0])


@pytest.mark.parametrize(
    ("frame", "options", "error"),
    [
        ({"time": [1]}, {}, InvalidEvent),
        ({"entity_id": [1]}, {}, InvalidEvent),
        ({"entity_id": [1, 2], "time": [1]}, {}, InvalidEvent),
        ({"entity_id": [-1], "time": [1]}, {}, InvalidEvent),
        ({"entity_id": [1], "time": ["soon"]}, {}, InvalidEvent),
        ({"entity_id": [1], "time": [1], "signal": ["hate"]}, {}, UnknownSignalType),
        ({"entity_id": [1], "time": [1]}, {"signals": None}, SchemaError),  # items and creators
        ({"entity_id": [1], "time": [1]}, {"measures": "view.score"}, InvalidOption),
        ({"entity_id": [1], "time": [1]}, {"measures": ["view.count.7d"]}, UnknownMeasure),
        ({"entity_id": [1], "time": [1], "signal": ["like"]}, {"measures": ["count.7d"]}, UnknownMeasure),
        ({"entity_id": [1], "time": [1]}, {"strict": 1}, InvalidOption),
        (7, {}, InvalidEvent),
    ],
)
def test_what_is_refused(original: Path, frame: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        tidal.replay_at(original, frame, **{"signals": ITEMS, **options})


# ------------------------------------------------------------------------------------ real data


@pytest.mark.parametrize("count", [300])
def test_votes_of_polis(tmp_path: Path, data_folder: Path, count: int) -> None:
    """Votes are grouped by statement, so the log is far out of time order."""
    with polis(data_folder, tmp_path / "store", ("vtaiwan.uberx",)) as db:
        assert db.last_seq > 10_000
    schema = (
        tidal.SchemaBuilder()
        .signal("agree", half_life=("1h", "7d"), windows=("1h", "24h", "7d"), velocity=True)
        .signal("pass")
        .signal("disagree", half_life="1d", windows=("24h",))
        .build()
    )
    frame = asked(tmp_path / "store", count, 5, kind=["agree", "disagree"])
    found = tidal.replay_at(tmp_path / "store", frame, schema=schema)
    brute = BruteForce(schema, [it for _, it in events_of(tmp_path / "store")])
    assert_equal(found, brute, list(found)[2:], range(count))


def test_orders_of_online_retail(tmp_path: Path, data_folder: Path) -> None:
    orders = pl.read_csv(data_folder / "online-retail-2010-12.csv.gz", infer_schema=False).select(
        pl.col("StockCode"),
        pl.col("Quantity").cast(pl.Float64),
        pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns"),
    )
    orders = orders.filter(pl.col("Quantity") > 0)
    schema = (
        tidal.SchemaBuilder()
        .signal("purchase", half_life=("1d", "7d"), windows=("1h", "24h", "7d"), velocity=True)
        .build()
    )
    with tidal.open(tmp_path / "store", schema=schema, clock="event") as db:
        db.ingest(
            orders.rename({"StockCode": "key", "Quantity": "weight", "InvoiceDate": "timestamp"}),
            signal="purchase",
        )
    sample = orders.sample(300, seed=6).rename({"StockCode": "key", "InvoiceDate": "time"})
    found = tidal.replay_at(tmp_path / "store", sample)
    brute = BruteForce(schema, [it for _, it in events_of(tmp_path / "store")])
    assert_equal(found, brute, list(found)[3:], range(300))


# ------------------------------------------------------------------------------------ timelines


def test_a_timeline_is_replay_at_at_regular_times(store: Path) -> None:
    found = tidal.timeline(
        store, ["item3", "item9"], every="1m", signals=ITEMS, measures=["view.score", "view.count.1h"]
    )
    minutes = sorted(set(found["time"].tolist()))
    step = parse_duration("1m")
    assert [minutes[0] % step, *np.diff(minutes)] == [0] + [step] * (len(minutes) - 1)
    assert found["key"].tolist() == ["item3"] * len(minutes) + ["item9"] * len(minutes)
    assert found["time"].tolist() == minutes * 2
    brute = BruteForce(twin(store).schema, [it for _, it in events_of(store)])
    assert_equal(found, brute, ["view.score", "view.count.1h"], range(found.rows))


def test_from_one_time_to_another(store: Path) -> None:
    found = tidal.timeline(
        store, [7], every="10s", since=START + 95 * SECOND, until=START + 130 * SECOND, signals=["view"]
    )
    assert [(it - START) // SECOND for it in found["time"].tolist()] == [100, 110, 120, 130]
    for options in ({"since": 2 * START}, {"every": "1ms", "since": 0}):
        with pytest.raises(InvalidOption):
            tidal.timeline(store, [7], **{"every": "1s", "until": START, "signals": ["view"], **options})


def test_batches_in_any_order_and_cut() -> None:
    """The same events, shuffled: the same answers."""
    rng = np.random.default_rng(3)
    schema = tidal.SchemaBuilder().signal("view", half_life="1h", windows=("1h",)).build()
    batch = EventBatch(
        rng.integers(0, 20, 500).astype(np.uint64), np.zeros(500, np.uint8),
        rng.random(500).astype(np.float32), rng.integers(0, 20_000, 500) * SECOND,
    )  # fmt: skip
    ids, at = rng.integers(0, 25, 300).astype(np.uint64), rng.integers(0, 21_000, 300) * SECOND
    signal = schema.signal("view")
    measures = [parse_measure(signal, name) for name in ("score", "count.1h", "count.all")]
    results = []
    for order in (np.arange(500), rng.permutation(500)):
        moments = Moments(ids, at, ["1h"])
        tally = Tally(signal, moments, measures)
        shuffled = batch.where(order >= 0)
        columns = (shuffled.entity_id, shuffled.type_id, shuffled.weight, shuffled.timestamp)
        mixed = EventBatch(*(column[order] for column in columns))
        tally.add(mixed, *moments.place(mixed))
        results.append(tally.answers())
    for measure in measures:
        assert np.allclose(results[0][measure].astype(float), results[1][measure].astype(float), rtol=1e-12)
