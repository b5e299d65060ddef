"""A store with events, keys and metadata, opened as often as a test likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidal
from tidal.testing import ManualClock

EVENTS = 300


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of the store."""
    return tmp_path / "store"


@pytest.fixture
def reopen(
    store: Path, tidal_schema: tidal.Schema, tidal_clock: ManualClock
) -> Iterator[Callable[..., tidal.TidalDb]]:
    """A function that opens the store. All are closed after the test, and have left no thread."""
    opened: list[tidal.TidalDb] = []

    def open_store(**options: Any) -> tidal.TidalDb:
        options = {"clock": tidal_clock, "jobs": tidal.JobLimits(free_bytes=0), **options}
        schema = None if options.get("read_only") else tidal_schema
        opened.append(tidal.open(store, schema=schema, **options))
        return opened[-1]

    before = set(threading.enumerate())
    yield open_store
    for db in opened:
        db.close()
    assert set(threading.enumerate()) - before == set(), "threads that outlived the database"


@pytest.fixture
def db(reopen: Callable[..., tidal.TidalDb], tidal_clock: ManualClock) -> tidal.TidalDb:
    """The store, with 300 views of 7 items by 5 users, one a second, and three likes."""
    db = reopen()
    n = np.arange(EVENTS)
    db.ingest(signal="view", entity_id=n % 7, user_id=n % 5, timestamp=tidal_clock() - n * 10**9)
    db.ingest(signal="like", entity_id=["lamp", "rug", "lamp"], user_id=["ada", "ada", "bob"])
    db.items.put("lamp", {"title": "Lamp", "tags": ["light", "home"]})
    db.users.put(3, {"age": None})
    return db
