"""Parquet through pyarrow, and what is said without it."""

from __future__ import annotations

import datetime
import importlib
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tidal.cli.readers import input_format, open_reader
from tidal.cli.readers.parquet import ParquetReader
from tidal.cli.times import TimeFormat, parse_times
from tidal.cli.values import parse_numbers
from tidal.errors import MissingExtra, UnreadableInput, UsageError

pa = pytest.importorskip("pyarrow", reason="the Parquet reader is untested without pyarrow")
parquet = importlib.import_module("pyarrow.parquet")


def test_numbers_and_times_are_arrays_and_gaps_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    day = datetime.date(2011, 1, 2)
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.uint64()),
            "user": pa.array([7, None], pa.int64()),
            "sku": ["a", "b"],
            "time": pa.array([0, 1_500_000], pa.timestamp("us")),
            "day": pa.array([day, day], pa.date32()),
        }
    )
    parquet.write_table(table, path)
    reader = ParquetReader(path)
    (chunk,) = reader.chunks()
    assert reader.names() == ("id", "user", "sku", "time", "day")
    assert chunk.rows.tolist() == [1, 2]
    ids = chunk.column("id")
    assert isinstance(ids, np.ndarray) and ids.dtype == np.uint64
    assert chunk.column("user") == [7, None]
    assert chunk.column("sku") == ["a", "b"]
    assert np.array_equal(chunk.column("time"), np.array([0, 1_500_000], "M8[us]"))
    assert np.array_equal(chunk.column("day"), np.array(["2011-01-02"] * 2, "M8[D]"))
    assert chunk.record(1)["sku"] == "b"
    assert reader.share() == 1.0


def test_what_is_not_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(UnreadableInput, match="not Parquet"):
        ParquetReader(path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tidaldb\[parquet\]'"):
        ParquetReader(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.TSV.gz", "csv"),
        ("a.ndjson.zst", "jsonl"),
        ("a.b.jsonl", "jsonl"),
        ("a.pq", "parquet"),
    ],
)
def test_the_name_tells_the_format(name: str, expected: str) -> None:
    assert input_format(Path(name)) == expected


@pytest.mark.parametrize("name", ["a", "a.gz", "a.txt", "csv"])
def test_a_name_that_does_not_tell(name: str) -> None:
    with pytest.raises(UsageError, match="--input-format"):
        open_reader(Path(name))


def test_a_gap_does_not_change_what_times_mean(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    times = pa.array([1_577_836_800_000_000_001, None], pa.timestamp("ns"))
    parquet.write_table(pa.table({"t": times}), path)
    (chunk,) = ParquetReader(path).chunks()
    found, bad = parse_times(chunk.column("t"), TimeFormat())
    assert found[0] == 1_577_836_800_000_000_001
    assert bad == {1: "the time is missing"}


def test_decimals_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"w": pa.array([Decimal("1.5"), None])}), path)
    (chunk,) = ParquetReader(path).chunks()
    found, bad = parse_numbers(chunk.column("w"))
    assert (found[0], bad) == (1.5, {1: "the number is missing"})


def test_a_name_that_stands_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(UnreadableInput, match="names 'a' twice"):
        ParquetReader(path)
