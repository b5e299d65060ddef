"""Hand NumPy columns to any Arrow consumer, without an Arrow library."""

from collections.abc import Collection, Mapping
from typing import Any

from numpy.typing import NDArray

def export_stream(columns: Mapping[str, NDArray[Any]], times: Collection[str] = ()) -> object:
    """Return a capsule "arrow_array_stream": the columns as one batch."""

def export_schema(columns: Mapping[str, NDArray[Any]], times: Collection[str] = ()) -> object:
    """Return a capsule "arrow_schema": the names and types that export_stream() gives the columns."""
