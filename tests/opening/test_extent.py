"""Which events a store has, while another process writes to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from worn import EVENTS, ROUNDS, make_store

import tidal
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
