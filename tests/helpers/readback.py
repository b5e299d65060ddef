"""Exported files, read back by the libraries that people use: each as rows of plain Python values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas
import polars
import pyarrow.json
import pyarrow.parquet

Rows = list[dict[str, Any]]


def _by_pyarrow(path: Path) -> Rows:
    parquet = path.suffix == ".parquet"
    table = pyarrow.parquet.read_table(path) if parquet else pyarrow.json.read_json(path)
    rows: Rows = table.to_pylist()
    return rows


def _by_pandas(path: Path) -> Rows:
    if path.suffix == ".parquet":
        frame = pandas.read_parquet(path)
    else:  # without these, digits become numbers, and numbers lose their last digit
        frame = pandas.read_json(path, lines=True, dtype=False, precise_float=True)
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _by_polars(path: Path) -> Rows:
    frame = polars.read_parquet(path) if path.suffix == ".parquet" else polars.read_ndjson(path)
    return frame.to_dicts()


def _by_duckdb(path: Path) -> Rows:
    read = "read_parquet" if path.suffix == ".parquet" else "read_json"
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM {read}(?)", [str(path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _plain(value: Any) -> Any:
    """Return what pandas has of a cell: arrays of nested values as lists."""
    return value.tolist() if isinstance(value, np.ndarray) else value


READERS: Final[dict[str, Callable[[Path], Rows]]] = {
    "pyarrow": _by_pyarrow,
    "pandas": _by_pandas,
    "polars": _by_polars,
    "duckdb": _by_duckdb,
}
"""By name: reads a .parquet or .jsonl file."""
