"""What the strategies draw is valid, and the cases they exist for do come up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from tidal.schema import Schema, SchemaBuilder, schema_from_json, schema_to_json
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS
from tidal.testing import Event
from tidal.testing.strategies import (
    batches,
    events,
    measures,
    reading_times,
    schemas,
    splits,
    weights,
)

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
SCHEMA = SchemaBuilder().signal("view", half_life="1h").signal("reward", signed=True).build()


@given(schemas())
def test_schemas_pass_the_strict_reader(schema: Schema) -> None:
    assert schema_from_json(schema_to_json(schema)) == schema


@given(st.data())
def test_events_are_what_an_engine_accepts(data: st.DataObject) -> None:
    for event in data.draw(events(SCHEMA)):
        signal = SCHEMA.signal(event.signal)
        assert np.isfinite(np.float32(event.weight))
        assert float(np.float32(event.weight)) == event.weight
        assert signal.signed or event.weight >= 0.0
        assert 0 <= event.entity_id < 2**64
        assert TIME_MIN_NS <= event.timestamp <= TIME_MAX_NS


@given(st.data())
def test_splits_keep_every_event_in_order(data: st.DataObject) -> None:
    drawn = data.draw(events(SCHEMA))
    assert [event for part in data.draw(splits(drawn)) for event in part] == drawn
    assert TIME_MIN_NS <= data.draw(reading_times(drawn)) <= TIME_MAX_NS


@given(batches(SCHEMA))
def test_batches_have_columns_of_one_length_and_the_right_types(drawn: list[object]) -> None:
    for batch in drawn:
        columns = [getattr(batch, name) for name in ("entity_id", "type_id", "weight", "timestamp")]
        assert [column.dtype for column in columns] == [np.uint64, np.uint8, np.float32, np.int64]
        assert len({len(column) for column in columns}) == 1


def steps(drawn: list[Event]) -> list[int]:
    return [after.timestamp - before.timestamp for before, after in pairwise(drawn)]


@pytest.mark.parametrize(
    "wanted",
    [
        lambda drawn: any(step < 0 for step in steps(drawn)),
        lambda drawn: any(step == 0 for step in steps(drawn)),
        lambda drawn: any(step >= 10_000 * HOUR for step in steps(drawn)),
        lambda drawn: any(event.timestamp < 0 for event in drawn),
        lambda drawn: any(event.timestamp % HOUR == HOUR - 1 for event in drawn),
        lambda drawn: any(event.timestamp % MINUTE == 0 and event.timestamp % HOUR for event in drawn),
        lambda drawn: any(event.timestamp in (TIME_MIN_NS, TIME_MAX_NS) for event in drawn),
        lambda drawn: {event.entity_id for event in drawn} >= {0, 2**64 - 1},
        lambda drawn: len(drawn) > len({(event.signal, event.entity_id) for event in drawn}),
    ],
    ids=[
        "late",
        "equal",
        "far",
        "before-1970",
        "hour-edge",
        "minute-edge",
        "time-ends",
        "id-ends",
        "repeated",
    ],
)
def test_the_hard_cases_come_up(wanted: Callable[[list[Event]], bool]) -> None:
    assert wanted(find(events(SCHEMA), wanted))


def test_extreme_weights_come_up() -> None:
    assert 0 < find(weights(), lambda weight: 0 < weight < 1e-40) < 1e-40
    assert find(weights(), lambda weight: weight > 1e38) > 1e38
    assert find(weights(signed=True), lambda weight: weight < -1e38) < -1e38


def test_every_measure_of_a_type_is_named() -> None:
    schema = (
        SchemaBuilder()
        .signal("view", half_life=("7d", "36h"), windows=("1h", "7d"), velocity=True)
        .signal("like", windows=("24h",))
        .build()
    )
    assert measures(schema.signal("view")) == [
        "score",
        "score.7d",
        "score.36h",
        "count.all",
        "count.1h",
        "count.7d",
        "velocity.1h",
        "velocity.7d",
    ]
    assert measures(schema.signal("like")) == ["score", "count.all", "count.24h"]
