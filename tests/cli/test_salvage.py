"""`tidal salvage`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worn import make_store

Command = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store", rounds=3, archive=False)


def damage(store: Path) -> None:
    path = sorted((store / "wal").glob("*.seg"))[0]
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)


def test_a_good_store(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command("salvage", store, tmp_path / "new")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"{tmp_path / 'new'}: 180 events, 60 names and metadata",
        "  lost: 0 events, 0 names and metadata",
        "  sequences are new:",
        "    1 to 180 became 1 to 180",
    ]


def test_a_damaged_store(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    damage(store)
    answer = tidal_command("salvage", store, tmp_path / "new")
    assert answer.code == 5
    assert "    events 1 to 10\n" in answer.out
    assert "    11 to 180 became 1 to 170\n" in answer.out
    assert "DAMAGE  wal/wal-00000000000000000001.seg at byte 128, events 1 to 10" in answer.out
    answer = tidal_command("salvage", store, tmp_path / "again", "--format", "json")
    assert answer.code == 5
    assert (answer.json["events"], answer.json["lost"]) == (170, [{"first_seq": 1, "last_seq": 10}])
    assert json.loads((tmp_path / "again" / "origin.json").read_text()) == answer.json


def test_a_schema_on_the_command_line(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    schema = tmp_path / "saved.json"
    (store / "schema.json").rename(schema)
    answer = tidal_command("salvage", store, tmp_path / "new", "--format", "json")
    assert (answer.code, answer.error["type"]) == (2, "SchemaError")
    assert tidal_command("salvage", store, tmp_path / "new", "--schema", schema).code == 0
    types = ("view half_life=7d", "like signed", "follow kind=creator")
    declared = [word for text in types for word in ("--declare", text)]
    assert tidal_command("salvage", store, tmp_path / "newer", *declared).code == 0


def test_usage(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    assert tidal_command("salvage", tmp_path / "nothing", tmp_path / "new").code == 3
    answer = tidal_command("salvage", store, store, "--format", "json")
    assert (answer.code, answer.error["type"]) == (2, "InvalidOption")
