"""Parquet, through pyarrow where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.cli.readers.chunk import CHUNK_ROWS, BrokenRow
from tidal.errors import MissingExtra, UnreadableInput


class ParquetChunk:
    """Rows as an Arrow record batch."""

    broken: tuple[BrokenRow, ...] = ()

    def __init__(self, rows: NDArray[np.int64], batch: Any) -> None:
        self._batch = batch
        self.rows = rows

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def column(self, name: str) -> Sequence[Any] | NDArray[Any]:
        """Times, and numbers without gaps, as NumPy arrays; all else as Python values."""
        column = self._batch.column(name)
        kind = column.type
        arrow_types = importlib.import_module("pyarrow.types")
        is_time = arrow_types.is_timestamp(kind) or arrow_types.is_date(kind)  # a gap is not-a-time
        is_number = arrow_types.is_integer(kind) or arrow_types.is_floating(kind)
        if is_time or (is_number and column.null_count == 0):
            values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
            return values
        python_values: list[Any] = column.to_pylist()
        return python_values

    def record(self, index: int) -> dict[str, Any]:
        record: dict[str, Any] = self._batch.slice(index, 1).to_pylist()[0]
        return record


class ParquetReader:
    """Reads a Parquet file one record batch at a time."""

    typed = True

    def __init__(self, path: Path) -> None:
        try:
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise MissingExtra("pyarrow", "parquet", f"reading {path}") from None
        self._arrow_error: type[Exception] = importlib.import_module("pyarrow").ArrowException
        self._path = path
        self._row = 0
        try:
            self._file = parquet.ParquetFile(path)
        except self._arrow_error as error:
            raise UnreadableInput(f"{path}: not Parquet: {error}") from error
        names = self.names()
        if repeated := {name for name in names if names.count(name) > 1}:
            raise UnreadableInput(f"{path}: names {', '.join(map(repr, sorted(repeated)))} twice")

    def names(self) -> tuple[str, ...]:
        return tuple(self._file.schema_arrow.names)

    def chunks(self) -> Iterator[ParquetChunk]:
        self._row = 0
        try:
            for batch in self._file.iter_batches(batch_size=CHUNK_ROWS):
                first = self._row + 1
                self._row += batch.num_rows
                yield ParquetChunk(np.arange(first, self._row + 1, dtype=np.int64), batch)
        except self._arrow_error as error:
            raise UnreadableInput(f"{self._path}: damaged after row {self._row:,}: {error}") from error

    def share(self) -> float:
        total = self._file.metadata.num_rows
        return self._row / total if total else 1.0
