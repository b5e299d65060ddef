"""Stores of regions and shards: by name and header of every file; a store by itself is as it always was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidal
from tidal.inspect import verify
from tidal.schema import SchemaBuilder
from tidal.store import decode_identity, decode_place, encode_identity

SCHEMA = SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
T0 = 10**18


def filled(folder: Path, **place: int) -> None:
    """A store with a log, an archive and checkpoints."""
    for number in range(3):
        with tidal.open(folder, schema=SCHEMA, clock="event", **place) as db:
            db.ingest(signal="view", entity_id=np.arange(50), timestamp=T0 + number)
            db.checkpoint()
            db.archive()


def test_a_store_of_a_place_is_read_written_and_verified(tmp_path: Path) -> None:
    filled(tmp_path / "s", region=3, shard=7)
    names = [path.name for folder in ("wal", "archive") for path in (tmp_path / "s" / folder).iterdir()]
    assert sum("r00003-s00007" in name for name in names) == len(names) - 2 > 2
    with tidal.open(tmp_path / "s", clock="event") as db:  # it knows what it is
        assert db.last_seq == 150
        with tidal.open(tmp_path / "s", clock="event", read_only=True) as reader:
            db.signal("view", 1, timestamp=T0 + 9)
            assert reader.refresh() == 1
            assert sum(1 for _ in reader.export_signals(tidal.ExportRequest(all=True))) == 151
        assert db.health().ok
    assert not verify(tmp_path / "s").findings
    report = tidal.salvage(tmp_path / "s", tmp_path / "saved")
    assert report is not None
    with tidal.open(tmp_path / "saved", clock="event", region=3, shard=7) as db:  # it can stand in
        assert db.last_seq == 151
    tidal.rebuild(tmp_path / "s", tmp_path / "rebuilt", schema=SCHEMA)
    with tidal.open(tmp_path / "rebuilt", clock="event", region=3, shard=7) as db:
        assert db.last_seq == 151
    for folder in ("archive", "wal"):
        for path in (tmp_path / "s" / folder).glob("*-r*"):
            path.rename(tmp_path / path.name)
    (tmp_path / "alone").mkdir()
    for path in tmp_path.glob("archive-*"):
        path.rename(tmp_path / "alone" / path.name)
    assert tidal.salvage(tmp_path / "alone", tmp_path / "from archives").events > 0
    with tidal.open(tmp_path / "from archives", clock="event", region=3, shard=7) as db:
        assert db.last_seq > 0


def test_a_store_by_itself_says_nothing_of_places(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    assert b"region" not in (tmp_path / "s" / "store.json").read_bytes()
    names = [path.name for folder in ("wal", "archive") for path in (tmp_path / "s" / folder).iterdir()]
    assert not any("r00000" in name for name in names)
    with tidal.open(tmp_path / "s", region=0, shard=0) as db:
        assert db.last_seq == 150


@pytest.mark.parametrize("place", [{"region": 1}, {"shard": 8}, {"region": 3, "shard": 0}])
def test_another_place_is_refused(tmp_path: Path, place: dict[str, int]) -> None:
    tidal.open(tmp_path / "s", schema=SCHEMA, region=3, shard=7).close()
    with pytest.raises(tidal.InvalidOption, match="is region 3, shard 7"):
        tidal.open(tmp_path / "s", **place)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [{"region": -1}, {"shard": 65_536}, {"region": 1.0}, {"shard": True}])
def test_what_is_no_number_is_refused(tmp_path: Path, place: dict[str, Any]) -> None:
    with pytest.raises(tidal.InvalidOption, match="choose an integer from 0 to 65535"):
        tidal.open(tmp_path / "s", schema=SCHEMA, **place)


def test_an_identity_is_read_as_it_was_written() -> None:
    assert decode_identity(encode_identity(bytes(16), 3, 7)) == bytes(16)
    place = decode_place(encode_identity(bytes(16), 3, 7))
    assert (place.region, place.shard, place.epoch) == (3, 7, 0)
    assert encode_identity(bytes(16)) == encode_identity(bytes(16), 0, 0)
