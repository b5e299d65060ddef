"""Columns as files hold them, to the numbers, ids and keys that an ingest takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.schema.events import ID_MAX

Values = Sequence[Any] | NDArray[Any]
Bad = dict[int, str]  # why a value could not be taken, by position

FLOAT_ID_MAX: Final = 1 << 53  # above, a float no longer names one whole number
# A ".0" is dropped and a whole float is taken: data frames hold whole numbers so when a column has gaps.
_ID_TEXT: Final = re.compile(r"(0|[1-9][0-9]{0,19})(?:\.0+)?")


def parse_numbers(values: Values) -> tuple[NDArray[np.float64], Bad]:
    """Return the column as float64, and why some values are no numbers (they are 0 in the array).

    >>> parse_numbers(["1.5", "two"])
    (array([1.5, 0. ]), {1: "'two' is not a number"})
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64), {}
    try:
        if "_" not in "".join(values):  # float("1_0") would be 10
            return np.fromiter(map(float, values), np.float64, len(values)), {}
    except (TypeError, ValueError):
        pass  # not all text, or not all numbers: look at them one by one
    bad: Bad = {}
    numbers = np.zeros(len(values), np.float64)
    for position, value in enumerate(values):
        try:
            numbers[position] = _number(value)
        except ValueError as error:
            bad[position] = str(error)
    return numbers, bad


def all_ids(values: Values, *, typed: bool) -> bool:
    """Return whether every value that is there can be an id; if values are ``typed``, text never is one."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "iu":
            return True
        values = values.tolist()
    if typed:
        return all(value is None or type(value) is int or _is_float_id(value) for value in values)
    match = _ID_TEXT.fullmatch
    return all(not value or ((found := match(value)) and int(found[1]) <= ID_MAX) for value in values)


def parse_ids(values: Values) -> tuple[NDArray[np.uint64], NDArray[np.bool_], Bad]:
    """Return the ids, which of them are there, and why some are no ids.

    >>> ids, present, bad = parse_ids(["17", "", "x"])
    >>> ids.tolist(), present.tolist(), bad
    ([17, 0, 0], [True, False, False], {2: "'x' is not an id: a whole number from 0 to 2^64 - 1"})
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "u":
        return values.astype(np.uint64), np.ones(len(values), np.bool_), {}
    bad: Bad = {}
    ids = np.zeros(len(values), np.uint64)
    present = np.zeros(len(values), np.bool_)
    known: dict[str, int | None] = {}  # text repeats; a file has far fewer users than rows
    for position, value in enumerate(values if not isinstance(values, np.ndarray) else values.tolist()):
        if value is None or value == "":
            continue
        if type(value) is not str:
            found = _id(value)
        elif value in known:
            found = known[value]
        else:
            found = known[value] = _id(value)
        if found is None:
            bad[position] = f"{value!r} is not an id: a whole number from 0 to 2^64 - 1"
        else:
            ids[position] = found
            present[position] = True
    return ids, present, bad


def parse_keys(values: Values) -> tuple[list[str | None], Bad]:
    """Return the values as text, None where missing, and why some cannot be keys.

    >>> parse_keys(["a", "", 7])
    (['a', None, '7'], {})
    """
    bad: Bad = {}
    keys: list[str | None] = []
    for position, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        if isinstance(value, str) or value is None:
            keys.append(value or None)
        elif isinstance(value, int) and not isinstance(value, bool):
            keys.append(str(value))
        else:
            keys.append(None)
            bad[position] = f"{value!r} is neither text nor a whole number"
    return keys, bad


def _number(value: Any) -> float:
    if value is None or value == "":
        raise ValueError("the number is missing")
    if (
        isinstance(value, (int, float, str, Decimal))
        and not isinstance(value, bool)
        and "_" not in str(value)
    ):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{value!r} is not a number")


def _id(value: Any) -> int | None:
    if _is_float_id(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    if isinstance(value, int):
        return value if 0 <= value <= ID_MAX else None
    match = _ID_TEXT.fullmatch(value)
    return int(match[1]) if match and int(match[1]) <= ID_MAX else None


def _is_float_id(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and 0 <= value <= FLOAT_ID_MAX
