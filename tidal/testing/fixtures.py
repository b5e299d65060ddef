"""A pytest plugin: ``tidal_store`` is a throw-away store, ``tidal_clock`` the clock it runs on.

    def test_a_view_halves_in_a_week(tidal_store, tidal_clock):
        tidal_store.signal("view", 42)
        tidal_clock.advance("7d")
        assert tidal_store.score("view", 42) == 0.5

The store declares ``view`` (7d, every window, velocity), ``like`` (1d and 30d) and the signed ``reward``
(30d). To use another schema, define a fixture named ``tidal_schema`` in your own conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tidal
from tidal.schema import Schema, SchemaBuilder
from tidal.testing.clock import ManualClock

if TYPE_CHECKING:
    from tidal.db import TidalDb


@pytest.fixture
def tidal_schema() -> Schema:
    """The schema of ``tidal_store``; override it to use your own."""
    return (
        SchemaBuilder()
        .signal("view", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
        .signal("like", half_life=("1d", "30d"), windows=("24h", "7d"))
        .signal("reward", half_life="30d", windows=("7d",), signed=True)
        .build()
    )


@pytest.fixture
def tidal_clock() -> ManualClock:
    """The clock of ``tidal_store``; it stands still until ``set`` or ``advance`` moves it."""
    return ManualClock()


@pytest.fixture
def tidal_store(tmp_path: Path, tidal_schema: Schema, tidal_clock: ManualClock) -> Iterator[TidalDb]:
    """An open, empty, durable store in ``tmp_path``; closed after the test."""
    with tidal.open(tmp_path / "store.tidal", schema=tidal_schema, clock=tidal_clock) as db:
        yield db
