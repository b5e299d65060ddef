"""A store with events of two types, and rows that hold every kind of value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from export_rows import FIELDS, ROWS, START

import tidal
from tidal.export import Table


@pytest.fixture
def table() -> Callable[..., Table]:
    """Make the table of all values anew: in one batch, in one batch a row, or without rows."""

    def make(cut: int = 3, count: int = 3) -> Table:
        batches = [
            {name: values[start : min(start + cut, count)] for name, values in ROWS.items()}
            for start in range(0, count, cut)
        ]
        return Table(FIELDS, batches)

    return make


@pytest.fixture
def schema() -> tidal.Schema:
    return tidal.SchemaBuilder().signal("view").signal("like", signed=True).build()


@pytest.fixture
def db(tmp_path: Path, schema: tidal.Schema) -> Iterator[tidal.TidalDb]:
    with tidal.open(tmp_path / "store", schema=schema) as db:
        yield db


@pytest.fixture
def filled(db: tidal.TidalDb) -> tidal.TidalDb:
    """100 events: views and likes in turn, by users 0 to 4 (every fifth by nobody), in sessions 0 to 2."""
    n = np.arange(100)
    db.ingest(
        signal=["view" if i % 2 == 0 else "like" for i in n],
        entity_id=n % 10,
        weight=n / 8,
        timestamp=START + n,
        user_id=[None if i % 5 == 4 else int(i) % 5 for i in n],
        session_id=n % 3,
    )
    db.flush()
    return db
