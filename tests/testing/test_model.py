"""The twin, by cases worked out by hand, and against engines written by others."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import UnknownMeasure, UnknownSignalType
from tidal.schema import SchemaBuilder
from tidal.testing import Event, ModelLedger
from tidal.testing.strategies import events, to_batch

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SCHEMA = (
    SchemaBuilder()
    .signal("view", half_life=("1h", "1d"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("like", windows=("1h",))
    .signal("reward", half_life="1h", signed=True)
    .build()
)
BUCKETS = {"1h": (MINUTE, 60), "24h": (HOUR, 24), "7d": (HOUR, 168)}


def model_of(*events: tuple[str, int, float, int]) -> ModelLedger:
    return ModelLedger(SCHEMA, (Event(*event) for event in events))


class TestScore:
    def test_a_weight_halves_in_a_half_life(self) -> None:
        model = model_of(("view", 1, 8.0, 0))
        assert [model.score("view", 1, n * HOUR) for n in range(5)] == [8.0, 4.0, 2.0, 1.0, 0.5]
        assert model.score("view", 1, DAY, "1d") == model.score("view", 1, DAY, 1) == 4.0

    def test_events_add_up_each_at_its_own_age(self) -> None:
        model = model_of(("view", 1, 8.0, 0), ("view", 1, 2.0, HOUR), ("view", 1, 1.0, 2 * HOUR))
        assert model.score("view", 1, 2 * HOUR) == 2.0 + 1.0 + 1.0
        assert model.score("view", 1, 3 * HOUR) == 2.0

    def test_a_late_event_counts_at_its_own_age(self) -> None:
        late = model_of(("view", 1, 1.0, 2 * HOUR), ("view", 1, 8.0, 0))
        assert late.score("view", 1, 2 * HOUR) == 3.0

    def test_a_read_of_the_past_is_a_read_at_the_last_event_of_that_entity(self) -> None:
        model = model_of(("view", 1, 8.0, 0), ("view", 1, 1.0, HOUR), ("view", 2, 1.0, 9 * HOUR))
        assert model.score("view", 1, -DAY) == model.score("view", 1, HOUR) == 5.0

    def test_a_permanent_score_does_not_decay(self) -> None:
        model = model_of(("like", 1, 2.5, 0), ("like", 1, 1.0, HOUR))
        assert model.score("like", 1, 0) == model.score("like", 1, 10**6 * DAY) == 3.5

    def test_weights_are_rounded_to_f32(self) -> None:
        assert model_of(("like", 1, 0.1, 0)).score("like", 1, 0) == float(np.float32(0.1)) != 0.1

    def test_signed_weights_cancel_and_their_magnitude_does_not(self) -> None:
        model = model_of(("reward", 1, 4.0, 0), ("reward", 1, -2.0, HOUR))
        assert model.score("reward", 1, HOUR) == 0.0
        assert model.magnitude("reward", 1, HOUR) == 4.0

    def test_ten_thousand_half_lives_leave_nothing(self) -> None:
        assert model_of(("view", 1, 1.0, 0)).score("view", 1, 10_000 * HOUR) == 0.0

    def test_unknown_entities_and_other_types_read_zero(self) -> None:
        model = model_of(("view", 1, 1.0, 0))
        assert model.score("view", 2, 0) == model.score("like", 1, 0) == 0.0
        assert model.count("view", 2, "1h", 0) == model.count("like", 1, "all", 0) == 0

    @pytest.mark.parametrize("half_life", ["1h", "36h"])
    def test_polars_agrees(self, half_life: str) -> None:
        """polars' ewm_sum_by was written by others from another formula (the running one)."""
        rng = np.random.default_rng(1)
        schema = SchemaBuilder().signal("view", half_life=half_life).build()
        model = ModelLedger(schema)
        times = np.sort(rng.integers(0, 30 * DAY, 300))
        weights = rng.exponential(size=300).astype(np.float32)
        frame = pl.DataFrame({"t": times.astype("datetime64[ns]"), "w": weights.astype(np.float64)})
        expected = frame.select(pl.col("w").ewm_sum_by("t", half_life=half_life))["w"].to_list()
        for time, weight, value in zip(times.tolist(), weights.tolist(), expected, strict=True):
            model.apply("view", 7, weight, time)
            assert math.isclose(model.score("view", 7, time), value, rel_tol=1e-12)


