from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import InvalidDuration
from tidal.schema import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250ms", 250 * 10**6),
        ("90s", 90 * 10**9),
        ("30m", 1800 * 10**9),
        ("1h", 3600 * 10**9),
        ("7d", 604_800 * 10**9),
        ("2w", 1_209_600 * 10**9),
        ("1.5h", 5400 * 10**9),
        (" 1 h ", 3600 * 10**9),
        ("0.000001ms", 1),
    ],
)
def test_text_is_read_exactly(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@given(st.timedeltas(min_value=timedelta(microseconds=1)))
def test_a_timedelta_is_read_exactly(value: timedelta) -> None:
    assert parse_duration(value) == (value // timedelta(microseconds=1)) * 1000


@given(st.integers(1, 2**62))
def test_formatted_text_is_read_back(ns: int) -> None:
    whole_ms = ns // 10**6 * 10**6
    for value in filter(None, (whole_ms, ns % 10**12)):
        assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (604_800 * 10**9, "7d"),
        (129_600 * 10**9, "36h"),
        (90 * 10**9, "90s"),
        (10**6, "1ms"),
        (1, "0.000001ms"),
    ],
)
def test_the_longest_whole_unit_is_written(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@pytest.mark.parametrize(
    "value", ["", "7", "d", "7 days", "-1d", "1d2h", "1e3s", "inf", "0d", "0.0s", 7, 1.5, None]
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(value)


@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-1)])
def test_nothing_and_less_are_refused(value: timedelta) -> None:
    with pytest.raises(InvalidDuration, match="positive"):
        parse_duration(value)
