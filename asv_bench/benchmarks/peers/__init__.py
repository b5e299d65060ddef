"""What a user would pick instead of tidal, doing the same work; for benchmarks/peers_*.py and table.py.

``recompute``: every answer from all events, by DuckDB, Polars and pandas. ``running``: each event brought
into a state that is kept, by SQLite, Redis and River.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from typing import Any


class Unavailable(NotImplementedError):
    """A peer is not on this machine: asv and the tests skip what needs it, and say why.

    asv takes a NotImplementedError out of a benchmark's setup() for "skip this"; nothing here is unfinished.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        print(f"skipped: {what}", file=sys.stderr)


def peer(name: str) -> Any:
    """Return a peer's module, as untyped as most of them are; Unavailable where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} is not installed; pip install --group bench") from error


def program(name: str) -> str:
    """Return the path of a peer's program; Unavailable where it is not installed."""
    if (found := shutil.which(name)) is None:
        raise Unavailable(f"{name} is not on the path; on Debian: apt-get install {name}")
    return found
