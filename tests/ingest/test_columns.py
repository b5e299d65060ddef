from __future__ import annotations

import array
import re
from collections import deque
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from tidal.errors import InvalidEvent
from tidal.ingest.columns import Column, read_column

MOMENT = datetime(2024, 5, 1)


def given_values(column: Column) -> list[object]:
    return [column.value_at(row) for row in range(len(column))]


def shown(value: object) -> str:
    """The value as the test's name has it: without an address, which differs from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize(
    "scalar", ["key", 3, 1.5, np.int8(3), np.array(3), MOMENT, np.datetime64("2024-05-01"), b"x"]
)
def test_one_value_is_a_scalar(scalar: Any) -> None:
    column = read_column("c", scalar)
    assert column.is_scalar and given_values(column) == [scalar]


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        ([1, 2], np.int64),
        ((1, 2**64 - 1), np.uint64),
        ([-1, 2**64 - 1], np.object_),
        (range(3), np.int64),
        ([1.5, 2.0], np.float64),
        ([1, 2.0], np.object_),
        ([True, False], np.object_),
        ([np.int8(1), np.int8(2)], np.int8),
        ([MOMENT], np.object_),
        (deque([1, 2]), np.int64),
        (array.array("d", [1.0]), np.float64),
        (memoryview(array.array("H", [1])), np.uint16),
        ([], np.int64),
        ([None, 2**63], np.uint64),
        ([None, None], np.int64),
    ],
    ids=shown,
)
def test_values_and_dtypes_of_sequences(source: Any, dtype: type[np.generic]) -> None:
    column = read_column("c", source)
    assert not column.is_scalar
    assert column.values.dtype == dtype
    assert given_values(column) == list(source)


@pytest.mark.parametrize(
    "source", [["a", "b", "a"], np.array(["a", "b", "a"]), np.array(["a", "b", "a"], np.object_)], ids=shown
)
def test_texts_are_kept_once(source: Any) -> None:
    column = read_column("c", source)
    assert column.texts == ["a", "b"]
    assert column.values.tolist() == [0, 1, 0]


def test_missing_texts() -> None:
    column = read_column("c", ["a", None, float("nan"), "b"])
    assert given_values(column) == ["a", None, None, "b"]
    assert given_values(read_column("c", ["a", 1.5])) == ["a", 1.5]


def test_arrays_are_not_copied() -> None:
    values = np.arange(5, dtype=np.uint64)
    assert np.shares_memory(read_column("c", values).values, values)


@pytest.mark.parametrize(
    "values",
    [np.arange(10)[::2], np.arange(5, dtype=">i4"), np.frombuffer(b"\0" * 17, np.uint8)[1:].view("<i8")],
)
def test_arrays_of_other_layouts_become_plain(values: np.ndarray) -> None:
    column = read_column("c", values)
    assert column.values.flags.c_contiguous and column.values.flags.aligned
    assert column.values.dtype.isnative
    assert column.values.tolist() == values.tolist()


def test_masked_values_are_missing() -> None:
    masked = np.ma.array([1, 2, 3], mask=[False, True, False])
    assert given_values(read_column("c", masked)) == [1, None, 3]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({1, 2}, r"a set is not a column; pass list\(...\)"),
        ({1: 2}, r"a dict is not a column; pass list\(...\)"),
        (iter([1]), r"list_iterator is not a column; pass list\(...\)"),
        (object(), "a object is not a column"),
        (np.zeros((2, 2)), "2 dimensions"),
    ],
    ids=shown,
)
def test_what_is_no_column(source: Any, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        read_column("weight", source)


# ------------------------------------------------------------------------------------ other libraries


def test_arrow_columns() -> None:
    pa = pytest.importorskip("pyarrow", reason="Arrow columns come from it; install the test group")
    column = read_column("c", pa.chunked_array([["a", None], ["b", "a"]]))
    assert given_values(column) == ["a", None, "b", "a"]
    column = read_column("c", pa.chunked_array([[1], [None]]))
    assert given_values(column) == [1, None]
    assert len(read_column("c", pa.chunked_array([], pa.string()))) == 0
    with pytest.raises(InvalidEvent, match="a Table is a table; pass one column"):
        read_column("c", pa.table({"a": [1]}))
    with pytest.raises(InvalidEvent, match="cannot be read as Arrow data: Arrow type"):
        read_column("c", pa.array([b"x"]))


def test_polars_columns() -> None:
    pl = pytest.importorskip("polars", reason="polars columns are promised to work; install the test group")
    assert given_values(read_column("c", pl.Series(["a", None, "b"]))) == ["a", None, "b"]
    assert given_values(read_column("c", pl.Series([1, None, 2**40]))) == [1, None, 2**40]
    assert given_values(read_column("c", pl.Series(["a", "b", "a"], dtype=pl.Categorical))) == ["a", "b", "a"]


def test_pandas_columns() -> None:
    pd = pytest.importorskip("pandas", reason="pandas columns are promised to work; install the test group")
    numbers = pd.Series(np.arange(4))
    assert np.shares_memory(read_column("c", numbers).values, numbers.to_numpy())
    assert given_values(read_column("c", pd.Series([1, None], dtype="Int64"))) == [1, None]
    assert given_values(read_column("c", pd.Series(["a", None]))) == ["a", None]
    assert given_values(read_column("c", pd.Series([1, "a"], dtype=object))) == [1, "a"]
    moments = read_column("c", pd.Series(pd.to_datetime(["2024-05-01 02:00"]).tz_localize("Europe/Berlin")))
    assert given_values(moments) == [np.datetime64("2024-05-01T00:00")]


def test_a_library_that_lacks_its_own_arrow_support_falls_back_to_numpy() -> None:
    class Series:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise ImportError("pyarrow is not installed")

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array(["a", "b"], np.object_)

    assert given_values(read_column("c", Series())) == ["a", "b"]
