"""A store made out of another one: there whole under its name, or not under its name at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tidal
from tidal.durable import OsFileSystem
from tidal.errors import InvalidOption, StorageError
from tidal.opening import remade
from tidal.opening.remade import RemadeStore
from tidal.schema import EventBatch, NewKey

SCHEMA = tidal.SchemaBuilder().signal("view").build()


def batch(first: int, count: int, keys: tuple[NewKey, ...] = ()) -> EventBatch:
    ids = np.arange(first, first + count, dtype=np.uint64)
    return EventBatch(
        ids, np.zeros(count, np.uint8), np.ones(count, np.float32), ids.astype(np.int64), new_keys=keys
    )


def test_it_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with RemadeStore(OsFileSystem(), tmp_path / "old", tmp_path / "new", SCHEMA, (0, 0)) as made:
        assert made.write(batch(0, 5)) == (1, 5)
        assert made.write(batch(5, 3, (NewKey("item", 99, "named elsewhere"),))) == (6, 8)
        assert not (tmp_path / "new").exists() and made.making.exists()
        key = (7).to_bytes(8, "big") + b"\0\3"
        made.finish([("items", key, b'{"title":"seven"}')], lambda: {"made_by": "a test"})
    assert not made.making.exists()
    assert json.loads((tmp_path / "new" / "origin.json").read_text()) == {"made_by": "a test"}
    with tidal.open(tmp_path / "new", clock="event") as db:
        assert (db.last_seq, db.count("view", 7, "all")) == (8, 1)
        assert db.items.get(7) == {"title": "seven"}
        assert db.key_of(99) == "named elsewhere"
        assert db.recovery is not None and db.recovery.clean


def test_an_error_leaves_it_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with (
        pytest.raises(StorageError) as caught,
        RemadeStore(OsFileSystem(), tmp_path / "old", tmp_path / "new", SCHEMA, (0, 0)) as made,
    ):
        made.write(batch(0, 5))
        raise StorageError("the disk")
    assert not (tmp_path / "new").exists()
    assert caught.value.__notes__ == [f"{made.making} holds what was made so far; remove it"]


def test_an_error_before_the_first_event_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("the disk")

    monkeypatch.setattr(remade, "replace_file", refuse)
    with pytest.raises(StorageError) as caught:
        RemadeStore(OsFileSystem(), tmp_path / "old", tmp_path / "new", SCHEMA, (0, 0), start={"a": 1})
    assert caught.value.__notes__ == [f"{tmp_path / 'new.unfinished'} holds what was made so far; remove it"]
    tidal.open(tmp_path / "new.unfinished").close()  # StoreLocked where it was left open


@pytest.mark.parametrize("name", ["there", "other", "old/inside", "old"])
def test_places_that_are_refused(tmp_path: Path, name: str) -> None:
    for folder in ("old", "there", "other.unfinished"):
        (tmp_path / folder).mkdir()
    with pytest.raises(InvalidOption):
        RemadeStore(OsFileSystem(), tmp_path / "old", tmp_path / name, SCHEMA, (0, 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "other.unfinished", "there"]
