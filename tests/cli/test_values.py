"""Columns of text to numbers, ids and keys."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.cli.values import all_ids, parse_ids, parse_keys, parse_numbers

ID_MAX = 2**64 - 1


@given(st.lists(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)))
def test_numbers_are_read_back(values: list[float]) -> None:
    for column in (values, [repr(value) for value in values]):
        numbers, bad = parse_numbers(column)
        assert (numbers.tolist(), bad) == ([float(value) for value in values], {})


@pytest.mark.parametrize("value", ["", None, "two", "1_0", "1,5", True, [1], {}])
def test_what_is_no_number_spoils_only_its_row(value: object) -> None:
    numbers, bad = parse_numbers(["1", value, "3"])
    assert (numbers.tolist(), list(bad)) == ([1.0, 0.0, 3.0], [1])


def test_not_a_number_is_left_for_the_engine_to_refuse() -> None:
    numbers, bad = parse_numbers(["nan"])
    assert math.isnan(numbers[0]) and bad == {}


@given(st.lists(st.integers(0, ID_MAX)))
def test_ids_are_exact(values: list[int]) -> None:
    for column in (values, [str(value) for value in values], [f"{value}.0" for value in values]):
        ids, present, bad = parse_ids(column)
        assert (ids.tolist(), bad) == (values, {})
        assert present.all()


@pytest.mark.parametrize(
    "value", ["x", "-1", "1.5", "01", str(2**64), 2**64, -1, True, 1.5, -1.0, 2.0**60, float("nan"), [], "１"]
)
def test_what_is_no_id(value: object) -> None:
    _ids, present, bad = parse_ids([1, value, None, ""])
    assert present.tolist() == [True, False, False, False]
    assert list(bad) == [1]


@pytest.mark.parametrize(
    ("values", "typed", "expected"),
    [
        (["1", "", "17850.0"], False, True),
        (["1", "85123A"], False, False),
        (["1", "007"], False, False),
        (["1", str(2**64)], False, False),
        ([1, None], True, True),
        ([1, "2"], True, False),
        ([1, True], True, False),
        (np.array([1, 2], np.uint64), True, True),
        (np.array([1.0, 17850.0]), True, True),
        (np.array([1.5]), True, False),
    ],
)
def test_whether_a_column_holds_nothing_but_ids(values: list[object], typed: bool, expected: bool) -> None:
    assert all_ids(values, typed=typed) is expected


def test_a_whole_float_is_an_id_as_data_frames_have_it() -> None:
    ids, present, bad = parse_ids([17850.0, None, float(2**53)])
    assert (ids.tolist(), present.tolist(), bad) == ([17850, 0, 2**53], [True, False, True], {})


def test_keys_are_text_and_gaps_are_none() -> None:
    keys, bad = parse_keys(["a", "", None, 7, True, 1.5])
    assert keys == ["a", None, None, "7", None, None]
    assert list(bad) == [4, 5]
    assert parse_keys(np.array([7])) == (["7"], {})
