"""Rows as Arrow: for any consumer by the C stream, and by pyarrow where it is installed."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from tidal._ext.arrow_export import export_batches, export_batches_schema
from tidal.errors import MissingExtra
from tidal.export.columns import Field, Rows


def arrow_schema(fields: Sequence[Field]) -> object:
    """Return a capsule of the schema that arrow_stream() sends."""
    return export_batches_schema([(field.name, field.type) for field in fields])


def arrow_stream(fields: Sequence[Field], batches: Iterator[Rows]) -> object:
    """Return a capsule of a stream, whose batches are made when they are asked for."""
    return export_batches([(field.name, field.type) for field in fields], batches)


class _Stream:
    """What pyarrow takes; keeps the error of a batch, of which Arrow hands on only the text."""

    def __init__(self, fields: Sequence[Field], batches: Iterator[Rows]) -> None:
        self._fields, self._batches = fields, batches
        self.error: BaseException | None = None

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return arrow_stream(self._fields, self._watched())

    def _watched(self) -> Iterator[Rows]:
        try:
            yield from self._batches
        except BaseException as error:
            self.error = error
            raise


@contextlib.contextmanager
def record_batches(fields: Sequence[Field], batches: Iterator[Rows], purpose: str) -> Iterator[Any]:
    """Give a pyarrow.RecordBatchReader of the rows. What the rows raise comes out as it is.

    Raises MissingExtra, which names the purpose.
    """
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", purpose) from None
    stream = _Stream(fields, batches)
    try:
        with pyarrow.RecordBatchReader.from_stream(stream) as reader:
            yield reader
    except (pyarrow.ArrowException, OSError):
        if stream.error is not None:
            raise stream.error from None
        raise
