"""Which events a store has, while another process writes to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from worn import EVENTS, ROUNDS, make_store

import tidal
from tests.opening.conftest import EVENTS as BATCH
from tests.opening.conftest import GROWN, SCHEMA, fill, open_small
from tidal.opening import extent


def test_what_is_archived_during_a_look_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "store", archive=False)
    scan_log = extent.scan_log

    def archive_before_the_scan(*arguments: Any, **options: Any) -> Any:
        with tidal.open(store, clock="event", archive=False) as db:
            assert db.archive().archived
        monkeypatch.setattr(extent, "scan_log", scan_log)
        return scan_log(*arguments, **options)

    monkeypatch.setattr(extent, "scan_log", archive_before_the_scan)
    assert tidal.replay(store).events == ROUNDS * EVENTS


def test_a_checkpoint_that_is_written_during_a_look_is_no_sign_of_lost_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_log = extent.scan_log
    with open_small(tmp_path / "store") as db:
        fill(db, 2)

        def checkpoint_after_the_scan(*arguments: Any, **options: Any) -> Any:
            scan = scan_log(*arguments, **options)
            fill(db)
            db.checkpoint()
            return scan

        monkeypatch.setattr(extent, "scan_log", checkpoint_after_the_scan)
        assert tidal.replay(tmp_path / "store").events == 2 * BATCH
        rebuilt = tidal.rebuild(tmp_path / "store", tmp_path / "rebuilt", schema=SCHEMA)
        assert rebuilt.events == rebuilt.last_seq == 3 * BATCH


@pytest.fixture
def growing(closed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose schema grows after its identity was looked at and before its log is."""
    scan_log = extent.scan_log

    def scan_after_growing(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(extent, "scan_log", scan_log)
        with open_small(closed, schema=GROWN) as db:
            db.signal("like", 3)
        return scan_log(*arguments, **options)

    monkeypatch.setattr(extent, "scan_log", scan_after_growing)
    return closed


def test_the_types_of_a_schema_that_grows_during_a_look_are_known(growing: Path) -> None:
    found = tidal.replay(growing)
    assert found.events == 501 and found.count("like", 3, "all") == 1


def test_a_rebuild_of_a_schema_that_grows_during_a_look_says_so(growing: Path, tmp_path: Path) -> None:
    with pytest.raises(tidal.SchemaError, match="like: not in the given schema"):
        tidal.rebuild(growing, tmp_path / "rebuilt", schema=SCHEMA)
    assert tidal.rebuild(growing, tmp_path / "rebuilt", schema=GROWN).events == 501
