"""P10: export."""

from __future__ import annotations

from collections.abc import Iterator

from goals.bench import Bench
from goals.row import Row


def later(bench: Bench) -> Iterator[Row]:
    """There is nothing to measure before there is an export."""
    yield Row("P10", "export: with a later version", None)
