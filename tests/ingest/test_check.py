from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import InvalidEvent, TidalError, UnknownSignalType
from tidal.ingest import Prepared, prepare_columns, prepare_one
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS, EventBatch, IdColumn
from tidal.schema.spec import Schema

NOW = 1_700_000_000_000_000_000
SKEW = 600_000_000_000


def check_form(batch: EventBatch) -> None:
    """What EventBatch promises to everything below."""
    columns = {"entity_id": np.uint64, "type_id": np.uint8, "weight": np.float32, "timestamp": np.int64}
    for name, dtype in columns.items():
        values = getattr(batch, name)
        assert values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned
        assert len(values) == len(batch)
    for optional in (batch.user_id, batch.session_id, batch.event_id):
        if optional is not None:
            assert optional.values.dtype == np.uint64 and len(optional.values) == len(batch)
            if optional.valid is not None:
                assert optional.valid.dtype == np.bool_ and not optional.values[~optional.valid].any()


@pytest.fixture
def ingest(schema: Schema, rules: dict[str, Any]) -> Any:
    def call(**columns: Any) -> Prepared:
        prepared = prepare_columns(schema, **{"signal": "view", "entity_id": [1, 2, 3], **rules, **columns})
        check_form(prepared.batch)
        return prepared

    return call


# ------------------------------------------------------------------------------------ good input


def test_defaults(ingest: Any) -> None:
    batch, refused = ingest()
    assert batch.entity_id.tolist() == [1, 2, 3]
    assert batch.type_id.tolist() == [0, 0, 0]
    assert batch.weight.tolist() == [1, 1, 1]
    assert batch.timestamp.tolist() == [NOW] * 3
    assert (batch.user_id, batch.session_id, batch.event_id) == (None, None, None)
    assert refused == ()


def test_one_value_goes_for_all_rows(ingest: Any) -> None:
    batch = ingest(weight=2, timestamp=datetime(2020, 1, 1), user_id=7, session_id="s").batch
    assert batch.weight.tolist() == [2, 2, 2]
    assert batch.timestamp.tolist() == [1_577_836_800_000_000_000] * 3
    assert batch.user_id.values.tolist() == [7, 7, 7]
    assert len(set(batch.session_id.values.tolist())) == 1
    assert len(ingest(entity_id=5).batch) == 1


def test_arrays_of_the_right_dtypes_are_not_copied(ingest: Any) -> None:
    columns = {
        "entity_id": np.array([1, 2**64 - 1], np.uint64),
        "weight": np.array([0.5, 2], np.float32),
        "timestamp": np.array([0, NOW]),
        "user_id": np.array([1, 2]),
    }
    batch = ingest(**columns).batch
    assert np.shares_memory(batch.entity_id, columns["entity_id"])
    assert np.shares_memory(batch.weight, columns["weight"])
    assert np.shares_memory(batch.timestamp, columns["timestamp"])
    assert np.shares_memory(batch.user_id.values, columns["user_id"])


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "u8", ">i4", object])
def test_ids_of_every_integer_dtype(ingest: Any, dtype: Any) -> None:
    assert ingest(entity_id=np.array([0, 5, 127]).astype(dtype)).batch.entity_id.tolist() == [0, 5, 127]


def test_large_ids_never_pass_through_a_float(ingest: Any) -> None:
    large = [2**63 + 2, 2**64 - 1, 1]
    assert ingest(entity_id=large).batch.entity_id.tolist() == large
    assert ingest(entity_id=np.array(large, np.object_)).batch.entity_id.tolist() == large
    assert ingest(user_id=[2**63 + 2, None, 1]).batch.user_id.values.tolist() == [2**63 + 2, 0, 1]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i2", "u8", object])
def test_weights_of_every_dtype(ingest: Any, dtype: Any) -> None:
    assert ingest(weight=np.array([0, 1, 3]).astype(dtype)).batch.weight.tolist() == [0, 1, 3]


def test_minus_zero_is_zero(ingest: Any) -> None:
    for weight in (np.float32([-0.0, 1, 2]), [-0.0, 1.0, 2.0], np.array([-0.0, 1, 2], object), -0.0):
        assert not np.signbit(ingest(weight=weight).batch.weight).any()


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns", "2h"])
def test_times_of_every_unit(ingest: Any, unit: str) -> None:
    times = np.array(["2020-01-01", "1969-12-31", "2023-01-01"], f"M8[{unit}]")
    assert ingest(timestamp=times).batch.timestamp.tolist() == times.astype("M8[ns]").view("i8").tolist()


