"""Ids, times and names of requests, and what the document says of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tidal.schema.events import ID_MAX, TIME_MAX_NS, TIME_MIN_NS
from tidal.serve.values import Id, OptionalCount, OptionalKey, OptionalTime, ids_out, up_to

SECOND = 10**9
IDS, TIMES = TypeAdapter[int](Id), TypeAdapter[int](OptionalTime)


@given(st.integers(0, 2**70), st.integers(0, 2**70))
def test_the_pattern_of_numbers_is_the_comparison_of_numbers(number: int, largest: int) -> None:
    for close in (number, largest - 1, largest, largest + 1):
        if close >= 0:
            assert bool(re.fullmatch(up_to(largest), str(close))) == (close <= largest)


@pytest.mark.parametrize("value", [0, "0", 2**53 + 1, str(2**53 + 1), ID_MAX, str(ID_MAX), 7.0])
def test_ids_are_numbers_or_decimal_texts(value: Any) -> None:
    assert IDS.validate_python(value) == int(value)


BAD_IDS = [
    -1,
    "-1",
    ID_MAX + 1,
    str(ID_MAX + 1),
    "01",
    "+1",
    " 1",
    "1_0",
    "٣",
    "",
    "x",
    True,
    None,
    1.5,
    1e17,
    [1],
]


@pytest.mark.parametrize("value", BAD_IDS)
def test_nothing_else_is_an_id(value: Any) -> None:
    with pytest.raises(ValidationError, match="no id: give an integer"):
        IDS.validate_python(value)


TIMES_GIVEN = {
    0: 0,
    "0": 0,
    "-5": -5,
    str(TIME_MAX_NS): TIME_MAX_NS,
    TIME_MIN_NS: TIME_MIN_NS,
    "1970-01-01T00:00:01Z": SECOND,
    "1970-01-01T01:00:01+01:00": SECOND,
    "1969-12-31T23:59:59.000001Z": -SECOND + 1000,
}


@pytest.mark.parametrize(("given", "ns"), TIMES_GIVEN.items())
def test_times_are_ns_or_rfc_3339(given: Any, ns: int) -> None:
    assert TIMES.validate_python(given) == ns


BAD_TIMES = [
    "1970-01-01", "1970-01-01T00:00:01", "1970-01-01 00:00:01Z", "1970-13-01T00:00:00Z",
    "0001-01-01T00:00:00Z", "1970-02-30T00:00:00Z",
    TIME_MAX_NS + 1, TIME_MIN_NS - 1, False, "now", None, 0.5, "1970-01-01T00:00:00.1234567Z",
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_TIMES)
def test_nothing_else_is_a_time(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"no time|outside|month must be|Value error"):
        TIMES.validate_python(value)


def test_null_is_not_the_same_as_left_out() -> None:
    for kind in (OptionalTime, OptionalKey, OptionalCount):
        with pytest.raises(ValidationError):
            TypeAdapter[Any](kind).validate_python(None)


def test_keys_are_texts_of_a_bounded_length() -> None:
    keys = TypeAdapter[str](OptionalKey)
    assert keys.validate_python("ключ") == "ключ"
    with pytest.raises(ValidationError, match="more than 1024 bytes"):
        keys.validate_python("é" * 513)
    with pytest.raises(ValidationError, match="not valid UTF-8"):
        keys.validate_python("\ud800")
    with pytest.raises(ValidationError, match="give a text"):
        keys.validate_python(5)


def test_ids_are_answered_as_texts_unless_numbers_are_asked_for() -> None:
    ids = np.array([1, ID_MAX], np.uint64)
    assert ids_out(ids, "text") == ["1", "18446744073709551615"]
    assert ids_out(ids, "number") == [1, ID_MAX]
