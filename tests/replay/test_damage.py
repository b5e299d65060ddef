"""What is damaged, missing or of another store: named, or left out where that was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replaykit import flip, twin
from worn import START, make_store

import tidal
from tidal.archive import ArchiveFile
from tidal.durable import OsFileSystem
from tidal.errors import (
    CorruptArchive,
    CorruptionError,
    CorruptLog,
    InvalidOption,
    MissingSegment,
    SchemaError,
)
from tidal.testing import assert_agrees

AT = START + 400 * 10**9


def archives(store: Path) -> list[Path]:
    return sorted((store / "archive").glob("*.arc"))


def segments(store: Path) -> list[Path]:
    return sorted((store / "wal").glob("*.seg"))


def run_of(path: Path) -> tuple[int, int]:
    with ArchiveFile(OsFileSystem(), path) as file:
        return file.header.base_seq, file.header.last_seq


def assert_without(found: tidal.Replayed, store: Path, first: int, last: int) -> None:
    """The state is that of all events but these, and they are listed."""
    assert [(it.first_seq, it.last_seq) for it in found.left_out] == [(first, last)]
    assert_agrees(found.ledger, twin(store, wanted=lambda seq, _: not first <= seq <= last), AT)


SOURCES: dict[str, Callable[[Path], Any]] = {
    "store": lambda store: store,
    "files": lambda store: [*archives(store), *segments(store)],
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_damaged_block(store: Path, original: Path, source: Callable[[Path], Any]) -> None:
    path = archives(store)[1]
    flip(path, -1)
    with pytest.raises(CorruptArchive) as caught:
        tidal.replay(source(store))
    assert caught.value.path == path
    found = tidal.replay(source(store), on_damage="skip")
    assert_without(found, original, *run_of(path))
    assert found.left_out[0].name == path.name and str(path) in found.left_out[0].reason


def test_a_damaged_header(store: Path, original: Path) -> None:
    path = archives(store)[1]
    first, last = run_of(path)
    flip(path, 100)
    for source in (store, store / "archive", archives(store)):
        with pytest.raises(CorruptArchive, match=path.name):
            tidal.replay(source)
    assert_without(tidal.replay(store, on_damage="skip"), original, first, last)
    found = tidal.replay([*archives(store), *segments(store)], on_damage="skip")
    assert_without(found, original, first, last)


def test_a_file_of_the_archive_that_is_gone(store: Path, original: Path) -> None:
    path = archives(store)[2]
    first, last = run_of(path)
    path.unlink()
    for source in (store, store / "archive", archives(store)):
        with pytest.raises(MissingSegment) as caught:
            tidal.replay(source)
        assert (caught.value.first, caught.value.last) == (first, last)
    assert_without(tidal.replay(store, on_damage="skip"), original, first, last)
    found = tidal.replay([*archives(store), *segments(store)], on_damage="skip")
    assert_without(found, original, first, last)
    found = tidal.replay(store / "archive", on_damage="skip")
    assert [(it.first_seq, it.last_seq) for it in found.left_out] == [(first, last)]


def test_a_damaged_segment(store: Path, original: Path) -> None:
    path = segments(store)[0]
    first = int(path.stem.split("-")[-1])
    flip(path, path.stat().st_size // 2)
    with pytest.raises(CorruptionError) as caught:
        tidal.replay([*archives(store), *segments(store)])
    assert isinstance(caught.value, CorruptLog) and caught.value.path == path
    found = tidal.replay([*archives(store), *segments(store)], on_damage="skip")
    (lost,) = found.left_out
    assert (lost.name, lost.last_seq) == (path.name, first + 59)
    assert first <= lost.first_seq < lost.last_seq
    assert_without(found, original, lost.first_seq, lost.last_seq)


def test_damage_is_left_out_by_tasks_too(store: Path, original: Path, tmp_path: Path) -> None:
    path = archives(store)[1]
    flip(path, -1)
    found = tidal.replay(store, on_damage="skip", scratch=tmp_path / "scratch")
    assert_without(found, original, *run_of(path))
    rows = {"entity_id": ["item3"], "time": [AT]}
    features = tidal.replay_at(store, rows, on_damage="skip", measures=["view.count.all"])
    assert features["view.count.all"][0] == found.count("view", "item3", "all")


def test_files_of_several_stores(store: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", rounds=3)
    with pytest.raises(InvalidOption, match="replay each store by itself"):
        tidal.replay([archives(store)[0], archives(other)[0]])
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(archives(store)[0], mixed)
    shutil.copy(segments(other)[-1], mixed)
    with pytest.raises(InvalidOption, match="is of store"):
        tidal.replay(mixed)


def test_a_file_of_another_store_in_an_archive(store: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other")
    shutil.copy(archives(other)[1], archives(store)[1])
    with pytest.raises(CorruptArchive, match="not the file that was listed"):
        tidal.replay(store)


def test_a_file_that_was_replaced_by_a_copy_that_went_its_own_way(store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    for path, item in ((store, "here"), (copy, "there")):
        for _ in range(2):
            with tidal.open(path, clock="event", archive=False, sync="os") as db:
                db.signal("view", item, timestamp=db.now())
    with pytest.raises(CorruptLog, match="does not continue"):
        tidal.replay([*archives(store), *segments(store)[:-1], segments(copy)[-1]])


def test_an_archive_file_and_its_segment(store: Path, tmp_path: Path) -> None:
    """The same events twice, as a crash between archiving and forgetting leaves them."""
    with tidal.open(store, clock="event", archive=False, sync="os") as db:
        db.signal("view", "more", timestamp=db.now())
        db.marks.remove("follower")
    before = Path(shutil.copytree(store, tmp_path / "before"))
    with tidal.open(store, clock="event", sync="os") as db:
        db.checkpoint()
        db.archive()
    assert len(archives(store)) > len(archives(before))
    both = [*archives(store), *segments(before)]
    found = tidal.replay(both)
    assert found.events == 361
    assert_agrees(found.ledger, twin(before), AT)


def test_files_with_events_in_common(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    cut = tmp_path / "copy"
    first = archives(store)[0]
    assert tidal.replay([first, archives(cut)[0]]).events == run_of(first)[1]  # one file, twice


def test_segments_alone_do_not_name_their_types(store: Path, original: Path) -> None:
    with pytest.raises(SchemaError, match="give schema="):
        tidal.replay(segments(store))
    with tidal.open(store, read_only=True) as db:
        schema = db.schema
    found = tidal.replay(segments(store), schema=schema)
    first = found.covered[0].first_seq
    assert first > 1
    assert_agrees(found.ledger, twin(original, wanted=lambda seq, _: seq >= first), AT)


def test_a_store_that_is_damaged_says_where_to_look(store: Path) -> None:
    (store / "wal" / "manifest.json").unlink()
    with pytest.raises(CorruptLog) as caught:
        tidal.replay(store)
    assert "tidalctl verify" in caught.value.__notes__[0]