def test_times_of_calendar_and_tiny_units(ingest: Any) -> None:
    assert ingest(timestamp=np.array(["1970-02"] * 3, "M8[M]")).batch.timestamp[0] == 31 * 86_400 * 10**9
    assert ingest(timestamp=np.array([-1, 0, 1999], "M8[ps]")).batch.timestamp.tolist() == [-1, 0, 1]


def test_the_ends_of_time(ingest: Any) -> None:
    ends = [TIME_MIN_NS, NOW, TIME_MAX_NS]
    batch = ingest(timestamp=ends, max_future_skew_ns=None).batch
    assert batch.timestamp.tolist() == ends
    assert ingest(timestamp=[NOW + SKEW] * 3).batch.timestamp[0] == NOW + SKEW


def test_signals_by_name_and_by_type_id(ingest: Any, schema: Schema) -> None:
    for signal in (
        ["view", "follow", "reward"],
        np.array([0, 2, 1], np.uint8),
        np.array([0, 2, 1], np.uint64),
    ):
        assert ingest(signal=signal).batch.type_id.tolist() == [0, 2, 1]
    assert ingest(signal=schema.signal("reward").type_id).batch.type_id.tolist() == [1, 1, 1]


@pytest.mark.parametrize("empty", [[], np.array([]), np.zeros(0, np.uint64), np.array([], object)], ids=repr)
def test_no_rows_are_an_empty_batch(ingest: Any, empty: Any) -> None:
    assert len(ingest(entity_id=empty, weight=empty, user_id=empty).batch) == 0
    assert len(ingest(signal=empty, entity_id=empty, timestamp=5).batch) == 0


# ------------------------------------------------------------------------------------ keys


def test_keys_take_the_kind_of_their_column(ingest: Any, keys: Any) -> None:
    batch = ingest(
        signal=["view", "follow", "boost"],
        entity_id=["a", "a", "b"],
        user_id=["u", "u", "v"],
        session_id=["s", "s", "t"],
        event_id=["e", "f", "g"],
        resolve_keys=keys,
    ).batch
    assert keys.asked == [
        ("item", ["a"]),
        ("user", ["a"]),
        ("creator", ["b"]),
        ("user", ["u", "v"]),
        (None, ["s", "t"]),
        (None, ["e", "f", "g"]),
    ]
    assert [(new.kind, new.key) for new in batch.new_keys] == [
        ("item", "a"), ("user", "a"), ("creator", "b"), ("user", "u"), ("user", "v"),
    ]  # fmt: skip
    assert batch.entity_id[0] == batch.entity_id[1] != batch.entity_id[2]


def test_keys_of_refused_rows_get_no_name(ingest: Any, keys: Any) -> None:
    batch, refused = ingest(
        entity_id=["a", "b", "a"], weight=[1, float("nan"), 1], resolve_keys=keys, on_error="skip"
    )
    assert keys.asked == [("item", ["a"])]
    assert len(batch) == 2 and [row.row for row in refused] == [1]


def test_unknown_users_are_kept_apart(ingest: Any) -> None:
    batch = ingest(user_id=["u", None, "v"], session_id=[None] * 3, event_id=[1, None, 0]).batch
    assert batch.user_id.valid.tolist() == [True, False, True]
    assert batch.session_id is None
    assert batch.event_id.values.tolist() == [1, 0, 0]
    assert batch.event_id.valid.tolist() == [True, False, True]


def test_a_column_without_its_nulls_needs_no_validity(ingest: Any) -> None:
    batch, _ = ingest(user_id=[1, None, 2], weight=[1, None, 1], on_error="skip")
    assert batch.user_id == IdColumn(batch.user_id.values, None)
    assert batch.user_id.values.tolist() == [1, 2]


# ------------------------------------------------------------------------------------ bad rows

