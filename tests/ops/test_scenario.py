"""An operator's day in one test: look from outside, ask the port, close, and find nobody there."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import as_function
from scraping import ask, ask_json, scrape

import tidal
from tidal.build import __version__, build_hash
from tidal.cli.ctl.main import main

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d").build()


def test_the_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tidalctl = as_function(main, capsys)
    home = tmp_path / "home"
    with tidal.open(home, schema=SCHEMA) as stored:
        stored.signal("view", 1)
        stored.signal("view", 2)
        stored.checkpoint()
    db = tidal.open(schema=SCHEMA, metrics="127.0.0.1:0")
    address = db.metrics_address

    status = tidalctl("status", "--path", home)
    assert status.code == 0
    assert status.json["wal"]["segments"] >= 1
    assert status.json["wal"]["checkpoint_seq"] == 2
    assert (status.json["status"], status.json["version"]) == ("ok", __version__)

    paths = tidalctl("paths", "--path", home)
    assert paths.json["wal"] == str(home / "wal")
    assert paths.json["exists"]["wal"] is True

    code, health = ask_json(address, "/healthz")
    assert (code, health["status"]) == (200, "ok")
    assert health["uptime_seconds"] > 0

    before = scrape(db)
    assert before["tidaldb_health_ok"] == 1
    assert before[f'tidaldb_info{{build_hash="{build_hash()}",version="{__version__}"}}'] == 1
    assert scrape(db)["tidaldb_uptime_seconds"] > before["tidaldb_uptime_seconds"] > 0

    db.close()
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/healthz")
