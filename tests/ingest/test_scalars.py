from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.ingest.scalars import TimeRange, Unfit, id_of, key_of, time_of, weight_of
from tidal.schema.events import ID_MAX, TIME_MAX_NS, TIME_MIN_NS

ANY_TIME = TimeRange.until(0, None)


@pytest.mark.parametrize("value", [0, ID_MAX, np.uint64(ID_MAX), np.int8(3)])
def test_ids_are_exact(value: Any) -> None:
    assert id_of(value) == int(value)
    assert type(id_of(value)) is int


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-1, "outside 0"),
        (2**64, "outside 0"),
        (1.0, "float cannot hold"),
        (np.float32(1), "float cannot hold"),
        (True, "not an id"),
        (np.True_, "not an id"),
        (None, "not an id"),
        (b"x", "not an id"),
        ("x", "keys and numbers"),
    ],
)
def test_what_is_no_id(value: Any, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        id_of(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_weights_are_rounded_as_numpy_rounds(value: float) -> None:
    with np.errstate(over="ignore"):
        rounded = np.array([value]).astype(np.float32)[0]
    if np.isfinite(rounded):
        assert weight_of(value) == rounded
        assert str(weight_of(value)) != "-0.0"
    else:
        with pytest.raises(Unfit, match="not finite"):
            weight_of(value)


@pytest.mark.parametrize("value", [3, np.int16(3), np.float16(3), Decimal(3), Fraction(3)])
def test_numbers_of_every_kind_are_weights(value: Any) -> None:
    assert weight_of(value) == 3.0
    assert type(weight_of(value)) is float


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "not finite"),
        (float("-inf"), "not finite"),
        (1e39, "not finite"),
        (10**400, "not finite"),
        (Decimal("nan"), "not finite"),
        (True, "a bool is not a weight"),
        (np.False_, "a bool is not a weight"),
        ("1", "not a number"),
        (None, "not a number"),
        (1j, "not a number"),
    ],
)
def test_what_is_no_weight(value: Any, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        weight_of(value)


@pytest.mark.parametrize(
    "value",
    [
        1_714_521_600_000_000_000,
        np.int64(1_714_521_600_000_000_000),
        datetime(2024, 5, 1),
        datetime(2024, 5, 1, tzinfo=UTC),
        datetime(2024, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        date(2024, 5, 1),
        *[np.datetime64("2024-05-01", unit) for unit in ("D", "h", "m", "s", "ms", "us", "ns")],
        np.datetime64("2024-05"),
    ],
    ids=repr,
)
def test_one_moment_in_every_form(value: Any) -> None:
    assert time_of(value, ANY_TIME) == 1_714_521_600_000_000_000


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (np.datetime64("2024"), 1_704_067_200_000_000_000),
        (np.datetime64(-1, "ps"), -1),
        (np.datetime64(3, ("s", 10)), 30_000_000_000),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999), -1000),
    ],
    ids=repr,
)
def test_units_that_need_care(value: Any, ns: int) -> None:
    assert time_of(value, ANY_TIME) == ns


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.datetime64("NaT", "s"), "NaT"),
        (1.0, "not a time"),
        (True, "not a time"),
        ("2024-05-01", "not a time"),
        (TIME_MIN_NS - 1, "outside"),
        (TIME_MAX_NS + 1, "outside"),
        (np.datetime64(2**62, "s"), "outside"),
        (datetime(1, 1, 1), "outside"),
    ],
    ids=repr,
)
def test_what_is_no_time(value: Any, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        time_of(value, ANY_TIME)


def test_the_ends_of_time_are_inside() -> None:
    assert time_of(TIME_MIN_NS, ANY_TIME) == TIME_MIN_NS
    assert time_of(TIME_MAX_NS, ANY_TIME) == TIME_MAX_NS
    assert TimeRange.until(TIME_MAX_NS - 1, 10).last_ns == TIME_MAX_NS


def test_too_far_ahead_names_the_limit() -> None:
    within = TimeRange.until(1000, 600 * 10**9)
    assert time_of(1000 + 600 * 10**9, within) == 1000 + 600 * 10**9
    with pytest.raises(Unfit, match=r"more than max_future_skew \(10m\) ahead"):
        time_of(1001 + 600 * 10**9, within)
    with pytest.raises(Unfit, match=r"more than max_future_skew \(0 ns\) ahead"):
        time_of(1, TimeRange.until(0, 0))


def test_keys_are_plain_text_that_utf8_encodes() -> None:
    assert key_of("é" * 512) == "é" * 512
    with pytest.raises(Unfit, match="more than 1024 bytes"):
        key_of("é" * 513)
    assert type(key_of(np.str_("é"))) is str
    with pytest.raises(Unfit, match="not valid UTF-8"):
        key_of("\ud800")


def test_pandas_times_keep_their_nanoseconds() -> None:
    pd = pytest.importorskip(
        "pandas", reason="pandas.Timestamp is a datetime with ns; install the test group"
    )
    assert time_of(pd.Timestamp(1_714_521_600_000_000_001), ANY_TIME) == 1_714_521_600_000_000_001
    berlin = pd.Timestamp(1_714_521_600_000_000_001, tz="Europe/Berlin")
    assert time_of(berlin, ANY_TIME) == 1_714_521_600_000_000_001
    with pytest.raises(Unfit, match="NaT"):
        time_of(pd.NaT, ANY_TIME)