BAD_ROWS = [
    ("signal", ["view", "vew", "view"], "vew", "unknown signal type 'vew'; did you mean 'view'"),
    ("signal", ["view", None, "view"], None, "missing"),
    ("signal", ["view", 3, "view"], 3, "not a signal type"),
    ("signal", np.array([0, 99, 0]), 99, "unknown signal type 99"),
    ("signal", np.array([0, -1, 0]), -1, "unknown signal type -1"),
    ("signal", np.array([0, 2**63, 0], np.uint64), 2**63, "unknown signal type"),
    ("entity_id", [1, -1, 2], -1, "outside 0"),
    ("entity_id", np.array([1, -1, 2], np.int8), -1, "outside 0"),
    ("entity_id", [1, 2**64, 2], 2**64, "outside 0"),
    ("entity_id", [1, 1.0, 2], 1.0, "float cannot hold"),
    ("entity_id", [1, True, 2], True, "not an id"),
    ("entity_id", [1, "a", 2], "a", "keys and numbers"),
    ("entity_id", ["a", 1, "b"], 1, "keys and numbers"),
    ("entity_id", [1, None, 2], None, "missing"),
    ("entity_id", ["a", None, "b"], None, "missing"),
    ("entity_id", ["a", "\ud800", "b"], "\ud800", "not valid UTF-8"),
    ("entity_id", ["a", "é" * 513, "b" * 1024], "é" * 513, "more than 1024 bytes"),
    ("user_id", [None, -1, 2], -1, "outside 0"),
    ("session_id", ["a", b"a", None], b"a", "keys and numbers"),
    ("weight", [1, -1, 1], -1, "negative, and signal type 'view' is not declared signed=True"),
    ("weight", [1, None, 1], None, "missing"),
    ("weight", [1.0, 1e39, 1.0], 1e39, "not finite"),
    ("weight", [1, "1", 1], "1", "not a number"),
    ("weight", np.array([1, np.inf, 1], np.float32), np.inf, "not finite"),
    ("weight", np.array([1, -np.inf, 1]), -np.inf, "not finite"),
    ("timestamp", [NOW, NOW + SKEW + 1, NOW], NOW + SKEW + 1, "more than max_future_skew"),
    ("timestamp", [NOW, TIME_MIN_NS - 1, NOW], TIME_MIN_NS - 1, "outside"),
    ("timestamp", np.array([0, 2**63, 0], np.uint64), 2**63, "outside"),
    ("timestamp", [NOW, 1.5, NOW], 1.5, "not a time"),
    ("timestamp", [NOW, None, NOW], None, "missing"),
]


@pytest.mark.parametrize(("name", "column", "value", "reason"), BAD_ROWS, ids=str)
def test_the_bad_row_is_named_or_skipped(
    ingest: Any, name: str, column: Any, value: Any, reason: str
) -> None:
    with pytest.raises(TidalError, match=f"row 1, column '{name}'.*{reason}") as caught:
        ingest(**{name: column})
    assert isinstance(caught.value, ValueError)
    assert caught.value.row == 1  # type: ignore[attr-defined]
    batch, refused = ingest(**{name: column}, on_error="skip")
    assert len(batch) == 2
    [row] = refused
    assert (row.row, row.column, row.value) == (1, name, value)


@pytest.mark.parametrize("time", ["NaT", "2200-01-01", "1700-01-01"])
@pytest.mark.parametrize("unit", ["Y", "M", "D", "s", "us"])
def test_times_of_any_unit_that_do_not_fit(ingest: Any, time: str, unit: str) -> None:
    times = np.array(["2020", time, "2021"], f"M8[{unit}]")
    batch, refused = ingest(timestamp=times, on_error="skip")
    assert batch.timestamp.tolist() == times[[0, 2]].astype("M8[ns]").view("i8").tolist()
    assert str(refused[0].value) == str(times[1])


@pytest.mark.parametrize("raw", [2**63 - 1, -(2**63) + 1])
@pytest.mark.parametrize("unit", ["Y", "M", "W", "s", "ns", "as"])
def test_the_largest_times_do_not_wrap(ingest: Any, raw: int, unit: str) -> None:
    times = np.array([0, raw, 0]).view(f"M8[{unit}]")
    if unit == "as":
        assert ingest(timestamp=times).batch.timestamp[1] == raw // 10**9
    else:
        assert [row.row for row in ingest(timestamp=times, on_error="skip").refused] == [1]


def test_an_unknown_signal_is_its_own_error(ingest: Any) -> None:
    with pytest.raises(UnknownSignalType, match="row 1, column 'signal': unknown signal type 'vew'"):
        ingest(signal=["view", "vew", "view"])


def test_negative_weights_only_for_signed_types(ingest: Any) -> None:
    batch, refused = ingest(signal=["reward", "view", "nope"], weight=[-1, -2, -3], on_error="skip")
    assert batch.weight.tolist() == [-1]
    assert [(row.row, row.column) for row in refused] == [(1, "weight"), (2, "signal")]
    _, refused = ingest(weight=[float("nan"), -1, 1], on_error="skip")  # a NaN must not hide the -1
    assert [row.row for row in refused] == [0, 1]


def test_a_row_is_refused_once_for_its_first_column(ingest: Any) -> None:
    _, refused = ingest(entity_id=[-1, 2, 3], weight=[-1, -1, 1], timestamp=[0, 0, 2**62], on_error="skip")
    assert [(row.row, row.column) for row in refused] == [(0, "entity_id"), (1, "weight"), (2, "timestamp")]


