"""Hand NumPy columns to any Arrow consumer, without an Arrow library."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

def export_stream(columns: Mapping[str, NDArray[Any]], times: Collection[str] = ()) -> object:
    """Return a capsule "arrow_array_stream": the columns as one batch."""

def export_schema(columns: Mapping[str, NDArray[Any]], times: Collection[str] = ()) -> object:
    """Return a capsule "arrow_schema": the names and types that export_stream() gives the columns."""

def export_batches(fields: Sequence[tuple[str, str]], batches: Iterable[tuple[Sequence[Any], int]]) -> object:
    """Return a capsule "arrow_array_stream": batches of one type, each made when it is asked for."""

def export_batches_schema(fields: Sequence[tuple[str, str]]) -> object:
    """Return a capsule "arrow_schema": the type of what export_batches() sends."""
