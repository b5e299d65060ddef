from __future__ import annotations

import pytest

from tidal import TidalDb
from tidal.schema import Schema, SchemaBuilder
from tidal.testing import ManualClock


def test_the_store_is_empty_and_runs_on_the_clock(tidal_store: TidalDb, tidal_clock: ManualClock) -> None:
    assert tidal_store.score("view", 42) == 0.0
    tidal_store.signal("view", 42)
    assert tidal_store.score("view", 42) == 1.0
    assert tidal_store.count("view", 42, "1h") == 1
    tidal_clock.advance("7d")
    assert tidal_store.score("view", 42) == 0.5
    assert tidal_store.count("view", 42, "1h") == 0


def test_every_test_gets_a_store_of_its_own(tidal_store: TidalDb, tidal_schema: Schema) -> None:
    assert tidal_store.last_seq == 0
    assert [tidal_store.count(signal.name, 42, "all") for signal in tidal_schema] == [0, 0, 0]


class TestAnotherSchema:
    @pytest.fixture
    def tidal_schema(self) -> Schema:
        return SchemaBuilder().signal("save", kind="user").build()

    def test_an_overriding_fixture_changes_the_schema(self, tidal_store: TidalDb) -> None:
        tidal_store.signal("save", 1)
        assert tidal_store.score("save", 1) == 1.0