def test_all_rows_refused(ingest: Any, keys: Any) -> None:
    batch, refused = ingest(entity_id=["a"] * 3, weight=[-1] * 3, on_error="skip", resolve_keys=keys)
    assert len(batch) == 0 and len(refused) == 3 and keys.asked == []


# ------------------------------------------------------------------------------------ bad columns


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"entity_id": np.array([1.0, 2, 3])}, "column 'entity_id', value 1.0: a float cannot hold"),
        ({"user_id": np.array([True, True, False])}, r"column 'user_id'.*not an id.*dtype bool"),
        ({"entity_id": np.array([b"a"] * 3)}, "not an id.*dtype .S1"),
        ({"weight": np.array([True] * 3)}, "a bool is not a weight"),
        ({"weight": ["1", "2", "3"]}, "not a number .dtype string"),
        ({"timestamp": np.array([1.0, 2, 3])}, "not a time.*dtype float64"),
        ({"timestamp": ["2020-01-01"] * 3}, "not a time.*dtype string"),
        ({"signal": np.array([1.0] * 3)}, "not a signal type"),
        ({"weight": [1, 2]}, "column 'entity_id' has 3 rows and column 'weight' has 2"),
        ({"weight": float("nan")}, "column 'weight', value nan"),
        ({"timestamp": NOW + SKEW + 1}, "more than max_future_skew"),
        ({"user_id": -1}, "column 'user_id', value -1"),
        ({"entity_id": None}, "column 'entity_id': not given"),
        ({"signal": None}, "column 'signal': not given"),
        ({"signal": "vew"}, "unknown signal type 'vew'"),
        ({"signal": "vew", "entity_id": []}, "unknown signal type 'vew'"),
    ],
    ids=str,
)
def test_what_is_wrong_as_a_whole_is_raised(
    ingest: Any, columns: dict[str, Any], reason: str, on_error: str
) -> None:
    with pytest.raises(TidalError, match=reason):
        ingest(**columns, on_error=on_error)


def test_on_error_is_one_of_two(ingest: Any) -> None:
    with pytest.raises(InvalidEvent, match='use "raise" or "skip"'):
        ingest(on_error="ignore")


# ------------------------------------------------------------------------------------ the twin

ROW = st.tuples(
    st.sampled_from(["view", "reward", "follow", "nope"]) | st.none(),
    st.integers(-2, 2**64 + 1) | st.integers(0, 5) | st.none() | st.just(1.5),
    st.floats(width=64) | st.floats(-10, 10) | st.integers(-(2**70), 2**70) | st.just("x"),
    st.integers(TIME_MIN_NS - 2, TIME_MAX_NS + 2)
    | st.integers(NOW - 10, NOW + SKEW + 10)
    | st.datetimes(timezones=st.just(UTC))
    | st.just(np.datetime64("NaT", "s")),
    st.integers(-1, 2**64) | st.none(),
)


@given(rows=st.lists(ROW, min_size=1, max_size=8))
def test_columns_judge_as_single_events_do(
    rows: list[tuple[Any, ...]], schema: Schema, rules: dict[str, Any]
) -> None:
    rows = [("view", 1, 1, NOW, 1), *rows]  # or a column of nothing but one wrong type is wrong as a whole
    good, bad = [], []
    for number, (signal, entity, weight, time, user) in enumerate(rows):
        try:
            if entity is None or time is None:
                raise InvalidEvent("missing")
            event = prepare_one(schema, signal, entity, weight, time, user, **rules)
        except TidalError:
            bad.append(number)
        else:
            good.append((event[0].type_id, *event[1:5]))
    names = ("signal", "entity_id", "weight", "timestamp", "user_id")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    batch, refused = prepare_columns(schema, **columns, **rules, on_error="skip")
    check_form(batch)
    assert [row.row for row in refused] == bad
    users = [None] * len(batch) if batch.user_id is None else batch.user_id.values.tolist()
    if batch.user_id is not None and batch.user_id.valid is not None:
        users = [user if ok else None for user, ok in zip(users, batch.user_id.valid, strict=True)]
    columns_of = (batch.type_id, batch.entity_id, batch.weight, batch.timestamp)
    assert list(zip(*[column.tolist() for column in columns_of], users, strict=True)) == good
    if bad:
        with pytest.raises(TidalError) as caught:
            prepare_columns(schema, **columns, **rules)
        assert caught.value.row == bad[0]  # type: ignore[attr-defined]