class TestCount:
    @pytest.mark.parametrize("window", BUCKETS)
    @pytest.mark.parametrize("origin", [0, 400_000 * HOUR, -400_000 * HOUR])
    def test_a_window_ends_between_two_buckets(self, window: str, origin: int) -> None:
        bucket, length = BUCKETS[window]
        model = model_of(("view", 1, 1.0, origin), ("view", 2, 1.0, origin - 1))
        end = origin + length * bucket
        assert [model.count("view", 1, window, at) for at in (origin, end - 1, end)] == [1, 1, 0]
        assert [model.count("view", 2, window, at) for at in (end - bucket - 1, end - bucket)] == [1, 0]
        assert model.count("view", 2, "all", end) == 1

    def test_the_running_bucket_is_counted_whole(self) -> None:
        model = model_of(("view", 1, 1.0, 0), ("view", 1, 1.0, MINUTE - 1))
        assert model.count("view", 1, "1h", 0) == 2

    def test_the_window_ends_at_the_types_clock_when_that_is_later_than_the_read(self) -> None:
        model = model_of(("view", 1, 1.0, 0), ("view", 2, 1.0, 2 * HOUR), ("like", 1, 1.0, 0))
        assert model.count("view", 1, "1h", 0) == 0
        assert model.count("view", 1, "24h", 0) == 1
        assert model.count("like", 1, "1h", 0) == 1, "another type's clock"

    def test_a_late_event_goes_to_its_own_bucket(self) -> None:
        model = model_of(
            ("view", 1, 1.0, 90 * MINUTE), ("view", 1, 1.0, 31 * MINUTE), ("view", 1, 1.0, 30 * MINUTE)
        )
        assert [model.count("view", 1, w, 0) for w in ("1h", "24h", "all")] == [2, 3, 3]

    def test_a_weight_of_zero_counts(self) -> None:
        assert model_of(("view", 1, 0.0, 0)).count("view", 1, "1h", 0) == 1

    @pytest.mark.parametrize("origin", [0, -50_000 * HOUR])
    def test_duckdb_agrees(self, origin: int) -> None:
        rng = np.random.default_rng(2)
        times = origin + rng.integers(0, 9 * DAY, 2000)
        model = model_of(*(("view", 7, 1.0, time) for time in times.tolist()))
        database = duckdb.connect()
        database.register("events", pl.DataFrame({"t": times}))
        database.execute("create macro bucket(t, size) as (t - (t % size + size) % size) // size")
        for at in (origin, origin + 9 * DAY, origin + 12 * DAY + 1):
            for window, (size, length) in BUCKETS.items():
                rows = database.execute(
                    "select count(*) from events, (select greatest($at, max(t)) as now from events)"
                    " where bucket(t, $size) > bucket(now, $size) - $length",
                    {"size": size, "length": length, "at": at},
                ).fetchall()
                assert rows == [(model.count("view", 7, window, at),)]


def test_velocity_is_events_per_second() -> None:
    model = model_of(*[("view", 1, 9.0, 0)] * 36)
    assert model.velocity("view", 1, "1h", 0) == 36 / 3600
    assert model.velocity("view", 1, "24h", 0) == 36 / 86400


def test_the_clock_is_the_largest_event_time_of_the_type() -> None:
    model = model_of(("view", 1, 1.0, 5), ("view", 2, 1.0, 3), ("like", 1, 1.0, -9))
    assert (model.clock("view"), model.clock("like"), model.clock("reward")) == (5, -9, None)


def test_top_puts_the_best_first_and_equals_by_id() -> None:
    model = model_of(("view", 9, 3.0, 0), ("view", 5, 1.0, 0), ("view", 5, 1.0, 0), ("view", 7, 3.0, 0))
    assert model.top("view", 10, "score", 0) == [(7, 3.0), (9, 3.0), (5, 2.0)]
    assert model.top("view", 1, "count.all", 0) == [(5, 2.0)]
    assert model.top("view", 2, "velocity.1h", 0) == [(5, 2 / 3600), (7, 1 / 3600)]
    assert model.top("view", 1, "score.1d", DAY) == [(7, 1.5)]
    assert model.top("like", 3, "score", 0) == []


def test_what_is_not_declared_is_refused() -> None:
    model = model_of(("like", 1, 1.0, 0))
    with pytest.raises(UnknownSignalType):
        model.apply("veiw", 1, 1.0, 0)
    for by in ("count.24h", "velocity.1h", "score.1d", "rank", "count"):
        with pytest.raises(UnknownMeasure):
            model.top("like", 1, by, 0)


@given(st.data())
def test_a_batch_is_its_events_one_by_one(data: st.DataObject) -> None:
    given_events = data.draw(events(SCHEMA))
    one_by_one, whole = model_of(*given_events), ModelLedger(SCHEMA)
    whole.apply_batch(to_batch(SCHEMA, given_events))
    assert list(whole.events()) == list(one_by_one.events())
    assert sorted(whole.events()) == sorted(Event(*event) for event in given_events)
