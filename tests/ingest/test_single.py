from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tidal.errors import InvalidEvent, UnknownSignalType
from tidal.ingest import batch_of, prepare_columns, prepare_one
from tidal.schema.spec import Schema

NOW = 1_700_000_000_000_000_000

EVENTS: list[dict[str, Any]] = [
    {"entity_id": 2**64 - 1},
    {"entity_id": "sku:1", "weight": 0.1, "timestamp": 5},
    {"entity_id": 0, "weight": 3, "timestamp": datetime(2020, 1, 1), "user_id": "ann", "session_id": "s"},
    {"signal": "follow", "entity_id": "ann", "user_id": "ann", "event_id": "e"},
    {"signal": "reward", "entity_id": 1, "weight": -1.5, "user_id": 1, "session_id": 2, "event_id": 3},
    {"signal": "reward", "entity_id": 1, "weight": -0.0, "timestamp": NOW + 1},
]


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_one_event_is_a_batch_of_one(schema: Schema, rules: dict[str, Any], event: dict[str, Any]) -> None:
    event = {"signal": "view", **event}
    expected = prepare_columns(schema, **event, **rules).batch
    one = prepare_one(schema, **event, **rules)
    assert (type(one[1]), type(one[2]), type(one[3])) == (int, float, int)
    assert str(one[2]) != "-0.0"
    batch = batch_of(one)
    for name in ("entity_id", "type_id", "weight", "timestamp", "user_id", "session_id", "event_id"):
        got, want = getattr(batch, name), getattr(expected, name)
        if name.endswith("_id") and isinstance(want, tuple):
            got, want = got.values, want.values
        assert (got is None) == (want is None)
        if want is not None:
            assert got.dtype == want.dtype and got.tolist() == want.tolist()
    assert batch.new_keys == expected.new_keys


@pytest.mark.parametrize(
    ("event", "column", "reason"),
    [
        ({"entity_id": -1}, "entity_id", "outside 0"),
        ({"entity_id": True}, "entity_id", "not an id"),
        ({"entity_id": "\ud800"}, "entity_id", "not valid UTF-8"),
        ({"weight": -1}, "weight", "negative, and signal type 'view'"),
        ({"weight": float("inf")}, "weight", "not finite"),
        ({"weight": True}, "weight", "a bool is not a weight"),
        ({"timestamp": NOW + 601 * 10**9}, "timestamp", "more than max_future_skew"),
        ({"timestamp": 1.5}, "timestamp", "not a time"),
        ({"timestamp": True}, "timestamp", "not a time"),
        ({"user_id": 2**64}, "user_id", "outside 0"),
        ({"session_id": 1.0}, "session_id", "float cannot hold"),
        ({"event_id": b"x"}, "event_id", "not an id"),
    ],
    ids=str,
)
def test_the_bad_field_is_named(
    schema: Schema, rules: dict[str, Any], event: dict[str, Any], column: str, reason: str
) -> None:
    with pytest.raises(InvalidEvent, match=reason) as caught:
        prepare_one(schema, **{"signal": "view", "entity_id": 1, **event}, **rules)
    assert (caught.value.column, caught.value.value) == (column, event[column])


@pytest.mark.parametrize("signal", ["vew", None, ["view"]])
def test_unknown_signals(schema: Schema, rules: dict[str, Any], signal: Any) -> None:
    with pytest.raises(UnknownSignalType):
        prepare_one(schema, signal, 1, **rules)
